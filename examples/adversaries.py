"""Adversaries (course, section 4): what a discriminator knows, why the first game sticks, and what is lost.

    python examples/adversaries.py            # five minutes or so
    python examples/adversaries.py --fast     # seconds: what the tests run

discriminator: trained between two laws that are known, beside the best one, p / (p + p_G) (48). segments: two segments
at distance theta: the game of Jensen and Shannon has no slope, Wasserstein's points the way (note 48). collapse: a weak
game on a ring of 8 modes, what its recorder says was lost, and a WassersteinGAN. pairs: the right half of photographic
patches restored from the left, by a regression, which gives the middle of what could be, and by a game, which draws
one.
"""

import math
import tempfile
import warnings
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import monge
from gallery import Save, asked
from monge.data import Samples
from monge.densities import Gaussian, GaussianMixture
from monge.linalg import power_spectrum
from monge.models.games import Minimax, Play, Wasserstein
from monge.nets import Size
from monge.report import read_log
from monge.training import Batch, Objective

P = Gaussian(torch.zeros(1), torch.ones(1, 1))
P_G = GaussianMixture(torch.tensor([[-1.5], [1.0]]), torch.tensor([0.4, 1.2]), torch.tensor([0.3, 0.7]))
THETAS = (0.25, 0.5, 1.0, 2.0, 4.0)
SIDE = 16


class OneSided:
    """A game whose made events are given, so that the discriminator alone learns."""

    given: Tensor

    def objectives(self) -> list[Objective]:
        return list(super().objectives())[:1]

    def play(self, batch: Batch) -> Play:
        rows = torch.randint(len(self.given), (len(batch.x),), generator=batch.generator)
        return Play(self.scaled(batch.x, batch.generator), self.units.forward(self.given[rows]), None)


class JudgeOfJS(OneSided, monge.GAN):
    pass


class JudgeOfW1(OneSided, monge.WassersteinGAN):
    pass


def judge(kind: type, real: Tensor, made: Tensor, steps: int, **settings: object) -> monge.models.Family:
    model = kind(**settings)
    model.given = made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing is generated, and the recorder would say so
        return model.fit(real, steps=steps, lr=1e-2, batch_size=256, show=False)


def picture_discriminator(steps: int, save: Save) -> None:
    model = judge(JudgeOfJS, P.sample(40_000, seed=0), P_G.sample(40_000, seed=1), steps, penalty=None)
    x = torch.linspace(-4, 4, 400)[:, None]
    p, q = (law.log_prob(x).value.exp() for law in (P, P_G))
    found = monge.densities.divergences(P, P_G, n=100_000)
    n = 20_000
    real, made = P.sample(n, seed=2), P_G.sample(n, seed=3)
    value = float(model.critic(real).log().mean() + (1 - model.critic(made)).log().mean())
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(x, p, label="p")
    left.plot(x, q, label="p_G")
    left.legend(frameon=False)
    right.plot(x, p / (p + q), color="0.6", linewidth=4, label="p / (p + p_G)")
    right.plot(x, model.critic(x), color="tab:red", label="trained D")
    best = 2 * found.js.value - 2 * math.log(2)
    right.set_title(f"value {value:.4f}, of the best {best:.4f} = 2 JS - 2 log 2", fontsize=10)
    right.legend(frameon=False)
    save("discriminator", figure)


def picture_segments(steps: int, thetas: tuple[float, ...], save: Save) -> None:
    u = torch.rand(4000, 1, generator=torch.Generator().manual_seed(0))
    slopes: dict[str, list[float]] = {"Jensen-Shannon": [], "Wasserstein": []}
    for theta in thetas:
        left, right = torch.cat([0 * u, u], 1), torch.cat([0 * u + theta, u.flip(0)], 1)
        sides = (("Jensen-Shannon", JudgeOfJS, Minimax(True)), ("Wasserstein", JudgeOfW1, Wasserstein()))
        for name, kind, game in sides:
            settings = {"penalty": None} if kind is JudgeOfJS else {"critic_steps": 1, "strength": 10.0}
            model = judge(kind, left, right, steps, **settings)
            at = right[:200].clone().requires_grad_(True)
            score = model.discriminator(model.units.forward(at), None)[:, 0]
            (slope,) = torch.autograd.grad(game.making(score) * len(at), at)
            slopes[name].append(float(slope[:, 0].mean() * model.units.unit))
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, values in slopes.items():
        axes.plot(thetas, values, marker="o", label=name)
    axes.axhline(1, color="0.7", linewidth=0.8)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(thetas, [f"{theta:g}" for theta in thetas])
    axes.set_xlabel("distance of the segments")
    axes.set_ylabel("slope of the generator's loss\ntowards the other segment")
    axes.legend(frameon=False)
    save("segments", figure)


