"""Optimal transport between clouds of points: couplings, maps, potentials, distances (course, section 5)."""

from monge.ot.barycentre import barycentre
from monge.ot.clouds import Cost, c_transform, distance_to_the, euclidean, squared_euclidean
from monge.ot.distances import wasserstein
from monge.ot.exact import Coupling, couple
from monge.ot.line import line_cost
from monge.ot.sinkhorn import EntropicCoupling, sinkhorn, sinkhorn_divergence
from monge.ot.sliced import DIRECTIONS, MaxSliced, directions, max_sliced_wasserstein, sliced_wasserstein

__all__ = [
    "DIRECTIONS",
    "Cost",
    "Coupling",
    "EntropicCoupling",
    "MaxSliced",
    "barycentre",
    "c_transform",
    "couple",
    "directions",
    "distance_to_the",
    "euclidean",
    "line_cost",
    "max_sliced_wasserstein",
    "sinkhorn",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "squared_euclidean",
    "wasserstein",
]
