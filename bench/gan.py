"""Adversarial families: rounds a second beside a plain PyTorch loop, and what the defaults reach in a minute or three.

    make bench-gan                          # speed, under three minutes
    python bench/gan.py --only ring,grid --seeds 0,1   # modes: a minute and three minutes a seed
    python bench/gan.py --only digits,pairs            # three minutes each
    python bench/gan.py --fast              # seconds: what the tests run

speed: the same networks, batches and penalty in a loop without averages, records, log or checkpoints; medians of turns.
ring, grid: 8 and 25 Gaussians of s.d. .05, .77 and 1 apart, 10,000 rows; weights in units of what they should be, and
the s.d. of samples within 5 s.d. of a mode in units of its own. digits: how often a support vector machine that was
trained on real digits finds the label that was asked for, and what the audit says. pairs: the right half of 16 x 16
patches from the left; squared error over that of the mean image, and power above half the highest wavenumber over that
of real patches, beside a regression by the same network for as long.
"""

import argparse
import copy
import math
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import monge
from monge.data import Samples
from monge.densities import GaussianMixture
from monge.linalg import power_spectrum
from monge.models.games import Play, penalty
from monge.report import read_log

ROUNDS, TURNS, WARM = {"ring": 300, "digits": 60}, 3, 10
SECONDS = {"ring": 55.0, "grid": 170.0, "digits": 170.0, "pairs": 120.0}  # of training, so that all is within the time
STD = 0.05
SIDE = 16


def ring() -> GaussianMixture:
    angle = torch.arange(8) * (math.pi / 4)
    return GaussianMixture(torch.stack([angle.cos(), angle.sin()], 1), torch.full((8,), STD**2))


def grid() -> GaussianMixture:
    side = torch.linspace(-2, 2, 5)
    return GaussianMixture(torch.cartesian_prod(side, side), torch.full((25,), STD**2))


# -- speed --------------------------------------------------------------------------------------------------


def plain(model: monge.WassersteinGAN, x: Tensor, y: Tensor | None, rounds: int, batch: int) -> float:
    """Rounds a second of the game written out by hand."""
    judge, maker = copy.deepcopy(model.discriminator).train(), copy.deepcopy(model.generator).train()
    options = {"lr": 1e-3, "betas": (0.0, 0.9 if x.ndim > 2 else 0.999), "fused": True, "weight_decay": 0.0}
    movers = [torch.optim.AdamW(net.parameters(), **options) for net in (judge, maker)]
    generator, strength = torch.Generator().manual_seed(0), model.strength()
    shape = (batch, *model.latent_shape)

    def rows() -> tuple[Tensor, Tensor | None]:
        some = torch.randint(len(x), (batch,), generator=generator)
        return x[some], None if y is None else y[some]

    begun = time.perf_counter()
    for _ in range(rounds):
        for _ in range(model.settings["critic_steps"]):
            real, label = rows()
            with torch.no_grad():
                made = maker(torch.randn(shape, generator=generator), label)
            scores = judge(torch.cat([real, made]), None if label is None else torch.cat([label, label]))[:, 0]
            loss = scores[batch:].mean() - scores[:batch].mean()
            loss = loss + strength * penalty("gradient", judge, Play(real, made, label), generator)
            movers[0].zero_grad()
            loss.backward()
            movers[0].step()
        _, label = rows()
        loss = -judge(maker(torch.randn(shape, generator=generator), label), label).mean()
        movers[1].zero_grad()
        loss.backward(inputs=list(maker.parameters()))
        movers[1].step()
    return rounds / (time.perf_counter() - begun)


