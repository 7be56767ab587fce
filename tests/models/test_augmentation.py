"""Rows that are moved while a network learns, and what it is told of it."""

import pytest
import torch

import monge
from monge.data import Samples
from monge.errors import BadInput
from monge.models.augmentation import Augmentation


def rows(n, *event):
    return torch.randn(n, *event, generator=torch.Generator().manual_seed(0))


def test_a_shift_is_what_is_told_and_borders_go_on():
    x = rows(200, 2, 8, 16)
    moved, told = Augmentation("images", (2, 8, 16))(x, torch.Generator().manual_seed(1))
    shifts = (told * torch.tensor([1, 2])).round().long()
    assert shifts[:, 0].unique().tolist() == [-1, 0, 1]
    assert shifts[:, 1].unique().tolist() == [-2, -1, 0, 1, 2]
    for k in range(200):
        down, right = shifts[k].tolist()
        i = (torch.arange(8) - down).clamp(0, 7)
        j = (torch.arange(16) - right).clamp(0, 15)
        assert torch.equal(moved[k], x[k][:, i][:, :, j])
    still = (shifts == 0).all(1)
    assert 0.2 < still.float().mean() < 0.8
    assert torch.equal(moved[still], x[still])


@pytest.mark.parametrize("event", [(1, 6), (2, 4, 6), (1, 4, 4), (1, 2, 4, 6)])
def test_mirrors_keep_the_values(event):
    x = rows(60, *event)
    moves = Augmentation("fields", event)
    moved, told = moves(x, torch.Generator().manual_seed(1))
    assert told.shape == (60, moves.features)
    assert torch.equal(moved.flatten(1).sort(1)[0], x.flatten(1).sort(1)[0])
    space = len(event) - 1
    assert moves.features == space + (event in [(1, 4, 4)])
    for k in range(60):
        y = x[k].flip([1 + axis for axis in range(space) if told[k, axis]])
        y = y.transpose(1, 2) if moves.square and told[k, -1] else y
        assert torch.equal(moved[k], y)


def test_the_move_is_told_and_what_is_drawn_is_not_moved():
    """Rows with a bright first column: were moves to leak, the second would be bright at times."""
    x = 0.1 * rows(300, 1, 4, 4)
    x[:, :, :, 0] += 3
    model = monge.Diffusion(net=monge.nets.Size(widths=(16,), blocks=1))
    model.fit(Samples(x, kind="images"), steps=150, show=False)
    drawn = model.sample(300, nfe=10, show=False)
    assert (drawn[:, :, :, 0] > 2).float().mean() > 0.98
    assert (drawn[:, :, :, 1:] < 1).float().mean() > 0.98
    y = x[:5] + rows(5, 1, 4, 4)
    level = torch.ones(5)
    told = [model.denoiser(y, level, moved=torch.full((5, 2), float(k))) for k in (0, 1)]
    assert torch.equal(told[0], model.denoiser(y, level))
    assert not torch.equal(*told)


def test_two_rows_are_enough_and_a_blind_likelihood_stays_what_it_is():
    for n in (2, 3, 60):
        x = rows(n, 1, 8, 8)
        net = monge.nets.Size(widths=(8,), blocks=1)
        assert (
            monge.Diffusion(net=net)
            .fit(Samples(x, kind="images"), steps=2, show=False)
            .sample(2, nfe=3)
            .isfinite()
            .all()
        )
    blind = monge.Diffusion(blind=True, net=net).fit(Samples(x, kind="images"), steps=2, show=False)
    before = blind.encode(x[:2])
    blind.sample(2, nfe=3, show=False)
    assert torch.equal(blind.encode(x[:2]), before)


def test_constant_sites_stay_constant():
    x = torch.zeros(60, 1, 8, 8)
    x[:, :, 2:6, 2:6] = rows(60, 1, 4, 4).cumsum(-1)
    net = monge.nets.Size(widths=(8,), blocks=1)
    drawn = (
        monge.Diffusion(net=net).fit(Samples(x, kind="fields"), steps=30, show=False).sample(100, nfe=10, show=False)
    )
    assert drawn[:, :, :2].std() < 0.02 * drawn[:, :, 2:6, 2:6].std()


def test_many_rows_are_not_moved_and_a_run_remembers(tmp_path):
    few, many = (Samples(rows(n, 1, 4, 4), kind="images") for n in (50, 5000))
    net = monge.nets.Size(widths=(8,), blocks=1)
    model = monge.Diffusion(net=net).fit(few, steps=2, out=tmp_path / "few", show=False)
    assert model.denoiser.net.condition.move is not None
    again = monge.load(tmp_path / "few")
    assert torch.equal(again.sample(3, nfe=3), model.sample(3, nfe=3))
    assert monge.Diffusion(net=net).fit(many, steps=2, show=False).denoiser.net.condition.move is None
    assert monge.Diffusion(net=net, augment=False).fit(few, steps=2, show=False).augmentation is None
    assert monge.Diffusion(net=net, augment=True).fit(many, steps=2, show=False).augmentation is not None


@pytest.mark.parametrize("settings", [{"blind": True}, {"net": torch.nn.Identity()}, {}])
def test_moves_of_what_cannot_be_told_are_refused(settings):
    data = Samples(rows(50, 3), kind="vectors") if not settings else Samples(rows(50, 1, 4, 4), kind="images")
    with pytest.raises(BadInput, match="augment=True is for pictures and fields"):
        monge.Diffusion(augment=True, **settings).fit(data, steps=1, show=False)
