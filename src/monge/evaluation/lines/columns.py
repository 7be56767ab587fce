"""Lines on the columns of a table: what goes together with what, and what a model learns from generated rows."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge.evaluation.decision import Finding
from monge.evaluation.descriptors import VALUES, Descriptor
from monge.evaluation.descriptors.columns import moments_of, scores, second_moments
from monge.evaluation.lines.means import MeanLine, differences
from monge.evaluation.looks import Features
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.resampling import Z, numpy_generator

RIDGE = 0.01  # of the variance of a score, that regressions have
REDRAWN = 200  # times, for an error


@dataclass(frozen=True)
class PairsLine(MeanLine):
    """Mean products of the scores of two columns."""

    def needs(self, p: Prepared) -> bool:
        return p.planting.tied

    def look(self, p: Prepared) -> Descriptor:
        return p.planting.pairs()


def pairs_told(features: Features, p: Prepared) -> str:
    """The pair that differs most, and how it goes together on both sides."""
    z, _ = differences(features)
    i = int(z.abs().argmax())
    mine, real = float(features.x[:, i].mean()), float(features.y[:, i].mean())
    return f"{features.fitted.names[i]}: {mine:+.2f} in yours, {real:+.2f} in real ones"


class Regressions(NamedTuple):
    """Ridge regressions of the scores of each column of a table on those of the others, tested on real rows.

    tested: second moments of 1 and the scores of the rows that are tested on, [s, s]; owner: of each score but the 1,
    the column of the table; names of these.
    """

    tested: Float[Tensor, "s s"]
    owner: Tensor
    names: tuple[str, ...]

    def errors_of(self, moments: Float[Tensor, "b s s"]) -> list[Tensor]:
        """For each column, what is to be multiplied with a row's scores to have the error of its prediction,
        [b, scores of it, s], where rows with such moments were learned from: their inverse, by blocks."""
        ridge = RIDGE * torch.eye(moments.shape[1], dtype=torch.float64)
        ridge[0, 0] = 1e-9
        precision = torch.linalg.inv(moments.double() + ridge)
        return [torch.linalg.solve(precision[:, own][:, :, own], precision[:, own]) for own in self._own()]

    def explained(self, moments: Float[Tensor, "b s s"]) -> Float[Tensor, "b columns"]:
        """Share of the variance of each column's scores that is explained on the rows that are tested on."""
        parts = []
        for errors, own in zip(self.errors_of(moments), self._own(), strict=True):
            left = torch.einsum("bij,jk,bik->b", errors, self.tested, errors)
            parts.append(1 - left / self._variance(own))
        return torch.stack(parts, 1)

    def compare(self, mine: Float[Tensor, "b k"], real: Float[Tensor, "b k"]) -> Float[Tensor, "b 2"]:
        """Squares of what is explained less by those that learned from the first rows: on average over columns, and of
        the column that loses most; 0 where none is lost."""
        lost = self.explained(moments_of(real)) - self.explained(moments_of(mine))
        return torch.stack([lost.mean(1), lost.amax(1)], 1).clamp(min=0).square().float()

    def _own(self) -> list[Tensor]:
        return [(self.owner == column).nonzero()[:, 0] + 1 for column in torch.unique(self.owner).tolist()]

    def _variance(self, own: Tensor) -> Tensor:
        return (self.tested[own, own] - self.tested[0, own].square()).sum()


def regressions(features: Features, p: Prepared) -> Regressions:
    """Tested on the shaping rows, which are on neither side."""
    of = scores(p.looks.of(p.planting.table()).shaping, p.split.owners)
    tested = moments_of(features.shaping.double().mean(0)[None])[0]
    names = {int(owner): p.split.column(int(column)) for owner, column in zip(of.owner, of.column, strict=True)}
    return Regressions(tested, of.owner, tuple(names[int(owner)] for owner in torch.unique(of.owner)))


@dataclass(frozen=True)
class UtilityLine(MeanLine):
    """Regressions that learn from either side, tested on real rows."""

    def needs(self, p: Prepared) -> bool:
        return p.planting.tied

    def look(self, p: Prepared) -> Descriptor:
        return second_moments(p.planting.table(), p.split.owners)

    def measure(self, p: Prepared) -> Finding:
        found, features = super().measure(p), self.features(p)
        task = regressions(features, p)
        mine, real = (float(explained(task, rows).mean()) for rows in (features.x, features.y))
        planted = {}
        for defect, each in found.planted.items():  # both drawn with replacement, which costs something itself
            lost = self._drawn(task, p, "") - self._drawn(task, p, defect)
            planted[defect] = each._replace(value=real - lost)
        half = Z * float((_redrawn(task, features.x, p, "x") - _redrawn(task, features.y, p, "y")).std())
        return found._replace(
            value=mine,
            interval=(mine - half, mine + half),
            floor=real,
            worse="lower",
            planted=planted,
            detail=utility_told(task, features, p),
        )

    def _drawn(self, task: Regressions, p: Prepared, defect: str) -> float:
        """Share explained, on average over columns and replicates, where a defect is planted, or none."""
        return float(task.explained(moments_of(self.means(p, defect, 1.0)[0])).mean())


def explained(task: Regressions, rows: Float[Tensor, "n k"]) -> Float[Tensor, " columns"]:
    """Share of each column that is explained by what learned from rows of these features."""
    return task.explained(moments_of(rows.double().mean(0)[None]))[0]


def _redrawn(task: Regressions, rows: Float[Tensor, "n k"], p: Prepared, side: str) -> Float[Tensor, " b"]:
    """The same on average over columns, of rows that are drawn from these with replacement."""
    n = len(rows)
    counts = numpy_generator(p.seed, "utility", side).multinomial(n, [1 / n] * n, size=REDRAWN)
    return task.explained(moments_of(torch.from_numpy(counts).float() @ rows / n)).mean(1)


def utility_told(task: Regressions, features: Features, p: Prepared) -> str:
    """The column that is told worst by what learned from generated rows, beside real ones."""
    mine, real = (explained(task, rows) for rows in (features.x, features.y))
    i = int((real - mine).argmax())
    return f"of {task.names[i]}, {mine[i]:.0%} is explained by what learned from yours, {real[i]:.0%} from real rows"


PAIRS = PairsLine(
    "pairs of columns",
    "fidelity",
    "association",
    ("apart",),
    VALUES,
    "Squared distance, in standard deviations, of how columns go together two by two: rank correlations of numbers, "
    "correlation ratios with texts, shares of pairs of texts.",
    told=pairs_told,
)
UTILITY = UtilityLine(
    "utility",
    "fidelity",
    "association",
    ("apart",),
    VALUES,
    "Train on generated, test on real: the share of each column's variance (of its ranks) that a regression on the "
    "others explains in real rows it has not seen, on average over columns; the floor is that of real rows.",
    lambda line, features, p: regressions(features, p).compare,
    lambda features, p: "",
)
