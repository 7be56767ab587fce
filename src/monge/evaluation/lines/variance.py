"""The line on variances along principal directions, the leading ones first."""

import torch

from monge.evaluation.descriptors import ENERGIES
from monge.evaluation.lines.means import MeanLine
from monge.evaluation.prepared import Features, Prepared
from monge.evaluation.statistics.means import Compare, whitened


def leading_first(features: Features, p: Prepared) -> Compare:
    return whitened(torch.cat([features.x, features.y]), alone=2)


VARIANCE = MeanLine(
    "variance",
    "diversity",
    "variance",
    ("variance",),
    ENERGIES,
    "Squared distance, in standard deviations, of the mean log energies along principal directions of real samples; "
    "the "
    "leading ones are tested by themselves, too.",
    leading_first,
)
