"""Built-in data against the laws that they state."""

import math

import pytest
import torch

from monge.data import BUILTINS, gaussian_field, load, patches, power_law_spectrum
from monge.data.planar import banana, checkerboard, moons, pinwheel, rings


@pytest.mark.parametrize("name", BUILTINS)
def test_every_name_loads_finite_float32_and_remembers_its_source(name: str) -> None:
    source = name if name == "digits" else f"{name}?n=50&seed=3"
    data = load(source)
    assert data.source == source
    assert data.name == name
    assert data.x.dtype == torch.float32
    assert bool(data.x.isfinite().all())
    assert load(source).fingerprint == data.fingerprint
    if name != "digits":
        assert len(data) == 50
        assert load(f"{name}?n=50&seed=4").fingerprint != data.fingerprint


@pytest.mark.parametrize("name", [name for name in BUILTINS if name not in ("digits", "patches")])
def test_a_sample_does_not_depend_on_how_many_are_drawn(name: str) -> None:
    many, few = load(f"{name}?n=300").x, load(f"{name}?n=7").x
    # the last bit may follow the vector width of the processor
    torch.testing.assert_close(many[:7], few, rtol=1e-6, atol=1e-6)


def test_digits() -> None:
    digits = load("digits")
    assert digits.x.shape == (1797, 1, 8, 8)
    assert (float(digits.x.min()), float(digits.x.max())) == (0.0, 16.0)
    assert torch.equal(digits.x, digits.x.round())
    assert digits.y is not None
    assert digits.y.bincount().min() > 170
    assert digits.classes == tuple("0123456789")


def test_patches_are_integers_that_do_not_overlap() -> None:
    data = patches(size=16)
    assert data.x.shape == (2080, 1, 16, 16)
    assert torch.equal(data.x, data.x.round())
    assert 0 <= data.x.min() < data.x.max() <= 255
    assert len(data.x.flatten(1).unique(dim=0)) > 2050  # sky repeats itself, shared pixels would not
    assert data.classes == ("china", "flower")
    few = patches(100, size=16)
    assert torch.equal(few.x, data.x[:100])
    assert not torch.equal(patches(100, seed=1).x, few.x)


def test_rings_have_equal_mass_and_their_radii() -> None:
    n, noise = 20_000, 0.08
    data = rings(n, noise=noise)
    radius = data.x.double().norm(dim=1)
    for k in range(4):
        mine = radius[data.y == k]
        assert abs(len(mine) - n / 4) < 5 * math.sqrt(n * 3 / 16)
        centre = 0.75 * (k + 1)
        # Rice law: mean r + s^2 / 2 r and variance s^2, up to s^4 / r^3
        bias = noise**2 / (2 * centre)
        assert abs(float(mine.mean()) - centre - bias) < 5 * noise / math.sqrt(len(mine)) + noise**4 / centre**3
    assert float(data.x.double().mean(0).norm()) < 5 * math.sqrt(3 / n)


def test_moons_without_noise_lie_on_their_half_circles() -> None:
    data = moons(2000, noise=0.0)
    upper, lower = data.x[data.y == 0].double(), data.x[data.y == 1].double()
    assert (upper.norm(dim=1) - 1).abs().max() < 1e-6
    assert upper[:, 1].min() >= -1e-6
    assert ((lower - torch.tensor([1.0, 0.5])).norm(dim=1) - 1).abs().max() < 1e-6
    assert lower[:, 1].max() <= 0.5 + 1e-6
    assert abs(len(upper) - 1000) < 5 * math.sqrt(500)


def test_banana_moments() -> None:
    n = 100_000
    x = banana(n).x.double()
    x1, x2 = x.unbind(1)
    residual = x1 - x2.square() / 4
    for values, mean in (
        (x1, 1.0),
        (x2, 0.0),
        (x2.square(), 4.0),
        ((x1 - 1).square(), 3.0),
        (x1 * x2, 0.0),
        (residual, 0.0),
        (residual.square(), 1.0),
        (residual * x2.square(), 0.0),
        (x2**4, 48.0),
    ):
        assert abs(float(values.mean()) - mean) < 5 * float(values.std()) / math.sqrt(n)


