"""Lines of kernels: aggregated maximum mean discrepancy, and Frechet's distance of features."""

import torch

from monge.evaluation.descriptors import FILTERS, FOURIER, PRINCIPAL, Descriptor, Fitted, kinds
from monge.evaluation.descriptors.values import FREQUENCIES
from monge.evaluation.lines.means import MeanLine
from monge.evaluation.statistics.frechet import gaussian_statistic, moments
from monge.evaluation.statistics.means import kernels

BROAD = ("blur", "variance", "region")
LEADING = 16

KERNEL = MeanLine(
    "kernel MMD",
    "fidelity",
    "structure",
    BROAD,
    FOURIER,
    "Squared maximum mean discrepancy of a Gaussian kernel, tested at three widths at once.",
    lambda line, features, p: kernels(2 * FREQUENCIES),
    lambda features, p: "",
)


def _moments_of(base: Descriptor, spatial: bool) -> Descriptor:
    def fit(real: torch.Tensor, seed: int) -> Fitted:
        return Fitted(lambda x: moments(x[:, :LEADING]))

    applies = kinds(vectors=not spatial, spatial=spatial, least=3)
    return Descriptor(f"moments of {base.name}", fit, applies, base.cost, base.invariances, base)


def _line(base: Descriptor, spatial: bool) -> MeanLine:
    return MeanLine(
        "Frechet distance",
        "fidelity",
        "structure",
        BROAD,
        _moments_of(base, spatial),
        f"Squared Frechet distance (69) of {base.name}, the leading {LEADING}, as if they were Gaussian; less the "
        f"floor, it "
        "is that of endless samples. Also blind to: all that means and covariances do not show.",
        lambda line, features, p: gaussian_statistic,
        lambda features, p: "",
    )


FRECHET, VECTOR_FRECHET = _line(FILTERS, True), _line(PRINCIPAL, False)
