"""Markov chains that sample a law by its energy (the course's sections 3.2, 5.4 and 6.1), in five pictures.

    python examples/chains.py                # two minutes on two cores
    python examples/chains.py --fast         # seconds, and rough

A chain too timid and one too bold; replicas that cross the barrier between two wells; phi^4 through its transition;
the Fokker-Planck equation beside particles; and the random walk that becomes Brownian motion.
"""

import math
import warnings

import numpy as np
import torch
from matplotlib.figure import Figure

from gallery import asked
from monge import rng
from monge.densities import DoubleWell, Phi4
from monge.noise import fokker_planck
from monge.report.figures import GENERATED, REAL
from monge.samplers import DoubtfulChains, mala, metropolis_hastings, replica_exchange, ula, wolff

WELL = DoubleWell(mu=-12.0, b=3.0)  # wells at +-2, barrier 12
STEEP = DoubleWell(mu=-4.0)  # wells at +-2, barrier 4


def figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def stuck(fast: bool) -> Figure:
    """Metropolis' walk with steps too small, too large, and such that it moves (Fig. 16)."""
    picture, draws = figure(9, 3.2), 300 if fast else 3000
    for i, (size, title) in enumerate(((0.1, "too timid"), (60.0, "too bold"), (4.0, "as far as the wells are apart"))):
        chains = metropolis_hastings(
            WELL, size=size, x=torch.tensor([2.0]), chains=4, draws=draws, warmup=0, show=False
        )
        axes = picture.add_subplot(1, 3, i + 1)
        axes.plot(chains.x[0, :, 0], color=REAL, linewidth=0.5)
        right = float((chains.x > 0).float().mean())
        accepted = float(chains.acceptance.mean())
        axes.set_title(
            f"steps of {size:g}, {title}\n{accepted:.1%} accepted, {right:.0%} in the right well", fontsize=8
        )
        axes.set(ylim=(-3.2, 3.2), xlabel="step")
    return picture


