"""The contract of a descriptor: a row of finite, named numbers for each event in any block; and what each measures."""

import numpy as np
import pytest
import torch

from monge.evaluation.descriptors import (
    DESCRIPTORS,
    ENERGIES,
    FILTERS,
    MORPHOLOGY,
    RANKS,
    SCATTERING,
    SPECTRUM,
    SUPPORT,
    base,
    describe,
)

EVENTS = [(1,), (2,), (9,), (1, 32), (2, 12, 10), (1, 6, 6, 6)]


def draw(n, event, seed=0):
    return torch.randn(n, *event, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_each_event_has_one_row_of_named_numbers_in_any_block(event, monkeypatch):
    real, x = draw(60, event), draw(25, event, 1)
    for descriptor in DESCRIPTORS:
        if not descriptor.applies(event):
            continue
        fitted = descriptor.fit(real, 0)
        found = describe(fitted, x)
        assert found.shape == (25, len(fitted.names)), descriptor.name
        assert bool(found.isfinite().all())
        assert descriptor.cost
        assert descriptor.invariances
        monkeypatch.setattr(base, "BLOCK_VALUES", 7 * x[0].numel())
        torch.testing.assert_close(describe(fitted, x), found, rtol=1e-4, atol=1e-4)
        monkeypatch.undo()
        assert torch.equal(describe(descriptor.fit(real, 0), x), found)  # seeded


@pytest.mark.parametrize("descriptor", [SPECTRUM, SCATTERING], ids=lambda d: d.name)
def test_fields_that_are_moved_look_the_same(descriptor):
    fitted = descriptor.fit(draw(50, (1, 16, 16)), 0)
    x = draw(4, (1, 16, 16), 1)
    torch.testing.assert_close(fitted(x.roll((3, 5), (2, 3))), fitted(x), rtol=1e-4, atol=1e-4)


def test_scattering_tells_gaussian_phases_from_edges():
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(60, 1, 32)
    for row in x:
        at = int(torch.randint(24, (1,), generator=g))
        row[0, at : at + 8] = 1.0
    hat = torch.fft.fft(x).abs()
    gaussian = torch.fft.ifft(torch.fft.fft(draw(60, (1, 32))) * hat.square().mean(0).sqrt() / 32**0.5).real
    fitted = SCATTERING.fit(x, 0)
    i = fitted.names.index("sparsity at scale 1")
    assert fitted(x)[:, i].mean() < fitted(gaussian)[:, i].mean() - 0.1


def test_level_sets_have_their_area_boundary_euler_characteristic_and_peaks():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 1:6, 1:6] = 1.0
    x[0, 0, 3, 3] = 0.0  # a ring: one piece, one hole
    x[0, 0, 7, 7] = 2.0  # and a peak
    fitted = MORPHOLOGY.fit(torch.cat([x, x]), 0)
    name = next(n for n in fitted.names if n.startswith("share above level 0.5"))
    i = fitted.names.index(name)
    area, edge, euler, peaks = (64 * fitted(x)[0, i : i + 4]).tolist()
    assert (area, euler, peaks) == pytest.approx((25, 0 + 1, 1), abs=1e-4)
    assert edge == pytest.approx(20 + 4 + 2, abs=1e-4)


def test_the_power_spectrum_is_the_one_of_white_noise():
    real = draw(400, (1, 16, 16))
    found = SPECTRUM.fit(real, 0)(2.0 * draw(400, (1, 16, 16), 1))
    high = found[:, -2]  # of many modes: log of 4, a little below by Jensen
    assert high.mean() == pytest.approx(np.log(4), abs=0.05)


def test_support_finds_atoms_and_what_lies_beyond():
    real = draw(500, (2,)).clamp(min=0)
    fitted = SUPPORT.fit(real, 0)
    assert "share of value 0 in column 1" in fitted.names
    x = torch.tensor([[0.0, -1.0]])
    found = dict(zip(fitted.names, fitted(x)[0].tolist(), strict=True))
    assert found["share of value 0 in column 1"] == 1.0
    assert found["share of value 0 in column 2"] == 0.0
    assert found["below the range of column 2"] == 1.0
    assert found["below the range of column 1"] == 0.0


def test_energies_and_ranks_are_centred_on_real_ones():
    real = draw(2000, (24,)) * torch.arange(1, 25)
    energy, rank = ENERGIES.fit(real, 0)(0.9 * real), RANKS.fit(real, 0)(real)
    assert (ENERGIES.fit(real, 0)(real) - energy).mean(0) == pytest.approx(
        -2 * np.log(0.9) * torch.ones(energy.shape[1]), abs=0.02
    )
    assert rank.mean(0).abs().max() < 1e-2


def test_filters_are_of_norm_one_after_whitening():
    x = draw(300, (1, 8, 8))
    found = describe(FILTERS.fit(x, 0), x)
    assert found.mean(0).abs().max() < 1e-3
    assert found.std(0) == pytest.approx(torch.ones(found.shape[1]), abs=1e-3)
