"""What the audit sees: defects planted in real samples, how often it fails, and whether it names the right one.

    make bench-audit_power                          # patches of photographs and a simulated field, about 7 minutes
    python bench/audit_power.py --digits mnist.npz  # and digits: x_train [n, 28, 28], y_train [n], averaged 2 x 2
    python bench/audit_power.py --fast              # one law, few samples: what the tests run

Generated, held-out and training sets of n samples each, drawn anew in each trial. Beside it a Frechet distance of
the pixels' leading 64 directions alone (FID without its network), and `prdc` (Naeem et al. 2020: precision, recall,
density, coverage; where it is installed), judged by what real samples score in 40 trials of their own: Frechet's fails
beyond the worst twentieth of these, `prdc` where one of its four numbers is worse than in all.
"""

import argparse
import contextlib
import itertools
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from monge.data import Samples
from monge.evaluation import Verdict, audit, frechet_distance
from monge.evaluation.changes import CHANGES
from monge.evaluation.defects import DEFECTS as KINDS
from monge.evaluation.descriptors.values import principal_axes
from monge.evaluation.outcomes import best_line
from monge.evaluation.pool import Pool

try:
    import prdc
except ImportError:
    prdc = None

torch.set_num_threads(1)
NULL, NULL_SEED = 40, 10_000  # real trials for the peers


class Law(NamedTuple):
    """Rows to draw from, [rows, 1, side, side], and their labels."""

    x: Tensor
    y: Tensor | None


class Trial(NamedTuple):
    """Samples to plant in: x of the law, train, labels of x, and a generator."""

    x: Tensor
    train: Tensor
    y: Tensor | None
    g: torch.Generator
    spare: Tensor


# -- laws --------------------------------------------------------------------------------------------------


def digits(path: str) -> Law:
    with np.load(path, allow_pickle=False) as file:
        x = torch.from_numpy(file["x_train"]).float()[:, None]
        return Law(torch.nn.functional.avg_pool2d(x, 2), torch.from_numpy(file["y_train"].astype(np.int64)))


def patches(side: int = 12) -> Law:
    """Patches of two photographs, grey, from neighbouring places."""
    from sklearn.datasets import load_sample_images

    found = [torch.from_numpy(image.mean(2)).float() for image in load_sample_images().images]
    cut = [image.unfold(0, side, 6).unfold(1, side, 6).reshape(-1, 1, side, side) for image in found]
    return Law(torch.cat(cut), None)


def field(side: int = 16, n: int = 20_000) -> Law:
    """A log-normal field, exp of a Gaussian one of spectrum (1 + k^2 / 4)^-1.5, with zeros where it is low, as rain."""
    g = torch.Generator().manual_seed(0)
    k = torch.stack(torch.meshgrid(*2 * [torch.fft.fftfreq(side, 1 / side)], indexing="ij")).square().sum(0)
    white = torch.fft.fft2(torch.randn(n, 1, side, side, generator=g))
    smooth = torch.fft.ifft2(white / (1 + k / 4) ** 0.75).real
    smooth = smooth / smooth.std()
    return Law((smooth.exp() - 0.5).clamp(min=0), None)


# -- defects -----------------------------------------------------------------------------------------------


def drop(keep: float) -> Callable[[Trial], Tensor]:
    """A class of ten thinned out; without labels, the rows nearest to one are missing, as many as would be."""

    def plant(t: Trial) -> Tensor:
        both = torch.cat([t.x, t.spare])
        if t.y is not None:
            inside = t.y == int(torch.randint(10, (1,), generator=t.g))
        else:
            mean, axes, _ = principal_axes(both.flatten(1), 16)
            z = (both.flatten(1) - mean.float()) @ axes.float()
            far = (z - z[int(torch.randint(len(z), (1,), generator=t.g))]).square().sum(1)
            return both[far > far.quantile(0.1 * (1 - keep))][: len(t.x)]
        kept = ~inside | (torch.rand(len(both), generator=t.g) < keep)
        return both[kept][: len(t.x)]

    return plant


