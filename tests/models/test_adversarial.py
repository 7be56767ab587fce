"""Adversarial families against what the theory of their game says (course, section 4)."""

import csv
import math
import re
import warnings

import pytest
import torch

import monge
from monge import rng
from monge.data import Samples
from monge.densities import Gaussian, GaussianMixture, divergences
from monge.errors import BadInput, NumericalFailure
from monge.models.games import Minimax, Play, Wasserstein, penalty
from monge.models.recorder import KEPT, WINDOW, Recorder
from monge.nets import Size
from monge.protocols import SupportsCritic

SMALL = Size(widths=(16,), blocks=1)
FAMILIES = (monge.GAN, monge.WassersteinGAN)


def ring():
    angle = torch.arange(8) * (math.pi / 4)
    return GaussianMixture(torch.stack([angle.cos(), angle.sin()], 1), torch.full((8,), 0.05**2))


def grid():
    side = torch.linspace(-2, 2, 5)
    return GaussianMixture(torch.cartesian_prod(side, side), torch.full((25,), 0.05**2))


def quiet(model, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(data, **{"show": False, **options})


# -- the discriminator ----------------------------------------------------------------------------------------------


class Fixed(monge.GAN):
    """A game in which only the discriminator learns: what is made is drawn from a law that stays as it is."""

    law = GaussianMixture(torch.tensor([[-1.5], [1.0]]), torch.tensor([0.4, 1.2]), torch.tensor([0.3, 0.7]))

    def objectives(self):
        return super().objectives()[:1]

    def play(self, batch):
        real = self.scaled(batch.x, batch.generator)
        made = self.law.sample(len(real), seed=batch.step)
        return Play(real, self.units.forward(made), None)


def test_the_best_discriminator_is_p_over_p_plus_p_g(tmp_path):
    """D* = p / (p + p_G) (48), and the value 2 JS - 2 log 2 (53), within the Monte Carlo error of as many samples."""
    p, made = Gaussian(torch.zeros(1), torch.ones(1, 1)), Fixed.law
    model = Fixed(penalty=None, net=Size(widths=(32,), blocks=2))
    quiet(model, p.sample(40_000, seed=0), steps=600, batch_size=512, lr=1e-2)
    x = torch.linspace(-2.5, 2.5, 21)[:, None]
    best = torch.sigmoid(p.log_prob(x).value - made.log_prob(x).value)
    assert (model.critic(x) - best).abs().max() < 0.05
    # the value of the trained D on new samples: at most that of the best, and within its error of it
    n = 20_000
    real, fake = p.sample(n, seed=7), made.sample(n, seed=8)
    terms = [model.critic(real).log(), (1 - model.critic(fake)).log()]
    error = math.sqrt(sum(float(term.var()) / n for term in terms))
    js = divergences(p, made, n=100_000, seed=3).js
    value = sum(float(term.mean()) for term in terms)
    assert abs(value - (2 * js.value - 2 * math.log(2))) < 4 * error + 4 * 2 * js.error + 0.003


def test_the_games_have_the_values_of_the_course():
    same = torch.zeros(5)
    assert float(Minimax(True).judging(same, same)) == pytest.approx(2 * math.log(2))
    assert float(Minimax(True).estimate(Minimax(True).judging(same, same))) == pytest.approx(0, abs=1e-6)
    sure = torch.full((5,), 50.0)
    assert float(Minimax(False).estimate(Minimax(False).judging(sure, -sure))) == pytest.approx(math.log(2))
    assert float(Wasserstein(2.0).estimate(Wasserstein().judging(sure, -sure))) == 200.0


@pytest.mark.parametrize("theta", [0.5, 3.0])
def test_two_segments_at_a_distance(theta):
    """{0} x [0, 1] and {theta} x [0, 1] (note 48): JS = log 2 at any theta, W1 = theta and its slope points the way."""
    u = rng.uniform((4000, 1), 0, "segments")
    left, right = torch.cat([0 * u, u], 1), torch.cat([0 * u + theta, u.flip(0)], 1)

    class Segments(Fixed):
        def play(self, batch):
            made = right[torch.randint(len(right), (len(batch.x),), generator=batch.generator)]
            return Play(self.scaled(batch.x, batch.generator), self.units.forward(made), None)

    class Transported(monge.WassersteinGAN):
        play = Segments.play

        def objectives(self):
            return super().objectives()[:1]

    at = right[:50].clone().requires_grad_(True)
    gan = quiet(Segments(penalty=None, net=SMALL), left, steps=300, lr=1e-2)
    wgan = quiet(Transported(net=SMALL, critic_steps=1, strength=10.0), left, steps=300, lr=1e-2)
    slopes = {}
    for name, model, loss in (("gan", gan, Minimax(True)), ("wgan", wgan, Wasserstein())):
        score = model.discriminator(model.units.forward(at), None)[:, 0]
        (slopes[name],) = torch.autograd.grad(loss.making(score) * len(at), at)
    unit = wgan.units.scale  # of each coordinate
    assert (slopes["wgan"] * unit)[:, 0].mean() == pytest.approx(1, abs=0.5)  # down the loss is to the left
    assert slopes["gan"].norm(dim=1).mean() < 0.02 * slopes["wgan"][:, 0].mean()


def test_penalties_are_those_of_their_papers():
    """Of a quadratic score, whose slope is known everywhere."""
    x, made = rng.normal((50, 3), 0, "x"), rng.normal((50, 3), 1, "x")
    play = Play(x, made, None)
    value = penalty("r1", lambda x, _: 0.5 * x.square().sum(1, keepdim=True), play, torch.Generator())
    assert torch.allclose(value, x.square().sum(1).mean() / 2)
    generator = torch.Generator().manual_seed(0)
    t = torch.rand(50, 1, generator=torch.Generator().manual_seed(0))
    between = torch.lerp(x, made, t).norm(dim=1)
    value = penalty("gradient", lambda x, _: 0.5 * x.square().sum(1, keepdim=True), play, generator)
    assert torch.allclose(value, (between - 1).clamp(min=0).square().mean())


def test_spectral_normalisation_bounds_the_slope():
    model = quiet(monge.WassersteinGAN(net=SMALL, spectral=True, penalty=None), ring().sample(300, seed=0), steps=60)
    layers = [layer for layer in model.discriminator.modules() if isinstance(layer, torch.nn.Linear)]
    assert all(float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) < 1.2 for layer in layers)


