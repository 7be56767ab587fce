"""How samples look: one scale and one colour map for real and generated ones alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from monge.data import Samples

Array = NDArray[Any]
SPREAD = 0.5, 99.5  # percentiles of continuous values that the colour scale spans


def rows(source: Any, most: int) -> Array:
    """At most `most` evenly spaced rows of `Samples`, a tensor or an array, as an array; the others are not read.

    >>> rows(np.arange(10), 3)
    array([0, 4, 9])
    """
    picked = np.linspace(0, len(source) - 1, min(most, len(source))).round().astype(np.int64)
    if isinstance(source, Samples):
        return source.batch(picked.tolist()).numpy()
    part = source[picked]
    return part.detach().cpu().numpy() if isinstance(part, Tensor) else np.asarray(part)


@dataclass(frozen=True)
class Look:
    """Scale, colours and kind of picture for the events of one data set.

    low, high: the values at the ends of the colour map. kind: "vectors", "images" or "fields".
    Images are gray or RGB; fields use a diverging map about their mean.

    >>> Look.of(np.zeros((3, 1, 8, 8)), kind="images", limits=(0.0, 16.0))
    Look(low=0.0, high=16.0, kind='images')
    """

    low: float
    high: float
    kind: str

    @classmethod
    def of(cls, real: Any, *, kind: str | None = None, limits: tuple[float, float] | None = None) -> "Look":
        """The look of real samples [n, *event]; `kind` and `limits` are guessed from the values if not given."""
        if isinstance(real, Samples):
            kind, limits = kind or real.kind, limits or real.limits
        x = rows(real, 256).astype(np.float64)
        whole = bool((x == np.floor(x)).all())
        if kind is None:
            pixels = x.ndim == 4 and x.shape[1] in (1, 3) and whole
            kind = "vectors" if x.ndim == 2 else "images" if pixels else "fields"
        if limits is not None and kind != "fields":
            low, high = limits
        elif kind == "fields":
            middle = float(x.mean())
            reach = float(np.percentile(np.abs(x - middle), SPREAD[1]))
            low, high = middle - reach, middle + reach
        else:
            low, high = (float(x.min()), float(x.max())) if whole else map(float, np.percentile(x, SPREAD))
        return cls(low, high if high > low else low + 1.0, kind)

    @property
    def colours(self) -> str:
        """Name of the matplotlib colour map."""
        return "coolwarm" if self.kind == "fields" else "gray"

    def is_picture(self, event_shape: tuple[int, ...]) -> bool:
        """Whether events [C, H, W] or [C, D, H, W] are shown as pixels; the others are curves."""
        return len(event_shape) in (3, 4)

    def pixels(self, event: Array) -> Array:
        """An event as [H, W, 4] in 0..1: RGB if it is an image of 3 channels, else the first channel in colours.

        Of a field in three dimensions, the middle slice along the first axis.
        """
        scaled = np.clip((np.asarray(event, np.float64) - self.low) / (self.high - self.low), 0.0, 1.0)
        if scaled.ndim == 4:
            scaled = scaled[:, scaled.shape[1] // 2]
        if self.kind == "images" and len(scaled) == 3:
            return np.concatenate([np.moveaxis(scaled, 0, -1), np.ones((*scaled.shape[1:], 1))], axis=-1)
        return np.asarray(colormaps[self.colours](scaled[0]))

    def rescaled(self, event: Array, spread: float) -> Array:
        """The event with its deviation from its mean shrunk to `spread`, if larger, so that noise can be looked at."""
        mean, deviation = event.mean(), event.std()
        middle = 0.5 * (self.low + self.high)
        share = min(1.0, spread / deviation) if deviation > 0 else 1.0
        return np.asarray(event) if share == 1.0 else np.asarray(middle + (event - mean) * share)
