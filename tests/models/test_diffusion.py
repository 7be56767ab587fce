"""What a fitted diffusion knows: the posterior mean, the density in data units, a latent."""

import math

import numpy as np
import pytest
import torch

import monge
from monge import rng
from monge.data import Samples, Scaling
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.linalg import DiagonalCovariance
from monge.nets import Size
from monge.report.denoising import denoising


def mixture():
    means = torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -2.0]])
    return GaussianMixture(means, torch.tensor([[0.3, 0.1], [0.2, 0.5], [0.1, 0.1]]), torch.tensor([0.5, 0.3, 0.2]))


@pytest.fixture(scope="module")
def model():
    return monge.Diffusion().fit(mixture().sample(20_000, seed=0), steps=1500, show=False)


def test_denoiser_is_within_two_percent_of_the_posterior_mean(model):
    """E |D - x|^2 = E |E[x|y] - x|^2 + E |D - E[x|y]|^2: the second term over the first, over log-uniform sigma."""
    law = mixture()
    x = law.sample(20_000, seed=1)
    shares = []
    for i, sigma in enumerate(torch.logspace(-2, math.log10(20.0), 24).tolist()):
        y = x + sigma * rng.normal((len(x), 2), 0, "noise", i)
        exact = law.denoise(y, sigma)
        excess = (model.denoise(y, sigma) - exact).square().mean()
        shares.append(float(excess / (exact - x).square().mean()))
    assert sum(shares) / len(shares) < 0.02
    assert max(shares) < 0.05


def test_samples_follow_the_law(model):
    law = mixture()
    n = 4000
    x = model.sample(n, nfe=40)
    share = torch.bincount(torch.cdist(x, law.means).argmin(1), minlength=3) / n
    exact = torch.bincount(torch.cdist(law.sample(200_000, seed=5), law.means).argmin(1), minlength=3) / 200_000
    # Monte Carlo error and two percent for what 1,500 steps have not learned
    assert ((share - exact).abs() < 4 * (exact * (1 - exact) / n).sqrt() + 0.02).all()


def test_log_prob_is_a_density_in_data_units(model):
    law = mixture()
    x = law.sample(300, seed=2)
    got = model.log_prob(x)
    assert got.value.shape == got.error.shape == (300,)
    # the gap is the model's KL, small, and no unit is lost: a forgotten scale would show as 2 log 1.18 = 0.33
    gap = law.log_prob(x).value - got.value
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(300) + 0.03


def test_units_change_the_density_by_their_log_det():
    x = mixture().sample(500, seed=3)
    options = {"steps": 60, "show": False}
    small = monge.Diffusion().fit(x, **options).log_prob(x[:20])
    large = monge.Diffusion().fit(8 * x, **options).log_prob(8 * x[:20])
    assert torch.allclose(small.value - 2 * math.log(8.0), large.value, atol=1e-3)


def test_probes_agree_with_the_exact_divergence(model):
    x = mixture().sample(100, seed=4)
    exact, probed = model.log_prob(x), model.log_prob(x, probes=16)
    z = (probed.value - exact.value) / probed.error.clamp_min(1e-3)
    assert abs(z.mean()) < 4 * z.std() / 10
    assert "16 probes" in probed.method


def test_latents_are_normal_and_come_back(model):
    x = mixture().sample(2000, seed=6)
    z = model.encode(x)
    assert (z.mean(0).abs() < 4.5 / math.sqrt(2000) + 0.03).all()
    assert ((z.var(0) - 1).abs() < 4.5 * math.sqrt(2 / 2000) + 0.05).all()
    assert (model.decode(z[:50]) - x[:50]).abs().max() < 0.02


def test_stochastic_sampling_belongs_to_its_index_too(model):
    whole = model.sample(6, nfe=10, alpha=1.0)
    assert torch.allclose(model.sample(4, nfe=10, alpha=1.0, start=2, batch_size=3), whole[2:], atol=1e-5)


def test_trace_is_in_data_units(model):
    way = model.sample(5, nfe=8, trace=True)
    assert (way.x - way.x_hat[-1]).abs().max() < way.sigma[-1]
    assert torch.equal(way.x, model.sample(5, nfe=8))
    assert way.y.shape == (8, 5, 2)


