"""Velocities, by likelihood and by regression: densities, pairings, conditions, and what is refused."""

import csv
import math

import pytest
import torch
from torch import nn

import monge
from monge import ot, rng
from monge.data import Samples
from monge.densities import Banana, Gaussian
from monge.errors import BadInput, NumericalFailure
from monge.models import interpolate, transport_cost
from monge.models.carrier import Carrier
from monge.models.pairing import paired, weight_of
from monge.models.velocity import Velocity
from monge.nets import Size
from monge.noise import LinearInterpolant, OrnsteinUhlenbeck

F = torch.float64
X = rng.normal((60, 2), 0, "x")
SMALL = Size(widths=(32,), blocks=1)
FAMILIES = {
    "likelihood": lambda **o: monge.ContinuousFlow(net=SMALL, **o),
    "transport": lambda **o: monge.FlowMatching(net=SMALL, pairing="transport", pool=256, **o),
    "source": lambda **o: monge.FlowMatching(
        net=SMALL, pairing="transport", pool=256, source=Gaussian(torch.zeros(2), 9 * torch.eye(2)), **o
    ),
}


def labelled(n=600):
    """Two classes far apart, each N((+-4, 0), Id)."""
    y = torch.arange(n) % 2
    return Samples(rng.normal((n, 2), 0, "x") + torch.stack([8.0 * y - 4, 0.0 * y], 1), y, classes=("left", "right"))


@pytest.fixture(scope="module")
def fitted():
    """One of each kind, of a banana, fitted when first asked for."""
    made = {}

    def fit(kind):
        if kind not in made:
            steps = 80 if kind == "likelihood" else 250
            made[kind] = FAMILIES[kind]().fit(Banana().sample(5000, seed=0), steps=steps, show=False)
        return made[kind]

    return fit


# -- what is learned ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_density_integrates_to_one_and_is_that_of_samples(fitted, kind):
    model = fitted(kind)
    side, height = torch.linspace(-11, 19, 45), torch.linspace(-12, 12, 45)
    grid = torch.cartesian_prod(side, height)
    p = model.log_prob(grid, rtol=1e-3, atol=1e-3, show=False).value
    area = float((side[1] - side[0]) * (height[1] - height[0]))
    assert abs(float(p.exp().sum()) * area - 1) < 0.02
    entropy = -float((p.exp() * p).sum()) * area
    own = model.log_prob(model.sample(600, nfe=40, show=False), rtol=1e-3, atol=1e-3, show=False).value
    assert abs(float(own.mean()) + entropy) < 4 * float(own.std()) / 600**0.5 + 0.03


@pytest.mark.parametrize("kind", FAMILIES)
def test_encode_is_undone_by_decode_and_latents_lead_from_one_to_another(fitted, kind):
    model = fitted(kind)
    x = Banana().sample(6, seed=2)
    z = model.encode(x)
    assert torch.allclose(model.decode(z), x, atol=5e-3)
    way = interpolate(model, x[:2], x[2:4], 3, path="line")
    assert torch.allclose(way[0], x[:2], atol=5e-3)
    assert torch.allclose(way[-1], x[2:4], atol=5e-3)


@pytest.mark.parametrize("kind", FAMILIES)
def test_units_change_nothing_but_units(kind):
    x = Banana().sample(400, seed=0)
    models = [FAMILIES[kind]().fit(data, steps=10, show=False) for data in (x, 2.0**10 * x)]
    if kind != "source":
        drawn = [model.sample(5, show=False) for model in models]
        assert torch.allclose(2.0**10 * drawn[0], drawn[1], rtol=1e-3, atol=1.0)
        logp = [
            model.log_prob(scale * x[:5], show=False).value for model, scale in zip(models, (1, 2.0**10), strict=True)
        ]
        assert torch.allclose(logp[0] - 20 * math.log(2), logp[1], atol=1e-3)


