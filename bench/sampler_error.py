"""Error of samplers against the calls of an exact denoiser that they spend, beside diffusers and azula.

    make bench-sampler                                  # all, about 10 minutes
    python bench/sampler_error.py --fast                # two laws, two budgets, few peers: what the tests run
    python bench/sampler_error.py --only arcs,cigars    # two laws that were made when the sampler was finished

Laws whose denoiser is exact, 4,000 samples of one seed. Peers run at a wide range of levels, .002 to 80, and at a
fitted one, .01 to 6 times the largest principal s.d.; all start from the right mean and covariance, N(m, C +
sigma_max^2). Ours finds its range out, by a pilot of 1,920 calls, which adds 10% at 5 calls a sample and 1% at 35.
Measures, less is better: `energy`, the unbiased energy distance to 4,000 exact samples; `sliced`, sliced W2 in 128
directions; `weights`, the total variation between shares of the components and those of the exact samples; `width`,
how much the mean distance to the nearest component is off, as a share; `ode`, the root-mean-square distance to what
1,000 calls of Heun's rule make of the same start, in principal s.d. The floor is what exact samples give, mean and
standard deviation of eight sets.
"""

import argparse
import importlib.util
import itertools
import math
import multiprocessing
import os
import platform
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import Tensor

from monge import rng, samplers
from monge.denoisers import Oracle
from monge.densities import Gaussian, GaussianMixture

BUDGETS = [5, 8, 10, 15, 20, 35]
WIDE = (0.002, 80.0)
FITTED = (0.01, 6.0)  # times the largest principal s.d.
Law = GaussianMixture | Gaussian


class Drawn(NamedTuple):
    """Samples, and where the walk began, unless it is not determined by that: level and noisy samples."""

    x: Tensor
    start: tuple[float, Tensor] | None


Method = Callable[[Law, int, int], Drawn]  # of a law, the calls a sample, and how many samples
Row = tuple[str, str, int, dict[str, float]]  # law, method, calls, measures


def ring() -> Law:
    angle = torch.arange(8) * (math.pi / 4)
    return GaussianMixture(torch.stack([angle.cos(), angle.sin()], 1), torch.full((8,), 0.05**2))


def grid() -> Law:
    side = torch.linspace(-2, 2, 5)
    weights = 1 + torch.randperm(25, generator=torch.Generator().manual_seed(1))
    return GaussianMixture(torch.cartesian_prod(side, side), torch.full((25,), 0.05**2), weights.float())


def mixture() -> Law:
    generator = torch.Generator().manual_seed(2)
    means = torch.randn(10, 64, generator=generator)
    return GaussianMixture(means, torch.full((10,), 0.1**2), torch.rand(10, generator=generator) + 0.5)


def field() -> Law:
    k = torch.fft.fftfreq(16) * 16
    spectrum = (1 + k[:, None] ** 2 + k**2) ** -1.5
    return Gaussian.stationary((spectrum / spectrum.mean())[None])


def arcs() -> Law:
    """Two interleaved half circles, 24 Gaussians each, whose s.d. grows from .02 to .1 along the way."""
    angle = torch.linspace(0, math.pi, 24)
    upper, lower = torch.stack([angle.cos(), angle.sin()], 1), torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    return GaussianMixture(torch.cat([upper, lower]), torch.linspace(0.02, 0.1, 24).square().repeat(2))


def cigars() -> Law:
    """Six Gaussians in 16 dimensions, turned at random, with s.d. from .01 to 1 in each, and unequal weights."""
    generator = torch.Generator().manual_seed(3)
    turns = torch.linalg.qr(torch.randn(6, 16, 16, generator=generator))[0]
    covs = turns @ torch.logspace(-4, 0, 16).diag() @ turns.mT
    return GaussianMixture(2 * torch.randn(6, 16, generator=generator), (covs + covs.mT) / 2, torch.arange(1.0, 7.0))


LAWS: dict[str, Callable[[], Law]] = {"mixture": mixture, "field": field, "grid": grid, "ring": ring}
LATER: dict[str, Callable[[], Law]] = {"arcs": arcs, "cigars": cigars}  # made when the sampler was finished


def top(law: Law) -> float:
    return float(law.moments.covariance.eigenvalues.max().sqrt())


def ours(alpha: float = 0.0) -> Method:
    def draw(law: Law, nfe: int, n: int) -> Drawn:
        way = samplers.reverse_diffusion(Oracle(law), law.event_shape, n, nfe=nfe, alpha=alpha, trace=True)
        return Drawn(way.x, (float(way.sigma[0]), way.y[0]) if alpha == 0 else None)

    return draw


