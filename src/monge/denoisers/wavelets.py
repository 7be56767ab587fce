"""Shrinkage of wavelet coefficients: the rung of the ladder between Wiener and a network (course, section 2.8.2)."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers.algebra import per_sample
from monge.denoisers.borders import mirrored
from monge.doors import finite, of_noisy, one_of
from monge.errors import BadInput
from monge.linalg import Wavelets
from monge.objects import Recorded

COARSEST, DEEPEST = 8, 5  # sites of the coarsest grid, and scales, unless said
MEDIAN = 0.6744897501960817  # of |z|
Rule = Literal["bayes", "sure", "universal"]
Mode = Literal["soft", "hard"]


class WaveletShrinkage(Recorded):
    """D(y, sigma): wavelet coefficients of y shrunk towards zero, by a threshold T for each band, event and channel.

    rule: universal, T = sigma sqrt(2 log N), above all that noise makes (Donoho and Johnstone 1994); sure, the T that
        minimises Stein's unbiased estimate of the error (1995); bayes, T = sigma^2 / s with s^2 = var(band) - sigma^2,
        near the best T of a Laplacian law (Chang, Yu and Vetterli 2000); or a number, T in units of sigma.
    mode: soft, sign(c) (|c| - T)_+; or hard, c where |c| > T and else 0.
    wavelet: orthogonal, of PyWavelets. levels: scales, such that the coarsest grid has 8 sites a side unless given.
    invariant: shrink all translates of the basis, and take the mean (`monge.linalg.Wavelets`). periodic: events are on
        a torus; else they are continued by their mirror image.

    Events are [n, C, *space] with 1, 2 or 3 space dimensions. At sigma = 0 y comes back.

    Raises BadInput for another wavelet, rule or mode, and for vectors.

    >>> y = torch.ones(2, 1, 16, 16)
    >>> bool((WaveletShrinkage()(y, torch.tensor([0.5, 1.0])) - y).abs().max() < 1e-4)
    True
    """

    def __init__(
        self,
        wavelet: str = "sym4",
        *,
        levels: int | None = None,
        rule: Rule | float = "sure",
        mode: Mode = "soft",
        invariant: bool = True,
        periodic: bool = False,
    ) -> None:
        if not isinstance(rule, float | int) and rule not in RULES:
            raise BadInput(f"rule must be {', '.join(RULES)} or a number, not {rule!r}")
        one_of(mode, ("soft", "hard"), "mode")
        if levels is not None and levels < 1:
            raise BadInput(f"levels must be 1 or more, not {levels}: leave them out to have them chosen")
        Wavelets((2,), wavelet, levels=1)  # raises for what is no orthogonal wavelet
        self.wavelet, self.levels, self.rule, self.mode = wavelet, levels, rule, mode
        self.invariant, self.periodic = invariant, periodic

    @of_noisy
    def __call__(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"] | float) -> Float[Tensor, "n *event"]:
        if not 3 <= y.ndim <= 5:
            raise BadInput(f"wavelets need images or fields [n, C, *space], not {list(y.shape)}")
        space = y.shape[2:]
        if self.levels and 2**self.levels > min(space):
            most = int(math.log2(min(space)))
            raise BadInput(
                f"{self.levels} levels need sides of {2**self.levels} sites, not {list(space)}: {most} at most"
            )
        levels = self.levels or min(DEEPEST, max(1, int(math.log2(max(1, min(space) / COARSEST)))))
        step = 2**levels
        wide = y
        for axis, side in enumerate(space, start=2):
            if not self.periodic or side % step:
                wide = _continued(wide, axis, step)
        transform = Wavelets(wide.shape[2:], self.wavelet, levels=levels, decimated=not self.invariant)
        *details, averages = transform.analyse(wide)
        level = per_sample(sigma, y)
        shrunk = [self._shrink(band, level) for band in details]
        x_hat = transform.synthesise([*shrunk, averages])
        for axis, side in enumerate(space, start=2):
            x_hat = x_hat.narrow(axis, (x_hat.shape[axis] - side) // 2, side)
        return torch.where(level > 0, x_hat, y)

    def _shrink(self, c: Tensor, sigma: Tensor) -> Tensor:
        """sigma: [n, 1, ...]."""
        threshold = sigma * self.rule if isinstance(self.rule, float | int) else RULES[self.rule](c.detach(), sigma)
        if self.mode == "hard":
            return torch.where(c.abs() > threshold, c, 0.0)
        return c.sign() * (c.abs() - threshold).clamp(min=0)


def noise_level(y: Float[Tensor, "n c *space"]) -> Float[Tensor, " n"]:
    """Standard deviation of white noise on events, from themselves: median of |finest coefficient| / .6745.

    The coefficients are those that are high pass along every axis, where events have least of their own (Donoho and
    Johnstone 1994); what they have there is taken for noise, so that it is an upper bound on fine texture. Values that
    are the same all over, as borders of scans, have no noise and are left out.

    Raises BadInput for vectors and sides below 4.

    >>> z = 3 * torch.randn(2, 1, 64, 64, generator=torch.manual_seed(0))
    >>> bool((noise_level(z) / 3 - 1).abs().max() < 0.1)
    True
    """
    y = finite(y, "y")
    if not len(y):
        return y.new_zeros(0)
    for axis, side in enumerate(y.shape[2:], start=2):
        if side % 2:
            y = y.narrow(axis, 0, side - 1)
    if y.ndim < 3 or min(y.shape[2:]) < 4:
        raise BadInput(f"a noise level is read off images or fields of sides of 4 or more, not {list(y.shape)}")
    transform = Wavelets(y.shape[2:], "db2", levels=1, decimated=True)
    finest = transform.analyse(y.double())[-2].flatten(1).abs()
    moved = finest > 1e-6 * y.double().abs().flatten(1).amax(1, keepdim=True)
    return (torch.where(moved, finest, torch.nan).nanmedian(1).values / MEDIAN).nan_to_num(0.0).to(y)


def _continued(y: Tensor, axis: int, step: int) -> Tensor:
    """An axis continued by its mirror image on both sides, to a multiple of step and by half as much again at most."""
    side = y.shape[axis]
    more = min(2 * step, side)
    total = -(-(side + 2 * more) // step) * step
    return mirrored(y, axis, (total - side) // 2, total)


def _universal(c: Tensor, sigma: Tensor) -> Tensor:
    return sigma * math.sqrt(2 * math.log(c[0, 0].numel()))


def _bayes(c: Tensor, sigma: Tensor) -> Tensor:
    axes = tuple(range(2, c.ndim))
    signal = (c.square().mean(axes, keepdim=True) - sigma.square()).clamp(min=0).sqrt()
    largest = c.abs().amax(axes, keepdim=True)
    return torch.minimum(sigma.square() / signal.clamp(min=torch.finfo(c.dtype).tiny), largest)


def _sure(c: Tensor, sigma: Tensor) -> Tensor:
    """Of soft thresholds: N sigma^2 - 2 sigma^2 #{|c| <= T} + sum min(|c|, T)^2, least over T among the |c|."""
    size = c.abs().flatten(2).sort(2).values
    n = size.shape[2]
    square, count = per_sample(sigma, size).square(), torch.arange(1, n + 1, device=c.device)
    kept = size.square().cumsum(2) + (n - count) * size.square()
    best = (n * square - 2 * square * count + kept).argmin(2, keepdim=True)
    found = size.gather(2, best).clamp(max=per_sample(sigma, size) * math.sqrt(2 * math.log(n)))
    return found.reshape(*c.shape[:2], *[1] * (c.ndim - 2))


RULES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"bayes": _bayes, "sure": _sure, "universal": _universal}
