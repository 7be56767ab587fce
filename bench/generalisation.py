"""Does it generalise or copy, when does it begin to, and is its denoiser the one it should be?

    make bench-generalisation                # 12 minutes on two cores
    python bench/generalisation.py --fast    # seconds, and rough: what the tests run
    python bench/generalisation.py --only twins --images FILE

twins        two models of disjoint halves of images, 14 x 14 (of a file of digits or clothes; else the digits of 8 x 8
             that are built in), as long for each number of rows: cosines of samples with twins and nearest rows.
clock        the step at which copying begins against the rows, of a mixture in 8-D and of digits as vectors: slope of
             the logarithms; and that at which samples are good: within 15% of the least distance from the law.
certificate  five exact laws: bias + variance against the excess error; the bound in nats against the divergence.
identities   how often each rejects the optimal denoiser, and planted faults, beside the power that is told.
"""

import argparse
import math
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

import monge
from cores import asked, cores, side_by_side
from monge import ot, rng
from monge.data import Samples
from monge.data.fields import c_alpha
from monge.denoisers import Oracle
from monge.densities import Empirical, Gaussian, GaussianMixture, Ising
from monge.evaluation import IDENTITIES, certificate, transition
from monge.models.copying import onset
from monge.nets import Size
from monge.report import read_log
from monge.runs.generalisation import generalisation
from monge.training import AdamW, constant

SIZES, CLOCKED = (10, 100, 1000, 10_000), (100, 200, 400, 800)
BUDGET = 75  # seconds of each model
FINER = 4  # levels that are integrated over, for one at which the divergence is found
GOOD = 1.15  # times the least distance from the law that there is in the training


def row(*parts: str) -> str:
    return "| " + " | ".join(parts) + " |"


# -- twins ----------------------------------------------------------------------------------------------


def images(path: str | None) -> Samples:
    """[n, 1, 14, 14] of a file of pictures of 28 x 28, or the digits that are built in."""
    if not path:
        return monge.data.load("digits")
    with np.load(path) as archive:
        x = torch.from_numpy(archive[archive.files[0]].reshape(-1, 1, 28, 28)).float()
    return Samples(torch.nn.functional.avg_pool2d(x, 2).round(), kind="images", quantum=1.0, limits=(0.0, 255.0))


