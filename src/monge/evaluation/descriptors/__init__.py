"""What samples are looked at through: features of an event, several for each kind of data."""

from monge.evaluation.descriptors.averages import AVERAGES
from monge.evaluation.descriptors.base import Descriptor, Fitted, describe, kinds, yours
from monge.evaluation.descriptors.filters import FILTERS
from monge.evaluation.descriptors.morphology import MORPHOLOGY
from monge.evaluation.descriptors.scattering import SCATTERING
from monge.evaluation.descriptors.slices import SLICES
from monge.evaluation.descriptors.spectra import SPECTRUM
from monge.evaluation.descriptors.support import SUPPORT
from monge.evaluation.descriptors.values import ENERGIES, FOURIER, PRINCIPAL, RANKS, VALUES, energies_in

DESCRIPTORS = (PRINCIPAL, ENERGIES, RANKS, FOURIER, FILTERS, SPECTRUM, SCATTERING, MORPHOLOGY, AVERAGES, SUPPORT)


def main_descriptor(event: tuple[int, ...]) -> Descriptor:
    """What sees most of events of this shape: patterns of images and fields, coordinates of vectors.

    >>> main_descriptor((3,)).name
    'principal coordinates'
    """
    return FILTERS if FILTERS.applies(event) else PRINCIPAL


def spaces(event: tuple[int, ...]) -> tuple[Descriptor, ...]:
    """Those in which a region of events of this shape is near itself: of patterns and of values.

    >>> [space.name for space in spaces((1, 8, 8))]
    ['random filters', 'principal coordinates']
    """
    return tuple(dict.fromkeys((main_descriptor(event), PRINCIPAL)))


__all__ = [
    "AVERAGES",
    "DESCRIPTORS",
    "ENERGIES",
    "FILTERS",
    "FOURIER",
    "MORPHOLOGY",
    "PRINCIPAL",
    "RANKS",
    "SCATTERING",
    "SLICES",
    "SPECTRUM",
    "SUPPORT",
    "VALUES",
    "Descriptor",
    "Fitted",
    "describe",
    "energies_in",
    "kinds",
    "main_descriptor",
    "spaces",
    "yours",
]