def test_only_a_discriminator_of_probabilities_is_a_density_ratio():
    assert isinstance(monge.GAN(), SupportsCritic)
    assert not isinstance(monge.WassersteinGAN(), SupportsCritic)


# -- what is lost ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [ring(), grid()], ids=["ring", "grid"])
def test_collapse_is_told_and_fails_the_audit(law):
    """A weak game loses modes: the warning names places in them, and the audit fails."""
    count = len(law.means)
    weak = monge.GAN(penalty=None, latent=2, signs=0, net=Size(widths=(32,), blocks=1))
    with pytest.warns(UserWarning, match="collapse") as told:
        weak.fit(law.sample(4000, seed=0), steps=300, lr=1e-2, show=False)
    text = next(str(w.message) for w in told if "collapse" in str(w.message))
    x = weak.sample(4000, seed=1)
    share = torch.bincount(torch.cdist(x, law.means.float()).argmin(1), minlength=count) / len(x)
    lost = set((share < 0.3 / count).nonzero().flatten().tolist())
    assert lost
    named = [(float(a), float(b)) for a, b in re.findall(r"\((\S+), (\S+)\)", text.split("around")[1])]
    places = torch.cdist(torch.tensor(named), law.means.float()).argmin(1)
    assert set(places.tolist()) & lost
    verdict = monge.audit(x[:1000], holdout=law.sample(1000, seed=2), train=law.sample(1000, seed=3))
    assert verdict.status == "fail"


