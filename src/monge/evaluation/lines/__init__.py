"""The lines of the audit: to add one is to add an object to `LINES`."""

from dataclasses import dataclass

import torch

from monge.evaluation.descriptors import (
    AVERAGES,
    ENERGIES,
    FILTERS,
    MORPHOLOGY,
    RANKS,
    SCATTERING,
    SPECTRUM,
    SUPPORT,
    VALUES,
    Descriptor,
    energies_in,
)
from monge.evaluation.lines import copies, distances
from monge.evaluation.lines.base import BROAD, Measured, OneLine
from monge.evaluation.lines.columns import PAIRS, UTILITY
from monge.evaluation.lines.kernels import FRECHET, KERNEL
from monge.evaluation.lines.labels import GIVEN, LABELS
from monge.evaluation.lines.likelihood import likelihood_lines
from monge.evaluation.lines.means import MeanLine
from monge.evaluation.lines.regions import REGIONS, SLICED, Region, RegionLine, worst
from monge.evaluation.looks import Features
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.neighbours import K

__all__ = ["BROAD", "LINES", "MeanLine", "Measured", "OneLine", "Region", "RegionLine", "likelihood_lines", "worst"]


def given_training(p: Prepared) -> bool:
    return p.split.train is not None


@dataclass(frozen=True)
class VarianceLine(MeanLine):
    """Energies of directions, of vectors both standardised and in their own units of variance."""

    def look(self, p: Prepared) -> Descriptor:
        return energies_in(torch.from_numpy(p.split.raw).float())


VARIANCE = VarianceLine(
    "variance",
    "diversity",
    "variance",
    ("variance", "raw variance"),
    ENERGIES,
    "Squared distance, in standard deviations, of mean log energies along principal directions of real samples.",
)


def nothing(features: Features, p: Prepared) -> str:
    return ""


LINES: tuple[Measured, ...] = (
    OneLine("energy distance", "fidelity", "structure", BROAD, distances.energy),
    KERNEL,
    FRECHET,
    OneLine("classifier accuracy", "fidelity", "structure", ("blur", "variance", "outliers"), distances.classifier),
    MeanLine(
        "precision",
        "fidelity",
        "structure",
        ("outliers",),
        distances.INSIDE,
        f"Share of samples that fall among real ones, within reach of a held-out sample's {K} nearest neighbours.",
        distances.below,
        nothing,
        lambda means: means[:, -1],
        "lower",
    ),
    distances.OutlierLine(
        "outliers",
        "fidelity",
        "outliers",
        ("outliers",),
        VALUES,
        "Share of samples that lie farther from real ones than any of a fifth of the held-out samples does; "
        "tested by how far, too, in values, patterns and spectra.",
        distances.above,
        nothing,
        lambda means: means[:, 3],
    ),
    VARIANCE,
    MeanLine(
        "power spectrum",
        "fidelity",
        "blur",
        ("blur",),
        SPECTRUM,
        "Squared distance, in standard deviations, of the mean log power of generated and real samples, band by band.",
    ),
    MeanLine(
        "one coordinate at a time",
        "fidelity",
        "structure",
        BROAD,
        RANKS,
        "Squared distance, in standard deviations, of the mean, spread, skew and tails of each coordinate's ranks.",
    ),
    MeanLine(
        "patterns",
        "fidelity",
        "structure",
        BROAD,
        FILTERS,
        "Squared distance, in standard deviations, of mean answers to filters that are whitened patches of the data.",
    ),
    MeanLine(
        "wavelet scattering",
        "fidelity",
        "structure",
        BROAD,
        SCATTERING,
        "Squared distance, in standard deviations, of mean wavelet moduli: sparsity, clustering, edges across scales.",
    ),
    MeanLine(
        "level sets",
        "fidelity",
        "structure",
        BROAD,
        MORPHOLOGY,
        "Squared distance, in standard deviations, of areas, boundaries, Euler characteristics and peaks (Minkowski).",
    ),
    MeanLine(
        "averages",
        "fidelity",
        "waves",
        ("waves", *BROAD),
        AVERAGES,
        "Squared distance, in standard deviations, of what is averaged over fields: moments and ranks of their means "
        "and of power, two-point functions, one-point moments.",
    ),
    MeanLine(
        "support",
        "fidelity",
        "support",
        ("outliers",),
        SUPPORT,
        "Squared distance, in standard deviations, of the shares of exact values that recur, such as zero, and of "
        "minima, maxima and values beyond the range of real ones.",
    ),
    REGIONS,
    SLICED,
    PAIRS,
    UTILITY,
    LABELS,
    GIVEN,
    MeanLine(
        "coverage",
        "diversity",
        "region",
        ("cluster",),
        distances.VISITED,
        "Share of balls about held-out samples, as far as their fifth nearest, that as many samples as there are balls "
        "visit.",
        distances.less_visited,
        nothing,
        distances.visited,
        "lower",
    ),
    OneLine("repeats", "diversity", "repeats", ("repeats",), copies.repeats),
    OneLine("copies", "memorisation", "copies", ("copies",), copies.copies, given_training),
    OneLine("near copies", "memorisation", "copies", ("copies",), copies.near, given_training),
    OneLine("closer to training", "memorisation", "nearness", ("copies",), copies.closer, given_training),
)
