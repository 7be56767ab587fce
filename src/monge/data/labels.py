"""What rows are told apart by: a label each, a vector, or an image or field."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from monge import rng
from monge.data.samples import Samples
from monge.errors import BadInput

SHOWN = 12  # names listed in a message


@dataclass(frozen=True)
class Labels:
    """The labels, vectors or images that a model was told; what it can be asked for is checked against them.

    count: one more than the largest label; 0 where rows have vectors or images. seen: the labels that rows had, and
    shares: how many of the rows. names: those of all labels, or None. mean, std, low, high: of vectors, a number for
    each of their values; of images and fields, for each channel. space: sides of these.

    "None given" is the label `count`, or a vector or image of NaN.

    >>> labels = Labels.of(Samples(torch.eye(3), torch.tensor([0, 1, 1]), classes=("cat", "dog")))
    >>> labels.encode("dog", 2), labels.none(1)
    (tensor([1, 1]), tensor([2]))
    """

    count: int = 0
    seen: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    names: tuple[str, ...] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    space: tuple[int, ...] = ()

    @classmethod
    def of(cls, samples: Samples) -> "Labels | None":
        """Those of a data set; None if it has none. Raises BadInput for a negative label."""
        y = samples.y
        if y is None:
            return None
        if y.ndim == 1:
            if int(y.min()) < 0:
                raise BadInput(f"labels must be 0 or more, and {samples.name} has {int(y.min())}: number them from 0")
            count = len(samples.classes) if samples.classes else int(y.max()) + 1
            seen, rows = np.unique(y.numpy(), return_counts=True)
            return cls(count, tuple(seen.tolist()), tuple((rows / len(y)).tolist()), samples.classes)
        each = y.movedim(1, -1).flatten(0, -2)  # a row for each place
        std = each.std(0, correction=0)
        parts = (each.mean(0), torch.where(std > 0, std, 1.0), each.amin(0), each.amax(0))
        mean, scale, low, high = (tuple(part.tolist()) for part in parts)
        return cls(mean=mean, std=scale, low=low, high=high, space=tuple(y.shape[2:]))

    @property
    def features(self) -> int:
        """Length of the vectors; 0 for labels and images."""
        return 0 if self.space else len(self.mean)

    @property
    def context(self) -> int:
        """Channels of the images or fields; 0 for labels and vectors."""
        return len(self.mean) if self.space else 0

    def scaled(self, y: Shaped[Tensor, " n *k"]) -> Shaped[Tensor, " n *k"]:
        """As a network is told: labels as they are, vectors and channels of mean 0 and variance 1."""
        return y if self.count else (y - self._each(self.mean, y)) / self._each(self.std, y)

    def _each(self, numbers: tuple[float, ...], y: Tensor) -> Tensor:
        return y.new_tensor(numbers).reshape(-1, *[1] * len(self.space))

    def draw(self, n: int, *, seed: int = 0, start: int = 0) -> Int[Tensor, " n"]:
        """Labels as often as rows had them, for samples start .. start + n of a seed. Raises BadInput for vectors and
        images.

        >>> Labels.of(Samples(torch.eye(2), torch.tensor([1, 4]))).draw(5, seed=0)
        tensor([1, 1, 4, 1, 1])
        """
        if not self.count:
            what = "images" if self.space else "vectors"
            raise BadInput(f"{what} are not drawn: give the {what} to sample for")
        u = rng.uniform((n, 1), seed, "label", start=start, dtype=torch.float64)[:, 0]
        edges = torch.tensor(self.shares, dtype=torch.float64).cumsum(0)[:-1]
        return torch.tensor(self.seen)[torch.searchsorted(edges, u, right=True)]

    def none(self, n: int) -> Shaped[Tensor, " n *k"]:
        """n times "none given"."""
        shape = (n, len(self.mean), *self.space)
        return torch.full((n,), self.count) if self.count else torch.full(shape, torch.nan)

    def dropped(self, y: Shaped[Tensor, " n *k"], where: Bool[Tensor, " n"]) -> Shaped[Tensor, " n *k"]:
        """y with "none given" where asked."""
        none = self.none(len(y)).to(y)
        return torch.where(where.reshape(-1, *[1] * (y.ndim - 1)), none, y)

    def encode(self, label: Any, n: int) -> Shaped[Tensor, " n *k"]:
        """What a person asks for, as a network is told, one for each of n: a label or its name, n of them, or a vector
        or image. Where names look like numbers, a number is a name; a tensor holds labels as `Samples.y` does.

        Raises BadInput for a label that no row had, and for a number of labels or of values that does not fit; warns of
        a vector beyond those seen.
        """
        return self._labels(label, n) if self.count else self._events(label, n)

    def _labels(self, label: Any, n: int) -> Tensor:
        as_numbered = isinstance(label, Tensor)  # as `Samples.y` has them; else as a person says them
        each = label.tolist() if hasattr(label, "tolist") else label
        each = [each] if isinstance(each, str) or not isinstance(each, Sequence) else list(each)
        if len(each) not in (1, n):
            raise BadInput(f"give one label, or one for each of {n} samples, not {len(each)}")
        return torch.tensor([self._number(one, as_numbered) for one in each]).expand(n)

    def _number(self, label: Any, as_numbered: bool) -> int:
        names = () if as_numbered else self.names or ()
        is_number = (isinstance(label, int) and not isinstance(label, bool)) or _is_whole(label)
        as_name = str(int(label)) if is_number else str(label) if isinstance(label, bool) else label
        if as_name in names:  # a name that looks like a number is a name
            number = names.index(str(as_name))
        elif any(name.strip().isdigit() for name in names) or (isinstance(label, str) and not label.strip().isdigit()):
            number = -1
        elif isinstance(label, str | int) or _is_whole(label):
            number = int(label)
        else:
            number = -1
        if number not in self.seen:
            raise BadInput(f"no label {label!r}: the model was trained on {self.told}")
        return number

    def _events(self, label: Any, n: int) -> Tensor:
        try:
            y = torch.as_tensor(label, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"no vector {label!r}: the model was trained on {self.told}") from error
        event = (len(self.mean), *self.space)
        if y.ndim < len(event) and len(self.mean) == 1:
            y = y.reshape(1, *y.shape)
        y = y.reshape(1, *y.shape) if y.ndim == len(event) else y
        if y.shape not in ((1, *event), (n, *event)) or not bool(y.isfinite().all()):
            raise BadInput(
                f"the model was trained on {self.told}: give one such, or one for each of {n} samples, not "
                f"{list(y.shape)}{'' if bool(y.isfinite().all()) else ' with NaN or infinity'}"
            )
        if bool((y < self._each(self.low, y)).any() | (y > self._each(self.high, y)).any()):
            what = "an image has values" if self.space else "a vector lies"
            warnings.warn(f"{what} beyond those of training, {self.told}: what comes is a guess", stacklevel=4)
        return self.scaled(y).expand(n, *event)

    @property
    def told(self) -> str:
        """In words: what the model can be asked for."""
        if not self.count:
            what = f"images of {[len(self.mean), *self.space]}" if self.space else f"vectors of {self.features}"
            return f"{what} between {list(self.low)} and {list(self.high)}"
        shown = [self.names[i] if self.names else str(i) for i in self.seen[:SHOWN]]
        return f"{', '.join(shown)}{', ...' if len(self.seen) > SHOWN else ''}"

    def name(self, label: int) -> str:
        """The name of a label, or its number."""
        return self.names[label] if self.names else str(label)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Labels":
        """What `to_dict` wrote. Raises BadInput for anything else."""
        try:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
            return cls(**fields)
        except TypeError as error:
            raise BadInput(f"not labels as to_dict writes them ({error}): take them from a model.json") from error


def _is_whole(label: Any) -> bool:
    return isinstance(label, float) and label.is_integer()