def test_blind_model_samples_in_a_space_much_larger_than_the_data():
    """A circle in 32 dimensions: the noise level can be read off the residual."""
    angle = 2 * math.pi * rng.uniform((4000, 1), 0, "angle")
    rotation = Gaussian.estimate(rng.normal((200, 32), 0, "axes")).covariance.vectors
    x = torch.cat([angle.cos(), angle.sin(), torch.zeros(4000, 30)], 1) @ rotation
    model = monge.Diffusion(blind=True).fit(x, steps=400, show=False)
    back = model.sample(500, nfe=40) @ rotation.T
    radius = back[:, :2].norm(dim=1)
    assert abs(radius.mean() - 1) < 0.1
    assert back[:, 2:].norm(dim=1).mean() < 0.3
    assert (
        torch.bincount((torch.atan2(back[:, 1], back[:, 0]) / (math.pi / 4)).floor().long() + 4, minlength=8).min() > 20
    )


def test_quantised_data_end_half_a_grid_step_above_zero_noise():
    x = (20 + 5 * rng.normal((200, 1, 4, 4), 0, "q")).round().clamp(0, 40)  # no atom at a limit
    data = Samples(x, kind="images", quantum=1.0, limits=(0.0, 40.0))
    model = monge.Diffusion().fit(data, steps=2, show=False)
    way = model.sample(2, nfe=4, trace=True)
    assert way.sigma[-1].item() == pytest.approx(0.5, rel=1e-5)  # data units
    last = model.walker.thresholds.apply(model.units.forward(way.x_hat[-1]))
    assert torch.equal(way.x, model.units.quantise(model.units.inverse(last)))
    assert model.walker.plan.gains.log_sigma[0].exp().item() * model.units.unit >= 0.5 * (1 - 1e-6)
    assert "dequantised" in model.record["scaling"]["statement"]


def test_each_grid_point_comes_as_often_as_in_the_data(tmp_path, monkeypatch):
    """An untrained denoiser is Wiener's, whose samples are a Gaussian's: the atom would be half as large."""
    monkeypatch.setattr("monge.models.denoiser_family.CALIBRATED_FROM", 0)
    dark = (rng.uniform((400, 1, 4, 4), 0, "dark") < 0.4).float()
    x = dark * (1 + 7 * rng.uniform((400, 1, 4, 4), 0, "q")).round()
    data = Samples(x, kind="images", quantum=1.0, limits=(0.0, 8.0))
    model = monge.Diffusion().fit(data, steps=1, show=False, out=tmp_path / "run")
    drawn = model.sample(4000, seed=1, nfe=10, show=False)
    scaled = model.walker.thresholds
    assert (scaled.places != scaled.edges).any()
    clamped = (scaled.places - scaled.edges).abs() > 0.24  # moved as far as may be
    below = [float((drawn < k + 0.5).float().mean()) for k in range(8)]
    real = [float((x < k + 0.5).float().mean()) for k in range(8)]
    free = [k for k in range(8) if not clamped[0, k]]
    assert len(free) > 3
    assert all(below[k] == pytest.approx(real[k], abs=0.02) for k in free)
    again = monge.load(tmp_path / "run")
    assert torch.equal(again.sample(5, show=False), model.sample(5, show=False))


def test_arrays_are_taken_as_tensors_are_and_one_channel_may_be_left_out(model):
    x = model.sample(5, seed=3, show=False)
    for use in (lambda x: model.denoise(x, 0.1), lambda x: model.log_prob(x).value, model.encode, model.decode):
        torch.testing.assert_close(use(x.double().numpy()), use(x))
    images = monge.Diffusion(net=monge.nets.Size(widths=(8,), blocks=1))
    images.fit(np.random.default_rng(0).normal(size=(20, 1, 4, 4)), steps=2, show=False)
    gray = np.zeros((3, 4, 4))
    assert images.denoise(gray, 0.5).shape == (3, 1, 4, 4)
    assert images.encode(gray).shape == (3, 1, 4, 4)


