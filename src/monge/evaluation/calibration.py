"""Is the posterior right? Truths among their posterior draws, tested by exchanging them (Talts et al. 2018)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.doors import finite, function, number, whole
from monge.errors import BadInput
from monge.evaluation.decision import FACTORS, Finding, Planted, judge, tail
from monge.evaluation.line import Line, Status
from monge.evaluation.statistics.resampling import Z
from monge.evaluation.verdict import Verdict

DRAWS = 100
RELABELLINGS, PLANTED = 199, 30
TOLD, FEWEST = 16, 50  # values of an event that are looked at; and pairs that are needed
OVERCONFIDENT = 0.10  # share by which draws are too narrow that must not pass
IGNORANT = 0.5  # share of draws that ignore y that must not pass
TIED = 1e-4  # of the s.d. of all, below which what one posterior says differs by rounding alone


@dataclass(frozen=True)
class Calibration:
    """Whether posteriors are right, by three lines.

    lines: "ranks", "coverage" and "two samples". ranks: [n, k], of each value of the truth among its draws, in [0, 1]:
    uniform if they are right, high at the ends where draws are too narrow. coverage: [n], the share of draws that are
    nearer to a point than the truth is (TARP, Lemos et al. 2023): uniform, too. overconfidence: the planted one.
    """

    lines: tuple[Line, ...]
    ranks: Float[Tensor, "n k"]
    coverage: Float[Tensor, " n"]
    overconfidence: float = OVERCONFIDENT

    @property
    def verdict(self) -> Verdict:
        """The same as a verdict, for a report."""
        margins = {"overconfidence": self.overconfidence, "ignorance": IGNORANT}
        context = {"margins": margins, "n_holdout": len(self.ranks)}
        return Verdict(posterior=self.lines, context=context)

    @property
    def status(self) -> Status:
        """fail: draws are not of the posterior, beyond chance; pass: over-confidence by the reference, and that half of
        the draws ignore y, are excluded by the lines that see them best, and nothing else was seen; else undecided."""
        return self.verdict.status

    def __str__(self) -> str:
        rows = [
            f"{line.name:12} {line.value:7.3f}  [{line.interval[0]:.3f}, {line.interval[1]:.3f}]  right: "
            f"{line.floor:.3f}  p {line.p_adjusted:.3f}  {line.status}"
            for line in self.lines
        ]
        return "\n".join([*rows, f"{self.status.upper()} ({self.overconfidence:.0%} over-confidence planted)"])


def calibration(
    sampler: Callable[[Any], Any],
    pairs: Iterable[tuple[Any, Any]],
    *,
    draws: int = DRAWS,
    overconfidence: float = OVERCONFIDENT,
    seed: int = 0,
    show: bool = True,
) -> Calibration:
    """Test draws of p(x | y) on pairs (x, y) of the joint law: a truth is one more draw.

    Where draws are of the posterior, the truth and its draws can be exchanged, so that whatever is made of them has the
    law of the same with another one in the place of the truth: by 199 such relabellings each line has its p-value,
    which holds for any law. Over-confidence, draws that are narrower about their mean by a share, is planted in such
    relabellings, and so are draws of which half are those of other pairs: both must be excluded to pass, as in
    `monge.audit`. Where y determines a value but for rounding, its draws are ties.

    ranks: of each value among those of the draws (simulation-based calibration). Its number is the width that draws
        lack: the root mean square of the normal scores of the ranks, 1 if they are right, 1.11 if 10% too narrow.
    coverage: draws nearer than the truth to a point, which is one of another pair with noise of the data's own scale
        (TARP). The same number.
    two samples: energy distance of (truth, y) to (a draw, y), standardised: draws of the prior, which do not look at y,
        pass the others and fail here. Where y is no array, of one shape, and has none as `.y`, by the mean of the draws
        in its place.

    sampler: y -> draws [m, *event], or a `monge.samplers.Posterior`, whose weights are obeyed; m at least `draws`, or
        all of them are taken. pairs: 50 or more of x [*event] and y, whatever the sampler takes. Of events of more than
        16 values 16 random directions are looked at.

    Raises BadInput for fewer pairs, draws of another shape than x, and NaN in them.

    >>> normal = torch.distributions.Normal(0.0, 1.0)  # y = x + noise, so that x is N(y / 2, 1 / 2), given y
    >>> _ = torch.manual_seed(0)
    >>> pairs = [(x[None], x + torch.randn(())) for x in normal.sample((100,))]
    >>> found = calibration(lambda y: y / 2 + math.sqrt(0.5) * torch.randn(50, 1), pairs, show=False)
    >>> found.status in ("pass", "undecided")
    True
    """
    function(sampler, "sampler is a function of y that draws x given y")
    if not 0 < number(overconfidence, "overconfidence", "overconfidence is a share, 0 to 1", most=1.0) < 1:
        raise BadInput(f"overconfidence is a share between 0 and 1, not {overconfidence}")
    given = list(pairs)
    if len(given) < FEWEST:
        raise BadInput(f"calibration needs {FEWEST} pairs or more, not {len(given)}")
    rows, seen, least = [], [_values(y) for _, y in given], whole(draws, "draws", 10)
    with progress.bar("drawing from posteriors", len(given), show=show) as advance:
        for i, (x, y) in enumerate(given):
            rows.append(_together(x, sampler(y), least, seed, i))
            advance()
    least = min(len(row) for row in rows)
    every = torch.stack([row[:least] for row in rows])
    known = [y for y in seen if y is not None]
    alike = len(known) == len(given) and len({tuple(y.shape) for y in known}) == 1
    context = torch.stack(known) if alike and all(y.isfinite().all() for y in known) else every.mean(1)
    return Calibration(*_judged(every, _looked_at(context, seed), overconfidence, seed), overconfidence)


def _values(y: Any) -> Tensor | None:
    """y as values, where it has some."""
    found = getattr(y, "y", y)
    if isinstance(found, np.ndarray | float):
        found = torch.as_tensor(found)
    return found.flatten().double().cpu() if isinstance(found, Tensor) else None


def _looked_at(x: Float[Tensor, "*n d"], seed: int) -> Float[Tensor, "*n k"]:
    """Values, or where they are many as many random directions of them."""
    d = x.shape[-1]
    if d <= TOLD:
        return x
    ways = rng.normal((d, TOLD), seed, "ways", dtype=torch.float64)
    found: Tensor = x @ (ways / ways.norm(dim=0))
    return found


def _together(x: Any, found: Any, most: int, seed: int, i: int) -> Float[Tensor, "m d"]:
    """The truth first, and then its draws, flattened, in float64."""
    truth = finite(x, "x")
    if hasattr(found, "weights") and hasattr(found, "sample"):
        found = found.sample(most, seed=seed + i) if len(found.x) > most or found.weighted else found.x
    drawn = finite(found, "draws")
    if tuple(drawn.shape[1:]) != tuple(truth.shape):
        raise BadInput(f"draws must be [m, *event] of an x {list(truth.shape)}, not {list(drawn.shape)}")
    if len(drawn) < 2:
        raise BadInput("calibration needs two draws of each posterior or more")
    return torch.cat([truth[None].to(drawn), drawn[:most]]).flatten(1).double().cpu()


def _judged(
    every: Float[Tensor, "n m d"], context: Float[Tensor, "n k"], over: float, seed: int
) -> tuple[tuple[Line, ...], Tensor, Tensor]:
    """every: of each pair the truth and its draws. context: what is known of it."""
    every = _looked_at(every, seed)
    n, m = every.shape[:2]
    spread = every.flatten(0, 1).std(0)
    every = (every - every.flatten(0, 1).mean(0)) / torch.where(spread > 0, spread, 1.0)
    apart = every.amax(1, keepdim=True) - every.amin(1, keepdim=True)
    every = torch.where(apart > TIED, every, every.mean(1, keepdim=True))
    generator = rng.generator(seed, "references")  # nothing may know which of a row is the truth
    points = every[torch.randperm(n, generator=generator), torch.randint(m, (n,), generator=generator)]
    points = points + rng.normal((n, every.shape[2]), seed, "references", dtype=torch.float64)
    looks = {"ranks": _Ranks(every, seed), "coverage": _Ranks(_distances(every, points), seed)}
    first = torch.zeros(n, dtype=torch.long)
    labels = [torch.randint(m, (n,), generator=rng.generator(seed, "labels", b)) for b in range(RELABELLINGS)]
    findings = []
    for name, look in looks.items():
        real, null = look.statistic(look.of(first, seed)), [look.statistic(look.of(j, seed)) for j in labels]
        planted, width = {}, 0.0
        for factor in FACTORS:
            some = [
                _Ranks(_shrunk(every, j, 1 - factor * over, None if name == "ranks" else points), seed).of(j, seed)
                for j in labels[: _replicates(factor)]
            ]
            planted[factor] = torch.tensor([look.statistic(u) for u in some])
            width = sum(float(_width(u)[0]) for u in some) / len(some) if factor == 1 else width
        value, error = _width(look.of(first, seed))
        floor = sum(float(_width(look.of(j, seed))[0]) for j in labels[:PLANTED]) / PLANTED
        about = "values" if name == "ranks" else "distances to points"
        note = f"how much wider draws would have to be (below 1: narrower), by the ranks of the truth's {about}"
        seen = {"over-confident": Planted(planted, width)}
        findings.append(_finding(name, "confidence", value, error, floor, real, torch.tensor(null), seen, note))
    findings.append(_two_samples(every, context, labels, over))
    lines = tuple(judge(findings))
    return lines, looks["ranks"].of(first, seed), looks["coverage"].of(first, seed)[:, 0]


class _Ranks:
    """Where each of m points stands among the m of its row, ties at random; where all are one, the same for all."""

    def __init__(self, every: Float[Tensor, "n m k"], seed: int) -> None:
        tie = rng.uniform(tuple(every.shape), seed, "ties", dtype=torch.float64)
        order = tie.argsort(1)
        ordered = every.gather(1, order).argsort(dim=1, stable=True)
        self.rank = order.gather(1, ordered).argsort(1)
        self.m = every.shape[1]
        self.one = every.amax(1) == every.amin(1)

    def of(self, j: Tensor, seed: int) -> Float[Tensor, "n k"]:
        """Ranks of point j of each row among the others, uniform in (0, 1) if they can be exchanged."""
        found = self.rank[torch.arange(len(j)), j].double()
        ranks: Tensor = (found + rng.uniform(tuple(found.shape), seed, "within", dtype=torch.float64)) / self.m
        same = rng.uniform(tuple(found.shape), seed, "same", dtype=torch.float64)
        return torch.where(self.one, same, ranks)

    @staticmethod
    def statistic(u: Float[Tensor, "n k"]) -> float:
        """Neyman's smooth test of the normal scores, of their mean and of their width, summed over values."""
        z = _scores(u)
        return float(len(u) * (z.mean(0).square() + (z.square() - 1).mean(0).square() / 2).sum())