def ours(data: Samples, rounds: int, batch: int) -> tuple[float, monge.WassersteinGAN]:
    """Rounds a second of `fit`, by its own log, once it is under way."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = Path(folder) / "run"
        model = monge.WassersteinGAN().fit(data, steps=rounds + WARM, batch_size=batch, out=out, show=False)
        log = [row for row in read_log(out / "log.csv") if int(row["step"]) >= WARM]
    span = float(log[-1]["seconds"]) - float(log[0]["seconds"])
    return (int(log[-1]["step"]) - int(log[0]["step"])) / span, model


def speed(fast: bool) -> None:
    print("| data | batch | monge, rounds a second | plain loop | ratio |\n|---|---|---|---|---|", flush=True)
    digits = monge.data.load("digits")
    for name, data, batch in (("ring", Samples(ring().sample(10_000, seed=0)), 512), ("digits", digits, 64)):
        mine, theirs, rounds = [], [], 10 if fast else ROUNDS[name]
        for _ in range(1 if fast else TURNS):
            found, model = ours(data, rounds, batch)
            mine.append(found)
            x = model.units.forward(data.x)
            theirs.append(plain(model, x, data.y, rounds, batch))
        a, b = statistics.median(mine), statistics.median(theirs)
        print(f"| {name} | {batch} | {a:.1f} | {b:.1f} | {a / b:.2f} |", flush=True)


# -- what is reached ----------------------------------------------------------------------------------------


def timed(model: monge.models.Family, data: Samples, seconds: float, seed: int) -> float:
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(data, budget=seconds, seed=seed, show=False)
    return time.perf_counter() - begun


def modes(law: GaussianMixture, seconds: float, seed: int) -> str:
    model, count = monge.WassersteinGAN(), len(law.means)
    took = timed(model, Samples(law.sample(10_000, seed=100 + seed)), seconds, seed)
    x = model.sample(20_000, seed=1)
    distance, mode = torch.cdist(x, law.means.float()).min(1)
    near = distance < 5 * STD
    share = torch.bincount(mode, minlength=count) / len(x) * count
    each = [x[(mode == k) & near] for k in range(count)]
    width = torch.tensor([float(part.var(0).mean().sqrt()) / STD if len(part) > 1 else math.nan for part in each])
    return (
        f"{took:.0f} s, {int((share > 0.5).sum())} of {count} modes, weights {share.min():.2f} to {share.max():.2f}, "
        f"s.d. {width.min():.2f} to {width.max():.2f}, {float((~near).float().mean()):.1%} between modes"
    )


def digits(seconds: float, seed: int) -> str:
    from sklearn.svm import SVC

    train, held = monge.data.load("digits").split(0.2, seed=0)
    judge = SVC(C=10, gamma=0.001).fit(train.x.flatten(1), train.y)
    model = monge.WassersteinGAN()
    took = timed(model, train, seconds, seed)
    label = torch.arange(10).repeat_interleave(200)
    rate = judge.score(model.sample(2000, seed=1, label=label).flatten(1), label)
    verdict = monge.audit(model.sample(2000, seed=2), holdout=held.x, train=train.x)
    told = ", ".join(f"{line.name} {line.status} ({line.value:.3g})" for line in verdict.lines if line.name in REGIONS)
    failed = ", ".join(line.name for line in verdict.lines if line.status == "fail")
    return f"{took:.0f} s, label found {rate:.1%}, {told}; failed: {failed}"


REGIONS = ("regions", "coverage")


def halves() -> Samples:
    """Patches beside their left half, and a channel that says where there is none."""
    data = monge.data.load("patches")
    hidden = torch.zeros(len(data), 1, SIDE, SIDE)
    hidden[..., SIDE // 2 :] = 1
    left = torch.where(hidden > 0, data.x.mean(), data.x)
    return Samples(data.x, torch.cat([left, hidden], 1), "images", "patches", quantum=1.0, limits=(0.0, 255.0))


def pairs(seconds: float, seed: int) -> str:
    train, held = halves().split(0.2, seed=0)
    model = monge.GAN()
    took = timed(model, train, seconds, seed)
    half = slice(SIDE // 2, SIDE)
    told = model.labels.scaled(train.y)
    net, x = copy.deepcopy(model.generator), model.units.forward(train.x)
    mean = regression(net, x, told, model, took)
    with torch.no_grad():
        z = torch.zeros(len(held), *model.latent_shape)
        regressed = model.units.inverse(mean(z, model.labels.scaled(held.y)))
    made = model.sample(len(held), label=held.y, seed=1)
    still = (held.x - train.x.mean(0))[..., half].square().mean()
    text = []
    for name, y in (("game", made), ("regression", regressed)):
        error = float((y - held.x)[..., half].square().mean() / still)
        power = [power_spectrum(z[..., half].double())[1].mean((0, 1))[SIDE // 4 :].sum() for z in (y, held.x)]
        text.append(
            f"{name}: squared error {error:.2f} of the mean image's, fine power {float(power[0] / power[1]):.2f}"
        )
    return f"{took:.0f} s, {'; '.join(text)}"


def regression(net: nn.Module, x: Tensor, told: Tensor, model: monge.GAN, seconds: float) -> nn.Module:
    """The same network, started anew, by least squares for as long."""
    for module in net.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    mover = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    generator, begun = torch.Generator().manual_seed(0), time.perf_counter()
    while (done := (time.perf_counter() - begun) / seconds) < 1:
        mover.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * done))
        some = torch.randint(len(x), (64,), generator=generator)
        loss = (net(torch.zeros(64, *model.latent_shape), told[some]) - x[some]).square().mean()
        mover.zero_grad()
        loss.backward()
        mover.step()
    return net


JOBS: dict[str, Callable[[float, int], str]] = {
    "ring": lambda seconds, seed: modes(ring(), seconds, seed),
    "grid": lambda seconds, seed: modes(grid(), seconds, seed),
    "digits": digits,
    "pairs": pairs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="speed", help="speed, ring, grid, digits, pairs")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--fast", action="store_true")
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, monge {monge.__version__}")
    for name in given.only.split(","):
        if name == "speed":
            speed(given.fast)
            continue
        for seed in map(int, given.seeds.split(",")):
            print(f"| {name} | {seed} | {JOBS[name](1.0 if given.fast else SECONDS[name], seed)} |", flush=True)


if __name__ == "__main__":
    main()
