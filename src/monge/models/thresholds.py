"""The one-point law of data, kept: where one grey level ends and the next begins in what a model draws, and where the
quantiles of bent values are."""

import torch
from jaxtyping import Float
from torch import Tensor

FURTHEST = 0.25  # in scaled units: a threshold is moved by a quarter of the data's s.d. at most
QUANTILES = 0.001, 0.01, 0.05, *(0.1 * k for k in range(1, 10)), 0.95, 0.99, 0.999, 0.9999
FURTHEST_QUANTILE = 1.0  # and a quantile by so much, where it is off beyond chance:
SURE = 2.0  # standard errors
VALUES = 2**22  # of a channel, by which quantiles are found


class Thresholds:
    """A monotone map of scaled samples, a channel each, after which each grid point comes as often as in the data.

    A denoiser answers with a mean, and near an atom, black for instance, the mean lies between two grid points; rounded
    to the nearest, the atom's neighbour came half as often again. With F the share of training values below an edge
    between two grid points, the edge stands at the quantile F of what is drawn.

    edges: [C, K], between grid points, scaled, increasing. shares: [C, K] of training values below each. places: [C,
    K], where the model's own edges were found; the edges until then. quantiles: whether the data's are edges, too: of
    values without a grid, whose map back to data units makes much of small errors. They are moved where a share is off
    by more than two standard errors, from row to row.

    >>> t = Thresholds(torch.tensor([[0.5]]))
    >>> t.look(torch.tensor([[0.0], [0.0], [0.0], [1.0]])[:, None])
    >>> drawn = torch.tensor([0.1, 0.55, 0.6, 0.9])[:, None]
    >>> t.find(drawn); t.apply(drawn).T  # the edge stood at .75 if it might: three of four are now below
    tensor([[-0.1500,  0.3000,  0.3500,  0.6500]])
    """

    def __init__(self, edges: Float[Tensor, "c k"], *, quantiles: bool = False) -> None:
        self.given = self.edges = self.places = edges
        self.quantiles = quantiles
        self.shares: Tensor = torch.zeros_like(edges)
        self.errors: Tensor = torch.zeros_like(edges)

    def look(self, x: Float[Tensor, "n *event"]) -> None:
        """Take the shares of scaled data."""
        if self.quantiles:
            values = _values(x, self.given)
            values = values[:, :: values.shape[1] // VALUES + 1].sort(1)[0]
            at = (torch.tensor(QUANTILES) * (values.shape[1] - 1)).round().long()
            self.edges = torch.cat([self.given, values[:, at]], 1).sort(1)[0]
        self.places = self.edges
        self.shares, self.errors = _shares(x, self.edges)

    def find(self, x: Float[Tensor, "n *event"]) -> None:
        """Take the places from what a model draws."""
        values = _values(x.cpu(), self.edges).sort(1)[0]
        n = values.shape[1]
        at = (self.shares.double() * n).round().long()
        at = at.clamp(1, n - 1) if self.quantiles else at  # below a bound of the data there is nothing to be drawn
        middle = (values.gather(1, (at - 1).clamp(0, n - 1)) + values.gather(1, at.clamp(0, n - 1))) / 2
        moved, furthest = (at > 0) & (at < n), FURTHEST
        if self.quantiles:
            shares, errors = _shares(x.cpu(), self.edges)
            moved &= (shares - self.shares).abs() > SURE * torch.hypot(errors, self.errors)
            furthest = FURTHEST_QUANTILE
        near = torch.where(moved, middle - self.edges, 0.0).clamp(-furthest, furthest)
        self.places = (self.edges + near).cummax(1)[0]

    def apply(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """Places to edges, linear between, and with slope 1 beyond them."""
        values = _values(x, x)
        places, edges = self.places.to(x), self.edges.to(x)
        right = torch.searchsorted(places, values)  # how many places are below
        below, above = (right - 1).clamp_min(0), right.clamp_max(places.shape[1] - 1)
        a, b, e, f = places.gather(1, below), places.gather(1, above), edges.gather(1, below), edges.gather(1, above)
        outside = below == above
        share = torch.where(outside, 0.0, (values - a) / torch.where(b > a, b - a, 1.0))
        moved = torch.where(outside, values + e - a, e + share * (f - e))
        return moved.reshape(x.shape[1], len(x), *x.shape[2:]).transpose(0, 1).contiguous()


def _values(x: Float[Tensor, "n *event"], like: Tensor) -> Float[Tensor, "c m"]:
    """By channel, row after row."""
    return x.transpose(0, 1).reshape(x.shape[1], -1).to(like).contiguous()


def _shares(x: Float[Tensor, "n *event"], edges: Float[Tensor, "c k"]) -> tuple[Tensor, Tensor]:
    """Of values below each edge, [C, K], and their standard errors, from row to row."""
    values = _values(x, edges).reshape(x.shape[1], len(x), -1).sort(2)[0]
    below = torch.searchsorted(values, edges[:, None].expand(-1, len(x), -1).contiguous()).to(edges) / values.shape[2]
    return below.mean(1), below.std(1) / len(x) ** 0.5
