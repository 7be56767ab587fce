"""Samples: rows, parts, fingerprints, and what they say of themselves."""

import json

import numpy as np
import pytest
import torch

from monge.data import Samples, load
from monge.errors import BadInput


@pytest.fixture
def labelled() -> Samples:
    x = torch.arange(40.0).reshape(20, 2)
    return Samples(x, torch.arange(20) % 3, name="twenty", classes=("a", "b", "c"))


def test_split_is_a_partition_with_its_labels(labelled: Samples) -> None:
    train, holdout = labelled.split(0.25, seed=3)
    assert (len(train), len(holdout)) == (15, 5)
    rows = torch.cat([train.x, holdout.x])[:, 0] / 2
    assert sorted(rows.tolist()) == list(range(20))
    for part in (train, holdout):
        assert torch.equal(part.y, (part.x[:, 0] / 2).long() % 3)
        assert part.classes == labelled.classes


def test_split_follows_its_seed(labelled: Samples) -> None:
    first, again, other = (labelled.split(0.5, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first.x, again.x)
    assert first.fingerprint == again.fingerprint
    assert not torch.equal(first.x, other.x)


def test_split_is_recorded(labelled: Samples) -> None:
    train, holdout = labelled.split(0.25, seed=3)
    assert holdout.split_record == {
        "fraction": 0.25,
        "seed": 3,
        "part": "holdout",
        "n": 20,
        "fingerprint": labelled.fingerprint,
        "of": None,
    }
    nested = train.split(0.2)[0].split_record
    assert nested is not None
    assert nested["of"] == train.split_record


@pytest.mark.parametrize(
    ("fraction", "message"),
    [(0.0, "between 0 and 1"), (1.0, "between 0 and 1"), (0.01, "leaves 20 to train and 0 held out")],
)
def test_split_refuses_an_empty_part(labelled: Samples, fraction: float, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        labelled.split(fraction)


def test_rows_of_rows(labelled: Samples) -> None:
    part = labelled.take([5, 7, 9]).take([2, -3])
    assert part.x[:, 0].tolist() == [18.0, 10.0]
    assert part.batch(torch.tensor([1]))[0, 0] == 10.0
    assert part.y is not None
    assert part.y.tolist() == [0, 2]
    for index in (3, -4):
        with pytest.raises(BadInput, match=r"were asked of 3 samples"):
            labelled.take([5, 7, 9]).batch([index])


def test_batch_converts_bytes_and_halves() -> None:
    for dtype in (torch.uint8, torch.float16, torch.float64, torch.uint16):
        batch = Samples(torch.arange(6).reshape(3, 2).to(dtype)).batch([2, 0])
        assert batch.dtype == torch.float32
        assert batch.tolist() == [[4.0, 5.0], [0.0, 1.0]]


def test_fingerprint_sees_values_shape_dtype_and_order() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[7, 2] += 1e-6
    prints = [Samples(rows).fingerprint for rows in (x, changed, x.flip(0), x.reshape(100, 2), x.double(), x[:49])]
    assert len(set(prints)) == len(prints)
    assert Samples(x.clone(), name="other").fingerprint == prints[0]
    assert Samples(torch.cat([x[:1], x])).take(range(1, 51)).fingerprint == prints[0]


def test_fingerprint_is_the_same_on_every_machine() -> None:
    assert (
        Samples(torch.arange(12.0).reshape(6, 2)).fingerprint
        == "8966067cd7b10da4dca7327bff8635eba49ae5b6b4aa28c2670af6ef2545704a"
    )


def test_fingerprint_sees_every_row_of_data_that_are_not_huge() -> None:
    x = torch.arange(3 * 4096.0)[:, None]
    for row in (0, 1, 5000, -1):
        changed = x.clone()
        changed[row] = -1.0
        assert Samples(x).fingerprint != Samples(changed).fingerprint


def test_describe_is_json_and_survives_it(labelled: Samples) -> None:
    described = load("digits").split(0.2)[0].describe()
    assert json.loads(json.dumps(described)) == described
    assert described["source"] == "digits"
    assert described["limits"] == [0.0, 16.0]
    assert described["split"]["part"] == "train"
    assert labelled.describe()["classes"] == ["a", "b", "c"]


def test_samples_are_frozen(labelled: Samples) -> None:
    with pytest.raises(AttributeError):
        labelled.kind = "images"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(3, 2), "kind": "pictures"}, "kind 'pictures' is not known"),
        ({"x": torch.zeros(3, 2), "kind": "images"}, r"images came as a tensor \[3, 2\]"),
        ({"x": torch.zeros(3, 1, 8, 8)}, r"vectors came as a tensor \[3, 1, 8, 8\]"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(2, dtype=torch.int64)}, r"labels must be int64 \[3\]"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(3)}, "labels must be int64"),
        ({"x": torch.zeros(3, 2), "y": torch.tensor([0, 1, 2]), "classes": ("a", "b")}, r"lie in 0\.\.1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Samples(**arguments)  # type: ignore[arg-type]


def test_split_of_a_memory_map_stays_on_disk(tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(100, 3)))
    data = load(tmp_path / "x.npy")
    train, holdout = data.split(0.2)
    for part in (train, holdout):
        assert part._table.data_ptr() == data.x.data_ptr()
    assert torch.equal(holdout.batch(range(20)), holdout.x.float())


def test_equal_rows_and_groups_stay_on_one_side():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=g)
    x = torch.cat([x, x[:30], x[:10]])  # one row thrice, others twice
    train, holdout = Samples(x).split(0.3, seed=1)
    both = {tuple(row) for row in train.x.tolist()} & {tuple(row) for row in holdout.x.tolist()}
    assert not both
    assert len(train) + len(holdout) == len(x)
    assert 0.2 < len(holdout) / len(x) < 0.4
    groups = torch.arange(400) // 10
    train, holdout = Samples(x[:400], groups=groups).split(0.25, seed=2)
    assert not set(train.groups.tolist()) & set(holdout.groups.tolist())
    assert len(holdout) == 100
    again, other = train.split(0.5, seed=0)
    assert not set(again.groups.tolist()) & set(other.groups.tolist())
    with pytest.raises(BadInput, match="all fall on one side: give more groups"):
        Samples(x[:400], groups=torch.zeros(400, dtype=torch.int64)).split(0.25)


def test_data_that_repeat_by_nature_are_split_as_they_come():
    coins = (torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    train, holdout = Samples(coins).split(0.25, seed=0)
    assert len(holdout) == 50
    assert len(torch.unique(holdout.x, dim=0)) == len(torch.unique(train.x, dim=0)) == 4