def test_a_linear_velocity_has_the_change_of_variables_s_density():
    """V = A x in the noise's coordinates: log p(x) = log N(exp(A) x) + tr A, to 1e-5."""
    A = torch.tensor([[-0.5, 1.2, 0.0], [-0.3, 0.4, 0.2], [0.1, 0.0, 0.3]], dtype=F)

    class Linear(nn.Module):
        def forward(self, x, level, label):
            return x @ A.T

    x = rng.normal((50, 3), 0, "x", dtype=F)
    for whitened in (True, False):
        carrier = Carrier(Velocity(Linear()), (3,), whitened=whitened)
        carrier.look(rng.normal((4000, 3), 1, "x", dtype=F) * torch.tensor([1.0, 2.0, 0.5], dtype=F) + 1)
        base = carrier.moments
        begin = base.whiten(x) if whitened else x
        end = begin @ torch.linalg.matrix_exp(A).T
        exact = A.trace() + (
            Gaussian(torch.zeros(3, dtype=F), torch.ones(3, dtype=F)).log_prob(end).value
            - 0.5 * base.covariance.log_det()
            if whitened
            else base.log_prob(end).value
        )
        found = carrier.log_prob(x, rtol=1e-8, atol=1e-8)
        assert torch.allclose(found.value, exact, atol=1e-5)
        assert not found.error.any()
        probed = carrier.log_prob(x, probes=16, rtol=1e-6, atol=1e-6)
        away = (probed.value - exact) / probed.error
        assert abs(float(away.mean())) < 4 * float(away.std()) / 50**0.5
        assert 0.6 < float(away.std()) < 1.6
        z = carrier.encode(x)
        assert torch.allclose(carrier.decode(z), x, atol=1e-4)


@pytest.mark.parametrize("gradients", ["direct", "adjoint"])
def test_the_gradient_of_the_likelihood_is_the_same_both_ways(gradients):
    """To 1e-4 of each other, in float64, against a difference."""
    model = monge.ContinuousFlow(net=SMALL).fit(Banana().sample(300, seed=0), steps=20, show=False).double()
    x = model.scaling.forward(Banana().sample(20, seed=1)).double()
    weight = model.velocity.net.last.weight

    def nats(gradients):
        found = model.walker.carried(x, None, divergence=True, gradients=gradients, rtol=1e-9, atol=1e-9)
        return -model.walker.of_noise(found.x, found.divergence).mean()

    (slope,) = torch.autograd.grad(nats(gradients), weight)
    found = []
    for h in (1e-4, -1e-4):
        with torch.no_grad():
            weight[0, 0] += h
            found.append(float(nats(None)))
            weight[0, 0] -= h
    assert float(slope[0, 0]) == pytest.approx((found[0] - found[1]) / 2e-4, rel=1e-4, abs=1e-7)


def test_a_gaussian_path_s_velocity_is_a_denoiser_s():
    """Independent pairs: `Diffusion` by name, alpha > 0, denoising, and the same model with the same times."""
    x = Banana().sample(500, seed=0)
    model = monge.FlowMatching(net=SMALL, bend=False).fit(x, steps=20, show=False)
    twin = monge.Diffusion(net=SMALL, bend=False).fit(x, steps=20, show=False)
    assert torch.equal(model.sample(5, show=False), twin.sample(5, show=False))
    assert model.sample(5, alpha=1.0, show=False).shape == (5, 2)
    assert model.denoise(x[:3], 0.5).shape == (3, 2)
    timed = monge.FlowMatching(net=SMALL, path=LinearInterpolant(), bend=False).fit(x, steps=20, show=False)
    other = monge.Diffusion(net=SMALL, noise=LinearInterpolant(), bend=False).fit(x, steps=20, show=False)
    assert torch.equal(timed.sample(5, show=False), other.sample(5, show=False))
    assert not torch.equal(timed.sample(5, show=False), twin.sample(5, show=False))


# -- pairs ----------------------------------------------------------------------------------------------


