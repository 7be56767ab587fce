"""What single channels need: atoms at a limit, integers among real columns, heavy tails; undone, and counted."""

import json
import math

import numpy as np
import pytest
import torch

from monge.data import Samples, Scaling
from monge.data.marginals import Marginals

G = torch.Generator().manual_seed(0)
Z = torch.randn(4000, generator=G)
TABLE = torch.stack(
    [
        (Z + 0.5).clamp(min=0),  # an atom at 0
        torch.poisson(torch.full((4000,), 3.0), generator=G),  # integers
        Z / torch.rand(4000, generator=G),  # heavy tails
        torch.rand(4000, generator=G),
    ],
    1,
)


def scaling():
    return Scaling.fit(Samples(TABLE))


def test_columns_get_what_they_need():
    m = scaling().marginals
    assert (m.below > 0).tolist() == [True, False, False, False]
    assert (m.step > 0).tolist() == [False, True, False, False]
    assert (m.bend > 0).tolist() == [True, False, True, False]


def test_what_is_spread_and_scaled_comes_back():
    s = scaling()
    u = torch.rand(TABLE.shape, generator=G)
    z = s.forward(s.dequantise(TABLE, u).double())
    assert z.mean(0).abs().max() < 0.05
    assert (z.std(0) - 1).abs().max() < 0.05
    back = s.quantise(s.inverse(z))
    torch.testing.assert_close(back, TABLE.double(), rtol=1e-5, atol=1e-6)
    assert bool((back[:, 0] == 0).eq(TABLE[:, 0] == 0).all())


def test_what_is_drawn_beyond_a_limit_is_the_limit_at_the_right_rate():
    s = scaling()
    drawn = s.quantise(s.inverse(s.forward(s.dequantise(TABLE, torch.rand(TABLE.shape, generator=G)))))
    assert float((drawn[:, 0] == 0).float().mean()) == float((TABLE[:, 0] == 0).float().mean())
    assert bool((drawn[:, 1] == drawn[:, 1].round()).all())
    far = s.quantise(torch.full((1, 4), -50.0))
    assert far[0, :2].tolist() == [0.0, 0.0]
    assert far[0, 3] == -50.0  # no atom there: nothing is cut off


def test_log_dets_are_those_of_autograd():
    s = scaling()
    x = s.dequantise(TABLE[:6].double(), torch.rand(6, 4, generator=G, dtype=torch.float64))
    for row in x:
        jacobian = torch.autograd.functional.jacobian(lambda r: s.forward(r[None])[0], row)
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(s.log_dets(s.forward(row[None]))[0], expected, rtol=1e-9, atol=1e-9)


def test_a_bent_normal_has_its_density():
    """log N(z) + log_dets is the density of sinh-normal data, which integrates to 1."""
    x = torch.sinh(2.0 * Z)[:, None]
    s = Scaling.fit(Samples(x))
    grid = torch.linspace(-8, 8, 20001, dtype=torch.float64).sinh()[:, None]
    z = s.forward(grid)
    density = (-0.5 * z.square().sum(1) - 0.5 * math.log(2 * math.pi) + s.log_dets(z)).exp()
    assert np.trapezoid(density.numpy(), grid[:, 0].numpy()) == pytest.approx(1.0, abs=1e-3)


def test_fields_have_atoms_at_a_limit_and_no_more():
    field = torch.randn(50, 1, 8, 8, generator=G).clamp(min=0.2)
    s = Scaling.fit(Samples(field, kind="fields"))
    assert float(s.marginals.below) > 0
    assert not s.marginals.bends
    spread = s.dequantise(field, torch.rand(field.shape, generator=G))
    assert torch.equal(s.quantise(spread), field)
    assert "drawn beyond is the limit" in s.statement


def test_few_values_come_back_each_as_often_as_it_was():
    kinds = torch.tensor([-1.25, 0.5, 0.75, 9.99])
    x = torch.stack([kinds[torch.randint(4, (4000,), generator=G)], torch.rand(4000, generator=G)], 1)
    s = Scaling.fit(Samples(x))
    assert s.marginals.values[0].tolist() == kinds.double().tolist()
    assert len(s.marginals.values[1]) == 0
    spread = s.dequantise(x, torch.rand(x.shape, generator=G))
    assert len(spread[:, 0].unique()) > 3900
    assert torch.equal(s.quantise(s.inverse(s.forward(spread)))[:, 0], x[:, 0])
    assert s.quantise(torch.tensor([[-40.0, 0.1], [40.0, 0.1]]))[:, 0].tolist() == kinds[[0, 3]].tolist()
    again = Scaling.from_dict(json.loads(json.dumps(s.to_dict())))
    assert torch.equal(again.dequantise(x, x), s.dequantise(x, x))
    assert "few values" in s.statement


def test_json_and_data_that_need_nothing():
    s = scaling()
    again = Scaling.from_dict(json.loads(json.dumps(s.to_dict())))
    z = torch.randn(5, 4, generator=G)
    assert torch.equal(again.quantise(again.inverse(z)), s.quantise(s.inverse(z)))
    plain = Scaling.fit(Samples(torch.randn(300, 2, generator=G)))
    assert not plain.spreads
    assert plain.statement == "data are continuous: densities are per data unit"


