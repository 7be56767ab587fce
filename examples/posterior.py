"""Answers from a denoiser that was learned without the question (the course's section 2.5), in five pictures.

    python examples/posterior.py            # seven minutes on two cores
    python examples/posterior.py --fast     # seconds, and rough

The posterior of a mixture in closed form beside what each method draws of it; a digit from its lower half, with the
classes of the answers; a photograph of which half of the pixels, and one a quarter of the size, was seen; and what
guidance beyond a label's law does to it.
"""

import math
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.svm import SVC

import monge
from gallery import asked
from monge import densities, observations, report, rng, samplers
from monge.denoisers import Oracle
from monge.nets import Size
from monge.observations import Linear
from monge.report.figures import GENERATED, REAL

METHODS = "exact", "particles", "daps", "moments", "wiener", "pi-gdm", "dps", "ddrm", "diffpir"
TURN = torch.arange(8) * math.pi / 4
RING = densities.GaussianMixture(
    4 * torch.stack([TURN.cos(), TURN.sin()], 1), 0.1 * torch.ones(8), torch.tensor([1.0, 2, 1, 3, 1, 2, 1, 1])
)


def mixture(n: int, calls: int) -> Figure:
    """Draws of eight modes of which x1 + x2 / 2 was seen."""
    A = torch.tensor([[1.0, 0.5]])
    seen = Linear(A, torch.tensor([2.2]), 0.5)
    D, prior = Oracle(RING), RING.sample(1000, seed=0)
    plan = samplers.pilot(D, (2,))
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for i, method in enumerate(METHODS):
        options: dict[str, Any] = {} if method == "exact" else {"plan": plan, "nfe": calls}
        found = samplers.posterior(D, (2,), n, seen, method=method, seed=1, **options)
        axes = figure.add_subplot(2, 5, i + 1)
        axes.scatter(*prior.T, s=1, color=REAL, alpha=0.15, linewidths=0)
        axes.scatter(*found.sample(n).T, s=2, color=GENERATED, linewidths=0)
        known = f", log p(y) {found.log_evidence:.2f}" if math.isfinite(found.log_evidence) else ""
        axes.set_title(f"{method}{known}", fontsize=9)
        axes.set(xticks=[], yticks=[], xlim=(-5.5, 5.5), ylim=(-5.5, 5.5), aspect="equal")
    return figure


def digit(fast: bool, model: Any, train: Any, held: Any) -> Figure:
    """Answers to the lower halves of digits, and how often each class is among them."""
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, 4:] = True
    classifier = SVC(C=10).fit(train.x.flatten(1), train.y)
    rows = [int((held.y == label).nonzero()[0]) for label in (1, 3, 5, 9)]
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    grid = figure.add_gridspec(4, 3, width_ratios=(1, 8, 3))
    for line, i in enumerate(rows):
        x = held.x[i]
        n, calls = (4, 4) if fast else (64, 60)
        found = model.posterior(n, Linear(observations.mask(known), x[known], 0.5), nfe=calls, seed=i, show=False)
        axes = figure.add_subplot(grid[line, 0])
        axes.imshow((x * known)[0], cmap="gray", vmin=0, vmax=16)
        axes.axis("off")
        axes = figure.add_subplot(grid[line, 1])
        shown = torch.nn.functional.pad(found.x[:8, 0], (1, 1, 1, 1), value=16.0)
        axes.imshow(shown.transpose(0, 1).reshape(10, -1), cmap="gray", vmin=0, vmax=16)
        axes.axis("off")
        shares = np.bincount(classifier.predict(found.x.flatten(1)), minlength=10) / n
        axes = figure.add_subplot(grid[line, 2])
        axes.bar(range(10), shares, color=[REAL if k == int(held.y[i]) else GENERATED for k in range(10)])
        axes.set(xticks=range(10), yticks=[0, 1], ylim=(0, 1))
        axes.tick_params(labelsize=7)
    figure.suptitle("seen, answers, and the share of each class among them (blue: the true one)", fontsize=9)
    return figure


