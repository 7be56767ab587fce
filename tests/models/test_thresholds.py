"""One-point laws of columns, kept: bounds that a model leaks over, and what is left as it is."""

import torch

from monge.models.thresholds import Thresholds


def drawn(n: int, seed: int) -> torch.Tensor:
    return torch.empty(n, 1).exponential_(generator=torch.Generator().manual_seed(seed)) - 1


def leaking(n: int, seed: int) -> torch.Tensor:
    return drawn(n, seed) + 0.2 * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed + 1))


def test_a_bound_that_many_values_touch_is_kept():
    bounded = ((drawn(4000, 0) + 1) * 100).round() / 100 - 1  # many at the bound, as of prices
    t = Thresholds(torch.zeros(1, 0), quantiles=True)
    t.look(bounded)
    t.find(leaking(4000, 2))
    new = leaking(20_000, 6)
    assert float((new < -1.01).float().mean()) > 0.05
    kept = t.apply(new)
    assert float((kept < -1.01).float().mean()) < 0.002
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        error = (q * (1 - q) / 4000) ** 0.5
        assert (
            abs(float((kept < bounded.quantile(q)).float().mean()) - q) < 5 * error + 0.005
        )  # steps of .01 at the bound


def test_what_is_right_is_left_as_it_is():
    t = Thresholds(torch.zeros(1, 0), quantiles=True)
    t.look(torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)))
    t.find(torch.randn(4000, 1, generator=torch.Generator().manual_seed(1)))
    x = torch.linspace(-4, 4, 101)[:, None]
    moved = (t.apply(x) - x).abs()
    assert float(moved[20:-20].max()) < 0.1  # within 2.4 standard deviations
    assert float(moved.max()) < 1.0