def test_atoms_of_integers_are_stretched_and_counted():
    x = (9 * Z.reshape(-1, 1, 2, 2) + 12).round().clamp(0, 30)
    s = Scaling.fit(Samples(x, kind="images", quantum=1.0, limits=(0.0, 30.0)))
    assert float(s.marginals.lower) == pytest.approx(x.std().item() / 3, rel=0.02)
    spread = s.dequantise(x, torch.rand(x.shape, generator=G)).double()
    z = s.forward(spread)
    assert abs(z.mean()) < 0.02
    assert z.std() == pytest.approx(1.0, abs=0.02)
    torch.testing.assert_close(s.inverse(z), spread, rtol=0, atol=1e-9)
    assert torch.equal(s.quantise(s.inverse(z)), x.double())
    row = spread[:1].clone()
    row[0, 0] = torch.tensor([[-0.3, 0.2], [5.0, 30.4]])
    jacobian = torch.autograd.functional.jacobian(lambda r: s.forward(r.reshape(row.shape)).flatten(), row.flatten())
    torch.testing.assert_close(s.log_dets(s.forward(row))[0], torch.linalg.slogdet(jacobian).logabsdet)


def test_noise_is_not_stretched():
    x = (9 * Z.reshape(-1, 1, 2, 2) + 12).round().clamp(0, 30)
    s = Scaling.fit(Samples(x, kind="images", quantum=1.0, limits=(0.0, 30.0)))
    noise = torch.randn(x.shape, generator=G, dtype=torch.float64)
    scaled = s.forward(x + 5 * noise, noisy=True) - s.forward(x.double(), noisy=True)
    torch.testing.assert_close(scaled, 5 * noise / s.unit, rtol=0, atol=1e-9)
    assert (s.forward(x + 5 * noise) - s.forward(x.double()) - scaled).abs().max() > 0.1


def test_an_atom_lies_in_the_middle_of_its_room_and_what_is_drawn_anywhere_in_it_is_the_atom():
    x = (9 * torch.randn(400, 1, 4, 4, generator=G)).round().clamp(0, 30)
    s = Scaling.fit(Samples(x, kind="images", quantum=1.0, limits=(0.0, 30.0)))
    u = torch.rand(x.shape, generator=G)
    z = s.forward(s.dequantise(x, u).double())
    black, others = z[x == 0], z[x > 0]
    room = float(others.min() - black.mean()) * 2
    assert float(black.max() - black.min()) < 0.15 * room
    anywhere = black.mean() + room * torch.linspace(-0.45, 0.45, 20).double()
    assert (s.quantise(s.inverse(anywhere.reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4))) == 0).all()
    torch.testing.assert_close(s.inverse(z), s.dequantise(x, u).double(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("columns", [2, 3])
def test_several_heavy_columns_are_bent_each_by_its_own(columns):
    x = torch.from_numpy(np.random.default_rng(0).lognormal(0, 1.5, (1000, 3))) * torch.tensor([1.0, 1e3, 1e-3])
    x = x[:, :columns].float()
    together, alone = Scaling.fit(Samples(x)), [Scaling.fit(Samples(x[:, i : i + 1])) for i in range(columns)]
    assert (together.marginals.bend > 0).all()
    z = together.forward(x)
    for i, scaling in enumerate(alone):
        ours = (z[:, i] - z[:, i].mean()) / z[:, i].std()
        theirs = scaling.forward(x[:, i : i + 1])[:, 0]
        torch.testing.assert_close(ours, (theirs - theirs.mean()) / theirs.std(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together.inverse(z.double()), x.double(), rtol=1e-4, atol=1e-6)


def test_a_choice_of_several_is_drawn_as_one_and_spread_by_little():
    g = torch.Generator().manual_seed(0)
    x = torch.nn.functional.one_hot(torch.randint(4, (500,), generator=g), 4).double()
    x = torch.cat([x, (torch.rand(500, 1, generator=g) < 0.2).double()], 1)
    m = Marginals.fit(lambda: iter([x[..., None]]), bend=True, whole=True, blocks=((0, 4), (4, 5)))
    spread = m.spread(x, torch.rand(500, 5, generator=g, dtype=torch.float64))
    assert float((spread - x).abs().max()) < 0.1
    near = x + 0.4 * torch.randn(500, 5, generator=g, dtype=torch.float64)
    drawn = m.restore(near.clone())
    assert torch.equal(drawn[:, :4].argmax(1), near[:, :4].argmax(1))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert bool((drawn[:, :4].sum(1) == 1).all())
    assert torch.equal(m.spread(x, torch.full_like(x, 0.5)), x)  # and again: nothing of it has changed


def test_what_is_the_same_in_all_rows_is_drawn_so():
    x = torch.stack([torch.linspace(0, 1, 200), torch.full((200,), 0.001)], 1)
    m = Marginals.fit(lambda: iter([x[..., None]]), bend=True, whole=True)
    assert m.restore(x + torch.randn(200, 2)).double()[:, 1].unique().tolist() == [float(x[0, 1].double())]