def photographs(fast: bool) -> tuple[Figure, Figure]:
    """A photograph of which half was seen, and one of which every four pixels a side, by a model of others."""
    from skimage import color, data

    def gray(name: str) -> Any:
        picture = getattr(data, name)()
        return np.rint(color.rgb2gray(picture) * 255 if picture.ndim == 3 else picture).astype(np.uint8)

    side = 16 if fast else 96
    names = ("astronaut", "coffee", "rocket", "chelsea", "coins", "moon")
    others = [gray(names[0])[:64, :64]] if fast else [gray(name) for name in names]
    pieces = monge.data.load(others, crop=side, name="photographs")
    small: dict[str, Any] = {"net": Size(widths=(8,), blocks=1)} if fast else {}
    model = monge.Diffusion(blind=True, sigma_max=4.0, **small)
    model.fit(pieces, batch_size=4, **({"steps": 2} if fast else {"budget": 240}), show=not fast)
    x = torch.from_numpy(gray("camera")[100 : 100 + side, 200 : 200 + side]).float()[None]
    known, look = rng.uniform(tuple(x.shape), 0, "mask") > 0.5, report.Look(0.0, 255.0, "images")
    means = observations.downscale(tuple(x.shape), 4)
    figures = []
    for told, A, y, seen in (
        ("half of the pixels seen", observations.mask(known), x[known], x * known),
        ("means over 4 x 4 pixels seen", means, means.forward(x[None])[0], means.forward(x[None])[0]),
    ):
        options = {"method": "daps", "nfe": 2 if fast else 40, "show": not fast}
        found = model.posterior(2 if fast else 8, Linear(A, y, 0.0), **options)
        told = f"{told}; {found.method}, {found.exactness}"
        left = torch.zeros_like(seen)
        figures.append(report.answers(seen, found.x, found.mean(), found.std(), left, look=look, told=told))
    return figures[0], figures[1]


def guided(fast: bool, model: Any, train: Any, held: Any) -> Figure:
    """Threes and eights at growing guidance, and what the audit says of them."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    strengths = (3.0,) if fast else (0.0, 1.0, 2.0, 4.0)
    for line, strength in enumerate(strengths):
        n = 100 if fast else 600
        labels = held.y[torch.arange(n) % len(held.y)]
        x = model.sample(n, label=labels, guidance=strength, nfe=2 if fast else 20, seed=2, show=False)
        verdict = monge.audit(x, holdout=held.x[:n], train=train.x)
        failing = [each.name for each in verdict.lines if each.status == "fail"]
        axes = figure.add_subplot(len(strengths), 1, line + 1)
        shown = torch.nn.functional.pad(x[:24, 0], (1, 1, 1, 1), value=16.0)
        axes.imshow(shown.transpose(0, 1).reshape(10, -1), cmap="gray", vmin=0, vmax=16)
        many = f"{len(failing)} line{'s' * (len(failing) > 1)}: {', '.join(failing[:4])}" if failing else "no line"
        axes.set_title(f"guidance {strength:g}: {verdict.status}, {many}", fontsize=9)
        axes.axis("off")
    return figure


def main() -> None:
    fast, save = asked("posterior", __doc__)
    save("mixture", mixture(60 if fast else 1000, 6 if fast else 100))
    train, held = monge.data.load("digits").split(0.2, seed=0)
    train = train.take(torch.arange(200)) if fast else train
    small: dict[str, Any] = {"net": Size(widths=(8,), blocks=1)} if fast else {}
    model = monge.Diffusion(labels=True, **small)
    model.fit(train, **({"steps": 2} if fast else {"budget": 90}), show=not fast)
    save("digit", digit(fast, model, train, held))
    save("guidance", guided(fast, model, train, held))
    masked, sharpened = photographs(fast)
    save("photograph", masked)
    save("sharpened", sharpened)


if __name__ == "__main__":
    main()
