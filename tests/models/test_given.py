"""Models that are given an observation: learned laws against what is known of their posterior."""

import pytest
import torch

import monge
from monge import observations, rng
from monge.data import Samples
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.observations import Linear, conditioned

C = torch.tensor([[4.0, 3.0], [3.0, 9.0]])
LAW = Gaussian(torch.tensor([10.0, -5.0]), C)


@pytest.fixture(scope="module", params=[monge.Diffusion, monge.FlowMatching], ids=lambda family: family.__name__)
def model(request):
    return request.param().fit(LAW.sample(2000, seed=0), steps=300, show=False)


def test_a_learned_gaussian_s_posterior_is_in_data_units(model):
    seen = Linear(torch.tensor([[1.0, 1.0]]), torch.tensor([9.0]), 1.0)
    exact = conditioned(LAW, seen)
    found = model.posterior(2000, seen, nfe=20, show=False)
    spread = exact.law.covariance.matrix().diagonal().sqrt()
    off = (found.mean() - exact.means[0]) / spread
    assert float(off.abs().max()) < 0.25
    torch.testing.assert_close(found.std(), spread, rtol=0.15, atol=0)
    assert found.log_evidence == pytest.approx(exact.log_evidence, abs=0.2)
    x = model.sample(4, given=seen, nfe=10, show=False)
    assert x.shape == (4, 2)
    assert torch.equal(x, model.sample(4, given=seen, nfe=10, show=False))
    assert float(seen.residual(model.sample(50, given=seen, method="moments", nfe=10, show=False)).std()) < 2


def test_pixels_that_are_known_are_kept_and_on_the_grid():
    x = (rng.uniform((80, 1, 4, 4), 0, "x") * 16).round()
    data = Samples(x, kind="images", quantum=1.0, limits=(0.0, 16.0))
    model = monge.Diffusion(net=monge.nets.Size(widths=(16,), blocks=1)).fit(data, steps=20, show=False)
    known = torch.zeros(1, 4, 4, dtype=torch.bool)
    known[:, :2] = True
    seen = Linear(observations.mask(known), x[0][known], 0.0)
    drawn = model.sample(3, given=seen, nfe=6, show=False)
    assert torch.equal(drawn, drawn.round())
    torch.testing.assert_close(drawn[:, known], x[0][known].expand(3, -1))
    assert float(drawn[:, ~known].std()) > 0


def test_a_blind_model_looks_before_it_answers():
    x = (rng.uniform((60, 1, 8, 8), 0, "x") * 16).round()
    model = monge.Diffusion(blind=True).fit(Samples(x, kind="images", quantum=1.0), steps=2, show=False)
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, :1] = True
    seen = Linear(observations.mask(known), x[0][known], 2.0)
    first = model.posterior(2, seen, nfe=3, method="wiener", show=False).x
    model.sample(1, nfe=2, show=False)
    assert torch.equal(model.posterior(2, seen, nfe=3, method="wiener", show=False).x, first)


def test_bent_models_take_noise_and_no_exact_values():
    data = Samples(torch.exp(rng.normal((400, 2), 0, "x")))
    model = monge.Diffusion(bend=True).fit(data, steps=150, show=False)
    A = torch.tensor([[1.0, 0.0]])
    found = model.posterior(256, Linear(A, torch.tensor([3.0]), 0.2), nfe=20, show=False)
    assert float(found.mean()[0]) == pytest.approx(3.0, abs=0.3)
    with pytest.raises(BadInput, match="that learned them bent"):
        model.posterior(8, Linear(A, torch.tensor([3.0]), 0.0))


def test_labels_and_observations_go_together():
    y = torch.arange(600) % 2
    x = rng.normal((600, 2), 0, "x") + 6.0 * y[:, None]
    model = monge.Diffusion(labels=True).fit(Samples(x, y), steps=150, show=False)
    seen = Linear(torch.tensor([[1.0, 0.0]]), torch.tensor([3.0]), 2.0)
    for label in (0, 1):
        found = model.posterior(256, seen, label=label, nfe=15, show=False)
        assert float(found.mean()[1]) == pytest.approx(6.0 * label, abs=1.0)


def test_bad_input_is_refused(model):
    seen = Linear(torch.eye(2), torch.zeros(2), 1.0)
    paired = monge.FlowMatching(pairing="transport").fit(LAW.sample(64, seed=0), steps=2, show=False)
    wide = Linear(observations.blur((2, 4), 1.0), torch.zeros(2, 4), 1.0)
    for call, words in (
        (lambda: model.sample(2, given=seen, alpha=1.0), "alpha does not go with given"),
        (lambda: model.sample(2, given=seen, start=3), "start does not go with given"),
        (lambda: model.sample(2, given=seen, batch_size=4), "batch_size does not go with given"),
        (lambda: model.sample(2, given=wide), "the model's are"),
        (lambda: model.sample(2, method="dps"), "say given="),
        (lambda: model.sample(2, given=Linear(torch.eye(3), torch.zeros(3), 1.0)), "these are"),
        (lambda: model.sample(2, given=seen, label=1), "trained without labels"),
        (lambda: paired.sample(2, given=seen), "velocity of pairs"),
        (lambda: monge.Diffusion().posterior(2, seen), "has not been fitted"),
    ):
        with pytest.raises(BadInput, match=words):
            call()
