"""Optimal transport between clouds of points: couplings, maps, potentials, distances (course, section 5)."""

from monge.ot.clouds import Cost, c_transform, euclidean, squared_euclidean
from monge.ot.exact import Coupling, couple

__all__ = ["Cost", "Coupling", "c_transform", "couple", "euclidean", "squared_euclidean"]