def twins(path: str, size: int, fast: bool) -> Any:
    data = images(path)
    many = min(size, int(0.9 * len(data)) // 2)
    given: dict[str, Any] = {"steps": 3} if fast else {"budget": BUDGET}
    found = generalisation(monge.Diffusion(augment=False), data, [many], n=20 if fast else 200, show=False, **given)
    return found.twins[0]


def told_twins(parts: list[Any]) -> list[str]:
    found = transition(parts)
    names = ("twin", "own", "held-out", "copied", "nearer to twin")
    lines = [row("twins: rows", *names)]
    for i, n in enumerate(found.sizes):
        each = (found.curves[name] for name in names)
        lines.append(row(f"{n:,}", *(f"{c.value[i]:.3f} [{c.low[i]:.3f}, {c.high[i]:.3f}]" for c in each)))
    ends = found.copying_ends.words(found.sizes), found.twins_agree.words(found.sizes)
    return [*lines, row("copying ends, twins agree", *ends)]


# -- the clock ------------------------------------------------------------------------------------------


class Steady(monge.Diffusion):
    """At one learning rate, whatever the number of steps, with a short average: times do not depend on the end."""

    quality: Any = None

    def defaults(self, samples: Samples) -> Any:
        return replace(super().defaults(samples), average=0.99)

    def objectives(self) -> Any:
        found = super().objectives()
        found[0].optimiser = AdamW(schedule=constant)
        return found

    def learn(self, samples: Samples, training: Any, *, clock: Any = None, **options: Any) -> None:
        super().learn(samples, training, clock=Both(clock, self), **options)


class Both:
    """The clock, and how far samples are from new real ones, over how far such are from others."""

    def __init__(self, clock: Any, model: Steady) -> None:
        self.clock, self.model = clock, model

    @property
    def found(self) -> int:
        return int(self.clock.found)

    @found.setter
    def found(self, value: int) -> None:
        self.clock.found = value

    def due(self, step: int) -> bool:
        return bool(self.clock.due(step))

    def __call__(self) -> dict[str, float]:
        x = self.clock.using(lambda: self.model.sample(512, seed=1, show=False))
        y, others = self.model.quality
        far, usual = (float(ot.sliced_wasserstein(a.flatten(1), y.flatten(1))) for a in (x, others))
        return {**self.clock(), "samples/distance": far / usual}


def timed(kind: str, n: int, fast: bool) -> tuple[str, int, float, float, float]:
    """The steps at which copying begins and at which samples are good, and what a forecast halfway there says."""
    if kind == "mixture":
        means = 2 * torch.randn(4, 8, generator=torch.manual_seed(1))
        law = GaussianMixture(means, 0.25 * torch.eye(8).repeat(4, 1, 1), torch.ones(4) / 4)
        rows, new = law.sample(n + 300, seed=3), (law.sample(4096, seed=5), law.sample(512, seed=6))
        net, data = Size((256,)), Samples(rows)
    else:
        whole = monge.data.load("digits")
        order = torch.randperm(len(whole), generator=rng.generator(0, "clock"))
        x = whole.batch(order)
        data, new = Samples(x[: n + 300].flatten(1)), (x[n + 300 :].flatten(1), x[n : n + 300].flatten(1))
        net = Size((256,))
    steps, model = 20 if fast else 8 * n + 500, Steady(net=net)
    model.quality = new
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, Any] = {"steps": steps, "validation": 300 / (n + 300), "watch_copies": True}
        given |= {"patience": 10**6, "batch_size": 512, "lr": 1e-3}
        model.fit(data, out=Path(folder) / "run", show=False, **given)
        log = read_log(Path(folder) / "run" / "log.csv")
    looks = [row for row in log if row.get("samples/copies")]
    if not looks:
        return kind, n, math.nan, math.nan, math.nan
    step = np.array([float(row["step"]) for row in looks])
    far = np.array([float(row["samples/distance"]) for row in looks])
    good = np.flatnonzero(far <= GOOD * far.min())
    i = int(good[0]) if len(good) else -1
    when = math.nan if i < 0 else float(step[0])
    if i > 0:
        when = float(np.exp(np.interp(-GOOD * far.min(), -far[i - 1 : i + 1], np.log(step[i - 1 : i + 1]))))
    begins = onset(log).step
    early = onset([row for row in looks if float(row["step"]) < begins / 1.4]).step if begins < step[-1] else math.nan
    return kind, n, begins if begins <= step[-1] else math.nan, when, early / begins


def told_clock(parts: list[Any]) -> list[str]:
    lines = [row("clock", "rows", "copying begins, step", "samples are good, step", "forecast before, over it")]
    lines += [row(kind, str(n), f"{copy:.0f}", f"{good:.0f}", f"{early:.2f}") for kind, n, copy, good, early in parts]
    for kind in dict.fromkeys(part[0] for part in parts):
        n, copy, good = np.array([part[1:4] for part in parts if part[0] == kind]).T
        slopes = (
            np.polyfit(np.log(n[known]), np.log(t[known]), 1)[0] if (known := np.isfinite(t)).sum() > 1 else math.nan
            for t in (copy, good)
        )
        lines.append(row(f"{kind}: slope of log step on log rows", "", *(f"{slope:.2f}" for slope in slopes)))
    return lines


# -- the certificate ------------------------------------------------------------------------------------


def spins() -> Empirical:
    """Ising's law on 3 x 3 sites by all of its states, each as often as it is likely to a part in 4,096."""
    states = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 9).reshape(-1, 1, 3, 3)
    weights = (-Ising((3, 3), 0.3).energy(states).double()).softmax(0)
    return Empirical(states.repeat_interleave((weights * 4096).round().long(), 0))


def laws() -> dict[str, Any]:
    means = 2 * torch.randn(4, 6, generator=torch.manual_seed(1))
    spectrum = 1 / (0.02 + torch.fft.fftfreq(8)[:, None] ** 2 + torch.fft.fftfreq(8) ** 2)
    return {
        "Gaussian, 5-D": Gaussian(torch.zeros(5), torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5, 0.1]))),
        "Gaussian field 8 x 8": Gaussian.stationary(spectrum[None]),
        "mixture, 6-D": GaussianMixture(means, 0.25 * torch.eye(6).repeat(4, 1, 1), torch.ones(4) / 4),
        "Ising 3 x 3": spins(),
        "C^2 images 10 x 10": Empirical(c_alpha(400, 0, size=10, alpha=2.0).x),
    }