def test_pairs_are_those_of_the_exact_coupling_and_stay_within_labels():
    x, y = rng.normal((40, 3), 0, "x"), rng.normal((40, 3), 0, "y")
    found = paired(x, y)
    assert sorted(found.tolist()) == list(range(40))
    assert float((x - y[found]).square().sum(1).mean()) == pytest.approx(ot.couple(x, y).value, rel=1e-5)
    label = torch.arange(40) % 3
    within = paired(x, y, label)
    assert torch.equal(label[within], label)
    for k in range(3):
        rows = label == k
        cost = float((x - y[within]).square().sum(1)[rows].mean())
        assert cost == pytest.approx(ot.couple(x[rows], y[rows]).value, rel=1e-5)


def test_a_vector_s_weight_keeps_it_near():
    x, y, told = (rng.normal((200, 2), 0, name) for name in "xyt")
    weight = weight_of(x, y, told)
    moved = told[paired(x, y, told, weight=weight)] - told
    assert float((moved.square() / told.var(0)).mean()) <= 0.1**2
    cost = [
        float((x - y[rows]).square().sum(1).mean()) for rows in (paired(x, y, told, weight=weight), torch.arange(200))
    ]
    assert cost[0] < cost[1]  # and something is gained
    half = torch.where(torch.arange(200)[:, None] < 100, told, torch.nan)
    mixed = paired(x, y, half, weight=weight)
    assert torch.equal(mixed < 100, torch.arange(200) < 100)  # those that are not told are apart


@pytest.fixture(scope="module")
def classes():
    model = monge.FlowMatching(net=SMALL, pairing="transport", pool=512, label_dropout=0.3)
    return model.fit(labelled(2000), steps=500, show=False)


def test_a_label_is_drawn_from_all_of_the_noise(classes):
    """Pairs that forget the label leave each class half of the noise: the other half then lands elsewhere."""
    for label, side in (("left", -4), ("right", 4)):
        x = classes.sample(1000, label=label, show=False)
        assert ((x[:, 0] > 0) == (side > 0)).float().mean() > 0.99
        away = (x - torch.tensor([side, 0.0])).mean(0)
        assert float(away.abs().max()) < 0.3
        assert float((x.std(0) - 1).abs().max()) < 0.3
    both = classes.sample(1000, show=False)
    assert abs(float((both[:, 0] > 0).float().mean()) - 0.5) < 0.07
    x = torch.tensor([[4.0, 0.0], [-4.0, 0.0]])
    told = classes.log_prob(x, label="right", show=False).value
    assert told[0] > told[1] + 3
    assert abs(float(classes.log_prob(x, show=False).value.diff())) < 1.0  # not told: the law of all


def test_guidance_leads_to_the_label(classes):
    plain, led = (classes.sample(500, label="right", guidance=g, show=False) for g in (0.0, 2.0))
    assert led[:, 0].mean() > plain[:, 0].mean() + 0.2
    diffusion = monge.Diffusion(net=SMALL).fit(labelled(), steps=150, show=False)
    plain, led = (diffusion.sample(300, label="right", guidance=g, show=False) for g in (0.0, 2.0))
    assert led[:, 0].mean() > plain[:, 0].mean() + 0.1
    for model in (classes, diffusion):
        with pytest.raises(BadInput, match="guidance leads to a label"):
            model.sample(2, guidance=1.0)


