"""Which structure moments have: a spectrum on a torus, a basis for each axis, or a matrix, by rows left out."""

import pytest
import torch

from monge import rng
from monge.densities import Gaussian, likeliest, on_torus

K = torch.fft.fftfreq(12)
SPECTRUM = 1 / (0.002 + K[:, None] ** 2 + K**2)[None]
FIELDS = Gaussian.stationary(SPECTRUM, 3.0).sample(600)


@pytest.mark.parametrize("n", [100, 600])
def test_fields_that_wrap_around_are_found_and_others_are_not(n):
    assert on_torus(FIELDS[:n])
    assert on_torus(1e-3 * FIELDS[:n] - 5)
    assert not on_torus(FIELDS[:n, :, 2:])  # no longer wraps


@pytest.mark.parametrize("change", ["mean", "variance", "neighbours", "constant site"])
def test_what_is_not_alike_everywhere_is_not_stationary(change):
    row = torch.arange(12.0)[:, None]
    x = {
        "mean": FIELDS + row,
        "variance": FIELDS * (1 + row / 6),
        "neighbours": torch.cat([FIELDS[:, :, :6], FIELDS[:, :, :6].flip(2)], 2),
        "constant site": FIELDS * (row > 0),
    }[change]
    assert not on_torus(x)


def test_vectors_few_rows_and_single_sites_are_left_alone():
    for x in (rng.normal((500, 8), 0, "x"), FIELDS[:20], rng.normal((500, 1, 1, 8), 0, "x")):
        assert not on_torus(x)


def test_channels_and_one_dimension():
    waves = Gaussian.stationary((1 / (0.0005 + torch.fft.fftfreq(32) ** 2)).expand(2, 32)).sample(400)
    assert on_torus(waves)
    assert not on_torus(waves[:, :, 4:])


def slanted(n):
    """Correlated along diagonals, which no basis for each axis tells."""
    x = Gaussian.stationary(SPECTRUM).sample(n)
    return torch.stack([x[:, :, 0].roll(row, 2)[..., :5] for row in range(5)], 2) + 0.1 * rng.normal(
        (n, 1, 5, 5), 0, "w"
    )


@pytest.mark.parametrize(
    ("rows", "law", "structure"),
    [
        (600, FIELDS, "stationary"),
        (300, FIELDS[:, :, 2:, 1:], "separable"),  # of 100 numbers a side; a matrix has 6,000
        (4000, slanted(4000), "dense"),
        (600, FIELDS[:, :, 0, 0], "dense"),
        (30, FIELDS[:, :, 2:, 1:], "dense"),  # too few to tell
    ],
    ids=["torus", "few rows", "many rows", "vectors", "too few"],
)
def test_the_structure_is_that_which_fits_new_rows(rows, law, structure):
    x = law[:rows]
    assert likeliest(x) == structure
    assert likeliest(-1e4 * x + 7) == structure
    new, some = x[: len(x) // 5], x[len(x) // 5 :]
    if structure != "stationary" and x.ndim == 4 and rows > 40:
        likely = {s: Gaussian.estimate(some, s).noised(1e-2).log_prob(new).value.mean() for s in ("dense", "separable")}
        assert max(likely, key=likely.get) == structure