def replicas(fast: bool) -> tuple[Figure, float]:
    """MALA started in one well, alone and in replica exchange: the weight of that well as draws come in."""
    picture, draws = figure(9, 3.2), 200 if fast else 2000
    start, options = torch.tensor([2.0]), {"chains": 64, "draws": draws, "show": False}
    alone = mala(WELL, x=start, **options)
    helped = replica_exchange(WELL, x=start, replicas=6, hottest=0.05, warmup=max(200, draws // 2), **options)
    axes = picture.add_subplot(1, 2, 1)
    for chains, name, colour in ((alone, "MALA", GENERATED), (helped, "replica exchange", REAL)):
        share = (chains.x[..., 0] > 0).float().mean(0).cumsum(0) / torch.arange(1, draws + 1)
        axes.plot(share, color=colour, label=name)
    axes.axhline(0.5, color="#888888", linewidth=0.8)
    axes.set(ylim=(0.4, 1.05), xlabel="draws", ylabel="share in the right well")
    axes.legend(frameon=False, fontsize=8)
    axes = picture.add_subplot(1, 2, 2)
    at = torch.linspace(-3.2, 3.2, 400)
    axes.hist(helped.x.flatten().numpy(), bins=80, density=True, color=REAL, alpha=0.5, label="replica exchange")
    axes.plot(at, WELL.log_prob(at[:, None]).value.exp(), color="#222222", linewidth=1, label="p")
    axes.legend(frameon=False, fontsize=8)
    return picture, float((helped.x > 0).float().mean())


def transition(fast: bool) -> Figure:
    """|M|, the susceptibility and Binder's cumulant of phi^4 against kappa: sizes cross at the transition."""
    picture, panels = figure(10, 3.2), ["|M|", "susceptibility", "Binder's cumulant"]
    axes = [picture.add_subplot(1, 3, i + 1) for i in range(3)]
    kappas = np.linspace(0.255, 0.285, 4 if fast else 13)
    for side, colour in ((4, "#009E73"), (8, GENERATED)) if fast else ((8, "#009E73"), (16, GENERATED), (32, REAL)):
        rows = []
        for kappa in kappas:
            law = Phi4((side, side), float(kappa), 0.02)
            chains = wolff(
                law, chains=16, draws=100 if fast else 3000, thin=2, keep=False, show=False, observe={"M": mean}
            )
            m = chains.observed["M"].double()
            size, square = m.abs().mean(), m.square().mean()
            rows.append([float(v) for v in (size, side**2 * (square - size**2), 1 - m.pow(4).mean() / (3 * square**2))])
        for ax, values in zip(axes, np.transpose(rows), strict=True):
            ax.plot(kappas, values, "o-", color=colour, markersize=3, linewidth=0.8, label=f"{side} x {side}")
    for ax, name in zip(axes, panels, strict=True):
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("kappa")
        ax.tick_params(labelsize=8)
    axes[0].legend(frameon=False, fontsize=8)
    return picture


def mean(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).mean(1)


def particles(fast: bool) -> Figure:
    """Langevin's equation from one well: the grid's density over histograms of particles, and KL to p as time goes."""
    picture, times, n, h = figure(9, 3.2), (0.1, 0.5, 2.0, 8.0), 2000 if fast else 50_000, 0.01
    begin = lambda x: (-8 * (x[:, 0] - 1) ** 2).exp()  # noqa: E731
    solved = fokker_planck(STEEP.score, 2**0.5, begin, [-4], [4], [200], times[-1], steps=800)
    (side,) = solved.sides
    x = 1 + 0.25 * rng.normal((n, 1), 0, "particles")
    axes, walked = picture.add_subplot(1, 2, 1), 0.0
    for t, colour in zip(times, ("#009E73", GENERATED, "#CC79A7", REAL), strict=True):
        steps = round((t - walked) / h)
        x, walked = (
            ula(STEEP, h=h, x=x, draws=1, warmup=steps - 1, keep=False, show=False, seed=round(10 * t)).x[:, 0],
            t,
        )
        axes.hist(x[:, 0].numpy(), bins=100, range=(-4, 4), density=True, color=colour, alpha=0.35)
        axes.plot(side, solved.p[np.abs(solved.t - t).argmin()], color=colour, linewidth=1.2, label=f"t = {t:g}")
    axes.legend(frameon=False, fontsize=8)
    axes = picture.add_subplot(1, 2, 2)
    axes.semilogy(solved.t, solved.kl(lambda x: -STEEP.energy(x)), color=REAL)
    axes.axhline(math.log(2), color="#888888", linewidth=0.8, linestyle=":")
    axes.set(xlabel="t", ylabel="KL to p, nats")
    axes.set_title("one well is full at log 2; the other fills slowly", fontsize=9)
    return picture


def brownian(fast: bool) -> Figure:
    """Steps of +-sigma sqrt dt: as dt falls, paths and the law at t = 1 become Brownian motion's (109-113)."""
    picture, n = figure(9, 3.2), 2000 if fast else 100_000
    at = np.linspace(-3.5, 3.5, 300)
    for i, steps in enumerate((4, 16, 256)):
        up = (rng.uniform((n if steps < 100 else n // 10, steps), 0, "walk") < 0.5).double() * 2 - 1
        paths = torch.cat([torch.zeros(len(up), 1), up.cumsum(1) / steps**0.5], 1)
        axes = picture.add_subplot(2, 3, i + 1)
        axes.plot(np.linspace(0, 1, steps + 1), paths[:12].T, linewidth=0.6)
        axes.set_title(f"{steps} steps", fontsize=9)
        axes = picture.add_subplot(2, 3, i + 4)
        width = 2 / steps**0.5
        edges = np.arange(-3.5 // width * width - width / 2, 3.6, width)
        axes.hist(paths[:, -1].numpy(), bins=edges, density=True, color=REAL, alpha=0.5)
        axes.plot(at, np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi), color="#222222", linewidth=1)
    return picture


def main() -> None:
    fast, save = asked("chains", __doc__)
    warnings.simplefilter("ignore", DoubtfulChains)  # some of these chains are here to be doubted
    save("stuck", stuck(fast))
    picture, right = replicas(fast)
    save("replicas", picture)
    print(f"weight of the right well by replica exchange: {right:.3f}")
    save("transition", transition(fast))
    save("particles", particles(fast))
    save("brownian", brownian(fast))


if __name__ == "__main__":
    main()
