"""The best denoiser of a few directions, each for itself: what a network learns last, in closed form."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from monge.densities import Gaussian
from monge.errors import BadInput
from monge.linalg import Covariance

ROWS = 100  # fewer do not tell a law
MOST = 16  # leading directions that are looked at
GRID, REACH = 257, 6.0  # of y, and how far it goes in standard deviations of y
LEVELS, LOWEST, HIGHEST = 49, 0.02, 20.0  # of noise, in standard deviations of the direction
BINS = 256  # of the values of a direction
FAINT = -80.0  # log of a weight, below which numbers are slow
WIDTHS = 1.0, 0.5, 0.25  # of the bandwidth that is best for a Gaussian (Silverman 1986): modes are narrower
SURE = 2.0  # standard errors by which a law must be more likely than a Gaussian, on rows that it was not read off
SEEN = 0.1, 0.3, 1.0  # levels of noise at which that is asked, in the same unit


class Separable(nn.Module):
    """W(y, sigma) with E[x_k | y_k], the posterior mean under its own law, in place of Wiener's for some directions k.

    Of all denoisers that take each principal direction for itself it is the best one, and the Gaussian case is Wiener's
    filter. The mean of a field, or the direction that tells two classes apart, makes little of a squared error, so
    that a network learns its law last; here it is known before any training.

    With u = v / (lam + sigma^2)^{1/2}, v = U'(y - m) and s = sigma / lam^{1/2}, a table holds

        (E[x_k | y_k] - W_k) / (lam^{1/2} s^2 / (1 + s^2)),

    and its slope in u: cubic in u and linear in log s between.

    directions: [K], places in the flattened eigenvalues. table: [2, K, levels, grid]. gain: [K, levels], by how much
    the mean square error of a direction falls, over lam s^2 / (1 + s^2), which is Wiener's.

    >>> two = torch.tensor([[-1.0], [1.0]]).repeat(500, 1) + 0.1 * torch.randn(1000, 1, generator=torch.manual_seed(0))
    >>> D = Separable.estimate(two, Gaussian.estimate(two))
    >>> len(D.directions), bool(D.denoise(torch.tensor([[0.6]]), 0.5) > 0.95)  # Wiener's says 0.48
    (1, True)
    """

    directions: Tensor
    table: Tensor
    gain: Tensor

    def __init__(
        self,
        moments: Gaussian,
        directions: Int[Tensor, " k"],
        table: Float[Tensor, "2 k levels grid"],
        gain: Float[Tensor, "k levels"],
    ) -> None:
        super().__init__()
        self.moments = moments
        for name, value in (("directions", directions), ("table", table), ("gain", gain)):
            self.register_buffer(name, value, persistent=False)

    @classmethod
    def estimate(cls, x: Float[Tensor, "n *event"], moments: Gaussian) -> "Separable":
        """From samples: those of the 16 leading directions whose law is more likely than a Gaussian by two standard
        errors, on rows that it was not read off; none of fewer than 100 rows. Raises BadInput for events of another
        shape than the moments'."""
        if tuple(x.shape[1:]) != tuple(moments.event_shape):
            raise BadInput(f"the moments are of events {list(moments.event_shape)}, not {list(x.shape[1:])}")
        lam = moments.covariance.eigenvalues.flatten()
        leading = lam.argsort(descending=True)[: MOST if len(x) >= ROWS else 0]
        leading = leading[lam[leading] > 1e-6 * lam.max()]
        if not len(leading):
            return cls(moments, leading, *(part.to(lam.dtype) for part in _tables(lam.new_zeros(0, 2), lam[:0])))
        v = _coordinates(moments.covariance, x - moments.mean.to(x))[:, leading].double()
        t = ((v - v.mean(0)) / v.std(0).clamp_min(1e-12)).T.float().contiguous()
        tried = [_surplus(t, t.new_full((len(t),), width)) for width in WIDTHS]
        which = torch.stack([surplus for surplus, _ in tried]).argmax(0)
        sure = torch.stack([errors for _, errors in tried]).gather(0, which[None])[0] > SURE
        table, gain = _tables(t[sure], t.new_tensor(WIDTHS)[which[sure]])
        return cls(moments, leading[sure], table.to(lam.dtype), gain.to(lam.dtype))

    def denoise(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """E[x_k | y_k] in some directions, Wiener's filter in the others. sigma: a number or [n]."""
        covariance = self.moments.covariance
        level = covariance.level(sigma, len(y)).to(y).square()
        mean = self.moments.mean.to(y)
        v = covariance.coordinates(y - mean)
        lam = covariance.eigenvalues.to(y)[None]
        x = (v * (lam / (lam + level)).nan_to_num(nan=1.0)).flatten(1)
        if len(self.directions):
            which = self.directions
            lam, level = lam.flatten()[which], level.reshape(-1, 1)
            found = self._more(v.flatten(1)[:, which] / (lam + level).sqrt(), (level / lam).log() / 2)
            x = x.index_add(1, which, found * lam.sqrt() * level / (lam + level))
        return mean + covariance.compose(x.reshape(v.shape))

    def error(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Mean square error per value of `denoise`."""
        wiener = self.moments.error(sigma)
        if not len(self.directions):
            return wiener
        lam = self.moments.covariance.eigenvalues.flatten().to(sigma)[self.directions]
        square = sigma.square()[:, None]
        place, share = _place((square / lam).log() / 2)
        gain, each = self.gain.to(sigma), torch.arange(len(lam), device=sigma.device)
        less = gain[each, place] + share * (gain[each, place + 1] - gain[each, place])
        return wiener - (less * lam * square / (lam + square)).sum(1) / self.moments.covariance.eigenvalues.numel()

    def state(self) -> dict[str, Tensor]:
        """Tensors for a file; `from_state` is the inverse."""
        return {"directions": self.directions, "table": self.table, "gain": self.gain}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], moments: Gaussian) -> "Separable":
        """What `state` gave, of the law of these moments."""
        return cls(moments, state["directions"], state["table"], state["gain"])

    def _more(self, u: Float[Tensor, "n k"], log_s: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """The table at u and s, held constant beyond its ends: cubic in u by its slopes, linear in log s."""
        place, share = _place(log_s)
        step = 2 * REACH / (GRID - 1)
        at = (u.clamp(-REACH, REACH) + REACH) / step
        left = at.detach().floor().clamp(0, GRID - 2).long()
        w = at - left
        # Hermite's polynomials
        basis = (2 * w**3 - 3 * w**2 + 1, 3 * w**2 - 2 * w**3), (step * (w**3 - 2 * w**2 + w), step * (w**3 - w**2))
        flat, each = self.table.to(u).flatten(1), torch.arange(u.shape[1], device=u.device) * LEVELS
        below, above = (
            sum(
                weight * flat[order].take((each + place + level) * GRID + left + side)
                for order, weights in enumerate(basis)
                for side, weight in enumerate(weights)
            )
            for level in (0, 1)
        )
        return below + share * (above - below)


def _coordinates(covariance: Covariance, away: Tensor) -> Float[Tensor, "n d"]:
    return covariance.coordinates(away).flatten(1)


def _place(log_s: Tensor) -> tuple[Tensor, Tensor]:
    """The level below log s, and how far it is to the next, from 0 to 1."""
    step = (math.log(HIGHEST) - math.log(LOWEST)) / (LEVELS - 1)
    at = ((log_s - math.log(LOWEST)) / step).clamp(0, LEVELS - 1)
    place = at.floor().clamp(max=LEVELS - 2).long()
    return place, at - place


def _levels() -> Float[Tensor, " levels"]:
    return torch.linspace(math.log(LOWEST), math.log(HIGHEST), LEVELS, dtype=torch.float64).exp()


def _law(t: Float[Tensor, "k n"], narrow: Float[Tensor, " k"]) -> tuple[Tensor, Tensor, Tensor]:
    """Values of mean 0 and variance 1 as a sum of Gaussians of the same moments: weights [k, bins], centres
    [k, bins], and the width h [k] of each."""
    low, high = t.amin(1, keepdim=True), t.amax(1, keepdim=True)
    at = (t - low) / (high - low).clamp_min(1e-12) * (BINS - 1)
    left = at.floor().clamp(max=BINS - 2).long()
    share = at - left
    weights = torch.zeros(len(t), BINS, dtype=t.dtype).scatter_add_(1, left, 1 - share).scatter_add_(1, left + 1, share)
    quartiles = torch.quantile(t[:, :: t.shape[1] // 100_000 + 1], torch.tensor([0.25, 0.75]).to(t), dim=1)
    width = torch.minimum(torch.ones(len(t)).to(t), (quartiles[1] - quartiles[0]).clamp_min(1e-3) / 1.35)
    h = narrow * 0.9 * width * t.shape[1] ** -0.2
    centres = low + (high - low) * torch.linspace(0, 1, BINS, dtype=t.dtype)
    return weights / t.shape[1], centres * (1 - h.square()).sqrt()[:, None], h


def _mixed(law: tuple[Tensor, Tensor, Tensor], v: Tensor, s: float) -> tuple[Tensor, Tensor]:
    """log p(v) of v = t + s z, [k, m], and the mean of the centres given v."""
    weights, centres, h = law
    wide = (h.square() + s**2)[:, None]
    log_w = weights.log()[:, None] - (v[:, :, None] - centres[:, None]).square() / (2 * wide[..., None])
    top = log_w.amax(2, keepdim=True)
    w = (log_w - top).clamp_min(FAINT).exp()
    total = w.sum(2)
    log_p = top[..., 0] + total.log() - 0.5 * (2 * math.pi * wide).log()
    return log_p, torch.einsum("kmb,kb->km", w, centres) / total


def _tables(
    t: Float[Tensor, "k n"], narrow: Float[Tensor, " k"]
) -> tuple[Float[Tensor, "2 k levels grid"], Float[Tensor, "k levels"]]:
    """The table and the gains, of values by direction."""
    u = torch.linspace(-REACH, REACH, GRID, dtype=t.dtype)
    if not len(t):
        return torch.zeros(2, 0, LEVELS, GRID), torch.zeros(0, LEVELS)
    law = _law(t, narrow)
    narrowed = law[2].square()[:, None]
    values, gains = [], []
    for s in _levels().tolist():
        v = (u * (1 + s**2) ** 0.5).expand(len(t), -1)
        log_p, centre = _mixed(law, v, s)
        # E[t | v] = (centre s^2 + h^2 v) / (h^2 + s^2), less Wiener's v / (1 + s^2)
        more = (centre * (1 + s**2) - v * (1 - narrowed)) / (narrowed + s**2)
        p = torch.softmax(log_p, 1)
        values.append(more)
        gains.append((p * more.square()).sum(1) * s**2 / (1 + s**2))
    table = torch.stack(values, 1)
    slope = torch.gradient(table, spacing=2 * REACH / (GRID - 1), dim=2)[0]
    return torch.stack([table, slope]), torch.stack(gains, 1)


def _surplus(t: Float[Tensor, "k n"], narrow: Float[Tensor, " k"]) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """By how much each direction's own law is more likely than a Gaussian on the half of the rows that it was not read
    off, nats a row at the lowest level of noise; and in standard errors, at the level where it is most so."""
    generator = torch.Generator().manual_seed(0)
    half = torch.randperm(t.shape[1], generator=generator) % 2 == 0
    laws = [(_law(t[:, some], narrow), t[:, ~some]) for some in (half, ~half)]
    means, errors = [], []
    for s in SEEN:
        gained = []
        for law, x in laws:
            y = x + s * torch.randn(x.shape, generator=generator, dtype=x.dtype)
            gaussian = -0.5 * (y.square() / (1 + s**2) + math.log(2 * math.pi * (1 + s**2)))
            gained.append(_log_density(law, y, s) - gaussian)
        each = torch.cat(gained, 1)
        means.append(each.mean(1))
        errors.append(each.std(1) / each.shape[1] ** 0.5)
    return means[0], torch.stack([m / e.clamp_min(1e-12) for m, e in zip(means, errors, strict=True)]).amax(0)


def _log_density(law: tuple[Tensor, Tensor, Tensor], y: Float[Tensor, "k n"], s: float) -> Float[Tensor, "k n"]:
    """Of values under noise, linear between those of a grid."""
    grid = torch.linspace(0, 1, 2 * GRID, dtype=y.dtype) * (y.max() - y.min()) + y.min()
    log_p, _ = _mixed(law, grid.expand(len(y), -1), s)
    at = (y - grid[0]) / (grid[1] - grid[0])
    left = at.floor().clamp(0, len(grid) - 2).long()
    below, above = log_p.gather(1, left), log_p.gather(1, left + 1)
    return below + (at - left) * (above - below)
