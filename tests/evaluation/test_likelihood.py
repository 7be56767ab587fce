"""The lines of a likelihood: silent on a model that is right, loud on one that learned by heart or is bent."""

import numpy as np
import pytest
from scipy import stats

from monge.errors import BadInput
from monge.evaluation import judge, likelihood_lines


def nats(z):
    return stats.norm.logpdf(z).sum(1)


def drawn(seed, n=600, d=4):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, d)), generator.standard_normal((n, d))


def test_a_model_that_is_right_passes_and_its_p_values_are_uniform():
    p_values = []
    for seed in range(200):
        held, learned = drawn(seed, n=400)
        found = likelihood_lines(nats(held), nats(learned), held)
        p_values.append([line.p_value for line in found])
    p_values = np.array(p_values)
    for column, exact in ((0, True), (1, False), (2, True)):
        share = (p_values[:, column] < 0.1).mean()
        assert share < 0.1 + 4 * (0.09 / 200) ** 0.5  # Bonferroni over coordinates is on the safe side
        assert share > 0.1 - 4 * (0.09 / 200) ** 0.5 or not exact
    held, learned = drawn(1, n=3000)
    assert [line.status for line in judge(likelihood_lines(nats(held), nats(learned), held))] == ["pass"] * 3


@pytest.mark.parametrize(
    ("bend", "line"),
    [
        (lambda z, gap: (z, gap + 1.0), "log-likelihood"),
        (lambda z, gap: (z * np.array([1.0, 2.5, 1.0, 1.0]), gap), "latent coordinates"),
        (lambda z, gap: (z + np.array([0.0, 0.0, 0.5, 0.0]), gap), "latent coordinates"),
        # every coordinate is normal, and the norm is not: all of a row have one sign and size
        (lambda z, gap: (np.abs(z[:, :1]) * np.sign(z), gap), "latent norm"),
    ],
)
def test_what_is_bent_is_found(bend, line):
    held, learned = drawn(0, n=3000)
    z, gap = bend(held, 0.0)
    found = {one.name: one for one in judge(likelihood_lines(nats(held), nats(learned) + gap, z))}
    assert found[line].status == "fail"
    if line == "latent norm":
        assert found["latent coordinates"].status == "pass"


def test_integer_data_are_told_in_bits():
    """Uniform on 0..15 by a model that knows it: 4 bits a value, whatever the step's unit."""
    z = np.random.default_rng(0).standard_normal((100, 3))
    for quantum in (1.0, 0.25):
        known = np.full(100, -3 * np.log(16 * quantum))
        (line, *_) = likelihood_lines(known, known, z, quantum=quantum)
        assert "(4.000 bits a value" in line.note
    assert "bits" not in likelihood_lines(known, known, z)[0].note


def test_values_that_are_not_finite_are_refused():
    held, learned = drawn(0, n=10)
    with pytest.raises(BadInput, match="two finite rows"):
        likelihood_lines(np.full(10, np.nan), nats(learned), held)
    with pytest.raises(BadInput, match="two finite rows"):
        likelihood_lines(nats(held[:1]), nats(learned), held)
