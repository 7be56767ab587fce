"""Optimal transport between clouds of points: couplings, maps, potentials, distances (course, section 5)."""

from monge.ot.clouds import Cost, c_transform, euclidean, squared_euclidean
from monge.ot.exact import Coupling, couple
from monge.ot.sinkhorn import EntropicCoupling, sinkhorn, sinkhorn_divergence

__all__ = [
    "Cost",
    "Coupling",
    "EntropicCoupling",
    "c_transform",
    "couple",
    "euclidean",
    "sinkhorn",
    "sinkhorn_divergence",
    "squared_euclidean",
]
