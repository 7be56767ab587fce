"""Labels: whether each has its share, as recognised, and whether given ones are those that are recognised."""

from dataclasses import dataclass

import torch
from torch import Tensor

from monge import rng
from monge.evaluation.descriptors import PRINCIPAL, Descriptor, Fitted, main_descriptor
from monge.evaluation.lines.means import MeanLine, differences
from monge.evaluation.looks import Features
from monge.evaluation.prepared import Prepared
from monge.evaluation.split import Labels


@dataclass(frozen=True)
class LabelLine(MeanLine):
    """Mean probabilities of each label, by a logistic regression that learned from the shaping rows."""

    def needs(self, p: Prepared) -> bool:
        return p.split.labels is not None

    def look(self, p: Prepared) -> Descriptor:
        labels = p.split.labels
        assert labels is not None
        base = main_descriptor(p.split.event)

        def fit(real: Tensor, seed: int) -> Fitted:
            from sklearn.linear_model import LogisticRegression

            model = LogisticRegression(max_iter=300, C=1.0).fit(real.numpy(), labels.shaping.numpy())
            weight = torch.from_numpy(model.coef_).float()
            bias = torch.from_numpy(model.intercept_).float()

            def measure(x: Tensor) -> Tensor:
                logits = x @ weight.T + bias
                return logits.softmax(1) if len(weight) > 1 else torch.sigmoid(torch.cat([-logits, logits], 1))

            return Fitted(measure, tuple(f"label {labels.name(int(label))}" for label in model.classes_))

        return Descriptor("labels, as recognised", fit, base.applies, base.cost, "everything within a label", (base,))


@dataclass(frozen=True)
class GivenLine(LabelLine):
    """Of the rows of each label that was given their share, and how surely it is recognised: exact by relabelling, for
    a row carries its label along."""

    def needs(self, p: Prepared) -> bool:
        return p.split.labels is not None and p.split.labels.generated is not None

    def features(self, p: Prepared) -> Features:
        labels, generated = _given(p)
        return self._of(p, generated, labels.counted)

    def plain(self, p: Prepared) -> Tensor:
        labels, generated = _given(p)
        return self._of(p, generated, labels.counted).y[: len(p.planting.pool.events)]

    def means(self, p: Prepared, defect: str, factor: float, times: int = 1) -> tuple[Tensor, Tensor]:
        """With the label of another row on a share of the rows."""
        labels, generated = _given(p)
        other = labels.counted[torch.randperm(len(labels.counted), generator=rng.generator(p.seed, "other labels"))]
        plain, changed = self.plain(p), self._of(p, generated, other).y[: len(p.planting.pool.events)]
        return p.planting.drawn_means(defect, factor, times, torch.cat([plain, changed]), plain)

    def _of(self, p: Prepared, mine: Tensor, real: Tensor) -> Features:
        recognised, (labels, generated) = p.looks.of(self.look(p)), _given(p)
        kinds = torch.unique(torch.cat([labels.shaping, labels.counted, generated]))
        column = {int(label): c for c, label in enumerate(torch.unique(labels.shaping))}
        known = torch.tensor([column.get(int(label), -1) for label in kinds])

        def joined(probabilities: Tensor, given: Tensor) -> Tensor:
            at = known[torch.searchsorted(kinds, given)]
            own = torch.where(at >= 0, probabilities.gather(1, at.clamp(min=0)[:, None])[:, 0], 0.0)
            hot = (given[:, None] == kinds).float()
            return torch.cat([hot, hot * own[:, None]], 1)

        names = [labels.name(int(label)) for label in kinds]
        told = (*(f"share of given label {name}" for name in names), *(f"label {name} recognised" for name in names))
        x, y = joined(recognised.x, mine), joined(recognised.y, real)
        return Features(x, y, joined(recognised.shaping, labels.shaping), Fitted(lambda x: x, told))


def _given(p: Prepared) -> tuple[Labels, Tensor]:
    labels = p.split.labels
    if labels is None or labels.generated is None:
        raise LookupError("no labels of generated samples were given")
    return labels, labels.generated


def shares(features: Features, p: Prepared) -> str:
    """The label whose share differs most."""
    z, _ = differences(features)
    i = int(z.abs().argmax())
    real, generated = float(features.y[:, i].mean()), float(features.x[:, i].mean())
    return f"{features.fitted.names[i]} is {real:.1%} of real samples and {generated:.1%} of yours, as recognised"


LABELS = LabelLine(
    "labels",
    "diversity",
    "label",
    ("label",),
    PRINCIPAL,
    "Whether each label has its share of generated samples, as a classifier trained on real ones recognises them; "
    "labels that were given are not read here.",
    told=shares,
)
GIVEN = GivenLine(
    "labels given",
    "fidelity",
    "labels",
    ("mislabelled",),
    PRINCIPAL,
    "Squared distance, in standard deviations, of the share of each label that was given, and of how surely a "
    "classifier trained on real samples recognises it.",
)
