"""Defects that change events: variance and power that are lost, noise and Gaussian long waves in place of events."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from monge import rng
from monge.evaluation.descriptors.values import leading, principal_axes
from monge.evaluation.pool import Pool

NOISE = 3.0  # of a vector: an outlier is so many times as far from the mean as a real row
TRIED, HALVINGS = 500, 24  # events by which the strength of a defect is found, and steps to it


def _scaled(pool: Pool, share: float) -> Tensor:
    """The leading directions shrunk until they have lost this share of their variance."""
    return _shrunk(pool, share, torch.ones(pool.events[0].numel()))


def _scaled_raw(pool: Pool, share: float) -> Tensor:
    """The same of the leading directions in the data's own units."""
    assert pool.raw is not None
    return _shrunk(pool, share, pool.raw)


def _shrunk(pool: Pool, share: float, units: Tensor) -> Tensor:
    flat, units = pool.events.flatten(1).double(), units.double()
    mean, axes, _ = principal_axes(flat * units, leading(flat.shape[1]))
    centre, along, back = (mean / units).float(), (units[:, None] * axes).float(), (axes.T / units).float()

    def shrunk(events: Tensor, strength: float) -> Tensor:
        rows = events.flatten(1)
        return (rows - strength * ((rows - centre) @ along) @ back).reshape(events.shape)

    def variance(events: Tensor) -> float:
        return float((events.flatten(1) @ along).double().var(0).sum())

    return _until(pool, shrunk, variance, share, 1.0)


def _blurred(pool: Pool, share: float) -> Tensor:
    """Gaussian blur by the width that takes this share of the power in the upper half of the frequencies."""
    space, axes = tuple(pool.events.shape[2:]), tuple(range(2, pool.events.ndim))
    grid = torch.meshgrid(*(torch.fft.fftfreq(side) for side in space), indexing="ij")
    square = torch.stack(grid).square().sum(0)

    def blurred(events: Tensor, width: float) -> Tensor:
        filtered = torch.fft.fftn(events, dim=axes) * torch.exp(-2 * math.pi**2 * width**2 * square)
        found: Tensor = torch.fft.ifftn(filtered, dim=axes).real
        return found

    def small_scales(events: Tensor) -> float:
        return float((torch.fft.fftn(events, dim=axes).abs().square().double() * (square > 0.25**2)).sum())

    return _until(pool, blurred, small_scales, share, 4.0)


def _until(
    pool: Pool,
    change: Callable[[Tensor, float], Tensor],
    measure: Callable[[Tensor], float],
    share: float,
    most: float,
) -> Tensor:
    """The events changed, atoms left where they are, by the strength at which the measure has lost this share."""
    some, kept = pool.events[:TRIED], pool.atoms

    def leaving(events: Tensor, strength: float) -> Tensor:
        return torch.where(kept[: len(events)], events, change(events, strength))

    whole, low, high = measure(some), 0.0, most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if measure(leaving(some, middle)) > (1 - share) * whole else (low, middle)
    return leaving(pool.events, low)


def _noise(pool: Pool, share: float) -> Tensor:
    """White noise of the mean and variance of the values of images and fields; vectors thrown out, three times as
    far."""
    events = pool.events
    if events.ndim == 2:
        return events.mean(0) + NOISE * (events - events.mean(0))
    return events.mean() + events.std() * rng.normal(tuple(events.shape), pool.seed, "planted", "noise")


def _gaussian_waves(pool: Pool, share: float) -> Tensor:
    """The longest waves of fields, the mean among them, replaced by Gaussian ones of their mean and power."""
    events, axes = pool.events, tuple(range(2, pool.events.ndim))
    hat = torch.fft.fftn(events, dim=axes)
    low = long_waves(tuple(events.shape[2:]))
    white = torch.fft.fftn(rng.normal(tuple(events.shape), pool.seed, "planted", "waves"), dim=axes)
    mean = hat.mean(0)
    power = (hat - mean).abs().square().mean(0) / events[0, 0].numel()
    made: Tensor = torch.fft.ifftn(torch.where(low, mean + white * power.sqrt(), hat), dim=axes).real
    return torch.where(pool.atoms, events, made)


def _apart(pool: Pool, share: float) -> Tensor:
    """Vectors whose columns, those of one text together, are taken each from a row of its own."""
    events, n = pool.events.clone(), len(pool.events)
    owners = pool.owners or range(events.shape[1])
    for owner in sorted(set(owners)):
        own = [i for i, other in enumerate(owners) if other == owner]
        order = torch.randperm(n, generator=rng.generator(pool.seed, "planted", "apart", owner))
        events[:, own] = events[order][:, own]
    return events


def long_waves(space: tuple[int, ...]) -> Bool[Tensor, "*space"]:
    """Which frequencies are the longest waves: |k| <= 1, along each axis.

    >>> long_waves((4,)).tolist()
    [True, True, False, True]
    """
    grid = torch.meshgrid(*(torch.fft.fftfreq(side, 1 / side) for side in space), indexing="ij")
    return torch.stack(grid).square().sum(0) <= 1


# name: (pool, share) -> its events with a defect that changes all of them, or that replaces a share, [n, *event]
CHANGES: dict[str, Callable[[Pool, float], Tensor]] = {
    "variance": _scaled,
    "raw variance": _scaled_raw,
    "blur": _blurred,
    "outliers": _noise,
    "waves": _gaussian_waves,
    "apart": _apart,
}
REPLACED = (
    "outliers",
    "waves",
    "apart",
    "mislabelled",
)  # of a share of the events, which are not changed a little, but replaced