def split(name: str, seeds: int, fast: bool) -> list[str]:
    """Bias, variance and excess of three linear denoisers, each learned from 40 rows."""
    law = laws()[name]
    D, unit = Oracle(law), float(law.sample(400, seed=2).std())
    within, shares = 0, []
    for seed in range(seeds):
        fits = [Gaussian.estimate(law.sample(40, seed=1000 + 10 * seed + i)).denoise for i in range(3)]
        x = law.sample(100 if fast else 1000, seed=seed + 10)
        levels = [0.2 * unit, 0.5 * unit, unit]
        found = certificate(fits[0], x, levels, twins=fits[1:], optimum=D, identities=(), seed=seed)
        gaps = [(at.bias.value + at.disagreement.value - at.excess.value) / at.excess.error for at in found.at]
        within += max(map(abs, gaps)) < 3.3
        shares += [at.disagreement.value / (at.bias.value + at.disagreement.value) for at in found.at]
    return [
        row(f"certificate: {name}", f"{within} of {seeds} seeds within 3.3 errors", f"variance {np.mean(shares):.0%}")
    ]


def reversed_covariance(share: Any, cov: Tensor, begin: float, end: float) -> Tensor:
    """That of the reversed diffusion at the level end^.5, from cov at begin^.5, of the denoiser y -> share(sigma^2) y:
    -dS/dtau = M S + S M' + 1, M = (share - 1) / tau."""
    one = torch.eye(len(cov), dtype=cov.dtype)

    def slope(log_tau: float, flat: Any) -> Any:
        tau, S = math.exp(log_tau), torch.from_numpy(flat).reshape(cov.shape)
        M = (share(tau) - one) / tau
        return (-tau * (M @ S + S @ M.T + one)).flatten().numpy()

    span = math.log(begin), math.log(end)
    found = solve_ivp(slope, span, cov.flatten().numpy(), rtol=1e-10, atol=1e-14)
    return torch.from_numpy(found.y[:, -1]).reshape(cov.shape)


def bound(seeds: int, fast: bool) -> list[str]:
    """The bound in nats over the divergence of what the reversed diffusion of a linear denoiser draws, by level."""
    lam = torch.tensor([4.0, 1.0, 0.25, 0.04], dtype=torch.float64)
    law = Gaussian(torch.zeros(4, dtype=torch.float64), torch.diag(lam))
    D = Oracle(law)
    levels = torch.logspace(-1.5, 1.3, 1 + FINER * (5 if fast else 14), dtype=torch.float64)
    ratios, upper = [], []
    for seed in range(seeds):
        fit = Gaussian.estimate(law.sample(60, seed=100 + seed)).covariance
        C = fit.apply(lambda v: v, torch.eye(4, dtype=torch.float64))
        for which in ("scale", "level", "fit"):

            def share(tau: float, which: str = which, C: Tensor = C) -> Tensor:
                if which == "fit":
                    return C @ torch.linalg.inv(C + tau * torch.eye(4, dtype=C.dtype))
                return torch.diag(0.97 * lam / (lam + tau) if which == "scale" else lam / (lam + 1.2**2 * tau))

            def denoiser(y: Tensor, sigma: Tensor, share: Any = share) -> Tensor:
                return y @ share(float(sigma[0]) ** 2).T

            x = law.sample(2000, seed=seed)
            tau = float(levels[-1]) ** 2
            cov, now = torch.diag(lam + tau), tau
            for i in range(len(levels) - 1 - FINER, -1, -FINER):
                end = float(levels[i]) ** 2
                cov, now = reversed_covariance(share, cov, now, end), end
                true = torch.diag(lam + now)
                inverse = torch.linalg.inv(cov)
                kl = 0.5 * float((inverse @ true).trace() - 4 - torch.logdet(inverse @ true))
                found = certificate(denoiser, x, levels[i:].tolist(), optimum=D, identities=(), seed=seed)
                ratios.append(found.nats.value / kl)
                upper.append(found.nats.interval[1] / kl)
    told = np.array(ratios)
    cells = f"least {told.min():.2f}", f"least of its upper end {min(upper):.3f}", f"median {np.median(told):.2f}"
    return [row("nats over KL, 3 faults", *cells, f"within 3: {(told < 3).mean():.0%}")]