def held(n=640):
    """Four places on a line, a quarter of the rows in each."""
    return torch.arange(4.0).repeat_interleave(n // 4)[:, None], [str(k) for k in range(4) for _ in range(n // 4)]


def play_windows(recorder, windows, *, accuracy=0.6, estimate=0.1):
    for w, places in enumerate(windows):
        for _ in range(WINDOW):
            recorder.hear(torch.tensor(accuracy), torch.tensor(estimate))
        recorder.see(torch.tensor(places, dtype=torch.float32)[:, None], (w + 1) * WINDOW - 1)


@pytest.mark.parametrize(
    ("windows", "heard", "message"),
    [
        ([[0, 1, 2] * 40] * KEPT, {}, r"collapse .*: 1 of 4 cells .* hold 25.0% .* around 3"),
        ([[0, 1, 2, 3]] * KEPT, {"accuracy": 0.99, "estimate": 0.69}, "wins outright .* 99.0% .* of log 2"),
        ([[0, 1], [2, 3]] * (KEPT // 2), {}, "oscillation .* 9.0 times its whole mass"),
    ],
)
def test_each_failure_is_warned_of_once_with_its_evidence(windows, heard, message):
    recorder = Recorder(*held(), ceiling=math.log(2), cells=4)
    with pytest.warns(UserWarning, match=message) as told:
        play_windows(recorder, windows * 2, **heard)
    assert len(told) == 1


def test_a_game_that_goes_well_is_not_warned_of(recwarn):
    recorder = Recorder(*held(), ceiling=math.log(2), cells=4)
    start = [[0]] * 5 + [[0, 1]] * 3 + [[0, 1, 2]] * 3  # it spreads at first
    play_windows(recorder, start + [[0, 1, 2, 3, 3]] * 2 * KEPT)
    recorder.conclude()
    assert recorder.lost() == []
    assert not recwarn.list


def test_the_log_has_what_the_theory_says_to_watch(tmp_path):
    for family, name in ((monge.GAN, "JS"), (monge.WassersteinGAN, "W1")):
        out = tmp_path / name
        quiet(family(net=SMALL), ring().sample(2400, seed=0), steps=100, out=out, validation=0.1)
        with (out / "log.csv").open() as file:
            last = list(csv.DictReader(file))[-1]
        told = {"accuracy", name, "gradient"}
        assert {f"discriminator/{column}" for column in told} | {"generator/gradient", "generator/coverage"} < set(last)
        assert 0 <= float(last["generator/coverage"]) <= 1
        assert float(last["held-out discriminator"]) < math.inf


# -- what it refuses ------------------------------------------------------------------------------------------------

PLANE = Samples(rng.normal((90, 2), 0, "plane"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (PLANE, {"batch_size": 1}, "batches of 2 or more"),
        (PLANE, {"batch_size": 91}, r"batches? of 91 rows .* has 90: give batch_size="),
        (Samples(torch.ones(90, 2)), {}, "does not vary"),
        (PLANE, {"validation": 0.1, "patience": 3}, "patience waits for a loss to fall"),
    ],
)
def test_bad_data_and_trainings_are_refused(family, data, options, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        family().fit(data, steps=3, show=False, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"critic_steps": 0}, "critic_steps must be 1 or more"),
        ({"latent": 0}, "latent must be 1 or more"),
        ({"signs": -1}, "signs must be 0 or more"),
        ({"penalty": "l2"}, "penalty must be gradient, r1 or none"),
        ({"strength": -1.0}, "strength must be a finite number"),
        ({"critic_lr": 0.0}, "needs lr > 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    for family in FAMILIES:
        with pytest.raises(BadInput, match=message):
            family(**settings)
    with pytest.raises(BadInput, match="form must be non-saturating or minimax"):
        monge.GAN(form="vanilla")


def test_a_loss_that_is_not_finite_names_its_step():
    with pytest.raises(NumericalFailure, match=r"not finite at step \d+"):
        quiet(monge.GAN(net=SMALL, penalty=None), PLANE, steps=50, lr=1e30)


def test_a_column_that_does_not_vary_is_learned():
    x = torch.cat([PLANE.x, torch.full((90, 1), 3.0)], 1)
    made = quiet(monge.WassersteinGAN(critic_steps=1), x, steps=150).sample(200)
    assert (made[:, 2] - 3).abs().mean() < 0.3


# -- conditions -----------------------------------------------------------------------------------------------------


def test_labels_are_learned_and_asked_for():
    """Two labels, far apart: what is drawn for each is there."""
    y = torch.arange(600) % 2
    data = Samples(rng.normal((600, 2), 0, "c") * 0.3 + 4.0 * y[:, None], y, classes=("low", "high"))
    model = quiet(monge.WassersteinGAN(critic_steps=1), data, steps=150)
    assert model.sample(50, label="low").mean() < 1.5 < 2.5 < model.sample(50, label="high").mean()
    assert model.potential(data.x[:4], label=[0, 1, 0, 1]).shape == (4,)
    with pytest.raises(BadInput, match="no label 'middle': the model was trained on low, high"):
        model.sample(3, label="middle")
    with pytest.raises(BadInput, match="conditioned on low, high: give a label"):
        model.potential(data.x[:4])


@pytest.mark.parametrize("space", [(10,), (9, 7), (4, 5, 6)])
def test_images_are_told_and_asked_for(space):
    """x = 2 y + 1 of images on a space that no scale divides: what is made follows what is told."""
    y = rng.normal((300, 2, *space), 0, "context")
    x = 2 * y[:, :1] + 1
    data = Samples(x, y, "fields" if len(space) != 2 else "images")
    model = monge.GAN(net=Size(widths=(8, 8), blocks=1), reconstruction=10.0)
    quiet(model, data, steps=60, batch_size=32, lr=5e-3)
    made = model.sample(40, label=y[:40])
    assert made.shape == (40, 1, *space)
    assert (made - x[:40]).square().mean() < 0.5 * x.var()
    same = model.sample(3, label=y[0])
    assert torch.allclose(same[0], model.sample(1, label=y[0])[0], atol=1e-5)
    with pytest.raises(BadInput, match=r"conditioned on images of \[2, .*: give a label"):
        model.sample(3)
    with pytest.raises(BadInput, match="give one such, or one for each of 3"):
        model.sample(3, label=y[:2])
    with pytest.raises(BadInput, match="is told labels or vectors"):
        monge.Diffusion().fit(data, steps=1)
