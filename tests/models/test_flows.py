"""Flows know their likelihood exactly: it is a density, of the law that they sample, in the data's units."""

import math

import pytest
import torch
from toys import Squeeze, ToyGlow

import monge
from monge import rng
from monge.bijectors import ActNorm, Chain, Inverse
from monge.data import Samples
from monge.densities import Banana, DoubleWell, Funnel, GaussianMixture
from monge.errors import BadInput
from monge.models import Flow, attribute, interpolate, move
from monge.nets import Size

FLOWS = (monge.RealNVP, monge.MAF, monge.SplineFlow)
SMALL = Size(widths=(32,), blocks=1)


@pytest.fixture(params=FLOWS, ids=lambda family: family.__name__)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def fitted():
    """One banana flow of each family, fitted when first asked for."""
    made = {}

    def fit(family):
        if family not in made:
            made[family] = family(layers=3, net=SMALL).fit(Banana().sample(20_000, seed=0), steps=250, show=False)
        return made[family]

    return fit


def test_the_density_integrates_to_one_and_is_near_the_law(fitted, family):
    model = fitted(family)
    side = torch.linspace(-9, 17, 160)
    grid = torch.cartesian_prod(side, torch.linspace(-10, 10, 160))
    area = (side[1] - side[0]) * (20 / 159)
    assert abs(float(model.log_prob(grid).value.exp().sum() * area) - 1) < 0.01
    x = Banana().sample(4000, seed=1)
    gap = Banana().log_prob(x).value - model.log_prob(x).value
    assert -4 * gap.std() / 4000**0.5 < gap.mean() < 0.05 + 4 * gap.std() / 4000**0.5  # KL is positive, and small


def test_samples_follow_the_density(fitted, family):
    """E log p over the model's own samples is minus its entropy: against an integral over a grid."""
    model = fitted(family)
    side, height = torch.linspace(-9, 17, 160), torch.linspace(-10, 10, 160)
    grid = torch.cartesian_prod(side, height)
    p = model.log_prob(grid).value
    area = float((side[1] - side[0]) * (height[1] - height[0]))
    entropy = -float((p.exp() * p).sum()) * area
    own = model.log_prob(model.sample(4000)).value
    assert abs(float(own.mean()) + entropy) < 4 * float(own.std()) / 4000**0.5 + 0.01
    x = model.sample(4000)
    exact = Banana().sample(4000, seed=2)
    assert ((x.mean(0) - exact.mean(0)).abs() < 6 * exact.std(0) / 4000**0.5 + 0.1).all()


def test_latents_are_normal_and_come_back(fitted, family):
    model = fitted(family)
    x = Banana().sample(3000, seed=3)
    z = model.encode(x)
    assert (z.mean(0).abs() < 4 / 3000**0.5 + 0.04).all()
    assert ((z.var(0) - 1).abs() < 4 * (2 / 3000) ** 0.5 + 0.06).all()
    assert abs(float((z[:, 0] * z[:, 1]).mean())) < 4 / 3000**0.5 + 0.04
    assert (model.decode(z) - x).abs().max() < 1e-3
    assert torch.allclose(model.decode(model.encode(x[:5])), x[:5], atol=1e-3)


def test_the_likelihood_is_exact(fitted, family):
    found = fitted(family).log_prob(Banana().sample(5, seed=4))
    assert torch.equal(found.error, torch.zeros(5))
    assert found.method == "change of variables"


def test_quantised_data_are_told_in_bits(tmp_path):
    """Uniform integers 0..15: no density of their dequantised values has fewer than 4 bits a value."""
    data = Samples((16 * rng.uniform((3000, 3), 0, "bits")).floor(), quantum=1.0, limits=(0.0, 15.0))
    model = monge.SplineFlow(layers=1, net=SMALL).fit(data, steps=250, show=False, out=tmp_path / "run")
    value = model.log_prob(data.x[:500]).value
    bits = -float(value.mean()) / 3 / math.log(2)
    assert 4.0 - 0.01 < bits < 4.25
    header = (tmp_path / "run" / "log.csv").read_text().splitlines()[0]
    assert "nats" in header
    assert "nats/bits per value" in header
    assert "held-out nats" in header  # few data: part is kept aside
    x = model.sample(200)
    assert torch.equal(x, x.round())
    whole = model.log_prob(data.x[:9]).value
    assert torch.allclose(model.log_prob(data.x[:4]).value, whole[:4], atol=1e-4)  # the noise belongs to the row


