"""Scaling: inverse, log-determinant against autograd, dequantisation, JSON."""

import json
import math

import pytest
import torch

from monge.data import Samples, Scaling, load
from monge.data.scaling import FIT_ROWS
from monge.errors import BadInput

CASES = {
    "vectors": (50, 4),
    "images": (50, 3, 5, 6),
    "fields": (50, 2, 7),
}


def _samples(kind: str) -> Samples:
    shape = CASES[kind]
    z = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    channel = torch.arange(1.0, shape[1] + 1).reshape(-1, *[1] * (len(shape) - 2))
    return Samples(z * 5.0**channel + 10 * channel, kind=kind)


@pytest.mark.parametrize("kind", CASES)
def test_scaled_data_have_zero_mean_and_unit_variance(kind: str) -> None:
    samples = _samples(kind)
    z = Scaling.fit(samples).forward(samples.x.double())
    axes = [0, *range(2, z.ndim)]
    assert z.mean(axes).abs().max() < 1e-12
    assert (z.var(axes, correction=0) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("kind", CASES)
def test_like_scales_are_one_so_that_white_noise_stays_white(kind: str) -> None:
    shape = CASES[kind]
    spread = torch.linspace(1.0, 3.0, shape[1]).reshape(-1, *[1] * (len(shape) - 2))
    z = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * spread
    scaling = Scaling.fit(Samples(z, kind=kind))
    assert (scaling.scale == scaling.unit).all()
    scaled = scaling.forward(z.double())
    assert scaled.square().mean() == pytest.approx(1.0, abs=1e-12)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(scaling.forward(z + noise) - scaled, noise / scaling.unit)


@pytest.mark.parametrize("kind", CASES)
def test_inverse_undoes_forward(kind: str) -> None:
    samples = _samples(kind)
    scaling = Scaling.fit(samples)
    x = samples.x.double()
    torch.testing.assert_close(scaling.inverse(scaling.forward(x)), x, rtol=1e-14, atol=1e-13)
    assert scaling.forward(samples.x).dtype == torch.float32


@pytest.mark.parametrize("kind", CASES)
def test_log_det_is_that_of_autograd(kind: str) -> None:
    samples = _samples(kind)
    scaling = Scaling.fit(samples)
    x = samples.x[:1].double()
    size = x.numel()
    jacobian = torch.autograd.functional.jacobian(scaling.forward, x).reshape(size, size)
    assert scaling.log_det == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-10)


def test_a_constant_coordinate_keeps_its_scale() -> None:
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.1
    scaling = Scaling.fit(Samples(x))
    assert scaling.scale[1] == 1.0
    assert scaling.shift[1] == pytest.approx(0.1)
    assert scaling.forward(x)[:, 1].abs().max() < 1e-7


def test_a_large_mean_costs_no_digits() -> None:
    x = torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).float() + 1000.0
    assert float(Scaling.fit(Samples(x)).scale) == pytest.approx(float(x.double().std(correction=0)), rel=1e-9)


def test_many_rows_are_seen_from_first_to_last() -> None:
    x = torch.arange(3.0 * FIT_ROWS)[:, None]
    scaling = Scaling.fit(Samples(x))
    assert float(scaling.shift) == pytest.approx((3 * FIT_ROWS - 1) / 2, rel=1e-6)
    assert float(scaling.scale) == pytest.approx(3 * FIT_ROWS / math.sqrt(12), rel=1e-4)


def test_dequantised_digits_have_unit_variance_and_come_back_exactly() -> None:
    digits = load("digits")
    scaling = Scaling.fit(digits)
    u = torch.rand(digits.x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spread = scaling.dequantise(digits.x, u)
    assert torch.equal(scaling.quantise(spread), digits.x.double())
    z = scaling.forward(spread)
    # the data are fixed: only u varies, by 1/12 a pixel
    error = math.sqrt(1 / 12 / z.numel()) / float(scaling.scale)
    assert abs(float(z.mean())) < 5 * error
    assert float(z.var()) == pytest.approx(1.0, abs=5 * 3 * error)


def test_quantise_rounds_to_the_grid_within_limits() -> None:
    scaling = Scaling(torch.zeros(2), torch.ones(2), (2,), quantum=0.5, limits=(0.25, 2.25))
    x = torch.tensor([[-3.0, 0.9], [1.3, 9.0]])
    assert torch.equal(scaling.quantise(x), torch.tensor([[0.25, 0.75], [1.25, 2.25]]))
    continuous = Scaling(torch.zeros(2), torch.ones(2), (2,))
    assert continuous.quantise(x) is x
    assert continuous.dequantise(x, torch.rand(2, 2)) is x


@pytest.mark.parametrize("source", ["digits", "moons?n=100"])
def test_json_is_exact_and_says_what_was_done(source: str) -> None:
    scaling = Scaling.fit(load(source))
    content = json.loads(json.dumps(scaling.to_dict()))
    again = Scaling.from_dict(content)
    assert torch.equal(again.shift, scaling.shift)
    assert torch.equal(again.scale, scaling.scale)
    assert again.shift.shape == scaling.shift.shape
    assert (again.event_shape, again.quantum, again.limits) == (scaling.event_shape, scaling.quantum, scaling.limits)
    words = "dequantised by adding 1 (u - 1/2)" if source == "digits" else "data are continuous"
    assert words in content["statement"]


def test_a_wrong_event_shape_is_refused() -> None:
    scaling = Scaling.fit(load("digits"))
    for method in (scaling.forward, scaling.inverse):
        with pytest.raises(BadInput, match=r"expected samples of shape \[n, 1, 8, 8\], got \[2, 64\]"):
            method(torch.zeros(2, 64))


@pytest.mark.parametrize(
    "content", [{}, {"shift": [0.0], "scale": [1.0, 2.0], "event_shape": [1], "limits": None, "quantum": None}]
)
def test_a_damaged_dict_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="not a scaling as to_dict writes it"):
        Scaling.from_dict(content)
