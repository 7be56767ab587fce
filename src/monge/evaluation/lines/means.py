"""Lines that compare mean features: histograms over regions, moments of physical summaries, kernels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from monge.evaluation.decision import FACTORS, Finding, Planted, tail
from monge.evaluation.defects import CHANGES
from monge.evaluation.descriptors import Descriptor
from monge.evaluation.lines.base import planted_of
from monge.evaluation.prepared import Features, Prepared
from monge.evaluation.statistics.means import Compare, aggregated, means_test, whitened

SHOWN = 2  # features that differ most, told
FAR = 100  # standard deviations, beyond which a number says no more
HANDICAP = (1.2, 1.2)  # of the statistics that aim at nothing, beside one that aims at the line's own defect


def by_moments(line: "MeanLine", features: Features, p: Prepared) -> Compare:
    return whitened(torch.cat([features.x, features.y]), p.aim(line.look(p), line.concern))


@dataclass(frozen=True)
class MeanLine:
    """A line on the mean features of a descriptor.

    compare: (line, features, prepared) -> statistics of two mean vectors. told: what differs most, in words.
    """

    name: str
    section: str
    concern: str
    defects: tuple[str, ...]
    descriptor: Descriptor
    note: str
    compare: Callable[["MeanLine", Features, Prepared], Compare] = by_moments
    told: Callable[[Features, Prepared], str] | None = None

    def needs(self, p: Prepared) -> bool:
        return self.descriptor.applies(p.event)

    def look(self, p: Prepared) -> Descriptor:
        return self.descriptor

    def measure(self, p: Prepared) -> Finding:
        descriptor = self.look(p)
        features = p.features(descriptor)
        compare = self.compare(self, features, p)
        aimed = self.concern in CHANGES and self.concern in planted_of(self, p)
        test = means_test(features.x, features.y, compare, p.relabellings, HANDICAP if aimed else ())
        plain = features.y[: len(p.pool.events)]
        planted = {}
        for defect in planted_of(self, p):
            changed = p.changed_features(descriptor, defect) if defect in CHANGES else None
            drawn = {factor: compare(*p.planted(defect, plain, changed, factor)) for factor in FACTORS}
            statistics = {factor: aggregated(values.double(), test.standard) for factor, values in drawn.items()}
            planted[defect] = Planted(statistics, float(drawn[1.0][:, 0].mean()))
        return Finding(
            self.name,
            test.value,
            test.interval,
            test.floor,
            None,
            test.p_value,
            "higher",
            f"{self.note} Blind to: {descriptor.invariances}.",
            self.concern,
            test.statistic,
            tail(test.null),
            planted,
            (self.told or most_different)(features, p),
        )


def most_different(features: Features, p: Prepared) -> str:
    """The features whose means differ most, in standard errors, in words."""
    names = features.fitted.names
    z, gap = differences(features)
    if not names or not len(z):
        return ""
    worst = z.abs().argsort(descending=True)[:SHOWN].tolist()
    size = [f"{abs(g):.2g} sd" if abs(g) < FAR else f"more than {FAR} sd" for g in gap[worst].tolist()]
    way = ["higher" if gap[i] > 0 else "lower" for i in worst]
    return ", ".join(f"{p.named(names[i])} {w} by {s}" for i, w, s in zip(worst, way, size, strict=True))


def differences(features: Features) -> tuple[Tensor, Tensor]:
    """Of each feature the difference of its means in standard errors, and in standard deviations of real samples."""
    x, y = features.x.double(), features.y.double()
    gap = x.mean(0) - y.mean(0)
    error = (x.var(0) / len(x) + y.var(0) / len(y)).sqrt()
    return gap / error.clamp(min=1e-300), gap / y.std(0).clamp(min=1e-9)