def test_clouds_are_carried_to_clouds_and_pairs_to_their_own(tmp_path):
    """From N(0, Id) to N((5, 0), Id): transport moves each point by 5; pairs that turn it by a right angle, whose
    straight ways do not cross, turn it."""
    begin, turn = rng.normal((800, 2), 0, "x"), torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    shift = torch.tensor([5.0, 0.0])
    moved, turned = (begin + shift)[torch.randperm(800, generator=rng.generator(0))], begin @ turn.T + shift
    by_transport = monge.FlowMatching(net=SMALL, pairing="transport", pool=256)
    by_transport.fit(moved, source=begin, steps=200, show=False)
    given = monge.FlowMatching(net=SMALL, pairing="given")
    given.fit(turned, source=begin, steps=200, out=tmp_path / "run", show=False)
    points = begin[:200]
    for model, wanted in ((by_transport, points + shift), (given, points @ turn.T + shift)):
        found = model.decode(points)
        assert float((found - wanted).square().mean()) < 0.1
        assert torch.allclose(model.encode(found), points, atol=0.02)
    x = given.sample(500, nfe=10, show=False)
    assert abs(float(x[:, 0].mean()) - 5) < 0.2
    again = monge.load(tmp_path / "run")
    assert torch.equal(again.sample(5, show=False), given.sample(5, show=False))
    with pytest.raises(BadInput, match="no density that is known"):
        given.log_prob(x)
    by_transport.save(tmp_path / "other")
    for pairing, folder in (("given", "run"), ("transport", "other")):
        model = monge.FlowMatching(net=SMALL, pairing=pairing, pool=256 if pairing == "transport" else None)
        data = turned if pairing == "given" else moved
        with pytest.raises(BadInput, match="and you ask for"):
            model.fit(data, source=begin + 1, steps=200, out=tmp_path / folder, resume=True, show=False)


def test_schrodinger_s_bridge_is_as_wide_on_its_way_as_it_should_be():
    """Between N(0, 1) and N(0, 1): the variance at t is 1 - 2 t (1 - t) (1 - c) + b^2 t (1 - t), c the covariance of
    the entropic coupling of epsilon 2 b^2, c^2 + b^2 c = 1 (Mallasto et al. 2022)."""
    b = 1.0
    c = (math.sqrt(b**4 + 4) - b**2) / 2
    normal = Gaussian(torch.zeros(1), torch.eye(1))
    model = monge.FlowMatching(net=SMALL, pairing="transport", pool=512, bridge=b, source=normal)
    model.fit(rng.normal((4000, 1), 0, "x"), steps=400, show=False)
    ways = list(model.carrier.ways(4000, 0, 40))
    for k in (10, 20):
        t = k / 40
        wanted = 1 - 2 * t * (1 - t) * (1 - c) + b**2 * t * (1 - t)
        assert abs(float(ways[k].var() / ways[0].var()) / wanted - 1) < 0.03  # 1.28 where pairs are exact


def test_a_source_is_joined_by_name_and_weighed_and_forgotten_by_the_next_fit():
    model = monge.FlowMatching(net=SMALL, pool=None)
    model.fit(named("uv"), source=named("vu"), steps=1, show=False)
    begun = model.scaling.inverse(model.cloud).mean(0)
    assert float((begun - torch.tensor([0.0, 20.0])).abs().max()) < 0.6
    two = Samples(torch.cat([X, X + 10]), weights=[9.0] * 60 + [1.0] * 60)
    model.fit(X, source=two, steps=1, show=False)
    assert float(model.scaling.inverse(model.cloud).mean()) == pytest.approx(1.0 + float(X.mean()), abs=0.5)
    given = monge.FlowMatching(net=SMALL, pairing="given").fit(two, source=two.x + 1, steps=1, show=False)
    assert float(given.scaling.inverse(given.cloud).mean()) == pytest.approx(2.0 + float(X.mean()), abs=0.5)
    with pytest.warns(UserWarning, match="labels of the source"):
        model.fit(X, source=Samples(X, torch.zeros(60).long()), steps=1, show=False)
    skew = rng.normal((400, 2), 0, "s").exp()
    assert not model.fit(skew, source=skew + 1, steps=1, show=False).scaling.bends
    assert model.fit(skew, steps=1, show=False).scaling.bends
    assert not model.carried