def test_labels_condition_every_flow(family):
    y = torch.arange(3000) % 3
    centers = torch.tensor([[4.0, 0.0], [-3.0, 3.0], [0.0, -4.0]])
    data = Samples(centers[y] + 0.5 * rng.normal((3000, 2), 0, "z"), y, classes=("a", "b", "c"))
    model = family(labels=True, layers=2, net=SMALL).fit(data, steps=250, show=False)
    for k in range(3):
        x = model.sample(200, label=k)
        assert (torch.cdist(x, centers).argmin(1) == k).double().mean() > 0.95
    # log sum_c p(c) p(x | c): for parts that are apart, log 3 below the likelihood of the right one
    told, whole = model.log_prob(data.x[:300], label=y[:300]).value, model.log_prob(data.x[:300]).value
    assert abs(float((told - whole).mean()) - math.log(3)) < 0.1
    share = torch.bincount(torch.cdist(model.sample(900), centers).argmin(1), minlength=3) / 900
    assert ((share - 1 / 3).abs() < 4 * (2 / 9 / 900) ** 0.5 + 0.02).all()
    each = model.sample(6, label=[0, 1, 2, 0, 1, 2])
    assert torch.allclose(model.sample(6, label="b")[1::3], each[1::3], atol=1e-5)
    z = model.encode(data.x[:20], label=y[:20])
    assert (model.decode(z, label=y[:20]) - data.x[:20]).abs().max() < 1e-3
    with pytest.raises(BadInput, match="conditioned on a, b, c: give a label"):
        model.encode(data.x[:20])
    with pytest.raises(BadInput, match="no label 7"):
        model.sample(2, label=7)


def test_one_dimensional_data(family):
    x = rng.normal((2000, 1), 0, "line").abs()
    if family is monge.RealNVP:
        with pytest.raises(BadInput, match="use an autoregressive map"):
            family().fit(x, steps=1, show=False)
        return
    model = family(net=SMALL).fit(x, steps=150, show=False)
    assert model.sample(500).shape == (500, 1)
    exact = math.log(2) - 0.5 * math.log(2 * math.pi) - 0.5 * x[:200, 0].square()
    assert (exact - model.log_prob(x[:200]).value).mean() < (0.5 if family is monge.MAF else 0.2)


def columns(**change):
    x = rng.normal((300, 3), 0, "columns")
    for name, value in change.items():
        x[:, int(name[1:])] = value if not callable(value) else value(x[:, int(name[1:])])
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (columns(c1=2.0), "column 1 of .* never varies: .* leave out what is constant"),
        (columns(c0=1.0, c2=2.0), "columns 0, 2 of .* never vary"),
        (rng.normal((20, 30), 0, "few"), "20 rows of 30 values lie in a subspace"),
    ],
)
def test_data_without_a_density_are_refused(family, x, message):
    with pytest.raises(BadInput, match=message):
        family().fit(x, steps=1, show=False)


def test_atoms_are_told(family):
    x = columns(c2=lambda c: torch.where(c < -0.5, 0.0, c))
    with pytest.warns(UserWarning, match=r"column 2 of .* is 0 in 3\d% of the rows: .*quantum=step"):
        family(layers=1, net=SMALL).fit(x, steps=1, show=False)


def test_arrays_are_taken_as_tensors_are(fitted, family):
    model, x = fitted(family), torch.randn(4, 2)
    for use in (lambda x: model.log_prob(x).value, model.encode, model.decode):
        torch.testing.assert_close(use(x.double().numpy()), use(x))


def test_use_that_makes_no_sense_is_refused(fitted, family):
    model = fitted(family)
    with pytest.raises(BadInput, match=r"give \[n, 2\], not \[4, 3\]"):
        model.decode(torch.zeros(4, 3))
    with pytest.raises(BadInput, match="1 of 3 events have NaN or infinity, the first row 1"):
        model.log_prob(torch.tensor([[0.0, 1.0], [float("nan"), 0.0], [1.0, 1.0]]))
    with pytest.raises(BadInput, match="trained without labels"):
        model.sample(3, label=1)
    with pytest.raises(BadInput, match="layers must be at least 1"):
        family(layers=0)