def test_noise_on_pictures_with_much_black_is_taken_for_what_it_is():
    """After one step the denoiser is still the best linear one, whose error the moments tell."""
    bright = 200 * (rng.normal((400, 1, 4, 4), 0, "bright") > 0.8)
    data = Samples(bright.float(), kind="images", quantum=1.0, limits=(0.0, 255.0))
    fitted = monge.Diffusion().fit(data, steps=1, show=False)
    assert fitted.units.marginals.stretches
    sigma, unit = 60.0, fitted.units.unit
    y = data.x + sigma * rng.normal((400, 1, 4, 4), 0, "noise")
    error = (fitted.denoise(y, sigma) - data.x).square().mean()
    assert error < 1.15 * unit**2 * fitted.moments.error(torch.tensor([sigma / unit]))
    assert torch.equal(fitted.denoise(y, 0.0), y)


@pytest.mark.parametrize(("side", "seen"), [(16, 64), (6, 12), (40, 160)])
def test_levels_are_trained_where_64_directions_are_seen_or_a_tenth_and_a_third_at_most(side, seen):
    """Of white data d / (1 + sigma^2) are seen."""
    white = rng.normal((30, 1, side, side), 0, "white")
    model = monge.Diffusion(net=monge.nets.Size((8,), 1)).fit(Samples(white, kind="fields"), steps=1, show=False)
    model.denoiser.moments = Gaussian(torch.zeros(1, side, side), DiagonalCovariance(torch.ones(1, side, side)))
    (objective,) = model.objectives()
    assert math.exp(objective.center) ** 2 == pytest.approx(side**2 / seen - 1, rel=0.12)  # steps of .05 in log sigma


def test_wrong_events_and_settings_are_refused(model):
    for use in (model.denoise, lambda x, _: model.log_prob(x), lambda x, _: model.encode(x)):
        with pytest.raises(BadInput, match=r"fitted to events of shape \[2\]: give \[n, 2\], not \[4, 3\]"):
            use(torch.zeros(4, 3), 1.0)
    for wrong, message in (({"nfe": 0}, "nfe must be"), ({"alpha": -1.0}, "alpha must be"), ({"n": -3}, "n must be")):
        with pytest.raises(BadInput, match=message):
            model.sample(**{"n": 2, **wrong})
    with pytest.raises(BadInput, match=r"give \[n, 2\], not \[0, 2\]"):
        model.log_prob(torch.zeros(0, 2))


@pytest.mark.parametrize(
    "wrong", [{"sigma_min": 1.0, "sigma_max": 0.5}, {"sigma_min": 0.0}, {"sigma_max": math.inf}, {"sigma_min": -1.0}]
)
def test_wrong_noise_levels_are_refused_before_any_training(wrong):
    with pytest.raises(BadInput, match="0 < sigma_min < sigma_max < infinity"):
        monge.Diffusion(**wrong)


