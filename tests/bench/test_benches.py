"""Every bench runs in its fast form, without the peers."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def run(name, *arguments):
    done = subprocess.run([sys.executable, BENCH / f"{name}.py", "--fast", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("|")]


def test_flows():
    rows = run("flows", "--seconds", "1", "--only", "banana", "--methods", "monge SplineFlow")
    assert len(rows) == 1
    assert 0 < float(rows[0].split("|")[3].split()[1]) < 0.5


@pytest.mark.parametrize("law", ["rings", "moons", "banana", "checkerboard", "pinwheel"])
def test_the_exact_densities_are_those_of_the_laws(law, monkeypatch):
    """They integrate to one, and the mean of -log p over the law's own samples is their entropy, by a grid."""
    monkeypatch.syspath_prepend(BENCH)
    import torch

    import monge
    from laws import LAWS

    x = monge.data.load(f"{law}?n=1500&seed=3").x
    low, high = x.amin(0) - 1, x.amax(0) + 1
    if law == "checkerboard":
        low, high = torch.tensor([-4.0, -4.0]), torch.tensor([4.0, 4.0])
    sides = [torch.linspace(a, b, 121)[:-1] + (b - a) / 240 for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    grid, area = torch.cartesian_prod(*sides), float((high - low).prod()) / 120**2
    log_p = LAWS[law](grid)
    if law == "checkerboard":  # the density is told on its squares only
        log_p = log_p.masked_fill(((grid / 2).floor().sum(1) % 2) != 0, -math.inf)
    p = log_p.exp()
    assert float(p.sum() * area) == pytest.approx(1, abs=2e-3)
    entropy = -float(torch.where(p > 0, p * log_p, 0.0).sum()) * area
    own = -LAWS[law](x)
    assert abs(float(own.mean()) - entropy) < 4 * float(own.std()) / 1500**0.5 + 0.01
