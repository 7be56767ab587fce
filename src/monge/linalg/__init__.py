"""Covariances, Fourier and wavelets: linear algebra without probability."""

from monge.linalg.covariance import (
    Covariance,
    DenseCovariance,
    DiagonalCovariance,
    SeparableCovariance,
    StationaryCovariance,
    bins,
)
from monge.linalg.spectrum import PowerSpectrum, power_spectrum, wavenumbers
from monge.linalg.wavelets import Wavelets

__all__ = [
    "Covariance",
    "DenseCovariance",
    "DiagonalCovariance",
    "PowerSpectrum",
    "SeparableCovariance",
    "StationaryCovariance",
    "Wavelets",
    "bins",
    "power_spectrum",
    "wavenumbers",
]
