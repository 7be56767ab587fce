"""The second rung: E[x | y] to first order of a law of one site, in closed form."""

import pytest
import torch

from monge import rng, samplers
from monge.denoisers import Pointwise, Separable, Wrapper
from monge.densities import Gaussian, Phi4


def start(x):
    return Pointwise.estimate(x, Separable.estimate(x, Gaussian.estimate(x)))


class Walked(Wrapper):
    def __init__(self, start):
        super().__init__(lambda y, sigma: y)
        self.start, self.moments = start, start.moments

    def denoised(self, y, sigma):
        return self.start.denoise(y, sigma)


@pytest.fixture(scope="module")
def phi4():
    law = Phi4((8, 8), kappa=0.2, lam=0.1)
    x = samplers.wolff(law, chains=64, draws=120, thin=5, show=False).x.flatten(0, 1)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    return x[:4000], x[4000:]


def test_phi4_has_its_fourth_moment_where_wiener_has_a_gaussian_s(phi4):
    x, real = phi4
    error = float((real**4).mean((1, 2, 3)).std()) * (1 / 2000 + 1 / len(real)) ** 0.5
    drawn = {
        name: float((samplers.reverse_diffusion(Walked(each), (1, 8, 8), 2000, nfe=12) ** 4).mean())
        for name, each in {"pointwise": start(x), "separable": Separable.estimate(x, Gaussian.estimate(x))}.items()
    }
    truth = float((real**4).mean())
    assert abs(drawn["separable"] - truth) > 8 * error
    assert abs(drawn["pointwise"] - truth) < 4 * error + 0.02 * truth


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.5])
def test_the_error_is_told_and_smaller_on_new_rows(phi4, sigma):
    x, real = phi4
    D = start(x)
    y = real + sigma * rng.normal(tuple(real.shape), 0, "y")
    own, base = ((d - real).square().flatten(1).mean(1) for d in (D.denoise(y, sigma), D.base.denoise(y, sigma)))
    gap = own - base
    assert gap.mean() < 2 * gap.std() / len(gap) ** 0.5
    told = float(D.error(torch.tensor([sigma])))
    assert float(own.mean()) == pytest.approx(told, abs=5 * float(own.std()) / len(own) ** 0.5)


def test_a_gaussian_field_is_left_to_wiener():
    law = Gaussian.stationary(1 / (0.2 + torch.fft.fftfreq(8)[:, None] ** 2 + torch.fft.fftfreq(8) ** 2)[None])
    x = law.sample(3000)
    D = start(x)
    y = law.sample(500, seed=1) + 0.7
    more = (D.denoise(y, 0.7) - D.moments.denoise(y, 0.7)).square().mean()
    assert more < 2e-3 * D.moments.error(torch.tensor([0.7]))


@pytest.mark.parametrize("x", ["binary", "heavy", "few", "constant site"])
def test_ugly_laws_keep_it_finite(x):
    z = rng.normal((600, 2, 4, 4), 0, x)
    x = {
        "binary": (z > 1.5).float(),
        "heavy": z / rng.normal((600, 1, 1, 1), 0, "below").abs().clamp_min(0.01),
        "few": z[:5],
        "constant site": z * (torch.arange(4) > 0),
    }[x]
    D = start(x)
    for sigma in (1e-4, 0.3, 1e4):
        found = D.denoise(x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)), sigma)
        assert found.isfinite().all()
        assert D.error(torch.tensor([sigma])).isfinite().all()


def test_a_row_does_not_depend_on_its_company_and_a_state_makes_it_again(phi4):
    D = start(phi4[0][:500])
    y = phi4[1][:9]
    sigma = torch.linspace(0.1, 3.0, 9)
    whole = D.denoise(y, sigma)
    assert torch.allclose(D.denoise(y[3:4], 0.1 + 3 * 2.9 / 8), whole[3:4], atol=1e-5)
    again = Pointwise.from_state(D.state(), D.moments)
    assert torch.equal(again.denoise(y, sigma), whole)
