"""Optimal transport (course, section 5): maps, plans, displacement, and why a distance beats a divergence.

    python examples/transport.py            # a minute or less
    python examples/transport.py --fast     # seconds: what the tests run

map: Monge's map between two clouds, and where there is none, because the mass of a point must split (57). plans: the
plan between two laws on the line, exact, and blurred by entropy. digits: between two digits, the mean of their images,
the displacement of their ink, and their barycentres. segments: two segments at distance theta: the Jensen-Shannon
divergence is log 2 and KL infinite unless theta is 0, W1 is |theta| (notes 48, 53).
"""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import interpolate

from gallery import Save, asked
from monge import data, densities, ot

INK = "black"
EPSILONS = (0.3, 0.03, 0.003)


def picture_map(n: int, save: Save) -> None:
    """Lines from each point to where its mass goes; red where it splits."""
    x = torch.as_tensor(data.load(f"moons?n={n}").x).double()
    y = torch.as_tensor(data.load(f"rings?n={n}").x).double() + torch.tensor([5.0, 0.0])
    few = x[:: n // 8][:8]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    titles = "as many points of equal mass: a map", "8 points to 12: mass must split, there is no map"
    for axes, (first, second), title in zip(
        figure.subplots(1, 2), ((x, y), (few, y[:: n // 12][:12])), titles, strict=True
    ):
        plan = ot.couple(first, second)
        for i, j, mass in zip(plan.rows.tolist(), plan.columns.tolist(), plan.mass.tolist(), strict=True):
            ends = torch.stack([first[i], second[j]])
            split = i in plan.split.tolist()
            axes.plot(*ends.T, color="tab:red" if split else "0.6", linewidth=0.5 + 2 * mass * split * len(first))
        axes.scatter(*first.T, s=12, color="tab:blue", zorder=3)
        axes.scatter(*second.T, s=12, color=INK, zorder=3)
        axes.set_title(f"{title}\nW2 = {math.sqrt(plan.value):.3f}, duality gap {abs(plan.gap):.0e}", fontsize=10)
        axes.set_aspect("equal")
        axes.axis("off")
    save("map", figure)


def picture_plans(n: int, save: Save) -> None:
    """One picture of the plan's matrix for each epsilon, and the cost that it leaves."""
    line = torch.linspace(-4, 4, n, dtype=torch.float64)[:, None]
    a = torch.exp(-((line[:, 0] + 1.5) ** 2)) + 0.7 * torch.exp(-((line[:, 0] - 1) ** 2) / 0.2)
    b = torch.exp(-((line[:, 0] - 1) ** 2) / 2)
    a, b = a / a.sum(), b / b.sum()
    exact = ot.couple(line, line, a, b)
    plans = [(f"exact: cost {exact.value:.4f}", exact.plan())]
    for epsilon in EPSILONS:
        found = ot.sinkhorn(line, line, a, b, epsilon=epsilon)
        cost = float(found.transport_cost())
        plans.append((f"epsilon {epsilon}: cost {cost:.4f}, {found.sweeps} sweeps", found.plan()))
    figure = Figure(figsize=(12, 3.3), layout="constrained")
    for axes, (title, plan) in zip(figure.subplots(1, len(plans)), plans, strict=True):
        axes.imshow(plan / plan.max(), cmap="Greys", vmax=0.5, origin="lower")
        axes.set_title(title, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    save("plans", figure)


def picture_digits(side: int, save: Save) -> None:
    """Rows: mean of the images, displacement, barycentre; columns: time from the first digit to the second."""
    digits = data.load("digits")
    pair = torch.as_tensor(digits.x)[[3, 7]].double()
    images = interpolate(pair, size=(side, side), mode="bilinear")[:, 0]
    images = images / images.sum((1, 2), keepdim=True)
    place = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1).reshape(-1, 2)
    plan = ot.couple(place.double(), place.double(), *images.flatten(1))
    times = torch.linspace(0, 1, 7).tolist()
    rows = {
        "mean of images": [torch.lerp(*images, t) for t in times],
        "displacement": [splat(plan.displaced(t), side) for t in times],
        "barycentre": [ot.barycentre(images, torch.tensor([1 - t, t]), epsilon=1.5) for t in times],
    }
    figure = Figure(figsize=(9.5, 4.4), layout="constrained")
    grid = figure.subplots(len(rows), len(times))
    for axes_row, (name, pictures) in zip(grid, rows.items(), strict=True):
        for axes, image, t in zip(axes_row, pictures, times, strict=True):
            axes.imshow(image, cmap="Greys")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(f"t = {t:.2f}" if name == "mean of images" else "", fontsize=9)
        axes_row[0].set_ylabel(name, fontsize=9)
    save("digits", figure)


def splat(cloud: tuple[Tensor, Tensor], side: int) -> Tensor:
    """The masses on a grid half as fine, each shared by the four pixels around its point."""
    points, mass, side = cloud[0] / 2, cloud[1], side // 2
    image, low = torch.zeros(side, side, dtype=mass.dtype), points.floor()
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at = low + torch.tensor(corner)
        share = (1 - (points - at).abs()).prod(1)
        i, j = at.long().clamp_max(side - 1).T
        image.index_put_((i, j), mass * share, accumulate=True)
    return image


def picture_segments(n: int, save: Save) -> None:
    """Two uniform laws on vertical segments, on a grid of columns."""
    up = torch.linspace(0, 1, n, dtype=torch.float64)
    thetas = [k / 10 for k in range(-10, 11)]
    columns = torch.zeros(len(thetas), len(thetas), dtype=torch.float64).fill_diagonal_(1.0)
    told: dict[str, list[float]] = {"W1": [], "JS": [], "total variation": [], "KL (infinite: off the top)": []}
    for k, theta in enumerate(thetas):
        still, moved = columns[len(thetas) // 2], columns[k]
        first, second = (torch.stack([torch.full_like(up, at), up], 1) for at in (0.0, theta))
        told["W1"].append(ot.wasserstein(first, second, 1))
        told["JS"].append(densities.js_divergence(still, moved))
        told["total variation"].append(densities.total_variation(still, moved))
        told["KL (infinite: off the top)"].append(min(1.2, densities.kl_divergence(still, moved)))
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for style, (name, values) in zip(("-", ".", "x", "^"), told.items(), strict=True):
        axes.plot(thetas, values, style, label=name)
    axes.axhline(math.log(2), color="0.8", zorder=0)
    axes.set_xlabel("theta, distance of the segments")
    axes.set_ylim(-0.03, 1.25)
    axes.legend(fontsize=8)
    save("segments", figure)


def main() -> None:
    fast, save = asked("transport", __doc__)
    picture_map(96 if not fast else 24, save)
    picture_plans(200 if not fast else 60, save)
    picture_digits(28 if not fast else 10, save)
    picture_segments(200 if not fast else 20, save)


if __name__ == "__main__":
    main()
