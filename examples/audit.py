"""Is p_G = p? (course, 4.4, 2.8.2): what an audit sees of generators that are wrong in ways that pictures do not show.

    python examples/audit.py            # a minute
    python examples/audit.py --fast     # what the tests run

A "generator" of phi^4 fields here is the law itself with one thing wrong: a part of its mass missing, a blur, copies of
its training set, the right spectrum with Gaussian phases. Its verdict says which.
"""

import torch
from matplotlib.figure import Figure

from gallery import asked
from monge.densities import Phi4
from monge.evaluation import Verdict, audit
from monge.report import reason
from monge.report.figures import GENERATED, REAL
from monge.samplers import wolff

SIDE = 8
COLOURS = {"pass": "#009E73", "undecided": "#BBBBBB", "fail": GENERATED}


def fields(n: int) -> torch.Tensor:
    """phi^4 in two dimensions, a little above its transition, [n, 1, 8, 8]."""
    draws = n // 40 + 1
    chains = wolff(Phi4((SIDE, SIDE), 0.27, 0.02), chains=40, draws=draws, thin=20, show=False)
    return chains.x.transpose(0, 1).reshape(-1, 1, SIDE, SIDE)[:n].float()


def gaussian(x: torch.Tensor) -> torch.Tensor:
    """The mean and spectrum of x, and nothing else."""
    hat = torch.fft.fft2(x - x.mean(0)).abs().square().mean(0).sqrt()
    white = torch.fft.fft2(torch.randn(x.shape, generator=torch.Generator().manual_seed(0))) / SIDE
    return x.mean(0) + torch.fft.ifft2(white * hat).real


def blurred(x: torch.Tensor) -> torch.Tensor:
    return 0.9 * x + 0.025 * sum(x.roll(step, axis) for step in (1, -1) for axis in (2, 3))


def verdicts(fast: bool) -> dict[str, tuple[torch.Tensor, Verdict]]:
    n = 150 if fast else 2000
    x, holdout, train = fields(3 * n).split(n)
    wrong = {
        "the law itself": x,
        "one phase rare": torch.cat([x[x.mean((1, 2, 3)) > 0], x[x.mean((1, 2, 3)) < 0][: n // 5]]),
        "a light blur": blurred(x),
        "a tenth copied": torch.cat([x[n // 10 :], train[: n // 10]]),
        "right spectrum, Gaussian": gaussian(x),
    }
    return {name: (made, audit(made, holdout, train)) for name, made in wrong.items()}


def picture(found: dict[str, tuple[torch.Tensor, Verdict]]) -> Figure:
    """A row for each generator: five of its fields, which hardly tell, and its verdict by defect, which does."""
    drawn = Figure(figsize=(10, 1.15 * len(found)), layout="constrained")
    for r, (name, (x, verdict)) in enumerate(found.items()):
        for c in range(5):
            axes = drawn.add_subplot(len(found), 12, 12 * r + c + 1)
            axes.imshow(x[7 * c, 0], cmap="RdBu_r", vmin=-3, vmax=3)
            axes.set_xticks([])
            axes.set_yticks([])
            if c == 0:
                axes.set_title(name, fontsize=8, loc="left", color=REAL)
        axes = drawn.add_subplot(len(found), 2, 2 * r + 2)
        for i, defect in enumerate(verdict.defects):
            axes.barh(0, 0.95, left=i, color=COLOURS[defect.status])
            axes.text(i + 0.475, 0, defect.name, ha="center", va="center", fontsize=6.5)
        axes.set_xlim(0, 10)
        axes.set_title(verdict.status, fontsize=8, loc="left")
        axes.axis("off")
    return drawn


def main() -> None:
    fast, save = asked("audit", __doc__)
    found = verdicts(fast)
    save("defects", picture(found))
    for name, (_, verdict) in found.items():
        print(f"{name}: {reason(verdict)}")


if __name__ == "__main__":
    main()