class Dots(GaussianMixture):
    measure = "counting"

    def __init__(self):
        super().__init__(torch.zeros(1, 2), torch.ones(1))


def test_a_flow_is_its_map_and_its_base(tmp_path):
    """Of a mixture as base, and a map that is its own: exact draws, exact likelihood, saved and loaded by itself."""
    base = GaussianMixture(torch.tensor([[-0.95, 0.0], [0.95, 0.0]]), torch.tensor([[0.1, 1.0], [0.1, 1.0]]))
    data = Samples(base.sample(600) * torch.tensor([2.0, 0.5]) + 2.0)
    model = Flow(Chain([ActNorm(2)]), base).fit(data, steps=30, show=False, out=tmp_path / "run")
    plain = Flow(Chain([ActNorm(2)])).fit(data, steps=30, show=False)
    held = Samples(base.sample(500, start=600) * torch.tensor([2.0, 0.5]) + 2.0).x
    gain = (model.log_prob(held).value - plain.log_prob(held).value).mean()
    assert float(gain) > 0.3  # nats that a Gaussian of these moments loses: .46
    x = model.sample(300)
    assert torch.allclose(model.decode(model.encode(x)), x, atol=1e-4)
    again = monge.load(tmp_path / "run")
    assert torch.equal(again.sample(300), x)


def test_latents_may_have_another_shape_than_events():
    data = Samples(rng.normal((90, 1, 8, 8), 0, "x"), kind="fields")
    model = ToyGlow().fit(data, steps=20, show=False)
    z = model.encode(data.x[:4])
    assert z.shape == (4, 64)
    assert torch.allclose(model.decode(z), data.x[:4], atol=1e-3)
    assert interpolate(model, data.x[:2], data.x[2:4], 3).shape == (3, 2, 1, 8, 8)
    assert move(model, data.x[:2], attribute(model, data.x[:5], data.x[5:9])).shape == (2, 1, 8, 8)
    with pytest.raises(BadInput, match="its own latent_shape"):
        Flow(Inverse(Squeeze())).fit(data, steps=1, show=False)
    with pytest.raises(BadInput, match=r"\[n, 64\]"):
        model.decode(data.x[:4])
    x = data.x[:2].double()
    map_ = model.bijector.double()
    scaled = model.scaled(x, 0)
    full = torch.autograd.functional.jacobian(lambda y: map_(y).value, scaled[:1]).reshape(64, 64)
    assert torch.allclose(torch.linalg.slogdet(full)[1], map_(scaled[:1]).log_det, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Flow().fit(Samples(torch.randn(60, 2)), steps=1, show=False), "give transport="),
        (lambda: Flow(ActNorm(2), DoubleWell(d=2)), "can be drawn, not DoubleWell"),
        (lambda: Flow(ActNorm(2), Dots()), "by counting measure"),
        (
            lambda: Flow(ActNorm(2), Funnel(d=3)).fit(Samples(torch.randn(60, 2)), steps=1, show=False),
            r"the base is on events \[3\], and the latents are \[2\]",
        ),
    ],
)
def test_a_map_or_a_base_that_does_not_fit_is_refused(make, words):
    with pytest.raises(BadInput, match=words):
        make()


def test_fields_of_heavy_tails_are_bent_and_the_density_counts_it():
    """exp of white noise: log p(x) = log N(log x) - sum log x, of which a Gaussian of its moments misses .77 nats a
    site."""
    x = rng.normal((3000, 1, 4, 4), 0, "white").double().exp()
    model = monge.SplineFlow(layers=2, net=SMALL).fit(Samples(x.float(), kind="fields"), steps=20, show=False)
    assert model.scaling is not None
    assert model.scaling.bends
    new = rng.normal((1000, 1, 4, 4), 1, "white").double().exp()
    exact = (-new.log().square() / 2 - math.log(2 * math.pi) / 2 - new.log()).sum((1, 2, 3))
    gap = (exact - model.log_prob(new.float()).value.double()) / 16
    assert float(gap.mean()) + 3 * float(gap.std()) / 1000**0.5 > 0
    assert float(gap.mean()) < 0.05
    assert float(model.sample(500, seed=0).min()) > -0.1
