"""A cloud that is carried to the law of the data in place of noise, as it fits these."""

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from monge import data as datasets
from monge import rng
from monge.data import Samples
from monge.errors import BadInput

KEPT = 2**22  # values of a cloud that a model keeps, to draw from
FAR = 50.0  # times the data's s.d.: from farther a straight way sees nothing of them until its end


def fitting(source: Any, rows: Samples) -> Samples:
    """The source as `Samples` of the nature of the data: columns are joined by name.

    Raises BadInput for events of another shape, other columns or cells coded otherwise, and NaN.
    """
    cloud = datasets.load(source, like=rows)
    if cloud.event_shape != rows.event_shape:
        raise BadInput(f"the source has events {list(cloud.event_shape)}, and the data {list(rows.event_shape)}")
    if (cloud.code is None) != (rows.code is None) or (
        cloud.code is not None and rows.code is not None and cloud.code.to_dict() != rows.code.to_dict()
    ):
        raise BadInput(
            f"the cells of {cloud.name} are coded in another way than those of {rows.name}: load it with "
            "monge.data.load(path, like=data)"
        )
    if not bool(all(part.isfinite().all() for part in torch.split(cloud.batch(range(len(cloud))), 2**16))):
        raise BadInput(f"{cloud.name} has values that are NaN or infinite: drop those rows of the source")
    if cloud.y is not None:
        warnings.warn(f"the labels of the source {cloud.name} are not told to the model", stacklevel=3)
    return cloud


def in_order(cloud: Samples, rows: Samples) -> Tensor:
    """The cloud's rows, columns in the order of the data's, float32."""
    x = cloud.batch(range(len(cloud))).float()
    if cloud.columns is None or rows.columns is None or cloud.columns == rows.columns:
        return x
    if sorted(cloud.columns) != sorted(rows.columns):
        raise BadInput(
            f"the source has columns {', '.join(cloud.columns)}, and the data {', '.join(rows.columns)}: give the same"
        )
    return x[:, [cloud.columns.index(name) for name in rows.columns]]


def kept(beside: Samples) -> Tensor:
    """Of what stands beside rows, as often as these weigh, as many as a model keeps."""
    x = beside.by_weight(0).y
    assert x is not None
    most = max(2, KEPT // math.prod(x.shape[1:]))
    return x[torch.randperm(len(x), generator=rng.generator(0, "source"))[:most].sort().values]


def refuse_far(x: Tensor) -> None:
    """Raise BadInput for scaled rows of a source that lie beyond sight of the data."""
    far = float(x.square().mean().sqrt())
    if far > FAR:
        raise BadInput(
            f"the source lies {far:.3g} standard deviations of the data away from them, root mean square: give it in "
            "the data's units, or scaled to their mean and deviation"
        )
