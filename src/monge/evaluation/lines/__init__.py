"""The lines of the audit: to add one is to add an object to `LINES`."""

from monge.evaluation.descriptors import ENERGIES, FILTERS, MORPHOLOGY, RANKS, SCATTERING, SPECTRUM, SUPPORT
from monge.evaluation.lines import copies, distances
from monge.evaluation.lines.base import BROAD, Measured, OneLine
from monge.evaluation.lines.kernels import FRECHET, KERNEL
from monge.evaluation.lines.likelihood import likelihood_lines
from monge.evaluation.lines.means import MeanLine
from monge.evaluation.lines.regions import LABELS, REGIONS, Region, RegionLine, worst
from monge.evaluation.prepared import Prepared

__all__ = ["BROAD", "LINES", "MeanLine", "Measured", "OneLine", "Region", "RegionLine", "likelihood_lines", "worst"]


def given_training(p: Prepared) -> bool:
    return p.train is not None


LINES: tuple[Measured, ...] = (
    OneLine("energy distance", "fidelity", "structure", BROAD, distances.energy),
    KERNEL,
    FRECHET,
    OneLine("classifier accuracy", "fidelity", "structure", (), distances.classifier),
    OneLine("precision", "fidelity", "structure", ("outliers",), distances.precision),
    OneLine("outliers", "fidelity", "outliers", ("outliers",), distances.outliers),
    MeanLine(
        "variance",
        "diversity",
        "variance",
        ("variance",),
        ENERGIES,
        "Squared distance, in standard deviations, of mean log energies along principal directions of real samples.",
    ),
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
        "support",
        "fidelity",
        "support",
        (),
        SUPPORT,
        "Squared distance, in standard deviations, of the shares of exact values that recur, such as zero, and of "
        "minima, maxima and values beyond the range of real ones.",
    ),
    REGIONS,
    LABELS,
    OneLine("coverage", "diversity", "region", (), distances.coverage),
    OneLine("repeats", "diversity", "repeats", ("repeats",), copies.repeats),
    OneLine("copies", "memorisation", "copies", ("copies",), copies.copies, given_training),
    OneLine("near copies", "memorisation", "copies", ("copies",), copies.near, given_training),
    OneLine("closer to training", "memorisation", "copies", ("copies",), copies.closer, given_training),
)
