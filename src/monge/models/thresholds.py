"""The one-point law of data on a grid, kept: where one grey level ends and the next begins in what a model draws."""

import torch
from jaxtyping import Float
from torch import Tensor

FURTHEST = 0.25  # in scaled units: a threshold is moved by a quarter of the data's s.d. at most


class Thresholds:
    """A monotone map of scaled samples, a channel each, after which each grid point comes as often as in the data.

    A denoiser answers with a mean, and near an atom, black for instance, the mean lies between two grid points; rounded
    to the nearest, the atom's neighbour came half as often again. With F the share of training values below an edge
    between two grid points, the edge stands at the quantile F of what is drawn.

    edges: [C, K], between grid points, scaled, increasing. shares: [C, K] of training values below each. places: [C,
    K], where the model's own edges were found; the edges until then.

    >>> t = Thresholds(torch.tensor([[0.5]]))
    >>> t.look(torch.tensor([[0.0], [0.0], [0.0], [1.0]])[:, None])
    >>> drawn = torch.tensor([0.1, 0.55, 0.6, 0.9])[:, None]
    >>> t.find(drawn); t.apply(drawn).T  # the edge stood at .75 if it might: three of four are now below
    tensor([[-0.1500,  0.3000,  0.3500,  0.6500]])
    """

    def __init__(self, edges: Float[Tensor, "c k"]) -> None:
        self.edges = self.places = edges
        self.shares: Tensor = torch.zeros_like(edges)

    def look(self, x: Float[Tensor, "n *event"]) -> None:
        """Take the shares of scaled data."""
        self.places = self.edges
        self.shares = _shares(x, self.edges)

    def find(self, x: Float[Tensor, "n *event"]) -> None:
        """Take the places from what a model draws."""
        values = x.transpose(0, 1).reshape(len(self.edges), -1).sort(1)[0].cpu().to(self.edges)
        n = values.shape[1]
        at = (self.shares.double() * n).round().long()
        middle = (values.gather(1, (at - 1).clamp(0, n - 1)) + values.gather(1, at.clamp(0, n - 1))) / 2
        inside = (at > 0) & (at < n)
        near = torch.where(inside, middle - self.edges, 0.0).clamp(-FURTHEST, FURTHEST)
        self.places = (self.edges + near).cummax(1)[0]

    def apply(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """Places to edges, linear between, and with slope 1 beyond them."""
        values = x.transpose(0, 1).reshape(len(self.edges), -1).contiguous()
        places, edges = self.places.to(x), self.edges.to(x)
        right = torch.searchsorted(places, values)  # how many places are below
        below, above = (right - 1).clamp_min(0), right.clamp_max(places.shape[1] - 1)
        a, b, e, f = places.gather(1, below), places.gather(1, above), edges.gather(1, below), edges.gather(1, above)
        outside = below == above
        share = torch.where(outside, 0.0, (values - a) / torch.where(b > a, b - a, 1.0))
        moved = torch.where(outside, values + e - a, e + share * (f - e))
        return moved.reshape(x.shape[1], len(x), *x.shape[2:]).transpose(0, 1).contiguous()


def _shares(x: Float[Tensor, "n *event"], edges: Float[Tensor, "c k"]) -> Float[Tensor, "c k"]:
    values = x.transpose(0, 1).reshape(len(edges), -1).sort(1)[0].to(edges)
    return torch.searchsorted(values.contiguous(), edges.contiguous()).to(edges) / values.shape[1]
