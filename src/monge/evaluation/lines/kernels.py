"""Lines of kernels: aggregated maximum mean discrepancy, and Frechet's distance of features."""

from dataclasses import dataclass

from torch import Tensor

from monge.evaluation.descriptors import FOURIER, PRINCIPAL, Descriptor, Fitted, main_descriptor
from monge.evaluation.descriptors.values import FREQUENCIES
from monge.evaluation.lines.base import BROAD
from monge.evaluation.lines.means import MeanLine
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.frechet import gaussian_statistic, moments
from monge.evaluation.statistics.means import kernels

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


@dataclass(frozen=True)
class FrechetLine(MeanLine):
    """Frechet's distance through means of products of two features."""

    def look(self, p: Prepared) -> Descriptor:
        base = main_descriptor(p.split.event)

        def fit(real: Tensor, seed: int) -> Fitted:
            return Fitted(lambda x: moments(x[:, :LEADING]))

        return Descriptor(f"moments of {base.name}", fit, base.applies, base.cost, base.invariances, (base,))


FRECHET = FrechetLine(
    "Frechet distance",
    "fidelity",
    "structure",
    BROAD,
    PRINCIPAL,
    f"Squared Frechet distance (69) of patterns, or of coordinates of vectors, the leading {LEADING}, as if they were "
    "Gaussian; less the floor, it is that of endless samples. Also blind to: all that means and covariances do not "
    "show.",
    lambda line, features, p: gaussian_statistic,
    lambda features, p: "",
)
