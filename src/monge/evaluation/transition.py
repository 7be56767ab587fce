"""From copying to one answer: what samples of twins look like as their training sets grow, and where that turns."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monge.errors import BadInput
from monge.evaluation.statistics.resampling import CONFIDENCE, Interval, numpy_generator
from monge.evaluation.twins import Twins

DRAWS = 1000
COPYING = 0.05  # share of copies, beyond those among new real rows, below which copying has ended
AGREED = 0.5  # share of samples that are nearer to their twin than to any training row, from which twins agree
Numbers = NDArray[Any]


class Curve(NamedTuple):
    """A mean over samples at each number of training rows, and its 95% interval."""

    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Turn(NamedTuple):
    """A number of training rows, and its 95% interval: 0 is below the smallest that was tried, infinity above the
    largest."""

    n: float
    interval: Interval

    def words(self, sizes: Sequence[int]) -> str:
        """As in "at 310 rows (240 to above 1,000)"."""
        low, high = (_number(end, sizes) for end in self.interval)
        return f"{'at ' if 0 < self.n < math.inf else ''}{_number(self.n, sizes)} rows ({low} to {high})"


class Transition(NamedTuple):
    """Curves over the numbers of training rows, by name.

    "twin", "own", "other": mean cosine of a sample with its twin, with the nearest training row of its own model, and
    of the other. "held-out": of new real rows with the nearest training row. "copied", "held-out copied": shares whose
    nearest training row is nearer than a third of the distance to the second. "nearer to twin": share of samples that
    are nearer to their twin than to all that their model learned from.

    copying_ends: from where on less than 5% more samples than new real rows are copies. twins_agree: from where on half
    of the samples are nearer to their twin than to any training row.
    """

    sizes: tuple[int, ...]
    curves: dict[str, Curve]
    copying_ends: Turn
    twins_agree: Turn

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON knows; None stands for infinity."""
        turns = {
            name: {"n": _finite(turn.n), "interval": [_finite(end) for end in turn.interval]}
            for name, turn in (("copying_ends", self.copying_ends), ("twins_agree", self.twins_agree))
        }
        curves = {name: {part: list(v) for part, v in curve._asdict().items()} for name, curve in self.curves.items()}
        return {"sizes": list(self.sizes), "curves": curves, **turns}


def transition(found: Sequence[Twins], *, seed: int = 0) -> Transition:
    """Curves and turns of twins of growing training sets, whose samples begin at the same starts.

    Intervals are of a bootstrap over starts, which all sizes share, over new real rows, and over the two models, shares
    of copies by Jeffreys' beta law: two models of each size cannot tell all that other training sets would change.

    Raises BadInput for no twins, and for sizes that do not grow or have other numbers of samples.

    >>> import torch; from monge.evaluation import twins
    >>> x = torch.randn(4, 60, 8, generator=torch.manual_seed(0))
    >>> small = twins(x[0][:2].repeat(10, 1), x[1][:2].repeat(10, 1), x[0][:9], x[1][:9], x[2])
    >>> large = twins(x[3][:20], x[3][:20], x[0], x[1], x[2])
    >>> transition([small, large]).twins_agree.words([9, 60])
    'at 23 rows (23 to 23)'
    """
    sizes = tuple(part.n for part in found)
    counts = {part.twin.cosine.shape[0] for part in found}
    if not found or len(counts) > 1 or any(a >= b for a, b in pairwise(sizes)):
        raise BadInput(f"twins are of growing numbers of rows, with as many samples each, not of {list(sizes)}")
    k, generator = counts.pop(), numpy_generator(seed, "transition")
    models = generator.multinomial(2, [0.5, 0.5], DRAWS) / 2
    starts = _weights(k, generator)
    new = {m: _weights(m, generator) for m in sorted({part.held_out.cosine.shape[1] for part in found})}
    every: dict[str, list[tuple[Tensor, Numbers]]] = {
        "twin": [(part.twin.cosine[None], starts) for part in found],
        "own": [(part.own.cosine, starts) for part in found],
        "other": [(part.other.cosine, starts) for part in found],
        "held-out": [(part.held_out.cosine, new[part.held_out.cosine.shape[1]]) for part in found],
        "copied": [(part.copied.double(), starts) for part in found],
        "held-out copied": [(part.held_out_copied.double(), new[part.held_out.cosine.shape[1]]) for part in found],
        "nearer to twin": [(part.nearer_to_twin.double(), starts) for part in found],
    }
    values = {name: np.array([float(value.mean()) for value, _ in parts]) for name, parts in every.items()}
    drawn = {
        name: np.stack([_resampled(value.numpy(), weights, models) for value, weights in parts], 1)
        for name, parts in every.items()
    }
    rare = {}  # of none in a few rows, a bootstrap would say that there are none
    for name, field in (("copied", "copied"), ("held-out copied", "held_out_copied")):
        hits = [getattr(part, field).sum(1).numpy() for part in found]
        of = [getattr(part, field).shape[1] for part in found]
        each = [generator.beta(h + 0.5, n - h + 0.5, (DRAWS, 2)) for h, n in zip(hits, of, strict=True)]
        rare[name] = np.stack([(share * models).sum(1) for share in each], 1)
    drawn |= rare
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    curves = {}
    for name, value in values.items():
        low, high = np.quantile(drawn[name], tails, axis=0)
        curves[name] = Curve(tuple(value.tolist()), tuple(low.tolist()), tuple(high.tolist()))
    copies, agree = (
        {name: part["copied"] - part["held-out copied"] - COPYING for name, part in (("", values), ("drawn", drawn))},
        {name: AGREED - part["nearer to twin"] for name, part in (("", values), ("drawn", drawn))},
    )
    return Transition(sizes, curves, _turn(copies, sizes), _turn(agree, sizes))


def _weights(n: int, generator: np.random.Generator) -> Numbers:
    """Of n rows in each draw of a bootstrap."""
    found: Numbers = generator.multinomial(n, [1 / n] * n, DRAWS) / n
    return found


def _resampled(value: Numbers, weights: Numbers, models: Numbers) -> Numbers:
    """Means [draws] of value [1 or 2, k], by weights of its rows [draws, k] and of the models [draws, 2]."""
    means = weights @ value.T
    return means[:, 0] if len(value) == 1 else (means * models).sum(1)


def _turn(falling: dict[str, Numbers], sizes: Sequence[int]) -> Turn:
    """Where what falls with the rows is below 0 for good, by straight lines over log n."""
    each = np.sort([_last_root(row, sizes) for row in falling["drawn"]])  # infinities have no quantile between them
    low, high = (float(each[round(share * (len(each) - 1))]) for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Turn(_last_root(falling[""], sizes), (low, high))


def _last_root(values: Numbers, sizes: Sequence[int]) -> float:
    above = np.flatnonzero(values > 0)
    if not len(above):
        return 0.0
    i = int(above[-1])
    if i == len(sizes) - 1:
        return math.inf
    share = float(values[i] / (values[i] - values[i + 1]))
    return math.exp((1 - share) * math.log(sizes[i]) + share * math.log(sizes[i + 1]))


def _number(n: float, sizes: Sequence[int]) -> str:
    if n == 0:
        return f"below {sizes[0]:,}"
    return f"above {sizes[-1]:,}" if n == math.inf else f"{n:,.0f}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