def test_denoise_at_no_noise_and_at_impossible_noise(model):
    y = torch.randn(4, 2)
    assert torch.allclose(model.denoise(y, 0.0), y, atol=1e-5)
    mixed = model.denoise(y, torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert torch.allclose(mixed[::2], y[::2], atol=1e-5)
    assert torch.allclose(mixed[1::2], model.denoise(y[1::2], 1.0), atol=1e-5)
    for wrong in (-1.0, math.nan, math.inf, torch.ones(3)):
        with pytest.raises(BadInput, match="sigma must be"):
            model.denoise(y, wrong)


def test_float64_events_are_taken(model):
    x = mixture().sample(5, seed=4)
    assert torch.allclose(model.log_prob(x.double()).value.float(), model.log_prob(x).value, atol=1e-4)


def test_rows_that_are_not_numbers_or_never_vary_are_refused():
    for bad, message in ((torch.full((9, 2), math.nan), "NaN"), (torch.ones(9, 2), "does not vary")):
        with pytest.raises(BadInput, match=message):
            monge.Diffusion().fit(Samples(bad), steps=1, show=False)


def test_rare_values_of_binary_data_are_not_rounded_away():
    """The exact denoiser of {0, 1}, one in ten a 1, spread over its steps: down to a quarter step, then rounded."""
    share = torch.tensor([0.9, 0.1], dtype=torch.float64)

    def denoise(y, sigma):
        ends = torch.tensor([-0.5, 0.5, 1.5], dtype=torch.float64)
        z = (ends - y) / sigma[:, None]
        mass = torch.special.ndtr(z).diff(dim=1)
        bump = torch.exp(-z.square() / 2).diff(dim=1) / math.sqrt(2 * math.pi)
        return ((share * (y * mass - sigma[:, None] * bump)).sum(1) / (share * mass).sum(1))[:, None]

    data = Samples((rng.uniform((400, 3), 0, "bits") < 0.1).float(), quantum=1.0, limits=(0.0, 1.0))
    model = monge.Diffusion().fit(data, steps=1, show=False)
    lowest = model.levels().sigma_min * model.scaling.unit
    x = monge.samplers.reverse_diffusion(
        denoise, (1,), 10_000, nfe=40, sigma_min=lowest, sigma_max=20.0, dtype=torch.float64
    )
    assert lowest == pytest.approx(0.25, rel=1e-5)
    assert abs(float(x.round().mean()) - 0.1) < 4 * math.sqrt(0.09 / 10_000)


def test_save_does_not_replace_another_run(model, tmp_path):
    other = monge.Diffusion().fit(torch.randn(40, 2), steps=1, seed=9, show=False)
    other.save(tmp_path)
    other.save(tmp_path)  # its own: nothing is lost
    with pytest.raises(BadInput, match="holds another run"):
        model.save(tmp_path)
    model.save(tmp_path, force=True)
    assert monge.load(tmp_path).record["seed"] == 0


def test_damaged_or_mixed_runs_are_refused(model, tmp_path):
    model.save(tmp_path / "a")
    monge.Diffusion().fit(torch.randn(40, 3), steps=1, show=False).save(tmp_path / "b")
    (tmp_path / "a" / "weights.safetensors").write_bytes((tmp_path / "b" / "weights.safetensors").read_bytes())
    with pytest.raises(BadInput, match="damaged or of another run"):
        monge.load(tmp_path / "a")
    record = (tmp_path / "b" / "model.json").read_text()
    for old, new, message in (
        ('"blind"', '"foo"', "settings that this version does not know"),
        ('"format": 3', '"format": 4', "update monge"),
    ):
        (tmp_path / "b" / "model.json").write_text(record.replace(old, new))
        with pytest.raises(BadInput, match=message):
            monge.load(tmp_path / "b")


def test_few_calls_do_not_explode(model):
    exact = mixture().sample(20_000, seed=3).std(0)
    for nfe in (2, 3, 4, 5, 6, 7):
        for alpha in (0.0, 1.0):
            assert (model.sample(1000, nfe=nfe, alpha=alpha).std(0) < 2 * exact).all()


def test_fields_of_skew_values_are_learned_bent_unless_for_denoising():
    x = Samples(rng.normal((200, 1, 32), 0, "g").exp(), kind="fields")
    model = monge.Diffusion(net=Size(widths=(16,), blocks=1)).fit(x, steps=5, show=False)
    # noise is white after the bend, and the report's is such
    strip = denoising(model, x.x[:3])
    z = model.scaling.forward(strip.noisy.flatten(0, 1)).unflatten(0, (-1, 3)) - model.scaling.forward(x.x[:3])
    assert (z.std((1, 2, 3)) / strip.sigma - 1).abs().max() < 5 / math.sqrt(2 * 96)
    assert strip.denoised.isfinite().all()
    with pytest.raises(BadInput, match="learned its skew values bent"):
        model.denoise(x.x[:3], 0.5)
    assert model.scaling.bends
    assert all(part.isfinite().all() for part in model.sample(3, trace=True, show=False)[:4])
    with pytest.raises(BadInput, match="bend=True is for real values of tables and fields"):
        monge.Diffusion(bend=True).fit(Samples(x.x.round(), kind="fields", quantum=1.0), steps=1, show=False)
    table = Samples(x.x[:, 0, :2])
    assert not monge.Diffusion(bend=False).fit(table, steps=1, show=False).scaling.bends
    assert not any(m.bends for m in (monge.Diffusion(bend=False), monge.Diffusion(blind=True)))


def test_a_small_table_is_not_learned_by_heart():
    """100 rows of 8 normal columns: by steps enough to know them all, the error on new rows is near the least."""
    law = Gaussian(torch.zeros(8), torch.linspace(0.5, 1.5, 8))
    x, new = law.sample(100, seed=0), law.sample(4000, seed=1)
    kept = monge.Diffusion().fit(x, steps=400, show=False)
    heart = monge.Diffusion().fit(x, steps=400, validation=0, show=False)
    assert kept.record["training"]["patience"]
    assert heart.record["training"]["patience"] is None
    y = new + 0.4 * rng.normal(new.shape, 0, "noise")
    best, ours, theirs = ((D.denoise(y, 0.4) - new).square().mean() for D in (law, kept, heart))
    assert ours / best < 1.12  # 100 rows for 44 numbers of mean and covariance
    assert theirs / best > 1.25
    assert monge.Diffusion().defaults(Samples(law.sample(5000, seed=0))).patience is None


@pytest.mark.parametrize(("tiles", "told"), [(True, "bf16-mixed"), (False, "32-true")])
def test_convolutions_are_trained_in_half_precision_where_it_is_fast(tiles, told, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    images, table = Samples(torch.rand(40, 1, 8, 8), kind="images"), Samples(torch.rand(40, 3))
    assert monge.Diffusion().defaults(images).precision == told
    assert monge.Diffusion().defaults(table).precision == "32-true"  # fine detail of a plane needs digits
    assert monge.Diffusion(blind=True).defaults(images).precision == "32-true"


def test_noise_of_the_report_is_that_which_is_told_on_pictures_too():
    """Two channels of unlike scale, much of both black: what is noisy is not cut off at the limits."""
    x = (
        (rng.normal((60, 2, 8, 8), 0, "p").clamp(min=0) * torch.tensor([90.0, 3.0])[:, None, None])
        .round()
        .clamp(max=255)
    )
    pictures = Samples(x, kind="images", quantum=1.0, limits=(0.0, 255.0))
    model = monge.Diffusion(net=Size(widths=(16,), blocks=1)).fit(pictures, steps=2, show=False)
    strip = denoising(model, x[:20])
    unit = model.scaling.scale.to(x)
    ratio = ((strip.noisy - x[:20]) / unit).std((1, 2, 3, 4)) / strip.sigma
    assert (ratio - 1).abs().max() < 5 / math.sqrt(2 * 20 * 128)


def test_dry_places_are_drawn_as_often_as_in_the_data(tmp_path, monkeypatch):
    """Rain: an atom at zero, whose edge stands where the share of what is drawn is that of the data."""
    monkeypatch.setattr("monge.models.denoiser_family.CALIBRATED_FROM", 0)
    g = rng.normal((400, 1, 16), 0, "rain")
    wet = (g + g.roll(1, 2) + g.roll(2, 2)) / 3**0.5
    x = torch.where(wet > 0.3, (1.5 * wet).exp(), 0.0)
    model = monge.Diffusion(net=Size(widths=(16,), blocks=1)).fit(Samples(x, kind="fields"), steps=2, show=False)
    drawn = model.sample(1000, show=False)
    for many in (lambda side: side == 0, lambda side: side > 5):
        ours, real = (many(side).float().mean((1, 2)) for side in (drawn, x))
        error = (ours.var() / len(ours) + real.var() / len(real)).sqrt()
        assert abs(ours.mean() - real.mean()) < 4 * error  # zeros without it by 19
    model.save(tmp_path / "run")
    assert torch.equal(monge.load(tmp_path / "run").sample(5), model.sample(5))
    assert model.scaling.edges().shape == (1, 1)
    assert Scaling.fit(Samples(torch.rand(200, 1, 8), kind="fields")).edges() is None
    assert Scaling.fit(Samples(x[:, 0])).edges().shape == (16, 0)  # columns of a table have quantiles alone
