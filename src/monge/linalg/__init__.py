"""Covariances, Fourier, wavelets and equations: linear algebra without probability."""

from monge.linalg.covariance import (
    Covariance,
    DenseCovariance,
    DiagonalCovariance,
    SeparableCovariance,
    StationaryCovariance,
    bins,
)
from monge.linalg.iterations import conjugate_gradients
from monge.linalg.pairwise import Neighbours, nearest, squared_distances
from monge.linalg.spectrum import PowerSpectrum, power_spectrum, wavenumbers
from monge.linalg.wavelets import Wavelets

__all__ = [
    "Covariance",
    "DenseCovariance",
    "DiagonalCovariance",
    "Neighbours",
    "PowerSpectrum",
    "SeparableCovariance",
    "StationaryCovariance",
    "Wavelets",
    "bins",
    "conjugate_gradients",
    "nearest",
    "power_spectrum",
    "squared_distances",
    "wavenumbers",
]
