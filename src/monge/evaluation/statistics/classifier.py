"""Classifier two-sample test: can a classifier tell the two clouds apart?"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.doors import two_clouds
from monge.errors import BadInput


class TwoSampleAccuracy(NamedTuple):
    """accuracy: share of rows sorted rightly when held out; 1/2 is chance.

    error: its binomial standard error. rows: how many were sorted. p_value: one-sided, binomial against 1/2.
    """

    accuracy: float
    error: float
    rows: int
    p_value: float


def classifier_two_sample(
    x: Float[Tensor, "n *event"],
    y: Float[Tensor, "m *event"],
    classifier: Any = None,
    *,
    folds: int = 5,
    parts: int | None = None,
    seed: int = 0,
) -> TwoSampleAccuracy:
    """Cross-validated accuracy at telling x from y, equal numbers of each (Lopez-Paz & Oquab 2017).

    Events are flattened. The larger cloud is cut to a seeded subset, the rows dealt into `folds` balanced folds, and
    each fold sorted by the classifier fitted on the others. classifier: any unfitted one of scikit-learn; by default a
    logistic regression on standardised columns. parts: of the folds that are sorted, all if not given. The p-value
    P(Binomial(rows, 1/2) >= right) is exact for one fold given the others; over all folds, whose training sets overlap,
    it is close, on the small side by little.

    Raises `BadInput` if a cloud has fewer rows than folds.

    >>> x, y = torch.randn(60, 2), torch.randn(80, 2) + 9
    >>> classifier_two_sample(x, y).accuracy
    1.0
    """
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = two_clouds(x, y)
    n = min(len(x), len(y))
    if n < folds:
        raise BadInput(f"the smaller sample has {n} rows for {folds} folds: give more rows or ask for fewer folds")
    if classifier is None:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    clouds = []
    for name, cloud in (("x", x), ("y", y)):
        flat = cloud.detach().cpu().flatten(1)
        pick = torch.randperm(len(flat), generator=rng.generator(seed, "two-sample", name))[:n]
        clouds.append(flat[pick].numpy())
    rows, labels = np.concatenate(clouds), np.repeat([0, 1], n)
    fold = np.tile(np.arange(n) % folds, 2)
    right = 0
    for f in range(folds if parts is None else parts):
        fitted = clone(classifier).fit(rows[fold != f], labels[fold != f])
        right += int((fitted.predict(rows[fold == f]) == labels[fold == f]).sum())
    rows_sorted = int((fold < (folds if parts is None else parts)).sum())
    accuracy = right / rows_sorted
    error = math.sqrt(accuracy * (1 - accuracy) / rows_sorted)
    return TwoSampleAccuracy(accuracy, error, rows_sorted, chance_p_value(right, rows_sorted))


def chance_p_value(right: int, rows: int) -> float:
    """P(Binomial(rows, 1/2) >= right): how often guessing does as well.

    >>> chance_p_value(1, 1), chance_p_value(0, 1)
    (0.5, 1.0)
    """
    from scipy.stats import binom

    return float(binom.sf(right - 1, rows, 0.5))