def test_without_dropout_there_is_no_law_of_all():
    vectors = Samples(X, rng.normal((60, 1), 0, "y"))
    for family in (monge.FlowMatching, monge.ContinuousFlow, monge.Diffusion):
        model = family(net=SMALL, labels=True, label_dropout=0.0).fit(labelled(60), steps=1, show=False)
        assert model.sample(3, show=False).shape == (3, 2)  # labels are drawn
        with pytest.raises(BadInput, match="give a label"):
            model.log_prob(X, show=False)
        told = family(net=SMALL, labels=True, label_dropout=0.0).fit(vectors, steps=1, show=False)
        with pytest.raises(BadInput, match="give a"):
            told.sample(3, show=False)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_model_in_float64_draws(kind):
    model = FAMILIES[kind]().fit(X, steps=1, show=False).double()
    assert model.sample(3, show=False).isfinite().all()
    assert monge.Diffusion(net=SMALL).fit(X, steps=1, show=False).double().sample(3, show=False).isfinite().all()


@pytest.mark.parametrize("method", ["rk4", "midpoint", "dopri5"])
def test_the_adjoint_learns_by_any_method(method):
    fitted = [
        monge.ContinuousFlow(net=SMALL, gradients=how, method=method).fit(X, steps=3, validation=0, show=False)
        for how in ("adjoint", "direct")
    ]
    assert torch.allclose(*(model.velocity.net.last.weight for model in fitted), atol=2e-3)


def test_a_killed_run_of_pairs_goes_on_to_the_same_bits(tmp_path):
    """In the middle of a pool."""
    data = labelled(300)
    make = lambda: monge.FlowMatching(net=SMALL, pairing="transport", pool=256)  # noqa: E731
    whole = make().fit(data, steps=9, batch_size=64, show=False)
    stopped = make()

    def stop(batch):
        if batch.step == 6:
            raise KeyboardInterrupt
        return kept(batch)

    objective, kept = stopped.objectives, None

    def watched():
        nonlocal kept
        (one,) = objective()
        kept = one.forward
        one.forward = stop
        return [one]

    stopped.objectives = watched
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(data, steps=9, batch_size=64, out=tmp_path / "run", checkpoint_s=0.0, show=False)
    again = make().fit(data, steps=9, batch_size=64, out=tmp_path / "run", resume=True, show=False)
    for name, value in whole.tensors().items():
        assert torch.equal(value, again.tensors()[name]), name


EVENTS = {
    "digits": lambda: monge.data.load("digits").take(range(60)),
    "line": lambda: Samples(rng.normal((80, 1, 16), 0, "f"), kind="fields"),
    "space": lambda: Samples(rng.normal((40, 2, 4, 4, 4), 0, "f"), kind="fields"),
    "mixed": lambda: Samples(torch.cat([X, (X[:, :1] > 0).float(), (5 * X[:, 1:]).round()], 1)),
}


@pytest.mark.parametrize("name", EVENTS)
def test_pairs_of_images_fields_and_tables(name, tmp_path):
    data = EVENTS[name]()
    tiny = Size(widths=(8,), blocks=1)
    model = monge.FlowMatching(net=tiny, pairing="transport", pool=32).fit(
        data, steps=6, out=tmp_path / "run", show=False
    )
    x = model.sample(7, seed=1, nfe=3, show=False)
    assert x.shape == (7, *data.event_shape)
    assert torch.equal(x, model.scaling.quantise(x))
    assert torch.allclose(model.sample(4, seed=1, start=3, nfe=3, batch_size=2, show=False), x[3:], atol=1e-4)
    again = monge.load(tmp_path / "run")
    assert torch.equal(again.sample(7, seed=1, nfe=3, show=False), x)
    found = again.log_prob(data.batch(range(2)), label=None, probes=2, rtol=1e-2, atol=1e-2, show=False)
    assert found.value.isfinite().all()
    assert (found.error > 0).all()
    way = again.sample(3, seed=1, nfe=3, trace=True, show=False)
    assert torch.allclose(way.x, x[:3], atol=1e-4)
    assert way.y.shape == way.x_hat.shape == (3, 3, *data.event_shape)


# -- the cost of a transport ----------------------------------------------------------------------------


