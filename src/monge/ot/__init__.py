"""Optimal transport between clouds of points: couplings, maps, potentials, distances (course, section 5)."""

from monge.ot.barycentre import barycentre
from monge.ot.clouds import Cost, c_transform, euclidean, squared_euclidean
from monge.ot.distances import (
    Sliced,
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
    "Cost",
    "Coupling",
    "Divergences",
    "EntropicCoupling",
    "Estimate",
    "SampledLaw",
    "Sliced",
    "barycentre",
    "c_transform",
    "couple",
    "directions",
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
