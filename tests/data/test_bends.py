"""Johnson's bend: found for laws that have one, in any unit, and for no others; counted, and undone, for fields too."""

import math

import pytest
import torch

from monge.data import Samples, Scaling
from monge.data.bends import bend

Z = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def fields(values, n=500):
    return Samples(values[: n * 32].reshape(n, 2, 4, 4).float(), kind="fields")


def test_a_law_of_johnsons_gets_its_own_bend():
    c, b = bend(3.0 + 0.7 * (1.2 * Z + 0.8).sinh())
    # two parameters by 1,024 quantiles, searched to an eighth of a doubling: within what that leaves
    assert abs(c - 3.0) < 0.1
    assert abs(math.log2(b / 0.7)) < 0.3
    z = ((3.0 + 0.7 * (1.2 * Z + 0.8).sinh() - c) / b).asinh()
    z = (z - z.mean()) / z.std()
    assert abs(float((z**3).mean())) < 0.1
    assert abs(float((z**4).mean()) - 3) < 0.1


@pytest.mark.parametrize("law", ["log-normal", "its mirror", "t(1.2)", "sparse", "exponential"])
def test_skew_and_heavy_laws_come_out_nearly_normal(law):
    g = torch.Generator().manual_seed(1)
    w = torch.rand(20_000, generator=g, dtype=torch.float64)
    gamma = torch.distributions.Gamma(0.6, 0.6)
    torch.manual_seed(0)
    x = {
        "log-normal": Z.exp(),
        "its mirror": -Z.exp(),
        "t(1.2)": Z / gamma.sample((20_000,)).double().sqrt(),
        "sparse": Z * torch.where(w < 0.9, 0.1, 1.0),
        "exponential": -w.log(),
    }[law]
    c, b = bend(x)
    z = ((x - c) / b).asinh()
    z = (z - z.mean()) / z.std()
    assert abs(float((z**3).mean())) < 0.3  # a law that begins where it is highest has no normal edge
    assert abs(float((z**4).mean()) - 3) < 1.5
    if law == "log-normal":  # the logarithm: centre at 0, and narrow beside the smallest value
        assert abs(c) < 0.05
        assert b < 0.15


@pytest.mark.parametrize("n", [5, 20, 100, 1000])
def test_what_is_normal_or_flat_or_has_modes_is_left(n):
    g = torch.Generator().manual_seed(n)
    for _ in range(50 if n < 1000 else 10):
        z, u = torch.randn(n, generator=g, dtype=torch.float64), torch.rand(n, generator=g, dtype=torch.float64)
        assert bend(z) == (0.0, 0.0)
        assert n < 100 or bend(u) == bend(torch.arange(n) % 2 + 0.1 * z) == (0.0, 0.0)
    assert bend(torch.ones(n)) == bend((torch.arange(n) == 0).double()) == (0.0, 0.0)


def lumps(share, width, n=6000):
    """Many values at 0, or next to it, among normal ones."""
    g = torch.Generator().manual_seed(3)
    z = torch.randn(n, generator=g, dtype=torch.float64)
    return torch.where(torch.rand(n, generator=g) < share, width * z, z.roll(1))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.6])
@pytest.mark.parametrize("width", [0.0, 1e-3])
def test_values_that_come_again_and_again_are_not_torn_into_modes(share, width):
    assert bend(lumps(share, width)) == (0.0, 0.0)


def test_two_values_far_off_do_not_hide_the_law_of_the_others():
    x = torch.cat([0.5 * Z[:6000] + 2 * (torch.arange(6000) % 2 * 2 - 1), torch.tensor([1e5, -1e5]).double()])
    c, b = bend(x)
    z = ((x - c) / b).asinh()
    assert float(z[:6000].std() / z.std()) > 0.7  # without, .001


@pytest.mark.parametrize("s", [1.0, 2.0, 3.0, 4.0])
def test_the_centre_of_a_wide_log_normal_is_left_of_all_values(s):
    x = (s * Z).exp()
    c, b = bend(x)
    assert float((x < c).double().mean()) < 1e-3
    z = ((x - c) / b).asinh()
    gain = z.std().log() + b_slope(x, c, b) - (s * Z).std().log() - (s * Z).mean()  # 0 for the logarithm itself
    assert abs(float(gain)) < 0.01


def b_slope(x, c, b):
    return ((x - c).square() + b**2).log().mean() / 2


@pytest.mark.parametrize(("s", "m"), [(1e3, 0.0), (1e-6, 5.0), (-2.0, 1.0)])
def test_units_change_the_bend_alike(s, m):
    x = (0.5 * Z).exp()
    c, b = bend(x)
    assert bend(s * x + m) == pytest.approx((s * c + m, abs(s) * b), rel=1e-3, abs=1e-3 * abs(s))


@pytest.mark.parametrize("s", [1e-20, 1e-3, 1e10, 1e15, 1e20])
def test_what_is_learned_has_no_unit(s):
    x = Z.exp()[:6400].float()
    for one, other in (
        (Samples(x.reshape(-1, 1, 8, 8), kind="fields"), Samples((s * x).reshape(-1, 1, 8, 8), kind="fields")),
        (Samples(x.reshape(-1, 2)), Samples((s * x).reshape(-1, 2))),
    ):
        a, b = (Scaling.fit(each, bend=True) for each in (one, other))
        z = b.forward(other.x)
        torch.testing.assert_close(z, a.forward(one.x), atol=1e-3, rtol=1e-3)
        assert abs(float(z.std()) - 1) < 0.01
        assert float(b.log_dets(z)[0] - a.log_dets(z)[0]) == pytest.approx(-math.log(s) * z[0].numel(), rel=1e-4)


def test_fields_are_bent_where_it_is_asked_for_and_densities_count_it():
    samples = fields(Z.exp())
    assert not Scaling.fit(samples).bends
    assert not Scaling.fit(Samples(Z.exp()[:, None]), bend=False).bends
    assert Scaling.fit(Samples(Z.exp()[:, None])).bends
    s = Scaling.fit(samples, bend=True)
    assert bool((s.marginals.bend > 0).all())
    assert not s.is_common
    assert s.unit == 1
    x = samples.x[:3].double()
    z = s.forward(x)
    torch.testing.assert_close(s.inverse(z), x)
    for i in range(3):
        J = torch.autograd.functional.jacobian(lambda v: s.forward(v[None])[0].flatten(), x[i]).reshape(32, 32)
        assert float(s.log_dets(z)[i]) == pytest.approx(float(torch.linalg.slogdet(J)[1]), rel=1e-6)
    again = Scaling.from_dict(s.to_dict())
    torch.testing.assert_close(again.forward(x), z)
    assert "bent by asinh" in s.statement
    whole = Samples(samples.x.round(), kind="fields", quantum=1.0)
    assert not (Scaling.fit(whole, bend=True).marginals.bend > 0).any()  # integers of a grid stay on it


def test_dry_places_come_back_as_often_and_the_rest_is_bent():
    rain = torch.where(Z > 0.3, (1.5 * Z).exp(), 0.0)  # dry, or more than a threshold
    samples = fields(rain)
    s = Scaling.fit(samples, bend=True)
    u = torch.rand(samples.x.shape, generator=torch.Generator().manual_seed(0))
    z = s.forward(s.dequantise(samples.x, u))
    assert bool((s.quantise(s.inverse(z)) == 0).eq(samples.x == 0).all())
    wet, dry = z[samples.x > 0], z[samples.x == 0]
    assert 0.05 < float(dry.std()) < 0.15
    assert float(dry.max()) < float(wet.min())
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2), atol=0.05, rtol=0)
