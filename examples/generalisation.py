"""Does it generalise or copy (course, sections 1, 6 and 11, Fig. 13)?

    python examples/generalisation.py            # eight minutes on two cores
    python examples/generalisation.py --fast     # seconds, and rough: what the tests run

twins: digits by two models that learned from disjoint sets, the same noise in one column, each above the nearest row
that it learned from: few rows are copied, from many both draw the same new digit. curves: the same in numbers. clock:
when copying begins, for more and more rows of a mixture in 8 dimensions. bases: the directions that networks keep most,
of digits, of smooth images, of disks, and of digits whose pixels are shuffled. ladder: bias and variance of Wiener's
filter, wavelets, patches and a network on a law whose optimal denoiser is known.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import monge
from gallery import Save, asked
from monge import report, rng
from monge.data import Samples
from monge.denoisers import Oracle, PatchMixture, WaveletShrinkage, Wiener
from monge.densities import Empirical, GaussianMixture
from monge.evaluation import certificate, jacobian
from monge.models.copying import onset
from monge.nets import Size
from monge.report import read_log
from monge.report.figures import GENERATED, REAL
from monge.runs.generalisation import generalisation

SIDE = 16
LEVELS = (0.1, 0.3, 1.0)


def network(width: int, blocks: int = 1) -> monge.Diffusion:
    return monge.Diffusion(net=Size((width,), blocks=blocks), augment=False, labels=False)


def disks() -> Tensor:
    """One bright disk of any place and radius on a grid of 2,560 of them, [n, 1, 16, 16], edges smooth over a pixel."""
    at, radius = torch.arange(SIDE) + 0.5, torch.linspace(2, 6, 10)
    cx, cy, r = torch.cartesian_prod(at, at, radius).T[:, :, None, None]
    far = ((at - cx).square() + (at[:, None] - cy).square()).sqrt()
    x: Tensor = ((r - far) + 0.5).clamp(0, 1)[:, None]
    return x


def twins(fast: bool, save: Save) -> None:
    data, sizes = monge.data.load("digits"), [10, 100] if fast else [10, 30, 100, 800]
    steps = 3 if fast else 1000
    found = generalisation(network(8 if fast else 32), data, sizes, steps=steps, n=20 if fast else 200, show=False)
    print(found)
    for n, bases in zip(sizes, found.bases, strict=True):
        if bases is not None:
            told = f"{float(bases.dimension.mean()):.1f} directions, {float(bases.overlap.mean()):.0%} of the first 16"
            print(f"{n} rows: each keeps {told} in common")
    look = report.Look.of(data)
    drawn, near = ([getattr(part, name) for part in found.pictures] for name in ("samples", "nearest"))
    picked = [0, len(sizes) // 2, len(sizes) - 1]
    shown = [[part[i] for i in dict.fromkeys(picked)] for part in (drawn, near, sizes)]
    save("twins", report.twin_pictures(*shown, look=look))
    save("curves", report.twin_curves(found.transition))


def clock(fast: bool, save: Save) -> None:
    means = 2 * torch.randn(4, 8, generator=torch.manual_seed(1))
    law = GaussianMixture(means, 0.25 * torch.eye(8).repeat(4, 1, 1), torch.ones(4) / 4)
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for n, colour in ((100, "#9ecae1"), (200, "#4292c6"), (400, "#08519c"))[: 1 if fast else None]:
        with tempfile.TemporaryDirectory() as folder:
            steps: dict[str, Any] = {"steps": 75 if fast else 16 * n + 1000}
            model = monge.Diffusion(net=Size((16 if fast else 128,)))
            given = {"validation": 300 / (n + 300), "patience": 10**6, "watch_copies": True, "batch_size": 256}
            model.fit(law.sample(n + 300, seed=3), out=Path(folder) / "run", show=False, **given, **steps)
            log = read_log(Path(folder) / "run" / "log.csv")
        print(onset(log).words(n))
        looks = [row for row in log if row["samples/copies"]]
        gap = next(name for name in looks[0] if name.endswith("denoising gap"))
        step = [float(row["step"]) for row in looks]
        left.plot(step, [float(row["samples/copies"]) for row in looks], color=colour, label=f"{n} rows")
        right.plot(step, [float(row[gap]) for row in looks], color=colour)
    left.set(xscale="log", xlabel="step", ylabel="share of copies")
    right.set(xscale="log", xlabel="step", ylabel=f"denoising gap at {gap.partition('/')[0]}")
    left.legend(frameon=False)
    save("clock", figure)


def bases(fast: bool, save: Save) -> None:
    digits = monge.data.load("digits").x / 16
    order = torch.randperm(64, generator=rng.generator(0, "shuffled"))
    shuffled = digits.flatten(2)[..., order].reshape(digits.shape)
    smooth = monge.data.c_alpha(1000, 0, size=SIDE, alpha=2.0).x
    kinds = {"digits": digits, "C^2 images": smooth, "disks": disks(), "shuffled digits": shuffled}
    shown = 2 if fast else 7
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    for row, (name, x) in zip(figure.subplots(len(kinds), 1 + shown), kinds.items(), strict=True):
        model = network(8 if fast else 48).fit(Samples(x, kind="fields"), steps=3 if fast else 600, show=False)
        scaled = model.units.forward(x[len(x) * 8 // 15 :][:1])  # of the disks one in the middle
        y = scaled + 0.3 * rng.normal(tuple(scaled.shape), 0, "bases")
        found = jacobian(model.denoiser, y[0], 0.3, k=shown)
        tile(row[0], y[0], f"{name}\n{found.dimension:.0f} of {x[0].numel()} kept")
        for axes, value, vector in zip(row[1:], found.eigenvalues, found.basis, strict=True):
            tile(axes, vector, f"{float(value):.2f}", float(vector.abs().max()))
    save("bases", figure)


def tile(axes: Axes, x: Tensor, title: str, most: float | None = None) -> None:
    axes.imshow(x[0], cmap="gray", vmin=None if most is None else -most, vmax=most)
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


def ladder(fast: bool, save: Save) -> None:
    whole = disks()
    law = Empirical(whole)
    sets = [law.sample(50 if fast else 400, seed=seed) for seed in range(2)]
    rungs: dict[str, Any] = {
        "Wiener": [Wiener.of(x) for x in sets],
        "wavelets": [WaveletShrinkage()] * 2,
        "patches": [PatchMixture.of(x, side=6, components=2 if fast else 10) for x in sets],
        "network": [],
    }
    first: Any = None
    for x in sets:
        model = network(8 if fast else 48)
        shared = {} if first is None else {"scaling": first.scaling, "moments": first.moments}
        model.fit(Samples(x, kind="fields"), steps=3 if fast else 1000, show=False, **shared)
        first = first or model
        rungs["network"].append(model.denoise)
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    events = law.sample(20 if fast else 200, seed=9)
    for i, axes in enumerate(figure.subplots(1, len(LEVELS))):
        for place, (name, (one, other)) in enumerate(rungs.items()):
            found = certificate(one, events, [LEVELS[i]], twins=[other], optimum=Oracle(law), identities=())
            (at,) = found.at
            assert at.bias is not None
            assert at.disagreement is not None
            axes.bar(place, at.bias.value, color=REAL, label="bias" if place == 0 else None)
            bottom = {"bottom": at.bias.value, "color": GENERATED}
            axes.bar(place, at.disagreement.value, label="variance" if place == 0 else None, **bottom)
            told = f"bias {at.bias.value:.2e}, variance {at.disagreement.value:.2e}, error {at.error.value:.2e}"
            print(f"sigma {LEVELS[i]}, {name}: {told}", flush=True)
        axes.set(title=f"σ = {LEVELS[i]}", xticks=range(len(rungs)))
        axes.set_xticklabels(rungs, fontsize=8)
    figure.axes[0].set_ylabel("E|D - D*|² / d")
    figure.axes[0].legend(frameon=False)
    save("ladder", figure)


def main() -> None:
    fast, save = asked("generalisation", __doc__)
    for part in (twins, clock, bases, ladder):
        part(fast, save)


if __name__ == "__main__":
    main()