# -- identities -----------------------------------------------------------------------------------------

SKEW = torch.zeros(6, 6)
SKEW[0, 1], SKEW[1, 0], SKEW[2, 3], SKEW[3, 2] = 0.02, -0.02, 0.02, -0.02
FAULTS: dict[str, Any] = {
    "none": lambda D, y, s: D(y, s),
    "scaled by .97": lambda D, y, s: 0.97 * D(y, s),
    "levels 1.2 times": lambda D, y, s: D(y, 1.2 * s),
    "skew part": lambda D, y, s: D(y, s) + y @ SKEW.to(y),
}


def rejections(fault: str, seeds: int, fast: bool) -> list[str]:
    """Of each identity how often it rejects, at two levels of noise, and the power that it tells."""
    law = laws()["mixture, 6-D"]
    D, plant = Oracle(law), FAULTS[fault]
    whole = certificate(
        lambda y, s: plant(D, y, s), law.sample(2000 if fast else 40_000, seed=1), [0.5], identities=WIDE
    )
    hits, told = dict.fromkeys(WIDE, 0), dict.fromkeys(WIDE, 0.0)
    for seed in range(seeds):
        found = certificate(
            lambda y, s: plant(D, y, s), law.sample(400, seed=10 + seed), [0.5], identities=WIDE, seed=seed
        )
        for name in WIDE:
            check, of = found.at[0].checks[name], whole.at[0].checks[name]
            hits[name] += check.p_value <= 0.05
            missed = [1 - check.power(test, of.tests[test].value) for test in of.tests]
            told[name] += 1 - math.prod(missed)
    cells = (f"{hits[name] / seeds:.0%}" + (f" ({told[name] / seeds:.0%})" if fault != "none" else "") for name in WIDE)
    return [row(f"identities: {fault}", *cells)]


WIDE = tuple(name for name in IDENTITIES if name != "no negative part")
ORDER = "twins", "clock", "certificate", "identities"


def work(section: str, what: str, n: int, fast: bool) -> Any:
    if section == "twins":
        return twins(what, n, fast)
    if section == "clock":
        return timed(what, n, fast)
    if section == "certificate":
        return bound(n, fast) if what == "bound" else split(what, n, fast)
    return rejections(what, n, fast)


def jobs(given: argparse.Namespace) -> Iterator[tuple[str, str, int, bool]]:
    fast, wanted = given.fast, given.only.split(",") if given.only else ORDER
    for section in (name for name in ORDER if name in wanted):
        if section == "twins":
            yield from ((section, given.images or "", n, fast) for n in (SIZES[:2] if fast else reversed(SIZES)))
        if section == "clock":
            kinds = ["mixture"] if fast else ["digits", "mixture"]
            yield from (
                (section, kind, n, fast) for kind in kinds for n in (CLOCKED[:2] if fast else reversed(CLOCKED))
            )
        if section == "certificate":
            yield from ((section, name, 2 if fast else 20, fast) for name in laws())
            yield section, "bound", 1 if fast else 4, fast
        if section == "identities":
            yield from ((section, name, 5 if fast else 200, fast) for name in FAULTS)


def main() -> None:
    given = asked(__doc__, ("images", str, "a file of pictures of 28 x 28"))
    print(f"{platform.machine()}, {len(cores())} cores, one each; torch {torch.__version__}", flush=True)
    every = list(jobs(given))
    found = (work(*job) for job in every) if given.fast else side_by_side(work, every)
    kept: dict[str, list[Any]] = {"twins": [], "clock": []}
    last = {name: max((i for i, job in enumerate(every) if job[0] == name), default=-1) for name in kept}
    for i, (job, part) in enumerate(zip(every, found, strict=True)):
        if job[0] not in kept:
            print("\n".join([row("identities", *WIDE)] * (job[:2] == ("identities", "none")) + part), flush=True)
            continue
        kept[job[0]].append(part)
        if i == last[job[0]]:
            ordered = sorted(kept[job[0]], key=lambda part: part.n if job[0] == "twins" else (part[0], part[1]))
            print("\n".join(told_twins(ordered) if job[0] == "twins" else told_clock(ordered)), flush=True)


if __name__ == "__main__":
    main()
