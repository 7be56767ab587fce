"""Posteriors by particles and by guidance: against mixtures, whose posterior is known."""

import math

import pytest
import torch

import monge
from monge import rng, samplers
from monge.denoisers import Guided, Oracle
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput, NumericalFailure
from monge.observations import Label, Likelihood, Linear, blur, conditioned, fourier, mask

F = torch.float64


def grid_law(d=2):
    centers = 8 * (torch.cartesian_prod(*[torch.arange(5.0, dtype=F) - 2] * 2)).repeat(1, d // 2)
    return GaussianMixture(centers, torch.ones(25, dtype=F), rng.uniform((25,), 0, "w", dtype=F))


@pytest.fixture(scope="module")
def seen():
    A = torch.tensor([[0.8, 0.3]], dtype=F)
    return Linear(A, A @ torch.tensor([8.3, -7.5], dtype=F), 0.6)


@pytest.fixture(scope="module")
def planned():
    D = Oracle(grid_law())
    return D, samplers.pilot(D, (2,), dtype=F)


def shares(x, weights, law):
    """Of each component, by the nearest centre."""
    which = torch.cdist(x, law.means).argmin(1)
    return torch.zeros(len(law.means), dtype=F).index_add_(0, which, weights.to(F))


def test_particles_find_the_modes_their_shares_and_the_evidence(planned, seen):
    D, plan = planned
    law = grid_law()
    exact = conditioned(law, seen)
    found = samplers.posterior(D, (2,), 1024, seen, method="particles", plan=plan, particles=256, dtype=F, seed=1)
    assert found.x.shape == (1024, 2)
    assert abs(found.log_evidence - exact.log_evidence) < 4 * found.log_evidence_error + 0.02
    assert found.log_evidence_error < 0.2
    wanted = shares(exact.sample(20_000), torch.full((20_000,), 1 / 20_000), law)
    off = shares(found.x, found.weights, law) - wanted
    assert float(off.abs().max()) < 0.08
    assert not found.doubts
    assert found.exactness.startswith("exact as particles")


def test_a_gaussian_s_posterior_is_exact_by_guidance_and_by_few_particles():
    C = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=F)
    law = Gaussian(torch.tensor([1.0, -1.0], dtype=F), C)
    seen = Linear(torch.tensor([[1.0, 2.0]], dtype=F), torch.tensor([3.0], dtype=F), 0.5)
    exact = conditioned(law, seen)
    found = samplers.posterior(Oracle(law), (2,), 4000, seen, method="particles", nfe=12, particles=500, dtype=F)
    assert found.log_evidence == pytest.approx(exact.log_evidence, abs=0.01)
    assert float(found.ess.min()) > 0.4
    torch.testing.assert_close(found.mean(), exact.means[0], atol=0.08, rtol=0)
    torch.testing.assert_close(found.std(), exact.law.covariance.matrix().diagonal().sqrt(), atol=0.06, rtol=0)
    y, sigma = rng.normal((6, 2), 0, "y", dtype=F), torch.full((6,), 0.8, dtype=F)
    wanted = Oracle(exact.law)(y, sigma)
    for how in ("moments", "wiener"):
        torch.testing.assert_close(Guided(Oracle(law), seen, how)(y, sigma), wanted, rtol=1e-6, atol=1e-6)
    assert samplers.posterior(Oracle(law), (2,), 5, seen).method == "exact"


@pytest.mark.parametrize("s", [1.0, 1e3])
def test_decoupled_annealing_is_exact_for_gaussian_laws_in_any_unit(s):
    turn = torch.linalg.qr(rng.normal((3, 3), 0, "turn", dtype=F)).Q
    C = turn @ torch.diag(torch.tensor([4.0, 1.0, 0.1], dtype=F)) @ turn.T
    seen = Linear(rng.normal((2, 3), 0, "A", dtype=F), torch.tensor([s, -s], dtype=F), 0.3 * s)
    law, n = Gaussian(s * torch.ones(3, dtype=F), s**2 * C), 20_000
    wanted = conditioned(law, seen).law
    found = samplers.posterior(Oracle(law), (3,), n, seen, method="daps", nfe=20, dtype=F)
    half = torch.linalg.cholesky(wanted.covariance.matrix())
    white = torch.linalg.solve_triangular(half, (found.x - wanted.mean).T, upper=False)
    assert float(white.mean(1).abs().max()) < 4.5 / math.sqrt(n)
    assert float((white @ white.T / n - torch.eye(3)).abs().max()) < 4.5 * math.sqrt(2 / n)


