"""Calibration of posteriors: right ones are let be, on ugly laws too, and over-confident ones are found."""

import math
from collections import Counter

import pytest
import torch

from monge.denoisers import Oracle
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.evaluation import calibration
from monge.observations import Linear, blur, conditioned, mask
from monge.samplers import Posterior, posterior

LAWS = {  # n, generator -> [n, 2]: x is drawn from the same law as its draws, whatever y
    "normal": lambda n, g: torch.randn(n, 2, generator=g),
    "ties": lambda n, g: torch.randint(3, (n, 2), generator=g).float(),
    "sparse": lambda n, g: torch.randn(n, 2, generator=g) * (torch.rand(n, 2, generator=g) < 0.1),
    "heavy": lambda n, g: torch.randn(n, 2, generator=g) / torch.rand(n, 2, generator=g) ** (1 / 1.2),
    "one value": lambda n, g: torch.randn(n, 2, generator=g) * torch.tensor([1.0, 0.0]),
}


def found(law, seed, n=60, draws=20, factor=1.0, **options):
    g = torch.Generator().manual_seed(seed)
    shift = torch.randn(n, 2, generator=g)
    pairs = [(law(1, g)[0] + s, s) for s in shift]

    def sampler(s):
        x = law(draws, g)
        return s + x.mean(0) + factor * (x - x.mean(0))

    return calibration(sampler, pairs, draws=draws, seed=seed, show=False, **options)


@pytest.mark.parametrize("name", LAWS)
def test_right_posteriors_hardly_ever_fail(name):
    seen = Counter(found(LAWS[name], seed).status for seed in range(10))
    assert seen["fail"] <= 3  # of 10 at 5%: more with a chance of 1 in 1,000


def test_over_confidence_is_found_and_its_absence_is_said():
    seen = found(LAWS["normal"], 0, n=600, draws=40, factor=0.85)
    assert seen.status == "fail"
    ranks = seen.lines[0]
    assert ranks.interval[0] < 1 / 0.85 < ranks.interval[1] + 0.1
    right = found(LAWS["normal"], 1, n=1000, draws=60)
    assert right.status == "pass"
    assert right.ranks.shape == (1000, 2)
    assert right.coverage.shape == (1000,)
    assert right.verdict.status == "pass"
    assert [each.words for each in right.verdict.defects] == [
        "10% over-confidence of draws given an observation: excluded",
        "50% of draws that ignore what was seen: excluded",
    ]
    assert "PASS (10% over-confidence planted)" in str(right)


def test_posteriors_with_weights_are_judged_by_them():
    """Draws from the prior, weighted by the likelihood, are right; without the weights they are not."""
    law = GaussianMixture(torch.tensor([[-1.0], [1.0]]), torch.tensor([0.2, 0.2]))
    truth = law.sample(150, seed=0)
    seen = [Linear(torch.eye(1), x + torch.randn(1, generator=torch.manual_seed(i)), 1.0) for i, x in enumerate(truth)]

    def weighted(given, flat=False):
        x = law.sample(400, seed=int(given.y.abs().sum() * 1e6) % 10**6)
        w = given.log_likelihood(x).softmax(0)
        return Posterior(x, torch.full_like(w, 1 / 400) if flat else w, "", "", 0)

    pairs = list(zip(truth, seen, strict=True))
    assert calibration(weighted, pairs, draws=40, show=False).status != "fail"
    assert calibration(lambda given: weighted(given, flat=True), pairs, draws=40, show=False).status == "fail"


def test_posteriors_in_closed_form_are_as_wide_as_they_should_be():
    law = GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.tensor([0.3, 0.6]))
    D = Oracle(law)
    truth, A = law.sample(400, seed=3), torch.tensor([[1.0, 0.5]])
    seen = [Linear(A, A @ x + 0.5 * torch.randn(1, generator=torch.manual_seed(i)), 0.5) for i, x in enumerate(truth)]
    pairs = list(zip(truth, seen, strict=True))
    exact = calibration(lambda given: posterior(D, (2,), 40, given, seed=int(given.y.abs() * 1e5)), pairs, show=False)
    assert exact.status != "fail"
    assert 0.9 < exact.lines[0].value < 1.1


def field_posterior(noise, operator, n, seed):
    """Truths of a Gaussian field of 4 x 4 with long waves, and what is seen of them."""
    at = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
    law = Gaussian(torch.zeros(1, 4, 4).double(), (-torch.cdist(at, at) / 2).exp())
    truth = law.sample(n, seed=seed)
    y = operator.forward(truth)
    y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    return law, [(x, Linear(operator, one, noise)) for x, one in zip(truth, y, strict=True)]


def test_draws_that_ignore_what_was_seen_never_pass():
    """Hidden pixels from the prior: they are as wide as they should be, and only what goes with y tells."""
    seen = torch.arange(16).reshape(1, 4, 4) % 2 == 0
    for seed in range(4):
        law, pairs = field_posterior(0.0, mask(seen), 150, seed)
        count = iter(range(1000))
        found = calibration(
            lambda y, law=law, count=count: y.met(law.sample(40, seed=next(count) + 10_000)),
            pairs,
            draws=40,
            show=False,
        )
        assert found.status != "pass"


def test_what_is_known_but_for_rounding_is_a_tie():
    for seed in range(3):
        law, pairs = field_posterior(0.0, blur((1, 4, 4), 0.5), 60, seed)
        found = calibration(lambda y, law=law: conditioned(law, y).sample(30), pairs, draws=30, show=False)
        assert found.status == "undecided"  # nothing is left that could be wrong


def test_what_is_seen_may_be_no_array_for_some():
    g = torch.Generator().manual_seed(1)
    pairs = [(torch.randn(2, generator=g), y) for y in [None] + [torch.zeros(1)] * 59]
    assert len(calibration(lambda y: torch.randn(20, 2, generator=g), pairs, draws=20, show=False).lines) == 3


def test_bad_input_is_refused():
    pairs = [(torch.zeros(2), None)] * 60
    right = lambda y: torch.randn(20, 2)  # noqa: E731
    for call, words in (
        (lambda: calibration(right, pairs[:10], show=False), "needs 50 pairs"),
        (lambda: calibration(lambda y: torch.randn(20, 3), pairs, show=False), "draws must be"),
        (lambda: calibration(lambda y: torch.full((20, 2), math.nan), pairs, show=False), "finite"),
        (lambda: calibration(lambda y: torch.randn(1, 2), pairs, show=False), "two draws"),
        (lambda: calibration(right, pairs, overconfidence=1.0, show=False), "between 0 and 1"),
    ):
        with pytest.raises(BadInput, match=words):
            call()