def begun(law: Law, sigma: float, n: int) -> Tensor:
    return law.noised(sigma).from_noise(rng.normal((n, *law.event_shape), 0, "start"))


def range_of(law: Law, wide: bool) -> tuple[float, float]:
    return WIDE if wide else (FITTED[0] * top(law), FITTED[1] * top(law))


def karras(low: float, high: float, steps: int, rho: float = 7.0) -> Tensor:
    """Levels from low to high, evenly spaced in sigma^(1/rho); float64."""
    return torch.linspace(low ** (1 / rho), high ** (1 / rho), steps, dtype=torch.float64) ** rho


def diffusers(kind: str, wide: bool, stochastic: bool = False, **options: Any) -> Method:
    """A scheduler of diffusers, whose levels are those of a chain of 1,000 betas between the ends of the range."""

    def draw(law: Law, nfe: int, n: int) -> Drawn:
        import diffusers as peer

        torch.manual_seed(0)
        low, high = range_of(law, wide)
        kept = 1 / (1 + karras(low, high, 1000).square())
        betas = (1 - kept / torch.cat([torch.ones(1).double(), kept[:-1]])).numpy()
        scheduler = getattr(peer, kind + "Scheduler")(trained_betas=betas, **options)
        two = kind == "HeunDiscrete"  # a call at the start, and two a step
        scheduler.set_timesteps((nfe + 1) // 2 if two else nfe)
        scaled = kind not in ("HeunDiscrete", "LMSDiscrete")  # y / sqrt(1 + sigma^2)
        first = float(scheduler.sigmas[0])
        y, law_denoises = begun(law, first, n), Oracle(law)
        sample = y / math.sqrt(1 + first**2) if scaled else y
        for index, t in enumerate(scheduler.timesteps):
            sigma = float(scheduler.sigmas[index])
            noisy = sample * math.sqrt(1 + sigma**2) if scaled else sample
            noise = (noisy - law_denoises(noisy, torch.full((n,), sigma))) / sigma
            sample = scheduler.step(noise, t, sample, return_dict=False)[0]
        return Drawn(sample, None if stochastic else (first, y))

    return draw


def azula(kind: str, wide: bool, rho: float = 7.0, stochastic: bool = False, **options: Any) -> Method:
    """A sampler of azula, on levels evenly spaced in sigma^(1/rho), the last call at the lowest."""

    def draw(law: Law, nfe: int, n: int) -> Drawn:
        from azula import denoise, noise, sample

        torch.manual_seed(0)
        low, high = range_of(law, wide)

        class Schedule(noise.Schedule):
            def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
                ends = low ** (1 / rho), high ** (1 / rho)
                return torch.ones_like(t), (ends[0] + t * (ends[1] - ends[0])) ** rho

        class Exact(denoise.Denoiser):
            schedule = Schedule()

            def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> denoise.Posterior:
                sigma = self.schedule(t)[1].to(x_t)
                return denoise.DiracPosterior(Oracle(law)(x_t, sigma.reshape(-1).expand(len(x_t))))

        exact, y = Exact(), begun(law, high, n)
        walk = getattr(sample, kind + "Sampler")(exact, steps=nfe - 1, silent=True, dtype=torch.float64, **options)
        last = walk(y).to(y)
        return Drawn(exact(last, torch.zeros(())).mean, None if stochastic else (high, y))

    return draw


def peers() -> dict[str, Method]:
    made: dict[str, Method] = {}
    multistep = "DPMSolverMultistep"
    for wide in (False, True):
        tag = "wide" if wide else "fitted"
        for order in (2, 3):
            for spacing in ("karras_sigmas", "lu_lambdas"):
                options = {"solver_order": order, f"use_{spacing}": True}
                made[f"diffusers DPM++ {order}M {spacing.split('_')[0]} {tag}"] = diffusers(multistep, wide, **options)
        karras_spaced = {"use_karras_sigmas": True}
        made[f"diffusers UniPC {tag}"] = diffusers("UniPCMultistep", wide, **karras_spaced)
        made[f"diffusers DEIS {tag}"] = diffusers("DEISMultistep", wide, **karras_spaced)
        made[f"diffusers LMS {tag}"] = diffusers("LMSDiscrete", wide, **karras_spaced)
        made[f"diffusers Heun {tag}"] = diffusers("HeunDiscrete", wide, **karras_spaced)
        made[f"diffusers DDIM {tag}"] = diffusers(multistep, wide, solver_order=1, **karras_spaced)
        sde = {"algorithm_type": "sde-dpmsolver++", "stochastic": True, **karras_spaced}
        made[f"diffusers SDE-DPM++ {tag}"] = diffusers(multistep, wide, **sde)
        for order in (2, 3):
            for kind in ("vAB", "zAB", "zEAB", "xEAB"):
                made[f"azula {kind}{order} {tag}"] = azula(kind, wide, order=order)
        made[f"azula DDIM {tag}"] = azula("DDIM", wide)
        made[f"azula DDPM {tag}"] = azula("DDPM", wide, stochastic=True)
    return made


METHODS: dict[str, Method] = {"monge": ours(), "monge alpha=1": ours(1.0), **peers()}
STOCHASTIC = ("alpha=1", "SDE", "DDPM")


def reference(law: Law, start: tuple[float, Tensor], calls: int) -> Tensor:
    """What the deterministic transport makes of noisy samples: Heun's rule, and the denoiser at the end; float64."""
    sigma, y = start
    denoise = Oracle(law)
    levels = karras(1e-3 * top(law), sigma, calls // 2).flip(0)
    y = y.double()
    slope = lambda y, s: (y - denoise(y, s.expand(len(y)))) / s  # noqa: E731
    for now, after in itertools.pairwise(levels):
        first = slope(y, now)
        y = y + (after - now) * (first + slope(y + (after - now) * first, after)) / 2
    return denoise(y, levels[-1].expand(len(y)))


class Judge:
    """The measures of one law."""

    def __init__(self, law: Law, n: int, calls: int) -> None:
        self.law, self.calls, self.real = law, calls, law.sample(n, seed=1).flatten(1)
        self.within = mean_distance(self.real, self.real) * n / (n - 1)
        directions = rng.normal((self.real.shape[1], 128), 0, "directions")
        self.directions = directions / directions.norm(dim=0)
        self.sorted = (self.real @ self.directions).sort(0).values
        self.references: dict[tuple[float, float], Tensor] = {}

    def __call__(self, drawn: Drawn) -> dict[str, float]:
        x = drawn.x.flatten(1).float()
        n = len(x)
        if not x.isfinite().all():
            return dict.fromkeys(["energy", "sliced", "weights", "width", "ode"], math.inf)
        energy = 2 * mean_distance(x, self.real) - mean_distance(x, x) * n / (n - 1) - self.within
        sliced = ((x @ self.directions).sort(0).values - self.sorted).square().mean().sqrt()
        found = {"energy": energy, "sliced": float(sliced)}
        if isinstance(self.law, GaussianMixture):
            (shares, width), (real_shares, real_width) = self.components(x), self.components(self.real)
            found |= {"weights": float((shares - real_shares).abs().sum() / 2), "width": abs(width / real_width - 1)}
        if drawn.start is not None:
            sigma, y = drawn.start
            key = sigma, float(y.double().sum())
            if key not in self.references:
                self.references[key] = reference(self.law, drawn.start, self.calls)
            away = drawn.x.double() - self.references[key]
            found["ode"] = float(away.square().mean().sqrt() / self.law.moments.covariance.eigenvalues.mean().sqrt())
        return found

    def components(self, x: Tensor) -> tuple[Tensor, float]:
        distance, nearest = torch.cdist(x, self.law.means).min(1)
        return torch.bincount(nearest, minlength=len(self.law.means)) / len(x), float(distance.mean())


def mean_distance(x: Tensor, y: Tensor) -> float:
    return float(torch.cdist(x, y).mean(dtype=torch.float64))


def rows(names: list[str], budgets: list[int], methods: list[str], n: int, calls: int) -> Iterator[Row]:
    """(law, method, budget, measures), the floor first, as the method "exact" with budgets 0 (mean) and 1 (s.d.)."""
    for name in names:
        law = (LAWS | LATER)[name]()
        judge = Judge(law, n, calls)
        exact = [judge(Drawn(law.sample(n, seed=10 + i), None)) for i in range(8)]
        values = {measure: torch.tensor([e[measure] for e in exact]) for measure in exact[0]}
        yield name, "exact", 0, {m: float(v.mean()) for m, v in values.items()}
        yield name, "exact", 1, {m: float(v.std()) for m, v in values.items()}
        for method in methods:
            for budget in budgets:
                yield name, method, budget, judge(METHODS[method](law, budget, n))


def work(job: tuple[list[str], list[int], list[str], int, int]) -> list[Row]:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of LMS, that its samples were not scaled: they are
        return list(rows(*job))


def summary(found: list[Row]) -> Iterator[str]:
    """By law and measure, ours and the best of all peers at each budget; a star where ours is not above that,
    or within three standard deviations of the floor."""
    laws, budgets = (list(dict.fromkeys(row[i] for row in found if row[1] != "exact")) for i in (0, 2))
    for mine, theirs in (("monge", False), ("monge alpha=1", True)):
        yield f"| law | measure | floor | {' | '.join(f'{b} calls' for b in budgets)} |"
        yield "|---" * (3 + len(budgets)) + "|"
        for law in laws:
            mean, spread = (next(r[3] for r in found if r[:3] == (law, "exact", i)) for i in (0, 1))
            for measure in next(r[3] for r in found if r[:2] == (law, mine)):
                cells = []
                for budget in budgets:
                    here = {r[1]: r[3].get(measure, math.inf) for r in found if (r[0], r[2]) == (law, budget)}
                    own = here.pop(mine, math.inf)
                    here = {k: v for k, v in here.items() if any(s in k for s in STOCHASTIC) == theirs}
                    best = min(here, key=lambda k: here[k]) if here else "none"
                    value = here.get(best, math.inf)
                    near = own <= mean.get(measure, -math.inf) + 3 * spread.get(measure, 0.0)
                    cells.append(f"{own:.2g}{'*' if own <= value or near else ''} ({value:.2g} {short(best)})")
                low = f"{mean[measure]:.1g} ± {spread[measure]:.1g}" if measure in mean else "0"
                yield f"| {law} | {measure} | {low} | {' | '.join(cells)} |"
        yield ""


def short(name: str) -> str:
    return name.removeprefix("diffusers ").removeprefix("azula ").replace(" fitted", "")


def plot(found: list[Row], path: str) -> None:
    """Error against calls: ours, and every peer in gray."""
    from matplotlib.figure import Figure

    laws = list(dict.fromkeys(row[0] for row in found))
    measures = ["energy", "ode"]
    figure = Figure(figsize=(3.2 * len(laws), 5.6), layout="constrained")
    axes = figure.subplots(len(measures), len(laws), squeeze=False)
    for (i, measure), (j, law) in itertools.product(enumerate(measures), enumerate(laws)):
        ax = axes[i][j]
        for method in dict.fromkeys(row[1] for row in found):
            line = [(r[2], r[3][measure]) for r in found if r[:2] == (law, method) and measure in r[3]]
            if method == "exact" or not line or any(s in method for s in STOCHASTIC):
                continue
            mine = method.startswith("monge")
            style = {"color": "C3", "lw": 2.5, "zorder": 3} if mine else {"color": "0.7", "lw": 0.8}
            label = "monge" if mine else "peers" if method.startswith("diffusers UniPC fitted") else None
            ax.plot(*zip(*line, strict=True), label=label, **style)
        if measure == "energy":
            mean, spread = (next(r[3][measure] for r in found if r[:3] == (law, "exact", k)) for k in (0, 1))
            ax.axhspan(mean - 2 * spread, mean + 2 * spread, color="C0", alpha=0.2, lw=0)
            ax.set_yscale("symlog", linthresh=2 * spread)
        else:
            ax.set_yscale("log")
        ax.set_xscale("log")
        ticks = sorted({row[2] for row in found if row[1] != "exact"})
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.minorticks_off()
        ax.set_title(f"{law}: {measure}", fontsize=9)
    axes[-1][0].set_xlabel("denoiser calls a sample")
    axes[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", default="", help="laws, with commas")
    parser.add_argument("--methods", default="", help="parts of their names, with commas")
    parser.add_argument("--budgets", default="", help="calls a sample, with commas")
    parser.add_argument("--plot", default="", help="a picture of the errors")
    given = parser.parse_args()
    methods = [m for m in METHODS if m.startswith("monge") or importlib.util.find_spec(m.split()[0]) is not None]
    methods = [m for m in methods if any(part in m for part in given.methods.split(","))]
    laws = given.only.split(",") if given.only else ["ring", "field"] if given.fast else list(LAWS)
    budgets = [int(b) for b in given.budgets.split(",")] if given.budgets else [5, 10] if given.fast else BUDGETS
    told = ", ".join(f"{p} {version(p)}" for p in sorted({m.split()[0] for m in methods} | {"torch"}))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads; {told}", flush=True)
    found = []
    n, calls = (1000, 100) if given.fast else (4000, 1000)
    if given.fast:
        rounds = [list(rows(laws, budgets, methods, n, calls))]
    else:  # a law on each core
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(os.cpu_count(), context, torch.set_num_threads, (1,)) as pool:
            rounds = list(pool.map(work, [([law], budgets, methods, n, calls) for law in laws]))
    for row in itertools.chain.from_iterable(rounds):
        found.append(row)
        law, method, budget, errors = row
        print(f"| {law} | {method} | {budget} |", *(f"{m} {v:.2e} |" for m, v in errors.items()), flush=True)
    print("", *summary(found), sep="\n")
    if given.plot:
        plot(found, given.plot)


if __name__ == "__main__":
    with torch.no_grad():
        main()