def test_ddrm_gives_what_is_seen_exactly_and_leaves_what_is_not():
    law = Gaussian(torch.zeros(3, dtype=F), torch.tensor([1.0, 4.0, 9.0], dtype=F))
    A = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [3.0, 1.0, 0.0]], dtype=F)  # the last is the sum of the others
    seen = Linear(A, torch.tensor([2.0, 0.0, 2.0], dtype=F), 0.0)
    found = samplers.posterior(Oracle(law), (3,), 2000, seen, method="ddrm", nfe=40, dtype=F)
    torch.testing.assert_close(found.x[:, :2], torch.tensor([[1.0, -1.0]], dtype=F).expand(2000, 2), atol=1e-4, rtol=0)
    assert float(found.x[:, 2].mean().abs()) < 4.5 * 3 / math.sqrt(2000)
    assert 2.0 < float(found.x[:, 2].std()) < 3.3  # its walk is not exact for Gaussian laws
    with pytest.raises(BadInput, match="ddrm is for linear"):
        samplers.posterior(Oracle(law), (3,), 2, Likelihood(lambda x: -x[:, 0].square()), method="ddrm", dtype=F)


@pytest.mark.parametrize("method", ["particles", "daps", "exact"])
def test_exact_values_that_no_event_has_are_told(method):
    law = Gaussian(torch.zeros(2, dtype=F), torch.ones(2, dtype=F))
    for A, y, off in (([[1.0, 0.0], [0.0, 0.0]], [1.0, 5.0], 1), ([[1.0, 1.0], [1.0, 1.0]], [0.0, 4.0], 2)):
        seen = Linear(torch.tensor(A, dtype=F), torch.tensor(y, dtype=F), 0.0)
        found = samplers.posterior(Oracle(law), (2,), 16, seen, method=method, nfe=6, dtype=F)
        assert f"{off} of 2 exact values cannot be met" in "; ".join(found.doubts)
    fine = Linear(torch.tensor([[1.0, 0.0]], dtype=F), torch.ones(1, dtype=F), 0.0)
    assert "met" not in "; ".join(samplers.posterior(Oracle(law), (2,), 16, fine, method=method, nfe=6, dtype=F).doubts)


@pytest.mark.parametrize("method", ["wiener", "moments"])
def test_walks_begin_where_the_observation_says(method):
    D, seen = (
        Oracle(Gaussian(torch.zeros(1, dtype=F), torch.ones(1, dtype=F))),
        Linear(torch.eye(1), torch.tensor([3.0]), 0.3),
    )
    n, exact = 20_000, 3 / 1.09
    found = samplers.posterior(D, (1,), n, seen, method=method, nfe=200, dtype=F)
    assert float(found.mean()) == pytest.approx(exact, abs=4.5 * 0.3 / math.sqrt(n) + 0.003)


@pytest.mark.parametrize("c", [1e-12, 1e-9, 1.0, 1e9])
def test_many_values_are_met_in_any_unit(c):
    event = (1, 40, 40)
    v = torch.rand(event, generator=torch.Generator().manual_seed(0)) + 0.1
    A = mask(torch.rand(event, generator=torch.Generator().manual_seed(1)) < 0.8)
    x = Gaussian(torch.zeros(event), v).sample(1)
    seen = Linear(A, c * A.forward(x)[0], 0.2 * c)
    found = samplers.posterior(Oracle(Gaussian(torch.zeros(event), c * c * v)), event, 8, seen, method="daps", nfe=5)
    rest = float((seen.residual(found.x) / c).square().mean().sqrt())
    assert rest == pytest.approx(0.2 * math.sqrt(2) * 0.68, rel=0.1)  # of the noise and of the draw, both shrunk