def part(share: float, of: Callable[[Trial], Tensor]) -> Callable[[Trial], Tensor]:
    def plant(t: Trial) -> Tensor:
        count = round(share * len(t.x))
        return torch.cat([of(t)[:count], t.x[count:]])

    return plant


def pool(t: Trial) -> Pool:
    return Pool(t.x, None, 0)


def region(depth: Callable[[Tensor, torch.Generator], Tensor], share: float = 0.05) -> Callable[[Trial], Tensor]:
    """Rows of the greatest depth are missing; depth: (whitened leading coordinates, generator) -> [rows]."""

    def plant(t: Trial) -> Tensor:
        both = torch.cat([t.x, t.spare])
        mean, axes, deviation = principal_axes(both.flatten(1), 16)
        far = depth((both.flatten(1) - mean.float()) @ (axes / deviation).float(), t.g)
        return both[far <= far.quantile(1 - share)][: len(t.x)]

    return plant


def way(z: Tensor, g: torch.Generator, most: int | None = None) -> Tensor:
    """Coordinates along a random one of the leading directions, or along a random direction."""
    if most is not None:
        return z[:, int(torch.randint(most, (), generator=g))]
    return z @ torch.nn.functional.normalize(torch.randn(z.shape[1], generator=g), dim=0)


def near_rank(values: Tensor, g: torch.Generator) -> Tensor:
    """Minus the distance of each rank from a random one."""
    ranks = values.argsort().argsort() / len(values)
    return -(ranks - 0.025 - 0.95 * float(torch.rand((), generator=g))).abs()


def ball(z: Tensor, g: torch.Generator) -> Tensor:
    """How near to a row in three random directions: a region of no family that the audit plants."""
    three = z @ torch.randn(z.shape[1], 3, generator=g)
    return -(three - three[int(torch.randint(len(z), (), generator=g))]).norm(dim=1)


def noise(t: Trial) -> Tensor:
    return t.x.mean() + t.x.std() * torch.randn(t.x.shape, generator=t.g)


def phases(t: Trial) -> Tensor:
    """The mean and power spectrum of the law, Gaussian."""
    hat = torch.fft.fft2(t.x - t.x.mean(0))
    white = torch.fft.fft2(torch.randn(t.x.shape, generator=t.g)) / t.x[0].numel() ** 0.5
    return t.x.mean(0) + torch.fft.ifft2(white * hat.abs().square().mean(0).sqrt()).real


def truncated(t: Trial) -> Tensor:
    both = torch.cat([t.x, t.spare])
    far = (both - both.mean(0)).flatten(1).norm(dim=1)
    return both[far <= far.quantile(0.9)][: len(t.x)]


def no_atoms(t: Trial) -> Tensor:
    value = t.x.flatten().mode().values
    return torch.where(t.x == value, t.x + 0.01 * t.x.std() * torch.randn(t.x.shape, generator=t.g), t.x)


class Planted(NamedTuple):
    """plant: trial -> samples. named: concerns one of which is to be found. kind: of `monge.evaluation.DEFECTS`, at its
    reference size; None of what the audit does not plant. reference: whether it is at or above a reference size."""

    plant: Callable[[Trial], Tensor]
    named: frozenset[str]
    kind: str | None = None
    reference: bool = True


def of(plant: Callable[[Trial], Tensor], named: str, kind: str | None = None, reference: bool = True) -> Planted:
    return Planted(plant, frozenset(named.split()), kind, reference)


def distance(t: Trial) -> Tensor:
    """5% of the rows are missing between two distances from the mean."""
    both = torch.cat([t.x, t.spare])
    far = near_rank((both - both.mean(0)).flatten(1).norm(dim=1), t.g)
    return both[far <= far.quantile(0.95)][: len(t.x)]


