"""Lines that compare mean features: histograms over regions, moments of physical summaries, kernels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from monge.evaluation.changes import CHANGES
from monge.evaluation.decision import FACTORS, TIMES, Finding, Planted, tail
from monge.evaluation.defects import CONCERN
from monge.evaluation.descriptors import Descriptor
from monge.evaluation.lines.base import planted_of
from monge.evaluation.looks import Features
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.means import Compare, aggregated, means_test, whitened
from monge.evaluation.statistics.resampling import Interval, Z

SHOWN = 2  # features that differ most, told
FAR = 100  # standard deviations, beyond which a number says no more
HANDICAP = (1.2, 1.2)  # of the statistics that aim at nothing, beside one that aims at the line's own defect


def by_moments(line: "MeanLine", features: Features, p: Prepared) -> Compare:
    own = [defect for defect in planted_of(line, p) if CONCERN[defect] == line.concern and defect in CHANGES]
    aimed = [p.planting.aim(line.look(p), defect) for defect in own]
    return whitened(torch.cat([features.x, features.y]), torch.cat(aimed) if aimed else None)


@dataclass(frozen=True)
class MeanLine:
    """A line on the mean features of a descriptor.

    compare: (line, features, prepared) -> statistics of two mean vectors, all of second order in their difference.
    told: what differs most, in words. shown: a number of mean features [b, k] -> [b] to be told of each side, in place
    of the first statistic; worse: on which side of the real samples' it is a defect.
    """

    name: str
    section: str
    concern: str
    defects: tuple[str, ...]
    descriptor: Descriptor
    note: str
    compare: Callable[["MeanLine", Features, Prepared], Compare] = by_moments
    told: Callable[[Features, Prepared], str] | None = None
    shown: Callable[[Tensor], Tensor] | None = None
    worse: Literal["higher", "lower"] = "higher"

    def needs(self, p: Prepared) -> bool:
        return self.descriptor.applies(p.split.event)

    def look(self, p: Prepared) -> Descriptor:
        return self.descriptor

    def features(self, p: Prepared) -> Features:
        return p.looks.of(self.look(p))

    def plain(self, p: Prepared) -> Tensor:
        """Features of the real rows in which defects are planted."""
        return p.planting.features(self.look(p), "")

    def means(self, p: Prepared, defect: str, factor: float, times: int = 1) -> tuple[Tensor, Tensor]:
        """Mean features of both sides, of so many times the rows, in replicates with a planted defect."""
        return p.planting.means(self.look(p), defect, factor, times)

    def measure(self, p: Prepared) -> Finding:
        descriptor = self.look(p)
        features = self.features(p)
        compare = self.compare(self, features, p)
        mine = planted_of(self, p)
        aimed = self.compare is by_moments and any(d in CHANGES and CONCERN[d] == self.concern for d in mine)
        test = means_test(features.x, features.y, compare, p.relabellings, HANDICAP if aimed else ())
        value, interval, floor = test.value, test.interval, test.floor
        if self.shown is not None:
            value, interval, floor = _of_each(self.shown, features)
        planted = {}

        def of(sides: tuple[Tensor, Tensor], times: int = 1) -> Tensor:
            return aggregated(times * compare(*sides).double(), test.standard)

        plain = self.plain(p)
        on_scale = _onto(of(p.planting.drawn_means("", 1.0, 1, plain, plain)), test.null)
        for defect in mine:
            drawn = {factor: self.means(p, defect, factor) for factor in FACTORS}
            statistics = {k: on_scale(of(sides)) for k, sides in drawn.items()}
            told = compare(*drawn[1.0])[:, 0] if self.shown is None else self.shown(drawn[1.0][0])
            growth = {}
            if statistics[1.0].quantile(0.05) < test.null.max():  # not surely seen
                growth = {float(k): on_scale(of(self.means(p, defect, 1.0, k), k)) for k in TIMES}
            planted[defect] = Planted(statistics, float(told.mean()), growth)
        return Finding(
            self.name,
            value,
            interval,
            floor,
            None,
            test.p_value,
            self.worse,
            f"{self.note} Blind to: {descriptor.invariances}.",
            self.concern,
            test.statistic,
            tail(test.null),
            planted,
            (self.told or most_different)(features, p),
        )


def _onto(drawn: Tensor, null: Tensor) -> Callable[[Tensor], Tensor]:
    """Puts statistics of rows that are drawn from a pool, again and again the same, on the scale of relabelled ones: by
    the map that takes those that are drawn without a defect to the null's mean and deviation."""
    scale = float(null.std()) / max(float(drawn.std()), 1e-12)
    scale = scale if scale < 1 else 1.0
    return lambda statistics: (statistics - drawn.mean()) * scale + null.double().mean()


def _of_each(shown: Callable[[Tensor], Tensor], features: Features) -> tuple[float, Interval, float]:
    """A number of the mean features of generated rows, its interval against that of real ones, and that."""
    values, spread = [], 0.0
    for rows in (features.x, features.y):
        mean = rows.double().mean(0).float().requires_grad_()
        value = shown(mean[None])[0]
        (slope,) = torch.autograd.grad(value, mean)
        spread += float((rows @ slope).double().var()) / len(rows)
        values.append(float(value.detach()))
    half = Z * spread**0.5
    return values[0], (max(0.0, values[0] - half), values[0] + half), values[1]


def most_different(features: Features, p: Prepared) -> str:
    """The features whose means differ most, in standard errors, in words."""
    return told_by(features, features.fitted.names, p)


def told_by(features: Features, names: Sequence[str], p: Prepared) -> str:
    """The same, of features with other names."""
    if not names:
        return ""
    z, gap = differences(features)
    worst = z.abs().argsort(descending=True)[:SHOWN].tolist()
    size = [f"{abs(g):.2g} sd" if abs(g) < FAR else f"more than {FAR} sd" for g in gap[worst].tolist()]
    way = ["higher" if gap[i] > 0 else "lower" for i in worst]
    return ", ".join(f"{p.split.naming.named(names[i])} {w} by {s}" for i, w, s in zip(worst, way, size, strict=True))


def differences(features: Features) -> tuple[Tensor, Tensor]:
    """Of each feature the difference of its means in standard errors, and in standard deviations of all rows."""
    x, y = features.x.double(), features.y.double()
    gap = x.mean(0) - y.mean(0)
    error = (x.var(0) / len(x) + y.var(0) / len(y)).sqrt()
    spread = ((x.var(0) + y.var(0)) / 2 + gap.square() / 4).sqrt()
    return gap / error.clamp(min=1e-300), gap / spread.clamp(min=1e-300)
