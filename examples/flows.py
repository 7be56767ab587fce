"""Transport by invertible maps (the course's section 2.8.1 and 5.1), in five pictures.

    python examples/flows.py                 # four minutes on two cores
    python examples/flows.py --fast          # seconds, and rough

What a flow moves where, what it takes the law for, and what its latent is good for: held-out data are noise there, the
way from one digit to another leads through digits, and a stroke gets heavier along one direction.
"""

import math
from typing import Any

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.stats import chi
from torch import Tensor

import monge
from gallery import asked
from monge import densities, report
from monge.report.figures import GENERATED, REAL

LAWS = [densities.Rings(), densities.Moons(), densities.Banana(), densities.Checkerboard(), densities.Pinwheel()]
GRAY = report.Look(0.0, 16.0, "images")
FRAME = 0.06  # room around the data, as a share of their extent


def fit(data: Any, budget: float, *, fast: bool) -> monge.SplineFlow:
    model = monge.SplineFlow()
    model.fit(data, **({"steps": 30} if fast else {"budget": budget}), seed=0)
    return model


def grid(model: monge.SplineFlow, x: Tensor) -> Figure:
    """The lines of a polar grid of the latent, and where T takes them, over the data."""
    radius, angle = torch.meshgrid(torch.linspace(0.02, 3, 400), torch.linspace(0, 2 * math.pi, 25), indexing="ij")
    rays = torch.stack([radius * angle.cos(), radius * angle.sin()], -1).transpose(0, 1)
    angle, radius = torch.meshgrid(torch.linspace(0, 2 * math.pi, 1200), torch.linspace(0.5, 3, 6), indexing="ij")
    circles = torch.stack([radius * angle.cos(), radius * angle.sin()], -1).transpose(0, 1)
    figure = Figure(figsize=(8, 4), layout="constrained")
    for i, title in enumerate(("latent z, N(0, Id)", "x = T(z), and data")):
        axes = figure.add_subplot(1, 2, i + 1)
        for lines, colour in ((rays, REAL), (circles, GENERATED)):
            shown = lines if i == 0 else model.decode(lines.reshape(-1, 2)).reshape(lines.shape)
            axes.add_collection(LineCollection(list(shown.numpy()), colors=colour, linewidths=0.7))
        cloud = model.encode(x) if i == 0 else x
        axes.scatter(*cloud.T, s=2, color="#888888", alpha=0.4, linewidths=0, zorder=0)
        axes.set_title(title, fontsize=9)
        axes.set_aspect("equal")
    return figure