def test_likelihood_is_learned_after_straight_lines(tmp_path):
    """Straight lines first, then both; and the likelihood of the fixed steps is that of the paths."""
    law = Banana()
    model = monge.ContinuousFlow(net=SMALL).fit(law.sample(2000, seed=0), steps=400, out=tmp_path / "run", show=False)
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    told = {int(row["step"]): row for row in rows}
    assert not any(row.get("loss/nats") for step, row in told.items() if step <= 320)
    later = [row for step, row in told.items() if step > 330]
    assert all(row["loss/nats"] and row["loss/lines"] for row in later)
    held = law.sample(1000, seed=1)
    gap = law.log_prob(held).value - model.log_prob(held, show=False).value
    assert float(gap.mean()) < 0.1
    learned = -sum(float(row["loss/nats"]) for row in later[-5:]) / 5
    assert learned == pytest.approx(float(model.log_prob(held, show=False).value.mean()), abs=0.2)


def test_the_cost_of_a_constant_velocity_is_that_of_a_translation():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2))

        def forward(self, x):
            return 0 * x + torch.tensor([3.0, 4.0]) + self.w

    model = monge.ContinuousFlow(net=Constant(), kinetic=0.0, regression=0).fit(
        Banana().sample(200, seed=0), steps=1, lr=1e-12, show=False
    )
    cost = transport_cost(model, 100, show=False)
    for found, wanted in ((cost.length, 5), (cost.energy, 25), (cost.displacement, 25)):
        assert found[0] == pytest.approx(wanted, rel=1e-3)
    assert cost.w2 == pytest.approx(25, rel=1e-3)
    assert abs(cost.straightness) < 1e-3
    assert abs(cost.detour) < 1e-3
    assert "W2^2 25" in str(cost)


def test_transport_straightens_ways(fitted):
    free = monge.FlowMatching(net=SMALL, source=Gaussian(torch.zeros(2), 9 * torch.eye(2)))
    free.fit(Banana().sample(5000, seed=0), steps=250, show=False)
    bent, straight = (transport_cost(model, 300, show=False) for model in (free, fitted("source")))
    assert straight.energy[0] < bent.energy[0]
    assert straight.straightness < 0.7 * bent.straightness
    for cost in (bent, straight):
        assert cost.energy[0] >= cost.displacement[0] >= cost.w2 * (1 - 1e-6)
        assert cost.length[0] ** 2 <= cost.energy[0] * (1 + 1e-6)
    with pytest.raises(BadInput, match="no velocity whose ways are counted"):
        transport_cost(monge.RealNVP())
    with pytest.raises(BadInput, match="has not been fitted"):
        transport_cost(monge.ContinuousFlow())


def test_a_diffusion_s_ways_are_those_of_its_straight_path():
    """Of N(0, 1) from noise N(0, 1): W2 is 0 and ways bend, x_t = x_1 sqrt((1 - t)^2 + t^2), whose length is that of
    the way to sqrt(1/2) and back."""
    model = monge.Diffusion(net=SMALL).fit(rng.normal((2000, 1), 0, "x"), steps=300, show=False)
    cost = transport_cost(model, 500, steps=200, show=False)
    t = model.levels().sigma_max / (1 + model.levels().sigma_max)
    wanted = ((t**2 + (1 - t) ** 2) ** 0.5 + 1 - 2 * 0.5**0.5) * (2 / math.pi) ** 0.5
    assert abs(cost.length[0] - wanted) < 4 * cost.length[1]
    assert cost.straightness > 0.9


# -- what is refused ------------------------------------------------------------------------------------


