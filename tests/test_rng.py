"""Addressed randomness: the same number at the same address, and numbers that are random."""

import math

import pytest
import torch

from monge import rng


@pytest.mark.parametrize("draw", [rng.normal, rng.uniform])
@pytest.mark.parametrize("event", [(1,), (3,), (2, 5), (1, 8, 8)])
def test_row_belongs_to_its_sample_whatever_the_batch(draw, event):
    whole = draw((37, *event), 7, "place", 3)
    parts = [draw((size, *event), 7, "place", 3, start=first) for first, size in ((0, 5), (5, 1), (6, 31))]
    assert torch.equal(whole, torch.cat(parts))


def test_addresses_differ_in_every_part():
    draws = [rng.normal((4, 4), *address) for address in ((0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1))]
    for i, first in enumerate(draws):
        for second in draws[i + 1 :]:
            assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_has_the_normal_law(dtype):
    z = rng.normal((100_000, 3), 0, "law", dtype=dtype)
    n = z.numel()
    assert z.isfinite().all()
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs(z.pow(4).mean() - 3) < 4 * math.sqrt(96 / n)
    covariance = torch.cov(z.T) - torch.eye(3)
    assert covariance.abs().max() < 5 * math.sqrt(2 / len(z))
    # neighbours in the table, two rows of one column and the two halves of a Box-Muller pair, are independent
    assert abs((z[1:] * z[:-1]).mean()) < 4 / math.sqrt(n)
    uniform = torch.special.ndtr(z.double()).flatten().sort().values
    grid = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    assert (uniform - grid).abs().max() < 1.95 / math.sqrt(n)  # Kolmogorov-Smirnov at 0.1%


def test_dtypes_see_the_same_bits():
    assert torch.allclose(
        rng.normal((50, 3), 0, "x").double(), rng.normal((50, 3), 0, "x", dtype=torch.float64), atol=1e-4
    )


def test_uniform_stays_inside():
    u = rng.uniform((200_000, 1), 0, "inside")
    assert u.min() > 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 / math.sqrt(12 * len(u))
