"""Continuous transport (the course's sections 5.2 and 5.3), in five pictures.

    python examples/continuous.py            # seven minutes on two cores
    python examples/continuous.py --fast     # seconds, and rough

A density carried by a learned velocity, on a grid and by particles; ways with and without transport in the choice of
pairs; Picard's iterates; Euler's steps as residual blocks; and digits by diffusion, flow matching, a neural ODE and a
spline flow, in one table.
"""

import math
import time
from typing import Any

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

import monge
from gallery import asked
from monge import densities
from monge.models import transport_cost
from monge.nets import Size
from monge.noise import liouville
from monge.report.figures import GENERATED, REAL
from monge.samplers import picard, residual_blocks, walk

TURN = torch.arange(8) * math.pi / 4
EIGHT = densities.GaussianMixture(
    5 * torch.stack([TURN.cos(), TURN.sin()], 1), 0.1 * torch.eye(2).expand(8, 2, 2), torch.full((8,), 1 / 8)
)
SIDE = 3.5
NATS_ROWS, PROBES = 100, 4  # by which the likelihood of digits is found where a call is a network of images


def carried(model: monge.FlowMatching, cells: int, n: int) -> Figure:
    """The density that Liouville's equation finds on a grid, above particles that follow the same velocity."""
    carrier, times = model.carrier, (1.0, 0.6, 0.3, 0.1, 0.0)
    field, noise = carrier.field(None), carrier.noise(n, 0)

    def base(x: Tensor) -> Tensor:
        assert carrier.density is not None
        return carrier.density(x.float()).exp()

    found = liouville(field, base, [-SIDE] * 2, [SIDE] * 2, [cells] * 2, 1.0, 0.0, frames=10, show=True)
    ways = [noise, *walk(field, noise, 1.0, 0.0, 40)]
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    brightest = float(np.quantile(found.p[-1], 0.995))
    for i, t in enumerate(times):
        axes = figure.add_subplot(2, len(times), i + 1)
        shown = found.p[int(np.abs(found.t - t).argmin())].T
        axes.imshow(shown, origin="lower", extent=(-SIDE, SIDE) * 2, cmap="magma", vmin=0, vmax=brightest)
        axes.set_title(f"t = {t:g}", fontsize=9)
        axes.set(xticks=[], yticks=[])
        if i == 0:
            axes.set_ylabel("Liouville, on a grid", fontsize=9)
        axes = figure.add_subplot(2, len(times), len(times) + i + 1)
        axes.scatter(*ways[round(40 * (1 - t))].T, s=1, color=GENERATED, alpha=0.4, linewidths=0)
        axes.set(xticks=[], yticks=[], xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), aspect="equal")
        if i == 0:
            axes.set_ylabel("particles", fontsize=9)
    return figure


def trajectories(models: dict[str, monge.FlowMatching]) -> Figure:
    """The ways from 8 Gaussians to moons, by how pairs were chosen, with their cost beside W2^2."""
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    for i, (name, model) in enumerate(models.items()):
        axes = figure.add_subplot(1, len(models), i + 1)
        ways = torch.stack(list(model.carrier.ways(300, 0, 60)), 1)
        axes.add_collection(LineCollection(list(ways.numpy()), colors="#888888", linewidths=0.4, alpha=0.6))
        axes.scatter(*ways[:, 0].T, s=6, color=REAL, linewidths=0)
        axes.scatter(*ways[:, -1].T, s=6, color=GENERATED, linewidths=0)
        cost = transport_cost(model, 400, show=False)
        axes.set_title(
            f"{name}: energy {cost.energy[0]:.2f}, W2² {cost.w2:.2f}, bent {cost.straightness:.0%}", fontsize=9
        )
        axes.set(xticks=[], yticks=[], aspect="equal")
    return figure


def picards(model: monge.FlowMatching) -> Figure:
    """Iterates from standing still to the way, and how far each is from it."""
    carrier = model.carrier
    begin = carrier.noise(6, 3)
    _, paths = picard(carrier.field(None), begin, 1.0, 0.0, iterations=40, nodes=64)
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot(1, 2, 1)
    for k, shade in ((1, 0.75), (2, 0.6), (5, 0.4), (40, 0.0)):
        for way in paths[k].transpose(0, 1):
            axes.plot(*way.T, color=str(shade) if k < 40 else GENERATED, linewidth=1.2 if k == 40 else 0.9)
        axes.plot([], [], color=str(shade) if k < 40 else GENERATED, label=f"iterate {k}")
    axes.scatter(*begin.T, s=14, color=REAL, zorder=3)
    axes.legend(frameon=False, fontsize=8)
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes = figure.add_subplot(1, 2, 2)
    away = (paths[:-1] - paths[-1]).norm(dim=-1).amax((1, 2)).clamp_min(1e-7)
    axes.semilogy(range(len(away)), away, marker="o", markersize=3, color=GENERATED)
    axes.set_xlabel("iterate", fontsize=9)
    axes.set_title("largest distance from the last", fontsize=9)
    return figure