DEFECTS: dict[str, Planted] = {
    "real": of(lambda t: t.x, "", None, False),
    "class dropped": of(drop(0.0), "region label"),
    "class halved": of(drop(0.5), "region label", "label"),
    "half-space of 5%": of(region(lambda z, g: way(z, g, 4)), "region", "half-space"),
    "half-space of 5%, any direction": of(region(way), "region", "any half-space"),
    "slab of 5%": of(region(lambda z, g: near_rank(way(z, g, 4), g)), "region", "slab"),
    "slab of 5%, any direction": of(region(lambda z, g: near_rank(way(z, g), g)), "region", "any slab"),
    "shell of 5%": of(distance, "region", "shell"),
    "ball of 5% in three directions": of(region(ball), "region", "ball"),
    "corner of 5% in two directions, not planted": of(
        region(lambda z, g: torch.minimum(way(z, g), way(z, g))), "region", None, False
    ),
    "copies 1%": of(part(0.01, lambda t: t.train), "copies", None, False),
    "copies 2%": of(part(0.02, lambda t: t.train), "copies", "copies"),
    "all copies": of(lambda t: t.train[: len(t.x)], "copies"),
    "all copies, with noise": of(lambda t: t.train + 0.1 * t.x.std() * torch.randn(t.x.shape, generator=t.g), "copies"),
    "copies 10%, moved by a pixel": of(part(0.1, lambda t: t.train.roll(1, 3)), "copies"),
    "repeats 5%": of(lambda t: torch.cat([t.x[: len(t.x) // 20], t.x])[: len(t.x)], "repeats", "repeats"),
    "blur, 10% of small scales": of(lambda t: CHANGES["blur"](pool(t), 0.1), "blur", "blur"),
    "leading variance -5%": of(lambda t: CHANGES["variance"](pool(t), 0.05), "variance", "variance"),
    "outliers 1%": of(part(0.01, noise), "outliers", "outliers"),
    "outliers 10%": of(part(0.1, noise), "outliers"),
    "Gaussian long waves, half": of(part(0.5, lambda t: CHANGES["waves"](pool(t), 0.5)), "waves", "waves", False),
    "truncated, farthest 10%": of(truncated, "variance region structure"),
    "Gaussian, right spectrum": of(phases, "structure"),
    "atoms lost": of(no_atoms, "support"),
}


# -- trials ------------------------------------------------------------------------------------------------


class Sets(NamedTuple):
    """Generated samples, and rows of the law held out and for training."""

    x: Tensor
    holdout: Tensor
    train: Tensor


def sets(law: Law, name: str, n: int, seed: int) -> Sets:
    g = torch.Generator().manual_seed(1000 * seed + n)
    order = torch.randperm(len(law.x), generator=g)
    parts = [order[i * n : (i + 1) * n] for i in range(3)]
    spare = order[3 * n : 4 * n]
    mine = torch.cat([parts[0], spare])
    t = Trial(law.x[parts[0]], law.x[parts[2]], None if law.y is None else law.y[mine], g, law.x[spare])
    return Sets(DEFECTS[name].plant(t), parts[1], parts[2])


def judged(law: Law, found: Sets, seed: int) -> Verdict:
    kind = "images" if law.y is not None else "fields"
    real = (Samples(law.x[p], None if law.y is None else law.y[p], kind=kind) for p in found[1:])
    return audit(found.x, *real, seed=seed)


def scores(law: Law, found: Sets) -> list[float]:
    """Frechet's distance with its sign turned, then what `prdc` says: a defect makes them low."""
    x, y = found.x.flatten(1), law.x[found.holdout].flatten(1)
    _, axes, _ = principal_axes(law.x[:4000].flatten(1))
    a, b = (rows.double() @ axes for rows in (x, y))
    told = [-float(frechet_distance(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T)))]
    if prdc is not None:
        with contextlib.redirect_stdout(None):
            told += prdc.compute_prdc(y.numpy(), x.numpy(), nearest_k=5).values()
    return told


class Told(NamedTuple):
    """Status of the verdict, scores of the peers, statuses by concern, power by kind, kinds that are excluded."""

    status: str
    scores: list[float]
    concerns: dict[str, str]
    power: dict[str, float]
    excluded: set[str]


def work(job: tuple[str, str, int, int]) -> Told:
    law = LAWS[job[0]]
    found = sets(law, *job[1:])
    verdict = judged(law, found, job[3])
    power = {
        kind.name: best_line(verdict.lines, kind).curves[kind.name]["1.0"]
        for kind in KINDS
        if any(kind.name in line.curves for line in verdict.lines)
    }
    words = {kind.kind: kind.name for kind in KINDS}
    excluded = {words[kind] for outcome in verdict.defects for kind in outcome.kinds}
    return Told(verdict.status, scores(law, found), {d.name: d.status for d in verdict.defects}, power, excluded)


def null_scores(job: tuple[str, int, int]) -> list[float]:
    law = LAWS[job[0]]
    return scores(law, sets(law, "real", job[1], NULL_SEED + job[2]))


def rows(
    laws: list[str], sizes: list[int], trials: int, real: int, names: list[str], workers: int = 2
) -> Iterator[str]:
    with ProcessPoolExecutor(workers) as pool_of:
        for law, n in itertools.product(laws, sizes):
            jobs = [(law, name, n, seed) for name in names for seed in range(real if name == "real" else trials)]
            found = dict(zip(jobs, pool_of.map(work, jobs), strict=True))
            null = np.sort(list(pool_of.map(null_scores, [(law, n, seed) for seed in range(NULL)])), axis=0)
            low = [null[NULL // 20, 0], *null[0, 1:]]
            for name in names:
                planted = DEFECTS[name]
                got = [found[job] for job in jobs if job[1] == name]
                statuses = [g.status for g in got]
                right = sum(any(g.concerns.get(d) == "fail" for d in planted.named) for g in got)
                told = " ".join(f"{s} {statuses.count(s)}" for s in ("pass", "undecided", "fail"))
                beyond = np.array([g.scores for g in got]) < low
                peer = f"{beyond[:, 1:].any(1).mean():.0%}" if prdc else "-"
                mark, naming = " *" if planted.reference else "", f"{right} of {len(got)}" if planted.named else "-"
                powers = [g.power[planted.kind] for g in got if planted.kind in g.power]
                power = f"{np.mean(powers):.0%}" if powers else "-"
                wrongly = sum(planted.kind in g.excluded for g in got) if powers else "-"
                numbers = f"{naming} | {power} | {wrongly} | {beyond[:, 0].mean():.0%} | {peer}"
                yield f"| {law} | {n} | {name}{mark} | {told} | {numbers} |"


LAWS: dict[str, Law] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--digits", help="an npz file of x_train and y_train")
    parser.add_argument("--laws", help="digits, patches, field, with commas")
    parser.add_argument("--n", default="500,2000")
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--real", type=int, default=6)
    parser.add_argument("--planted", help="some of the defects, with commas between their names' beginnings")
    given = parser.parse_args()
    if given.digits:
        LAWS["digits"] = digits(given.digits)
    LAWS.update(patches=patches(), field=field())
    laws = given.laws.split(",") if given.laws else ["field"] if given.fast else list(LAWS)
    sizes = [120] if given.fast else [int(n) for n in given.n.split(",")]
    begun = time.perf_counter()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, one thread each; * at or above the reference size", flush=True
    )
    print("| law | n | planted | verdicts | named | told power | excluded wrongly | Frechet alone fails | prdc fails |")
    print(9 * "|---" + "|")
    few = (1, 1) if given.fast else (given.trials, given.real)
    names = ["real", "all copies", "Gaussian, right spectrum"] if given.fast else list(DEFECTS)
    if given.planted:
        names = [name for name in names if name.startswith(tuple(given.planted.split(",")))]
    for row in rows(laws, sizes, *few, names):
        print(row, flush=True)
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