def _replicates(factor: float) -> int:
    return PLANTED if factor == 1 else PLANTED // 3


def _scores(u: Tensor) -> Tensor:
    found: Tensor = torch.special.ndtri(u.clamp(1e-9, 1 - 1e-9))
    return found


def _width(u: Float[Tensor, "n k"]) -> tuple[float, float]:
    """Root mean square of normal scores, and its standard error over pairs."""
    each = _scores(u).square().mean(1)
    width = math.sqrt(float(each.mean()))
    return width, float(each.std()) / math.sqrt(len(u)) / (2 * width)


def _distances(every: Tensor, points: Float[Tensor, "n d"]) -> Float[Tensor, "n m 1"]:
    found: Tensor = (every - points[:, None]).norm(dim=2, keepdim=True)
    return found


def _shrunk(every: Tensor, j: Tensor, factor: float, points: Tensor | None) -> Tensor:
    """Rows in which all but point j are drawn together about their mean; their distances to points, if there are."""
    rows = torch.arange(len(j))
    own = every[rows, j]
    mean = (every.sum(1) - own) / (every.shape[1] - 1)
    made = mean[:, None] + factor * (every - mean[:, None])
    made[rows, j] = own
    return made if points is None else _distances(made, points)


def _finding(
    name: str,
    concern: str,
    value: float,
    error: float,
    floor: float,
    statistic: float,
    null: Tensor,
    planted: dict[str, Planted],
    note: str,
) -> Finding:
    p_value = (1 + int((null >= statistic).sum())) / (1 + len(null))
    interval = value - Z * error, value + Z * error
    tested: dict[str, Any] = {"statistic": statistic, "critical": tail(null), "planted": planted}
    return Finding(name, value, interval, floor, None, p_value, "both", note, concern, **tested)


