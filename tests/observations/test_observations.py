"""Observations: their operators and adjoints, their likelihoods, and posteriors in closed form."""

import math

import pytest
import torch

from monge import observations, rng
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.observations import Label, Likelihood, Linear, Operator, Poisson, conditioned

F = torch.float64
PLANE = (2, 8, 8)
OPERATORS = {
    "mask": lambda: observations.mask(rng.uniform(PLANE, 0, "m") > 0.4),
    "blur": lambda: observations.blur(PLANE, 1.5),
    "downscale": lambda: observations.downscale(PLANE, 4),
    "fourier": lambda: observations.fourier(rng.uniform(PLANE[1:], 0, "f") > 0.5, channels=2),
    "projections": lambda: observations.projections(PLANE, torch.linspace(0, math.pi, 7)[:-1]),
    "matrix": lambda: Operator.of_matrix(rng.normal((5, 128), 0, "A", dtype=F)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_adjoints_are_adjoint(name):
    A = OPERATORS[name]()
    x = rng.normal((3, *PLANE), 0, "x", dtype=F)
    ahead = A.forward(x)
    assert tuple(ahead.shape[1:]) == tuple(A.y_shape)
    r = rng.normal(tuple(ahead.shape), 0, "r", dtype=F)
    back = A.adjoint(r).reshape(x.shape)
    torch.testing.assert_close((ahead * r).flatten(1).sum(1), (x * back).flatten(1).sum(1))


def test_operators_are_what_they_are_called():
    x = rng.normal((1, *PLANE), 0, "x", dtype=F)
    blurred = observations.blur(PLANE, 1.0).forward(x)
    torch.testing.assert_close(blurred.mean((2, 3)), x.mean((2, 3)), atol=0.15, rtol=0)
    torch.testing.assert_close(observations.blur(PLANE, 1.0).forward(torch.ones_like(x)), torch.ones_like(x))
    small = observations.downscale(PLANE, 4).forward(x)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(x, 4))
    waves = observations.fourier(torch.ones(8, 8, dtype=torch.bool), channels=2).forward(x)
    torch.testing.assert_close(waves.square().sum(), x.square().sum())  # unitary
    sums = observations.projections(PLANE, [0.0, 0.3, math.pi / 2]).forward(x)
    torch.testing.assert_close(sums.sum(3), x.sum((2, 3))[..., None].expand(1, 2, 3))
    turned = observations.projections(PLANE, [math.pi / 2]).forward(x)
    straight = observations.projections(PLANE, [0.0]).forward(x.mT)  # rows for columns
    torch.testing.assert_close(turned, straight, atol=1e-5, rtol=0)


def random_mixture(d=3, k=4):
    roots = rng.normal((k, d, d), 0, "roots", dtype=F)
    covs = roots @ roots.mT + 0.3 * torch.eye(d, dtype=F)
    return GaussianMixture(2 * rng.normal((k, d), 0, "means", dtype=F), covs, rng.uniform((k,), 0, "w", dtype=F))


LAWS = {
    "mixture": random_mixture,
    "axes": lambda: GaussianMixture(rng.normal((3, 3), 0, "m", dtype=F), torch.tensor([0.5, 1.0, 2.0], dtype=F)),
    "gaussian": lambda: Gaussian(torch.ones(3, dtype=F), random_mixture().covariance),
}


@pytest.mark.parametrize("name", LAWS)
def test_bayes_holds_at_every_point(name):
    """log p(x | y) + log p(y) = log p(x) + log p(y | x)."""
    law = LAWS[name]()
    seen = Linear(rng.normal((2, 3), 0, "A", dtype=F), torch.tensor([0.5, -1.0], dtype=F), torch.tensor([0.4, 0.9]))
    found = conditioned(law, seen)
    x = 2 * rng.normal((50, 3), 0, "x", dtype=F)
    one = found.law.log_prob(x).value + found.log_evidence
    torch.testing.assert_close(one, law.log_prob(x).value + seen.log_likelihood(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_draws_are_of_the_posterior(name, noise):
    law = LAWS[name]()
    A, y = rng.normal((1, 3), 0, "A", dtype=F), torch.tensor([0.5], dtype=F)
    found = conditioned(law, Linear(A, y, noise))
    x = found.sample(20_000, seed=1)
    posterior = found.law
    mean, covariance = posterior.moments.mean, posterior.moments.covariance.matrix()
    away = (x.mean(0) - mean) / (covariance.diagonal() / len(x)).sqrt().clamp_min(1e-9)
    assert float(away.abs().max()) < 4.5
    assert float((x.T.cov() - covariance).abs().max()) < 0.06 * float(covariance.abs().max())
    assert torch.equal(found.sample(5, seed=1, start=3), found.sample(8, seed=1)[3:])
    if noise == 0:
        torch.testing.assert_close(x @ A[0], y.expand(len(x)), atol=1e-6, rtol=0)


def test_what_was_not_seen_counts_for_nothing():
    law = random_mixture()
    A, y = rng.normal((3, 3), 0, "A", dtype=F), torch.tensor([0.5, math.nan, 1.0], dtype=F)
    gaps, fewer = Linear(A, y, 0.5), Linear(A[[0, 2]], y[[0, 2]], 0.5)
    assert gaps.notes == ("1 of 3 values of y are NaN: they were not seen",)
    assert conditioned(law, gaps).log_evidence == pytest.approx(conditioned(law, fewer).log_evidence)


def test_rows_that_are_dependent_and_exact_constrain_once():
    law = Gaussian(torch.zeros(2, dtype=F), torch.eye(2, dtype=F))
    twice = conditioned(law, Linear(torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=F), torch.tensor([1.0, 2.0]), 0.0))
    torch.testing.assert_close(twice.means[0], torch.tensor([1.0, 0.0], dtype=F))
    assert float(twice.sample(100)[:, 0].std()) < 1e-9


def test_an_observation_moves_with_the_units():
    scale, shift = torch.tensor([2.0, 5.0]), torch.tensor([1.0, -3.0])
    seen = Linear(torch.tensor([[1.0, 1.0]]), torch.tensor([2.0]), 0.5)
    moved = seen.of(lambda u: u * scale + shift, (2,))
    u = rng.normal((10, 2), 0, "u")
    torch.testing.assert_close(moved.log_likelihood(u), seen.log_likelihood(u * scale + shift))
    bent = seen.of(torch.sinh, (2,))
    assert isinstance(bent, Likelihood)
    torch.testing.assert_close(bent.log_likelihood(u), seen.log_likelihood(u.sinh()))


def test_counts_are_poisson():
    seen = Poisson(torch.tensor([3.0, 0.0]), gain=2.0)
    wanted = torch.distributions.Poisson(torch.tensor([2.0, 4.0])).log_prob(torch.tensor([3.0, 0.0])).sum()
    torch.testing.assert_close(seen.log_likelihood(torch.tensor([[1.0, 2.0]])), wanted[None])
    assert seen.log_likelihood(torch.tensor([[-1.0, 2.0]])) == -math.inf


def test_values_of_any_units_count():
    """Rows of other units, and noise far below the law's width: nothing is taken for rounding that is not."""
    for s in (1e-4, 1.0, 1e4):
        unit = torch.tensor([1.0, s], dtype=F)
        law = Gaussian(torch.zeros(2, dtype=F), unit.square())
        found = conditioned(law, Linear(torch.eye(2, dtype=F), torch.tensor([1.0, 2.0], dtype=F) * unit, 0.01 * unit))
        torch.testing.assert_close(found.means[0] / unit, torch.tensor([1.0, 2.0], dtype=F) / (1 + 1e-4))
        wanted = Gaussian(torch.zeros(2, dtype=F), torch.full((2,), 1.0001, dtype=F)).log_prob(
            torch.tensor([[1.0, 2.0]])
        )
        assert found.log_evidence == pytest.approx(float(wanted.value) - math.log(s))


@pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("dtype", [F, torch.float32])
def test_little_noise_is_noise(noise, dtype):
    B = observations.blur((1, 12), 1.0)
    law = Gaussian(torch.zeros(1, 12, dtype=dtype), torch.ones(1, 12, dtype=dtype))
    matrix = B.forward(torch.eye(12, dtype=F)[:, None])[:, 0].T
    y = matrix @ rng.normal((12,), 0, "x", dtype=F)
    found = conditioned(law, Linear(B, y.to(dtype)[None], noise))
    S = matrix @ matrix.T + noise**2 * torch.eye(12, dtype=F)
    kept = y.to(dtype).to(F)
    wanted = -0.5 * (kept @ torch.linalg.solve(S, kept) + torch.logdet(2 * math.pi * S))
    assert found.log_evidence == pytest.approx(float(wanted), rel=1e-3 if dtype == F else 0.05)


def test_what_is_exact_is_exact_in_any_units():
    law = Gaussian(torch.zeros(3, dtype=F), torch.tensor([1.0, 1e8, 1.0], dtype=F))
    A = torch.tensor([[1e-4, 0, 0], [1.0, 0, 1.0]], dtype=F)
    x = conditioned(law, Linear(A, torch.tensor([1e-4, 5.0], dtype=F), 0.0)).sample(50)
    torch.testing.assert_close(x[:, 0], torch.ones(50, dtype=F))
    for size in (1.0, 1e4):
        held = Linear(torch.tensor([[1.0, -1.0]]), torch.tensor([0.1]), 0.0)
        drawn = conditioned(Gaussian(torch.full((2,), size), torch.eye(2)), held).sample(200)
        assert bool(held.log_likelihood(drawn).isfinite().all())
    assert Linear(torch.eye(1), torch.tensor([1e-8]), 0.0).log_likelihood(torch.tensor([[5e-7]])) == -math.inf
    C = torch.tensor([[1.0, 0.6], [0.6, 2.0]])
    mixture = GaussianMixture(torch.tensor([[1.0, -1.0], [3.0, 2.0]]), torch.stack([C, C]))
    single = conditioned(mixture, Linear(torch.tensor([[1.0, 2.0]]), torch.tensor([3.0]), 0.0)).law
    assert float((single.sample(50) @ torch.tensor([1.0, 2.0]) - 3).abs().max()) < 0.1


def test_precision_is_the_user_s_and_width_costs_nothing():
    A = torch.eye(2, dtype=F)
    assert Linear((lambda x: x @ A.T, lambda r: r @ A), torch.zeros(2, dtype=F), 1.0).size == 2
    wide = observations.blur((1, 4, 4), 1e7).forward(rng.normal((1, 1, 4, 4), 0, "x"))
    assert float(wide.std()) < 1e-6
    bent = Linear(torch.eye(2), torch.ones(2), 0.1).of(lambda u: 1e-8 * torch.sinh(u), (2,))
    assert isinstance(bent, Likelihood)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Linear((lambda x: x[:, :1], lambda r: r.expand(-1, 2)), torch.zeros(1), 0.1), "the adjoint is none"),
        (lambda: Linear((lambda x: x.square(), lambda r: r), torch.zeros(2), 0.1), "adjoint is none|not linear"),
        (lambda: Linear(torch.eye(2), torch.zeros(3), 0.1), r"y is \[3\], and the operator gives \[2\]"),
        (lambda: Linear(torch.eye(2), torch.zeros(2), -0.1), "it is negative"),
        (lambda: Linear(torch.eye(2), torch.zeros(2), torch.zeros(3)), "one for each value of y"),
        (lambda: Linear(torch.eye(2), torch.full((2,), math.nan), 0.1), "nothing to condition on"),
        (lambda: Linear(torch.eye(2), torch.tensor([0.0, math.inf]), 0.1), "infinite"),
        (lambda: Linear(torch.eye(2), torch.zeros(2), 0.1).fits((3,)), "these are"),
        (lambda: Linear(lambda x: x, torch.zeros(2), 0.1), "a pair of functions"),
        (lambda: Likelihood(lambda x: x).log_likelihood(torch.zeros(2, 2)), "one number for each"),
        (lambda: Likelihood(lambda x: x[:, 0] * math.nan).log_likelihood(torch.zeros(2, 2)), "is NaN"),
        (lambda: Label(lambda x: x[:, 0], 0).log_likelihood(torch.zeros(2, 2)), "must return logits"),
        (lambda: Label(lambda x: x, 2).log_likelihood(torch.zeros(2, 2)), "label 2 is none of the 2"),
        (lambda: Poisson(torch.tensor([0.5])), "whole numbers"),
        (lambda: Poisson(torch.tensor([1.0]), gain=0.0), "gain is above 0"),
        (lambda: Likelihood(lambda x: x[:, 0] + math.inf).log_likelihood(torch.zeros(2, 2)), "is NaN or infinite"),
        (lambda: Poisson(torch.tensor([1.0]), gain="a"), "gain is above 0"),
        (lambda: observations.mask("a"), "an array of True and False"),
        (lambda: observations.mask(torch.ones(3)), "compare it with a number"),
        (lambda: observations.projections((1, 4, 4), [math.nan]), "finite"),
        (lambda: observations.fourier(torch.ones(5, dtype=torch.bool), channels=0), "channels"),
        (lambda: observations.downscale((1, 9, 9), 2), "do not fill"),
        (lambda: observations.mask(torch.zeros(3, dtype=torch.bool)), "somewhere"),
        (lambda: observations.blur((4,), 1.0), "of events"),
        (lambda: observations.blur((1, 4, 4), 0.0), "above 0"),
        (lambda: conditioned(random_mixture(), Likelihood(lambda x: x[:, 0])), "in closed form"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(BadInput, match=words):
        call()


def test_a_blur_of_next_to_no_width_is_none():
    x = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(observations.blur((1, 5, 5), 1e-300).forward(x), x)


def test_components_are_drawn_by_their_numbers():
    law = GaussianMixture(torch.tensor([[-5.0], [5.0]]), torch.tensor([0.1, 0.1]))
    assert law.of_parts(torch.tensor([1, 0])).sign().flatten().tolist() == [1.0, -1.0]
    for number in (2, -1):
        with pytest.raises(BadInput, match="numbered 0 to 1"):
            law.of_parts(torch.tensor([number]))
