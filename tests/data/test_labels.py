"""Labels and vectors: what a model was told is what it can be asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from monge.data import Labels, Samples, load
from monge.errors import BadInput

NAMED = Samples(torch.eye(4), torch.tensor([0, 1, 1, 3]), classes=("ant", "bee", "cat", "dog"))
NUMBERED = Samples(torch.eye(4), torch.tensor([5, 1, 1, 3]))
VECTORS = Samples(torch.eye(4), torch.tensor([[0.0, 10.0], [1.0, 30.0], [2.0, 20.0], [1.0, 20.0]]))


@pytest.mark.parametrize("data", [NAMED, NUMBERED, VECTORS], ids=["named", "numbered", "vectors"])
def test_they_come_back_from_json(data: Samples) -> None:
    labels = Labels.of(data)
    assert labels is not None
    assert Labels.from_dict(json.loads(json.dumps(labels.to_dict()))) == labels
    assert Labels.of(Samples(data.x)) is None


@pytest.mark.parametrize(
    "label", [1, "bee", "1", 1.0, np.int64(1), torch.tensor(1), [1, "bee", 1], np.array([1, 1, 1])]
)
def test_a_label_is_asked_for_in_many_ways(label: object) -> None:
    assert Labels.of(NAMED).encode(label, 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("label", [2, "cat", "cow", -1, 4, 1.5, None, [0, 1], torch.tensor([0, 0, 2])])
def test_a_label_that_no_row_had_is_refused(label: object) -> None:
    with pytest.raises(BadInput, match=r"the model was trained on ant, bee, dog|one for each of 3"):
        Labels.of(NAMED).encode(label, 3)


def test_a_name_that_looks_like_a_number_is_a_name() -> None:
    labels = Labels.of(Samples(torch.eye(4), torch.tensor([0, 1, 2, 2]), classes=("10", "2", "7")))
    for label in ("2", 2, 2.0, np.int64(2)):
        assert labels.encode(label, 1).tolist() == [1]
    assert labels.encode(torch.tensor([1, 2]), 2).tolist() == [1, 2]  # as Samples.y has them
    for label in ("1", 1, 0, "0", "2.0"):
        with pytest.raises(BadInput, match=r"no label .*: the model was trained on 10, 2, 7"):
            labels.encode(label, 1)


def test_labels_are_drawn_as_often_as_they_came_each_for_its_sample() -> None:
    labels = Labels.of(Samples(torch.zeros(10, 1), torch.tensor([2] * 7 + [5] * 3)))
    assert labels.shares == (0.7, 0.3)
    y = labels.draw(20_000, seed=1)
    assert set(y.tolist()) == {2, 5}
    assert abs((y == 5).double().mean() - 0.3) < 4 * (0.21 / 20_000) ** 0.5
    assert torch.equal(labels.draw(40, seed=1, start=60), y[60:100])
    with pytest.raises(BadInput, match="vectors are not drawn"):
        Labels.of(VECTORS).draw(2)


def test_labels_without_names_are_numbers() -> None:
    labels = Labels.of(NUMBERED)
    assert (labels.count, labels.seen) == (6, (1, 3, 5))
    with pytest.raises(BadInput, match="no label 4: the model was trained on 1, 3, 5"):
        labels.encode(4, 1)


def test_vectors_are_standardised_and_checked() -> None:
    labels = Labels.of(VECTORS)
    y = labels.scaled(VECTORS.y)
    assert torch.allclose(y.mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(y.var(0, correction=0), torch.ones(2), atol=1e-6)
    assert torch.allclose(labels.encode([1.0, 30.0], 5), y[1].expand(5, 2))
    assert torch.allclose(labels.encode(VECTORS.y, 4), y)
    with pytest.warns(UserWarning, match="beyond those of training"):
        labels.encode([3.0, 20.0], 1)
    for wrong in (1.0, [1.0, 2.0, 3.0], [[1.0, 20.0]] * 3, [1.0, float("nan")], "bee"):
        with pytest.raises(BadInput, match="trained on vectors of 2"):
            labels.encode(wrong, 2)


@pytest.mark.parametrize("data", [NAMED, VECTORS], ids=["labels", "vectors"])
def test_what_is_dropped_is_as_if_it_had_not_been_given(data: Samples) -> None:
    labels = Labels.of(data)
    where = torch.tensor([True, False, False, True])
    y = labels.scaled(data.y)
    assert torch.equal(labels.dropped(y, where)[~where], y[~where])
    assert torch.equal(labels.dropped(y, where)[where].nan_to_num(7), labels.none(2).nan_to_num(7))


def test_negative_labels_and_vectors_with_nan_are_refused() -> None:
    with pytest.raises(BadInput, match="labels must be 0 or more"):
        Labels.of(Samples(torch.eye(2), torch.tensor([-1, 0])))
    with pytest.raises(BadInput, match="NaN or infinity"):
        Samples(torch.eye(2), torch.tensor([[0.0], [float("nan")]]))


def test_a_file_s_real_numbers_are_vectors(tmp_path: Path) -> None:
    x, y = np.arange(12.0).reshape(4, 3) + 0.5, np.array([0.5, 1.0, 1.5, 2.0])
    np.savez(tmp_path / "a.npz", x=x, y=y)
    assert torch.equal(load(tmp_path / "a.npz").y, torch.from_numpy(y).float()[:, None])
    np.savez(tmp_path / "b.npz", x=x, y=np.stack([y, y], 1))
    assert load(tmp_path / "b.npz").y.shape == (4, 2)
