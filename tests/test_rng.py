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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_same_draw_rounded(dtype):
    z, exact = rng.normal((2000, 3), 0, "half", dtype=dtype), rng.normal((2000, 3), 0, "half")
    assert z.dtype == dtype
    assert torch.equal(z, exact.to(dtype))
    u = rng.uniform((2000, 3), 0, "half", dtype=dtype)
    assert 0 < u.min() <= u.max() < 1


def test_generators_use_all_the_bits_of_their_key(monkeypatch):
    """Two addresses whose keys agree in the 32 bits that torch would take of a seed."""
    keys = iter([7, 7 + 2**32, 7 + 2**70, 7])
    monkeypatch.setattr(rng, "key", lambda *_: next(keys))
    first, *others = [torch.randn(1000, generator=rng.generator(0)) for _ in range(4)]
    assert not torch.allclose(first, others[0])
    assert not torch.allclose(first, others[1])
    assert torch.equal(first, others[2])
    assert abs(first.mean()) < 4 / 1000**0.5
    assert abs(first.var() - 1) < 4 * (2 / 1000) ** 0.5


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
