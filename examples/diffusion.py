"""Score diffusion by the course's own clock, Ornstein-Uhlenbeck's (section 6.1, 6.2), from noising to new samples.

    python examples/diffusion.py            # a minute
    python examples/diffusion.py --fast     # seconds: what the tests run

clock: a law of three modes on the line as dx = -x dt + sqrt 2 dW forgets it, by paths, and by the Fokker-Planck
equation (106) beside the exact p_t (130). reversed: a network learns E[z | x_t] at times of that clock and becomes a
denoiser by `monge.denoisers.from_noise`; the reversed diffusions (135) with its score lead back to the law for any
alpha, followed on a grid by Fokker-Planck, and by samples. With the exact score they end at the law whatever alpha;
noise on the way forgets part of what a learned score gets wrong.
"""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from gallery import Save, asked
from monge import densities, nets, noise, rng
from monge.denoisers import from_noise, to_score
from monge.protocols import Denoiser
from monge.report.figures import GENERATED, REAL
from monge.samplers import pilot, reverse_diffusion

CLOCK = noise.OrnsteinUhlenbeck()
LAW = densities.GaussianMixture(
    torch.tensor([[-2.0], [0.0], [1.5]]), torch.tensor([0.05, 0.3, 0.02]), torch.tensor([0.4, 0.4, 0.2])
)
BOX, CELLS = 5.0, 400
FIRST, LAST = 5e-3, 3.0  # times between which there is noise to learn from
ALPHAS = (0.1, 1.0, 3.0)


def density(t: float, x: np.ndarray) -> np.ndarray:
    """p_t, exactly: that of x_t = scale (x_0 + sigma z)."""
    scale, sigma = CLOCK.marginal(torch.tensor(t))
    y = torch.from_numpy(x / float(scale))[:, None].double()
    return LAW.noised(float(sigma)).log_prob(y).value.exp().numpy() / float(scale)


class Predicts(nn.Module):
    """E[z | x_t] by a small network, which is shown log t."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nets.MLP(1, width=128)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        out: Tensor = self.net(x, t.log() / 4)
        return out


def learned(steps: int) -> Denoiser:
    """min E |net(x_t, t) - z|^2, times even in log t; the network at x_t is then a denoiser."""
    torch.manual_seed(0)
    net = Predicts()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for k in range(steps):
        x, z = LAW.sample(512, seed=k, start=10**6), rng.normal((512, 1), k, "z")
        t = FIRST * (LAST / FIRST) ** rng.uniform((512,), k, "t")
        loss = (net(noise.perturb(CLOCK, x, t, z), t) - z).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return from_noise(net.requires_grad_(False), CLOCK, moments=LAW.moments)


def picture_clock(paths: int, save: Save) -> None:
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    way = noise.simulate(CLOCK, LAW.sample(paths), LAST, 600)
    left.plot(way.t, way.x[:, :, 0], linewidth=0.5, color=GENERATED, alpha=0.6)
    left.set(xlabel="t", ylabel="x_t", title="paths of dx = -x dt + sqrt 2 dW")
    begin = lambda x: LAW.log_prob(x.float()).value.exp()  # noqa: E731
    solved = noise.fokker_planck(lambda x: -x, 2**0.5, begin, [-BOX], [BOX], [CELLS], LAST, steps=600)
    (x,) = solved.sides
    for t, colour in zip((0.0, 0.05, 0.3, LAST), (REAL, "#009E73", GENERATED, "#CC79A7"), strict=True):
        right.plot(x, solved.p[np.abs(solved.t - t).argmin()], color=colour, label=f"t = {t:g}")
        right.plot(x, density(t, x), color="black", linewidth=0.7, linestyle=":")
    right.set(xlabel="x", title="p_t on a grid, and exactly (dotted)")
    right.legend(frameon=False, fontsize=8)
    save("clock", figure)


def picture_reversed(fast: bool, save: Save) -> list[str]:
    """The densities that reversed diffusions end in, by the network's score and by the exact one, and samples."""
    D, exact, told = learned(300 if fast else 4000), LAW.denoise, []
    plan = pilot(D, (1,), lowest=CLOCK.marginal(FIRST).sigma.item())
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for axes, alpha in zip(figure.subplots(1, len(ALPHAS), sharey=True), ALPHAS, strict=True):
        ends = [reversed_law(denoiser, alpha, fast) for denoiser in (D, exact)]
        (x,) = ends[0].sides
        kl = [end.kl(lambda at: torch.from_numpy(density(FIRST, at[:, 0].numpy())).log())[-1] for end in ends]
        drawn = reverse_diffusion(D, (1,), 2000 if fast else 20_000, nfe=20, alpha=alpha, plan=plan)[:, 0]
        axes.hist(
            drawn.numpy(), bins=160, range=(-4, 4), density=True, color=GENERATED, alpha=0.3, label="samples, 20 calls"
        )
        axes.plot(x, ends[0].p[-1], color=GENERATED, linewidth=1.2, label="its score, on a grid")
        axes.plot(x, density(FIRST, x), color=REAL, linewidth=0.9, linestyle="--", label=f"the law at t = {FIRST:g}")
        axes.set(xlim=(-3.2, 2.5), xlabel="x", title=f"alpha = {alpha:g}: KL {kl[0]:.4f} nats")
        told.append(f"alpha {alpha:g}: KL of the end to p, network {kl[0]:.4f}, exact score {kl[1]:.4f} nats")
    figure.axes[0].legend(frameon=False, fontsize=7)
    save("reversed", figure)
    return told


def reversed_law(denoiser: Denoiser, alpha: float, fast: bool) -> noise.Evolution:
    """dy = [y + (1 + alpha) grad log q(y)] dt + sqrt(2 alpha) dW (135), from t = 3 to .005, on a grid; time runs in
    log t, in which steps are even."""
    score, rate = to_score(denoiser, CLOCK), math.log(LAST / FIRST)

    def when(s: float) -> float:
        return LAST * math.exp(-rate * s)

    def drift(x: Tensor, s: float) -> Tensor:
        at = x.float()
        back = at + (1 + alpha) * score(at, torch.full((len(at),), when(s)))
        return rate * when(s) * back

    def sigma(x: Tensor, s: float) -> Tensor:
        return torch.full((len(x),), math.sqrt(2 * alpha * rate * when(s)))

    begin = lambda x: torch.from_numpy(density(LAST, x[:, 0].numpy()))  # noqa: E731
    return noise.fokker_planck(
        drift, sigma, begin, [-BOX], [BOX], [CELLS if fast else 2 * CELLS], 1.0, steps=100 if fast else 400
    )


def main() -> None:
    fast, save = asked("diffusion", __doc__)
    picture_clock(20 if fast else 60, save)
    for line in picture_reversed(fast, save):
        print(line)


if __name__ == "__main__":
    main()