def picture_collapse(steps: int, n: int, save: Save) -> None:
    angle = torch.arange(8) * (math.pi / 4)
    law = GaussianMixture(torch.stack([angle.cos(), angle.sin()], 1), torch.full((8,), 0.05**2))
    data, figure = law.sample(10_000, seed=0), Figure(figsize=(11, 3.6), layout="constrained")
    weak = monge.GAN(penalty=None, latent=2, signs=0, net=Size(widths=(32,), blocks=1))
    runs = (("a weak GAN", weak, {"lr": 1e-2}), ("WassersteinGAN", monge.WassersteinGAN(), {}))
    plots = figure.subplots(1, 3)
    for axes, (name, model, options) in zip(plots, runs, strict=False):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model.fit(data, steps=steps, show=False, out=Path(folder) / "run", **options)
            log = [row for row in read_log(Path(folder) / "run" / "log.csv") if row.get("generator/coverage")]
        x = model.sample(n, seed=1)
        verdict = monge.audit(x, holdout=law.sample(n, seed=2), train=law.sample(n, seed=4))
        axes.scatter(*law.sample(500, seed=3).T, s=4, color="0.8")
        axes.scatter(*x.T, s=3, color="tab:red", alpha=0.5)
        axes.set_title(f"{name}: the audit says {verdict.status}", fontsize=10)
        axes.set_aspect("equal")
        plots[2].plot([int(r["step"]) for r in log], [float(r["generator/coverage"]) for r in log], label=name)
        for warning in told:
            print(f"{name}: {warning.message}")
    plots[2].set_xlabel("step")
    plots[2].set_ylabel("coverage of held-out cells")
    plots[2].legend(frameon=False)
    save("collapse", figure)


def pairs(n: int | None) -> Samples:
    """Patches of photographs beside their left half, and a channel that says where there is none."""
    x = monge.data.load("patches" if n is None else f"patches?n={n}")
    hidden = torch.zeros(len(x), 1, SIDE, SIDE)
    hidden[..., SIDE // 2 :] = 1
    left = torch.where(hidden > 0, x.x.mean(), x.x)
    return Samples(x.x, torch.cat([left, hidden], 1), "images", "patches", quantum=x.quantum, limits=x.limits)


def picture_pairs(steps: int, n: int | None, save: Save) -> None:
    train, held = pairs(n).split(0.2, seed=0)
    fits = {"regression": monge.GAN(reconstruction=1000.0), "game": monge.GAN()}
    half = slice(SIDE // 2, SIDE)
    made = {"left half": held.y[:, :1], "real": held.x}
    for name, model in fits.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(train, steps=steps, show=False)
        made[name] = model.sample(len(held), label=held.y)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    rows = [torch.cat(list(x[:12, 0]), 1) for x in made.values()]
    left.imshow(torch.cat(rows), cmap="gray")
    left.set_yticks([SIDE * (k + 0.5) for k in range(len(made))], list(made))
    left.set_xticks([])
    mean = (held.x - train.x.mean(0))[..., half].square().mean()
    for name in ("real", *fits):
        k, power = power_spectrum(made[name][..., half].double())
        error = (made[name] - held.x)[..., half].square().mean()
        label = name if name == "real" else f"{name}: error {float(error / mean):.2f} of the mean image's"
        right.loglog(k[1:], power.mean((0, 1))[1:], label=label)
    right.set_xlabel("wavenumber")
    right.set_ylabel("power of the right half")
    right.legend(frameon=False, fontsize=8)
    save("pairs", figure)


if __name__ == "__main__":
    fast, save = asked("adversaries", __doc__)
    picture_discriminator(30 if fast else 1500, save)
    picture_segments(20 if fast else 300, THETAS[::4] if fast else THETAS, save)
    picture_collapse(30 if fast else 3000, 300 if fast else 2000, save)
    picture_pairs(3 if fast else 500, 200 if fast else None, save)
