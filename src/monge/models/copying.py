"""The copying clock: when, in a training, do samples begin to be rows that were learned?"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monge.data import Samples
from monge.denoisers import denoising_errors
from monge.errors import BadInput
from monge.linalg import nearest

SAMPLES, ROWS, NEW = 128, 256, 1000  # that are drawn; denoised; and new ones, compared with those learned from
LEVELS = 4  # of the noise, at which denoising errors are compared
FIRST, RATIO = 50, math.sqrt(2)  # step of the first look, and of a look over that of the one before
SHARE, CHANCE = 0.05, 0.001  # of copies beyond those among new rows, which is copying; and that of so many by chance
DRAWS, Z = 1000, 1.96
# by which a forecast is made: the denoising gap that is seen, that at which copying begins, and its spread over laws
SEEN_GAP, GAP, GAP_ERROR, LOOKS, MOST_LOOKS = 0.1, 0.65, 0.2, 3, 6
FEWEST = 3  # rows, of which each has two others
MOST_VALUES = 2**27  # of rows that samples are compared with


Numbers = NDArray[Any]
Using = Callable[[Callable[[], Any]], Any]


class CopyingClock:
    """Looks at a model in training at steps 50, 71, 100, ...: the share of its samples that are copies of rows that it
    learns from, beside that of new rows, and by how much it denoises the ones better than the others.

    A copy is nearer to a row than a third of the distance to the next (Yoon et al. 2023). The denoising gap at a level
    is 1 - E|D - x|^2 over rows learned from / over new ones: 0 of a denoiser that knows no row by heart, 1 of one that
    knows them all.

    learned, new: rows of `samples` that are trained on and that are not; where none are not, each of those that are is
    held against the others, as a new row is against all. using: calls a function while the model may
    be used. The noise is the same at each look.
    found: at how many looks in a row there were copies: 5% more than among new rows, and more than chance has once in a
    thousand times. Rows that repeat others count once. A look takes as long as some 40 steps of a network for images.
    """

    def __init__(self, model: Any, samples: Samples, learned: Tensor, new: Tensor, seed: int, using: Using) -> None:
        self.model, self.seed, self.using, self.found = model, seed, using, 0
        most = max(2, MOST_VALUES // math.prod(samples.event_shape))
        picked = learned if len(learned) <= most else learned[torch.linspace(0, len(learned) - 1, most).long()]
        rows = self._scaled(samples, picked)
        self.denoised = rows[:ROWS]  # as they come, for the gaps: those that are told apart are sorted
        self.rows = torch.unique(rows.flatten(1), dim=0)  # a repeated row is no neighbour
        self.new = self._scaled(samples, new[:NEW])
        y = samples.y
        needed = model.labels is not None and not model.labels.count and y is not None
        self.label = y[picked.repeat(-(-SAMPLES // len(picked)))[:SAMPLES]] if needed and y is not None else None
        self.usual = self._copied(self.new) if len(self.new) else self._among_themselves()

    def due(self, step: int) -> bool:
        """Whether it looks after so many steps."""
        k = round(math.log(max(step, 1) / FIRST, RATIO))
        return k >= 0 and step == round(FIRST * RATIO**k)

    def __call__(self) -> Mapping[str, float]:
        """What is told of a look, by column of log.csv."""
        found: Mapping[str, float] = self.using(self._look)
        return found

    def _look(self) -> dict[str, float]:
        told: dict[str, Any] = {} if self.label is None else {"label": self.label}
        quiet = {"show": False} if "show" in inspect.signature(self.model.sample).parameters else {}
        drawn = self.model.units.forward(self.model.sample(SAMPLES, seed=self.seed, **told, **quiet))
        copied = self._copied(drawn)
        self.found = self.found + 1 if self._more(copied) else 0
        numbers = {"samples/copies": float(copied.mean()), "new rows/copies": float(self.usual.mean())}
        return {**numbers, "looks/copying": float(self.found), **self._gaps()}

    def _copied(self, x: Tensor) -> Tensor:
        if len(self.rows) < 2:
            return torch.zeros(len(x))
        return nearest(x.flatten(1), self.rows, 2).copies.double()

    def _among_themselves(self) -> Tensor:
        """Rows that were learned from, each against the others: as new rows are, where there are none."""
        rows = self.rows[torch.linspace(0, len(self.rows) - 1, min(len(self.rows), 2 * NEW)).long()]
        few = len(rows) < FEWEST
        return torch.zeros(len(rows)) if few else nearest(rows, rows, 2, skip_self=True).copies.double()

    def _more(self, copied: Tensor) -> bool:
        from scipy.stats import hypergeom

        hits, usual, n, m = int(copied.sum()), int(self.usual.sum()), len(copied), len(self.usual)
        p = hypergeom.sf(hits - 1, n + m, hits + usual, n)
        return bool(hits / n - usual / m > SHARE and p <= CHANCE)

    def _gaps(self) -> dict[str, float]:
        if not len(self.new) or not getattr(self.model, "denoises", False):
            return {}
        low, high = self.model.levels()
        widest = self.model.moments.widest
        levels = [min(high, max(low, widest * 10 ** (-1 + 0.5 * k))) for k in range(LEVELS)]
        D = self.model.scaled_denoiser()
        parts = [x[:ROWS].to(self.model.device) for x in (self.denoised, self.new)]
        mine, others = (denoising_errors(D, x, levels, seed=self.seed).mean(1) for x in parts)
        gaps = (1 - mine / others.clamp_min(torch.finfo(others.dtype).tiny)).tolist()
        unit = self.model.units.unit
        return {f"σ {sigma * unit:.2g}/denoising gap": gap for sigma, gap in zip(levels, gaps, strict=True)}

    def _scaled(self, samples: Samples, rows: Tensor) -> Tensor:
        x: Tensor = self.model.units.forward(samples.batch(rows))
        return x


class Onset(NamedTuple):
    """When copying begins: the step from which on 5% more samples than new rows are copies, with its 95% interval; a
    forecast where that is still to come, infinite where nothing points to it. share: of copies at the last look, whose
    step is last."""

    step: float
    interval: tuple[float, float]
    share: float
    last: float

    @property
    def is_forecast(self) -> bool:
        return self.step > self.last

    def words(self, n: int) -> str:
        """For a terminal. n: rows that were learned from."""
        low, high = self.interval
        between = f"{low:,.0f} to {'infinity' if high == math.inf else f'{high:,.0f}'}"
        if not self.is_forecast:
            steps = f" or --steps {int(low)}" if low >= 1 else ""
            return (
                f"copies: from step {self.step:,.0f} on ({between}), {self.share:.0%} of samples at step "
                f"{self.last:,.0f}; stop before, with --patience{steps}, or give more rows: that step grows with them"
            )
        if self.step == math.inf:
            return f"copies: none up to step {self.last:,.0f}, and nothing points to any"
        return (
            f"copies: none up to step {self.last:,.0f}; by the denoising gap they are likely to come at about step "
            f"{self.step:,.0f} ({between}), with {2 * n:,} rows in place of {n:,} at about twice that"
        )


def onset(log: Sequence[Mapping[str, str]]) -> Onset:
    """When copying begins, by the looks of a clock in a log.csv.

    Where the last look found copying, beyond chance, the step is that from which on there was more than 5%, by lines
    between looks over log step; its interval is that of the numbers of copies, as binomial counts, and begins at 0 if
    that was the first look. A forecast is a line over log step through the last looks at which the largest denoising
    gap is above .1, to where it reaches .65, as on mixtures when copying began; its interval is from .45 to .85. Of
    pictures, whose finest levels are known by heart first, it is too early. Published: the step grows in proportion to
    the rows, while samples become good at the same step (Bonnaire et al. 2025).

    >>> looks = [{"step": str(k), "samples/copies": str(k / 1000), "looks/copying": "1"} for k in (40, 80, 120)]
    >>> round(onset(looks).step)
    48
    """
    rows = [row for row in log if row.get("samples/copies")]
    if not rows:
        raise BadInput("the log has no looks of a copying clock: fit with watch_copies=True")
    step = np.array([float(row["step"]) for row in rows])
    copies = np.array([float(row["samples/copies"]) for row in rows])
    usual = float(rows[-1].get("new rows/copies") or 0.0)
    draws = np.random.default_rng(0).binomial(SAMPLES, copies, (DRAWS, len(copies))) / SAMPLES
    found = np.array([float(row.get("looks/copying") or 0.0) > 0 for row in rows])
    beyond, last, share = copies - usual - SHARE, float(step[-1]), float(copies[-1])
    at = _from_where(step, beyond) if found[-1] else math.inf
    if at <= last:
        each = np.sort([_from_where(step, row - usual - SHARE) for row in draws])
        low, high = (float(each[round(q * (DRAWS - 1))]) for q in (0.025, 0.975))
        return Onset(at, (0.0 if at == step[0] else min(low, at), max(high, at)), share, last)
    forecast, interval = _forecast(step, rows)
    return Onset(
        max(forecast, math.nextafter(last, math.inf)), (max(last, interval[0]), max(last, interval[1])), share, last
    )


def _from_where(step: Numbers, beyond: Numbers) -> float:
    """The step from which on it is above 0, infinite where it is not at the last."""
    below = np.flatnonzero(beyond <= 0)
    if not len(below):
        return float(step[0])
    i = int(below[-1])
    if i == len(step) - 1:
        return math.inf
    return float(np.exp(np.interp(0.0, beyond[i : i + 2], np.log(step[i : i + 2]))))


def _forecast(step: Numbers, rows: Sequence[Mapping[str, str]]) -> tuple[float, tuple[float, float]]:
    names = [name for name in rows[-1] if name.endswith("denoising gap") and rows[-1][name]]
    nothing = math.inf, (math.inf, math.inf)
    if not names:
        return nothing
    name = max(names, key=lambda name: float(rows[-1][name]))
    gap = np.array([float(row[name]) for row in rows])
    start = len(gap) - int(np.argmin(np.append(gap[::-1] > SEEN_GAP, False)))
    x, y = np.log(step[start:]), gap[start:]
    if len(y) < LOOKS:
        return nothing
    x, y = x[-MOST_LOOKS:], y[-MOST_LOOKS:]
    (slope, level), covariance = np.polyfit(x - x.mean(), y, 1, cov=True)
    if not slope > Z * math.sqrt(covariance[0, 0]):
        return nothing

    def reached(gap: float) -> float:
        exponent = x.mean() + (gap - level) / slope
        return math.exp(exponent) if exponent < 700 else math.inf

    return reached(GAP), (reached(GAP - GAP_ERROR), reached(GAP + GAP_ERROR))