def laws(models: list[monge.SplineFlow], clouds: list[Tensor], pixels: int) -> Figure:
    """The true density above the learned one, on one scale, with KL(p, q) in nats over points that none has seen."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for i, (law, model, x) in enumerate(zip(LAWS, models, clouds, strict=True)):
        low, high = x.quantile(0.001, 0), x.quantile(0.999, 0)
        room = FRAME * (high - low)
        sides = [
            torch.linspace(*ends, pixels) for ends in zip((low - room).tolist(), (high + room).tolist(), strict=True)
        ]
        points = torch.cartesian_prod(*sides)
        kl = law.log_prob(x).value.double() - model.log_prob(x).value
        true, learned = (each.log_prob(points).value.exp().reshape(pixels, pixels).T.numpy() for each in (law, model))
        for row, (density, name) in enumerate(((true, "p"), (learned, "q"))):
            axes = figure.add_subplot(2, len(LAWS), row * len(LAWS) + i + 1)
            axes.imshow(density, origin="lower", vmin=0, vmax=np.quantile(true, 0.995), cmap="magma", aspect="auto")
            axes.set(xticks=[], yticks=[])
            if i == 0:
                axes.set_ylabel(name, rotation=0, labelpad=8)
            if row == 0:
                axes.set_title(type(law).__name__, fontsize=9)
            else:
                axes.set_xlabel(f"KL {kl.mean():.3f} ± {kl.std() / len(kl) ** 0.5:.3f}", fontsize=9)
    return figure


def latents(plane: tuple[monge.SplineFlow, Tensor], digits: tuple[monge.SplineFlow, Tensor]) -> Figure:
    """Held-out data in the latent: a round Gaussian in the plane, and the norms of N(0, Id) in 64 dimensions."""
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.add_subplot(1, 2, 1)
    model, x = plane
    z = model.encode(x)
    axes.scatter(*z.T, s=3, color=REAL, alpha=0.5, linewidths=0)
    turn = np.linspace(0, 2 * math.pi, 200)
    for share in (0.5, 0.9, 0.99):
        radius = math.sqrt(-2 * math.log(1 - share))
        inside = float((z.norm(dim=1) < radius).float().mean())
        axes.plot(radius * np.cos(turn), radius * np.sin(turn), color="#444444", linewidth=0.8)
        axes.annotate(f"{inside:.1%} within {share:.0%}", (0, radius), fontsize=7, ha="center", va="bottom")
    axes.set_title("moons, held out", fontsize=9)
    axes.set_aspect("equal")
    axes = figure.add_subplot(1, 2, 2)
    model, x = digits
    norms = model.encode(x, seed=0).flatten(1).norm(dim=1).numpy()
    at = np.linspace(4, max(14.0, np.quantile(norms, 0.98)), 300)
    axes.hist(norms, bins=60, range=(at[0], at[-1]), density=True, color=REAL, alpha=0.5, label="held-out digits")
    axes.plot(at, chi(64).pdf(at), color=GENERATED, label="|z| of N(0, Id), 64 values")
    axes.set_xlabel("norm of the latent", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return figure


def ways(model: monge.SplineFlow, x: Tensor, y: Tensor) -> Figure:
    """From digit to digit: a row by the line between their latents, then one by the arc, for each pair."""
    pairs = [(0, 6), (1, 7), (3, 8)]
    first, last = (torch.stack([x[y == pair[i]][0] for pair in pairs]) for i in (0, 1))
    lines, arcs = (monge.models.interpolate(model, first, last, 9, path=path) for path in ("line", "arc"))
    rows = torch.stack([lines, arcs], 1).permute(2, 1, 0, 3, 4, 5)  # pair, path, step, event
    return report.image_grid(
        rows.flatten(0, 2), columns=9, look=GRAY, title="by the line, then by the arc, for each pair"
    )


def heavier(model: monge.SplineFlow, x: Tensor, held: Tensor) -> tuple[Figure, list[float]]:
    """Digits moved along the direction from light to heavy strokes, and the mean ink at each strength."""
    ink = x.flatten(1).sum(1)
    direction = monge.models.attribute(model, x[ink > ink.quantile(0.8)], x[ink < ink.quantile(0.2)])
    strengths = torch.linspace(-4, 4, 9).tolist()
    moved = torch.stack([monge.models.move(model, held[:6], direction, strength) for strength in strengths], 1)
    figure = report.image_grid(
        moved.flatten(0, 1), columns=9, look=GRAY, title="lighter, as it is in the middle, heavier"
    )
    return figure, moved.flatten(2).sum(2).mean(0).tolist()


def main() -> None:
    fast, save = asked("flows", __doc__)
    n = 600 if fast else 20_000
    models = [fit(law.sample(n, seed=0), 30, fast=fast) for law in LAWS]
    clouds = [law.sample(n // 2, seed=1) for law in LAWS]
    save("laws", laws(models, clouds, 40 if fast else 160))
    moons, held = models[1], clouds[1][:2000]
    save("grid", grid(moons, held))
    train, holdout = monge.data.load("digits").split(0.2, seed=0)
    digits = fit(train, 60, fast=fast)
    save("latents", latents((moons, held), (digits, holdout.x)))
    save("ways", ways(digits, holdout.x, holdout.y))
    figure, ink = heavier(digits, train.x, holdout.x)
    save("attribute", figure)
    print("mean ink of a digit, from the lightest to the heaviest: " + ", ".join(f"{value:.0f}" for value in ink))


if __name__ == "__main__":
    main()
