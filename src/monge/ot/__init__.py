"""Optimal transport between clouds of points: couplings, maps, potentials, distances (course, section 5)."""

from monge.ot.barycentre import barycentre
from monge.ot.clouds import Cost, c_transform, distance_to_the, euclidean, squared_euclidean
from monge.ot.distances import (
    DIRECTIONS,
    MaxSliced,
    directions,
    max_sliced_wasserstein,
    sliced_wasserstein,
    wasserstein,
)
from monge.ot.divergences import (
    Divergences,
    Estimate,
    SampledLaw,
    divergences,
    js_divergence,
    kl_divergence,
    total_variation,
)
from monge.ot.exact import Coupling, couple
from monge.ot.line import line_cost
from monge.ot.sinkhorn import EntropicCoupling, sinkhorn, sinkhorn_divergence

__all__ = [
    "DIRECTIONS",
    "Cost",
    "Coupling",
    "Divergences",
    "EntropicCoupling",
    "Estimate",
    "MaxSliced",
    "SampledLaw",
    "barycentre",
    "c_transform",
    "couple",
    "directions",
    "distance_to_the",
    "divergences",
    "euclidean",
    "js_divergence",
    "kl_divergence",
    "line_cost",
    "max_sliced_wasserstein",
    "sinkhorn",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "squared_euclidean",
    "total_variation",
    "wasserstein",
]