def _two_samples(every: Float[Tensor, "n m d"], context: Tensor, labels: list[Tensor], over: float) -> Finding:
    """Energy distance of truths to draws, each with its context; all relabelled alike."""
    n, m = every.shape[:2]
    rows, width = torch.arange(n), context.std(0)
    others = torch.randperm(n, generator=rng.generator(0, "others")).roll(1)
    ignoring = torch.rand(n, generator=rng.generator(0, "ignoring"))
    context = (context - context.mean(0)) / torch.where(width > 0, width, 1.0)

    def distance(j: Tensor, narrow: float = 0.0, ignorant: float = 0.0) -> float:
        made = every if narrow == 0 else _shrunk(every, j, 1 - narrow, None)
        other = made[rows, (j + 1 + labels[0] % (m - 1)) % m]
        other = torch.where((ignoring < ignorant)[:, None], other[others], other)
        x, y = (torch.cat([each, context], 1) for each in (made[rows, j], other))
        across, within = torch.cdist(x, y), (torch.cdist(x, x).sum() + torch.cdist(y, y).sum()) / (n * (n - 1))
        return float(2 * (across.sum() - across.diagonal().sum()) / (n * (n - 1)) - within)

    def planted(kind: str, size: float) -> Planted:
        drawn = {
            factor: torch.tensor([distance(j, **{kind: factor * size}) for j in labels[: _replicates(factor)]])
            for factor in FACTORS
        }
        return Planted(drawn, float(drawn[1.0].mean()))

    first = torch.zeros(n, dtype=torch.long)
    value, null = distance(first), torch.tensor([distance(j) for j in labels])
    seen = {"over-confident": planted("narrow", over), "ignorant": planted("ignorant", IGNORANT)}
    note = "energy distance of truths to draws, each with what is known of it"
    spread = float(null.std())
    return _finding("two samples", "ignorance", value, spread, float(null.mean()), value, null, seen, note)