@pytest.mark.parametrize("method", ["daps", "diffpir"])
def test_rows_that_agree_or_nearly_agree_spoil_nothing(method):
    event = (1, 16, 16)
    law = Gaussian(torch.zeros(event), torch.ones(event))
    known = torch.zeros(16, 16, dtype=torch.bool)
    known[:, [0, 1, 2, 3, 13, 14, 15]] = True  # of a real event each coefficient comes twice
    A = fourier(known)
    seen = Linear(A, A.forward(law.sample(1, seed=3))[0], 0.0)
    found = samplers.posterior(Oracle(law), event, 4, seen, method=method, nfe=10)
    assert float(seen.residual(found.x).abs().max()) < 1e-3
    assert float(found.x.std()) < 1.2
    assert not found.doubts
    both = Linear(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0.0, 1.0]), 0.0)
    torch.testing.assert_close(both.met(torch.tensor([[3.0, 1.0]])), torch.tensor([[0.5, 1.0]]))


def test_a_walk_that_diverges_is_told(planned, seen):
    with pytest.raises(NumericalFailure, match="4 of 4 samples are not finite"):
        samplers.posterior(lambda y, t: y * math.inf, (2,), 4, seen, method="daps", plan=planned[1], dtype=F)


@pytest.mark.parametrize("method", ["daps", "moments", "wiener", "pi-gdm", "dps", "ddrm", "diffpir"])
def test_guided_draws_come_near_what_was_seen_and_say_that_they_are_biased(planned, seen, method):
    D, plan = planned
    found = samplers.posterior(D, (2,), 200, seen, method=method, plan=plan, nfe=30, dtype=F)
    off = seen.residual(found.x).square().mean().sqrt()
    plain = seen.residual(grid_law().sample(200)).square().mean().sqrt()
    assert float(off) < 0.4 * float(plain)
    assert found.exactness.startswith("biased")
    assert math.isnan(found.log_evidence)


def test_a_likelihood_of_one_s_own(planned):
    D, plan = planned
    law = grid_law()
    right = Likelihood(lambda x: -0.5 * (x[:, 0] - 8).square())
    same = Linear(torch.tensor([[1.0, 0.0]], dtype=F), torch.tensor([8.0], dtype=F), 1.0)
    exact = conditioned(law, same)
    found = samplers.posterior(D, (2,), 2048, right, plan=plan, particles=512, dtype=F)
    wanted = exact.log_evidence + 0.5 * math.log(2 * math.pi)
    assert found.log_evidence == pytest.approx(wanted, abs=4 * found.log_evidence_error + 0.02)
    assert found.log_evidence_error < 0.3
    assert found.mean()[0] == pytest.approx(float(exact.weights @ exact.means[:, 0]), abs=0.3)


def test_a_classifier_s_label_is_a_likelihood():
    law = GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 0.0]], dtype=F), torch.tensor([0.5, 0.5], dtype=F))
    logits = lambda x: torch.stack([-8 * x[:, 0], 8 * x[:, 0]], 1)  # noqa: E731
    found = samplers.posterior(Oracle(law), (2,), 512, Label(logits, 1), nfe=30, particles=256, dtype=F)
    assert float((found.weights * (found.x[:, 0] > 0)).sum()) > 0.99
    assert found.log_evidence == pytest.approx(math.log(0.5), abs=4 * found.log_evidence_error + 0.02)


def test_values_that_are_exact_are_met(planned):
    D, plan = planned
    held = Linear(torch.tensor([[1.0, 0.0]], dtype=F), torch.tensor([8.4], dtype=F), 0.0)
    found = samplers.posterior(D, (2,), 256, held, method="particles", plan=plan, nfe=60, dtype=F)
    torch.testing.assert_close(found.x[:, 0], torch.full((256,), 8.4, dtype=F), atol=1e-5, rtol=0)
    exact = conditioned(grid_law(), held)
    assert found.log_evidence == pytest.approx(exact.log_evidence, abs=4 * found.log_evidence_error + 0.05)