def named(columns):
    return Samples(
        rng.normal((60, 2), 0, "x") + torch.tensor([20.0 * (c == "v") for c in columns]), columns=tuple(columns)
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: monge.ContinuousFlow(rtol=0.0), "rtol must be above 0"),
        (lambda: monge.ContinuousFlow(method="euler5"), "method"),
        (lambda: monge.ContinuousFlow(gradients="none"), "gradients"),
        (lambda: monge.ContinuousFlow(kinetic=-1.0), "kinetic is a weight"),
        (lambda: monge.ContinuousFlow(regression=1.5), "regression is a share"),
        (lambda: monge.ContinuousFlow(steps=0), "steps must be 1 or more"),
        (lambda: monge.ContinuousFlow().fit(X[:1]), "at least 2 are needed"),
        (lambda: monge.FlowMatching(pairing="best"), "pairing"),
        (lambda: monge.FlowMatching(bridge=0.1), "bridge is a deviation"),
        (lambda: monge.FlowMatching(path="line"), "a path is a process"),
        (lambda: monge.FlowMatching(source=X), "a cloud is for fit"),
        (lambda: monge.FlowMatching(label_dropout=2.0), "label_dropout"),
        (lambda: monge.FlowMatching(pairing="transport").fit(X[:1]), "at least 2 are needed"),
        (lambda: monge.FlowMatching(pairing="transport", path=OrnsteinUhlenbeck()).fit(X), "only tends to noise"),
        (lambda: monge.FlowMatching(pairing="given").fit(X), "the other half"),
        (lambda: monge.FlowMatching(pairing="given").fit(X, source=X[:9]), "9 of the source, 60 of data"),
        (lambda: monge.FlowMatching(pairing="given").fit(X, source=X[:, :1]), "the source has events"),
        (lambda: monge.FlowMatching().fit(X, source=X * math.nan), "NaN or infin"),
        (lambda: monge.FlowMatching(pairing="transport").fit(X * math.nan), "NaN"),
        (lambda: monge.FlowMatching(pairing="transport", labels=True).fit(X), "has no labels"),
        (lambda: monge.ContinuousFlow(rtol=math.inf), "rtol must be above 0 and finite"),
        (lambda: monge.FlowMatching(pool=32), "pool is of rows that are paired"),
        (lambda: monge.FlowMatching(pairing="given", source=Gaussian(torch.zeros(2), torch.eye(2))), "no law beside"),
        (lambda: monge.FlowMatching(pairing="given").fit(labelled(60), source=X), "say labels=False"),
        (lambda: monge.FlowMatching(source=Gaussian(torch.zeros(3), torch.eye(3))).fit(X), "law has events"),
        (lambda: monge.FlowMatching().fit(X, source=1e4 * X), "standard deviations of the data away"),
        (lambda: monge.FlowMatching().fit(named("uv"), source=named("uw")), "has columns u, w, and the data u, v"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(BadInput, match=words):
        call()


def test_bad_questions_are_refused(fitted, classes):
    model = fitted("transport")
    for call, words in (
        (lambda: model.sample(3, alpha=1.0), "not: fit with pairing"),
        (lambda: model.denoise(X, 1.0), "no denoiser's"),
        (lambda: model.sample(3, nfe=0), "nfe"),
        (lambda: model.sample(3, label=1), "trained without labels"),
        (lambda: classes.sample(3, label="up"), "up"),
        (lambda: model.log_prob(X, rtol=0.0), "above 0"),
        (lambda: model.log_prob(X * math.nan), "NaN"),
        (lambda: model.log_prob(X[:, :1]), "events of shape"),
    ):
        with pytest.raises(BadInput, match=words):
            call()


def test_a_field_that_grows_without_bound_is_named(monkeypatch):
    monkeypatch.setattr("monge.samplers.transport.MOST_STEPS", 100)

    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return (1e-3 + self.w) * x.square() * x.abs().clamp(max=30).exp()

    model = monge.ContinuousFlow(net=Growing(), method="rk4", steps=1, kinetic=0.0, jacobian=0.0)
    model.fit(0.01 * X, steps=1, lr=1e-12, show=False)
    with pytest.raises(
        NumericalFailure, match=r"did not converge at t = .*stiff there or grows without bound|left the real"
    ):
        model.log_prob(torch.full((3, 2), 1.0), show=False)
