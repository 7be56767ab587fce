"""Two models of disjoint halves: what they share, what they do not, and what is refused."""

import json
import math

import pytest
import torch

import monge
from monge.data import Samples
from monge.errors import BadInput
from monge.evaluation import Turn, transition, twins
from monge.models import GAN, Diffusion, RealNVP
from monge.nets import Size
from monge.runs.generalisation import generalisation

SMALL = Size((32,))


def _rows(n: int, d: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.manual_seed(seed))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("twins") / "of"
    rows = _rows(200, 6) * torch.tensor([1.0, 3.0, 1, 1, 1, 1]) + 5
    given = {"steps": 300, "n": 64, "out": out, "show": False, "validation": 0, "batch_size": 64}
    return generalisation(Diffusion(net=SMALL), rows, [4, 80], **given), out, rows, given


def test_few_rows_are_copied_and_more_are_not(found):
    result, *_ = found
    curves = result.transition.curves
    assert curves["own"].value[0] > 0.7
    assert curves["copied"].low[0] > curves["held-out copied"].value[0]
    assert curves["twin"].value[0] < curves["twin"].value[1]
    assert curves["nearer to twin"].value[1] > curves["nearer to twin"].value[0]
    assert all(low <= value <= high for low, value, high in zip(*(curves["twin"][i] for i in (1, 0, 2)), strict=True))
    small, large = result.errors
    assert (small.held_out > 2 * small.trained)[:, 2:5].all()  # levels at which four rows are known by heart
    assert (large.held_out / large.trained).mean() < (small.held_out / small.trained).mean()


def test_both_models_share_units_and_no_row(found):
    out = found[1]
    pair = [monge.load(out / "size-80" / name) for name in "ab"]
    assert pair[0].scaling.to_dict() == pair[1].scaling.to_dict()
    torch.testing.assert_close(pair[0].moments.mean, pair[1].moments.mean)
    assert pair[0].levels() == pair[1].levels()
    prints = [
        json.loads((out / f"size-{n}" / name / "model.json").read_text())["data"]["fingerprint"]
        for n in (4, 80)
        for name in "ab"
    ]
    assert len(set(prints)) == 4


def test_an_experiment_goes_on_where_it_stopped(found):
    result, out, rows, given = found
    (out / "size-80" / "b" / "weights.safetensors").unlink()  # as if it had been killed
    again = generalisation(Diffusion(net=SMALL), rows, [4, 80], **(given | {"resume": True}))
    assert again.to_dict() == result.to_dict()
    kept = json.loads((out / "generalisation.json").read_text())
    assert kept["sizes"] == [4, 80]
    assert (out / "curves.png").stat().st_size > 1000
    with pytest.raises(BadInput, match="holds another run"):
        generalisation(Diffusion(net=SMALL), rows, [4, 80], **given)


def test_the_answer_does_not_depend_on_the_unit():
    rows = _rows(120, 2, seed=3)
    given = {"steps": 60, "n": 32, "show": False, "batch_size": 32, "validation": 0}
    one, two = (generalisation(RealNVP(), scale * rows + 7 * scale, [5, 40], **given) for scale in (1.0, 1e-3))
    for name, curve in one.transition.curves.items():
        assert curve.value == pytest.approx(two.transition.curves[name].value, abs=2e-2)


def test_pictures_of_both_and_a_family_without_a_denoiser(tmp_path):
    rows = torch.rand(60, 1, 8, 8, generator=torch.manual_seed(0))
    found = generalisation(
        GAN(critic_steps=1),
        Samples(rows, kind="fields"),
        [8],
        steps=2,
        n=10,
        batch_size=4,
        out=tmp_path / "g",
        show=False,
    )
    assert found.errors == found.bases == (None,)
    assert (tmp_path / "g" / "twins.png").stat().st_size > 1000
    assert found.pictures[0].samples.shape == found.pictures[0].nearest.shape == (2, 8, 1, 8, 8)
    assert found.transition.copying_ends.n in (0.0, math.inf)


def test_bases_of_twins_are_compared():
    x = torch.randn(80, 1, 6, 6, generator=torch.manual_seed(0)).cumsum(2).cumsum(3)
    model = Diffusion(net=Size((8,), blocks=1), augment=False)
    found = generalisation(model, Samples(x, kind="fields"), [10], steps=3, n=10, batch_size=8, show=False)
    (bases,) = found.bases
    assert bases.dimension.shape == (2, 4)
    assert ((bases.overlap > 16 / 36) & (bases.overlap <= 1 + 1e-6)).all()  # 16 / 36 of spaces that are strangers
    assert ((bases.dimension > 0) & (bases.dimension < 36)).all()
    assert found.to_dict()["bases"][0]["overlap"] == bases.overlap.tolist()


def test_groups_are_never_on_both_sides():
    groups = torch.arange(40).repeat_interleave(5)
    rows = _rows(40).repeat_interleave(5, 0) + 0.1 * _rows(200, seed=1)
    from monge.runs.generalisation import _halves

    halves, held, _ = _halves(Samples(rows, groups=groups), (60,), 0)
    sides = [set(part.groups.tolist()) for part in (*halves, held)]
    assert not sides[0] & sides[1]
    assert not (sides[0] | sides[1]) & sides[2]


class Walked(RealNVP):
    starts = False


@pytest.mark.parametrize(
    ("family", "rows", "sizes", "told"),
    [
        (RealNVP, _rows(100), [60], "half of the others, 45, and 60 is more"),
        (RealNVP, _rows(1), [3], "has 1 sample"),
        (RealNVP, torch.ones(50, 2).index_put((torch.tensor(0),), torch.zeros(())), [5], "48 repeats left out"),
        (Walked, _rows(100), [10], "no start"),
        (RealNVP, torch.full((50, 2), math.nan), [10], "NaN|finite"),
        (RealNVP, _rows(100), [2], "3 or more"),
        (RealNVP, _rows(100), [], "3 or more"),
        (RealNVP(labels=True), _rows(100), [10], "without labels"),
    ],
)
def test_what_cannot_be_asked_is_refused(family, rows, sizes, told):
    with pytest.raises(BadInput, match=told):
        generalisation(family, rows, sizes, steps=1, n=4, show=False)


def test_turns_are_told_in_words():
    assert Turn(0.0, (0.0, 31.4)).words([10, 100]) == "below 10 rows (below 10 to 31)"
    assert Turn(math.inf, (50.0, math.inf)).words([10, 1000]) == "above 1,000 rows (50 to above 1,000)"


def test_more_sizes_are_added_to_an_experiment(tmp_path):
    given = {"steps": 2, "n": 10, "out": tmp_path / "of", "show": False, "batch_size": 4}
    first = generalisation(RealNVP(), _rows(300), [10, 40], **given)
    more = generalisation(RealNVP(), _rows(300), [10, 40, 120], resume=True, **given)
    for name, curve in first.transition.curves.items():
        assert more.transition.curves[name].value[:2] == pytest.approx(curve.value)


def test_intervals_know_that_none_of_a_few_is_not_none():
    part = twins(_rows(50), _rows(50, seed=1), _rows(60, seed=2), _rows(60, seed=3), _rows(20, seed=4))
    none = part._replace(held_out_copied=torch.zeros(2, 20, dtype=torch.bool), copied=torch.zeros(2, 50) > 0)
    found = transition([none])
    assert found.curves["held-out copied"].high[0] > 0.02
    assert found.curves["copied"].value == (0.0,)


def test_units_are_shared_and_not_given():
    with pytest.raises(BadInput, match="scaling is what both"):
        generalisation(RealNVP, _rows(100), [10], scaling=None, steps=1, show=False)
