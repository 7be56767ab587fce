"""The copying clock: when, in a training, do samples begin to be rows that were learned?"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from monge.data import Samples
from monge.denoisers import denoising_errors
from monge.linalg import nearest

SAMPLES, ROWS, NEW = 128, 256, 1000  # that are drawn; denoised; and new ones, compared with those learned from
LEVELS = 4  # of the noise, at which denoising errors are compared
FIRST, RATIO = 50, math.sqrt(2)  # step of the first look, and of a look over that of the one before
RATIO_OF_COPIES = 1 / 3  # of the distances to the nearest and the second nearest row, below which it is a copy
SHARE, CHANCE = 0.05, 0.001  # of copies beyond those among new rows, which is copying; and that of so many by chance
MOST_VALUES = 2**27  # of rows that samples are compared with


Using = Callable[[Callable[[], Any]], Any]


class CopyingClock:
    """Looks at a model in training at steps 50, 71, 100, ...: the share of its samples that are copies of rows that it
    learns from, beside that of new rows, and by how much it denoises the ones better than the others.

    A copy is nearer to a row than a third of the distance to the next (Yoon et al. 2023). The denoising gap at a level
    is 1 - E|D - x|^2 over rows learned from / over new ones: 0 of a denoiser that knows no row by heart, 1 of one that
    knows them all.

    learned, new: rows of `samples` that are trained on and that are not. using: calls a function while the model may
    be used. The noise is the same at each look.
    found: at how many looks in a row there were copies: 5% more than among new rows, and more than chance has once in a
    thousand times.
    """

    def __init__(self, model: Any, samples: Samples, learned: Tensor, new: Tensor, seed: int, using: Using) -> None:
        self.model, self.seed, self.using, self.found = model, seed, using, 0
        most = max(2, MOST_VALUES // math.prod(samples.event_shape))
        picked = learned if len(learned) <= most else learned[torch.linspace(0, len(learned) - 1, most).long()]
        self.rows, self.new = self._scaled(samples, picked), self._scaled(samples, new[:NEW])
        y = samples.y
        needed = model.labels is not None and not model.labels.count and y is not None
        self.label = y[picked.repeat(-(-SAMPLES // len(picked)))[:SAMPLES]] if needed and y is not None else None
        self.usual = self._copied(self.new) if len(self.new) else torch.zeros(0)

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
        numbers = {"samples/copies": float(copied.mean())}
        if len(self.usual):
            numbers["new rows/copies"] = float(self.usual.mean())
        return numbers | self._gaps()

    def _copied(self, x: Tensor) -> Tensor:
        if len(self.rows) < 2:
            return torch.zeros(len(x))
        first, second = nearest(x.flatten(1), self.rows.flatten(1), 2).distance.T
        copied: Tensor = first < RATIO_OF_COPIES * second
        return copied.double()

    def _more(self, copied: Tensor) -> bool:
        from scipy.stats import binom, hypergeom

        hits, usual, n, m = int(copied.sum()), int(self.usual.sum()), len(copied), len(self.usual)
        beyond = hits / n - (usual / m if m else 0.0)
        p = hypergeom.sf(hits - 1, n + m, hits + usual, n) if m else binom.sf(hits - 1, n, CHANCE)
        return bool(beyond > SHARE and p <= CHANCE)

    def _gaps(self) -> dict[str, float]:
        if not len(self.new) or not getattr(self.model, "denoises", False):
            return {}
        low, high = self.model.levels()
        widest = self.model.moments.widest
        levels = [min(high, max(low, widest * 10 ** (-1 + 0.5 * k))) for k in range(LEVELS)]
        D = self.model.scaled_denoiser()
        parts = [x[:ROWS].to(self.model.device) for x in (self.rows, self.new)]
        mine, others = (denoising_errors(D, x, levels, seed=self.seed).mean(1) for x in parts)
        gaps = (1 - mine / others.clamp_min(torch.finfo(others.dtype).tiny)).tolist()
        unit = self.model.units.unit
        return {f"σ {sigma * unit:.2g}/denoising gap": gap for sigma, gap in zip(levels, gaps, strict=True)}

    def _scaled(self, samples: Samples, rows: Tensor) -> Tensor:
        x: Tensor = self.model.units.forward(samples.batch(rows))
        return x