def blocks(model: monge.FlowMatching, n: int) -> Figure:
    """The same noise through networks of so many residual blocks, x + h V(x, t)."""
    carrier = model.carrier
    begin = carrier.noise(n, 1)
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    counts = (1, 2, 4, 8, 32)
    for i, count in enumerate(counts):
        with torch.no_grad():
            end = residual_blocks(carrier.field(None), 1.0, 0.0, count)(begin)
        axes = figure.add_subplot(1, len(counts), i + 1)
        axes.scatter(*end.T, s=1, color=GENERATED, alpha=0.4, linewidths=0)
        axes.set_title(f"{count} block{'s' * (count > 1)}", fontsize=9)
        axes.set(xticks=[], yticks=[], xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), aspect="equal")
    return figure


def digits(fast: bool) -> Figure:
    """Four ways to digits: their samples, and nats, calls, seconds and verdict."""
    train, holdout = monge.data.load("digits").split(0.2, seed=0)
    small = {"net": Size(widths=(16,), blocks=1)} if fast else {}
    makes: dict[str, Any] = {
        "diffusion": monge.Diffusion(**small),
        "flow matching": monge.FlowMatching(**small),
        "neural ODE": monge.ContinuousFlow(**small),
        "spline flow": monge.SplineFlow(),
    }
    if fast:
        makes = {"neural ODE": makes["neural ODE"]}
    rows, pictures = [], []
    for name, model in makes.items():
        model.fit(train, **({"steps": 2} if fast else {"budget": 60}), show=not fast)
        begun = time.monotonic()
        calls = {} if name == "spline flow" else {"nfe": 2 if fast else 20}
        x = model.sample(100 if fast else 1000, seed=1, **calls)
        taken = time.monotonic() - begun
        probes = {} if name == "spline flow" else {"probes": 2 if fast else PROBES, "rtol": 1e-3, "atol": 1e-3}
        nats = model.log_prob(holdout.x[: 2 if fast else NATS_ROWS], **probes).value
        verdict = monge.audit(x, holdout=holdout.x, train=train.x)
        failing = [line.name for line in verdict.lines if line.status == "fail"]
        error = float(nats.std()) / len(nats) ** 0.5
        told = f"{float(nats.mean()):.1f} ± {error:.1f}", str(calls.get("nfe", 1)), f"{taken:.1f}"
        few = failing if len(failing) < 6 else [*failing[:4], f"and {len(failing) - 4} more"]
        rows.append((name, *told, f"{verdict.status}: {', '.join(few) or 'no line fails'}"))
        pictures.append(x[:12])
        print(*rows[-1], sep=" | ", flush=True)
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 2))
    framed = torch.nn.functional.pad(torch.cat(pictures)[:, 0], (1, 1, 1, 1))
    shown = framed.reshape(len(makes), 12, 10, 10).transpose(1, 2).reshape(10 * len(makes), 120)
    axes = figure.add_subplot(grid[0])
    axes.imshow(shown, cmap="gray_r", vmin=0, vmax=16)
    axes.set(xticks=[], yticks=10 * np.arange(len(makes)) + 4.5, yticklabels=list(makes))
    axes = figure.add_subplot(grid[1])
    axes.axis("off")
    heads = ("", "held-out log p, nats", "calls", "s for 1,000", "verdict")
    table = axes.table(rows, colLabels=heads, loc="center", cellLoc="left", colWidths=(0.11, 0.12, 0.06, 0.1, 0.61))
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    return figure


def main() -> None:
    fast, save = asked("continuous", __doc__)
    n, amount = (400, {"steps": 20}) if fast else (3000, {"budget": 45})
    moons = densities.Moons().sample(1000 if fast else 20_000, seed=0)
    wide = densities.Gaussian(moons.mean(0), 0.5 * torch.eye(2))
    lean = Size(widths=(64,), blocks=2, waves=16)
    bent = monge.FlowMatching(net=lean, source=wide, bend=False).fit(moons, show=not fast, **amount)
    save("density", carried(bent, 30 if fast else 100, n))
    save("picard", picards(bent))
    save("blocks", blocks(bent, n))
    models = {}
    for pairing in ("independent", "transport"):
        pool = 256 if fast and pairing == "transport" else None
        model = monge.FlowMatching(pairing=pairing, source=EIGHT, pool=pool, bend=False)
        models[f"{pairing} pairs"] = model.fit(3 * moons - 1, show=not fast, **amount)
    save("trajectories", trajectories(models))
    save("digits", digits(fast))


if __name__ == "__main__":
    main()