def test_a_denoiser_that_does_not_say_its_moments_is_looked_at():
    s, d = 1e4, 4
    law = Gaussian(torch.zeros(d, dtype=F), torch.linspace(0.2, 2, d, dtype=F).square() * s**2)
    seen = Linear(torch.eye(d, dtype=F), torch.linspace(1, -1, d, dtype=F) * s, 0.3 * s)
    D, wanted = Oracle(law), conditioned(law, seen)
    found = samplers.posterior(lambda y, t: D(y, t), (d,), 256, seen, method="wiener", nfe=20, moments=law, dtype=F)
    spread = wanted.law.covariance.matrix().diagonal().sqrt()
    assert float(((found.mean() - wanted.means[0]) / spread).abs().max()) < 0.4


def test_draws_of_few_particles_do_not_count_as_many():
    D = Oracle(GaussianMixture(torch.tensor([[-2.0], [2.0]]), torch.tensor([0.1, 0.1])))
    sharp = Likelihood(lambda v: -0.5 * ((v[:, 0] - 2.0) / 0.02).square())
    found = samplers.posterior(D, (1,), 120, sharp, particles=128, nfe=20)
    assert len(found.x) == 120
    assert found.effective < 60


def test_a_row_does_not_depend_on_its_company():
    law = Gaussian(torch.zeros(1, 10, 10), torch.ones(1, 10, 10))
    guided = Guided(Oracle(law), Linear(blur((1, 10, 10), 1.0), torch.ones(1, 10, 10), 0.01), "wiener")
    y = rng.normal((2, 1, 10, 10), 0, "y")
    same, other = (guided(y, torch.tensor([3.0, level]))[0] for level in (3.0, 1.0))
    torch.testing.assert_close(same, other, rtol=1e-4, atol=1e-4)


def test_a_denoiser_that_fails_is_told_so(planned, seen):
    with pytest.raises(NumericalFailure, match="not finite at level"):
        samplers.posterior(lambda y, t: y * math.nan, (2,), 8, seen, method="particles", plan=planned[1], dtype=F)


def test_quantiles_and_draws_are_by_weight():
    x, w = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0.5, 0.25, 0.25])
    found = samplers.Posterior(x, w, "particles", "", 1)
    assert [float(found.quantile(q)) for q in (0.0, 0.5, 0.6, 1.0)] == [0.0, 0.0, 1.0, 2.0]
    assert float(found.mean()) == 0.75
    assert found.effective == pytest.approx(1 / 0.375)
    assert sorted(found.sample(4).flatten().tolist()) == [0.0, 0.0, 1.0, 2.0]
    assert found.to_arviz().posterior["x"].shape == (1, 3, 1)


def test_bad_input_is_refused(planned, seen):
    D, plan = planned

    def ask(observation=seen, **options):
        return samplers.posterior(D, (2,), 8, observation, plan=plan, nfe=4, **{"dtype": F, **options})

    never = Likelihood(lambda x: x[:, 0] * 0 - math.inf)
    flat = Likelihood(lambda x: torch.zeros(len(x)))
    for call, words in (
        (lambda: ask(never), "the likelihood is 0 at every sample"),
        (lambda: ask(flat), "derivative of the likelihood"),
        (lambda: ask(method="magic"), "method"),
        (lambda: ask(Likelihood(lambda x: x[:, 0]), method="exact"), "is for an Oracle"),
        (lambda: ask(Linear(torch.eye(3), torch.zeros(3), 1.0)), "these are"),
        (lambda: ask(particles=0), "particles"),
        (lambda: ask(method="particles", alpha=0.5), "leave alpha out"),
        (lambda: ask(method="daps", alpha=1.0), "leave alpha out"),
        (lambda: ask(Likelihood(lambda x: x[:, 0]), method="daps"), "daps is for linear observations"),
        (lambda: ask(method="dps", sigma_min=-1.0), "noise levels need"),
        (lambda: Guided(D, seen, "magic"), "how"),
    ):
        with pytest.raises(BadInput, match=words):
            call()
    alone = ask(method="particles", particles=1)
    assert len(alone.x) == 8
    assert monge.samplers.Posterior is type(alone)