def test_checkerboard_is_uniform_on_dark_squares() -> None:
    n = 40_000
    x = checkerboard(n).x
    column, row = ((x + 4) / 2).floor().long().unbind(1)
    assert bool(((column + row) % 2 == 0).all())
    counts = (4 * column + row).bincount(minlength=16)
    dark = counts[counts > 0].double()
    assert len(dark) == 8
    chi2 = float(((dark - n / 8).square() / (n / 8)).sum())
    assert chi2 < 7 + 5 * math.sqrt(14)
    inside = ((x + 4) / 2) % 1
    assert (inside.mean(0) - 0.5).abs().max() < 5 * math.sqrt(1 / 12 / n)


def test_pinwheel_arms_are_turned_copies() -> None:
    data = pinwheel(20_000)
    means = torch.stack([data.x[data.y == k].double().mean(0) for k in range(5)])
    error = 5 * 2 * 0.4 / math.sqrt(4000)
    turn = 2 * math.pi / 5
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=torch.float64)
    assert (means.roll(-1, 0) - means @ rotation.T).abs().max() < 2 * error
    radius2 = data.x.double().square().sum(1)
    assert abs(float(radius2.mean()) - 4 * (1 + 0.09 + 0.01)) < 5 * float(radius2.std()) / math.sqrt(20_000)


@pytest.mark.parametrize(("shape", "slope"), [((64,), 1.0), ((16, 12), 2.0), ((8, 6, 10), 3.0), ((15,), 4.0)])
def test_spectrum_of_gaussian_field(shape: tuple[int, ...], slope: float) -> None:
    n, sites = 2000, math.prod(shape)
    x = gaussian_field(n, shape=shape, slope=slope).x[:, 0].double()
    axes = tuple(range(1, x.ndim))
    measured = torch.fft.fftn(x, dim=axes).abs().square() / sites
    expected = power_law_spectrum(shape, slope)
    # |x_hat|^2 is P times chi^2_2 / 2, or chi^2_1 where k = -k: its own spread gives the standard error
    z = (measured.mean(0) - expected) / (measured.std(0) / math.sqrt(n))
    assert float(z.abs().max()) < 5.5
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt(2 * 2 / sites)
    variance = x.square().mean(axes)
    assert abs(float(variance.mean()) - 1) < 5 * float(variance.std()) / math.sqrt(n)


def test_power_law_has_its_slope() -> None:
    power = power_law_spectrum((64,), 2.5)
    assert float(power[1] / power[16]) == pytest.approx(16**2.5)
    assert float(power[0]) == float(power[1])
    plane = power_law_spectrum((32, 32), 2.0)
    assert float(plane[3, 4]) == pytest.approx(float(plane[5, 0]))
    assert float(plane.mean()) == pytest.approx(1.0)


def _increments(size: int, alpha: float) -> torch.Tensor:
    x = load(f"c-alpha?n=100&size={size}&alpha={alpha}").x[:, 0].double().logit()
    return torch.stack([(x[:, 1:, 1:] - x[:, :-1, 1:]).abs(), (x[:, 1:, 1:] - x[:, 1:, :-1]).abs()])


@pytest.mark.parametrize(("alpha", "exponent"), [(0.5, 0.5), (2.0, 1.0), (4.0, 1.0)])
def test_c_alpha_regions_have_their_regularity(alpha: float, exponent: float) -> None:
    # inside the regions a step of 1/size changes a C^alpha function by size^-min(alpha, 1)
    coarse, fine = (float(_increments(size, alpha).median()) for size in (32, 96))
    assert math.log(coarse / fine) / math.log(3) == pytest.approx(exponent, abs=0.12)


def test_c_alpha_images_jump_across_one_contour() -> None:
    size = 64
    jumps = _increments(size, 2.0) > 0.5
    # a contour that is a graph crosses each line of one axis once, and spreads over two pixels at most
    across = jumps.sum((2, 3)).double().max(0).values / (size - 1)
    assert 0.8 < float(across.median()) < 2.5
    values = load("c-alpha?n=100&size=32").x
    assert 0 < float(values.min()) < float(values.max()) < 1
    assert float(values.std(dim=(2, 3)).min()) > 0
