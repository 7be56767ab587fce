"""The null of the audit: how often real samples, in the place of generated ones, fail. At most 5% may.

    make bench-audit_null                 # every law, at most 12 minutes
    python bench/audit_null.py --fast     # a few small ones: what the tests run
    python bench/audit_null.py --laws normal,t --n 500 --trials 100 --train 0,1

Generated, held-out and, in every second trial, training rows are drawn anew from one law. A law is flagged when it
fails more often than a chance of 5% explains: above the quantile of the binomial law at one in a thousand.
"""

import argparse
import itertools
import os
import platform
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import torch
from scipy.stats import binom
from torch import Tensor

from audit_power import field, patches
from monge.evaluation import audit

torch.set_num_threads(1)
LEVEL, RARE = 0.05, 1e-3
Draw = Callable[[int, torch.Generator], Tensor]


def student(n: int, g: torch.Generator, freedom: float = 1.2) -> Tensor:
    """t(1.2) in 20 columns: no variance, hardly a mean."""
    scale = torch.distributions.Gamma(torch.tensor(freedom / 2), torch.tensor(freedom / 2))
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (), generator=g)))
        return torch.randn(n, 20, generator=g) / scale.sample((n, 20)).sqrt()


def atoms(n: int, g: torch.Generator) -> Tensor:
    """Halves of integers, columns that are zero or a limit half of the time, and a column that is one of three."""
    x = torch.randn(n, 6, generator=g)
    x[:, 0] = (2 * x[:, 0]).round() / 2
    x[:, 1:3] *= torch.rand(n, 1, generator=g) < 0.5
    x[:, 3] = x[:, 3].clamp(max=0.5)
    x[:, 5] = torch.randint(3, (n,), generator=g).float()
    return x


def bound(n: int, g: torch.Generator) -> Tensor:
    """A table whose columns go together: a text of five, counts that follow it, heavy tails, and a sum."""
    kind, a = torch.randint(5, (n,), generator=g), torch.randn(n, generator=g)
    counts = torch.poisson(kind.float(), generator=g)
    heavy = (a + 0.5 * torch.randn(n, generator=g)) / torch.rand(n, generator=g).clamp(min=1e-3)
    return torch.cat([torch.eye(5)[kind], torch.stack([counts, a, heavy, a + counts], 1)], 1)


@cache
def table(name: str) -> Tensor:
    if name == "digits":
        from sklearn.datasets import load_digits

        return torch.tensor(load_digits().images, dtype=torch.float32)[:, None]
    return patches().x if name == "patches" else field().x


def rows_of(name: str) -> Draw:
    return lambda n, g: table(name)[torch.randperm(len(table(name)), generator=g)[:n]]


LAWS: dict[str, Draw] = {
    "normal": lambda n, g: torch.randn(n, 16, generator=g),
    "t": student,
    "lognormal": lambda n, g: (2 * torch.randn(n, 30, generator=g)).exp(),
    "Bernoulli": lambda n, g: (torch.rand(n, 300, generator=g) < 0.004).float(),
    "counts": lambda n, g: torch.poisson(torch.tensor([0.1, 1.0, 10.0]).repeat(n, 2), generator=g),
    "atoms": atoms,
    "bound": bound,
    "digits": rows_of("digits"),
    "patches": rows_of("patches"),
    "fields": rows_of("fields"),
}
MOST = {"digits": 590}  # rows of each of three parts


def work(job: tuple[str, int, bool, int]) -> tuple[str, tuple[str, ...]]:
    law, n, learned, seed = job
    x = LAWS[law](3 * n, torch.Generator().manual_seed(10_000 * seed + n))
    verdict = audit(x[:n], x[n : 2 * n], x[2 * n :] if learned else None, seed=seed)
    return verdict.status, tuple(line.name for line in verdict.lines if line.status == "fail")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--laws", default=",".join(LAWS))
    parser.add_argument("--n", help="numbers of rows of each set, with commas, in turn")
    parser.add_argument("--train", default="0,1")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    laws = ["normal", "Bernoulli"] if given.fast else given.laws.split(",")
    sizes = [200] if given.fast else [int(n) for n in (given.n or "200,200,500,1000,200,500,2000").split(",")]
    trials = 2 if given.fast else given.trials
    train = [bool(int(flag)) for flag in given.train.split(",")]
    jobs = []
    for law in laws:
        each = list(zip(itertools.cycle(sizes), itertools.cycle(train), range(trials), strict=False))
        each += [] if given.fast or given.n or law in MOST else [(5000, True, 900)]
        jobs += [(law, min(n, MOST.get(law, n)), learned, seed) for n, learned, seed in each]
    begun = time.perf_counter()
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread each; * beyond what a chance of 5% explains")
    print("| law | trials | fail | at most | lines that failed |")
    print(5 * "|---" + "|", flush=True)
    every: list[str] = []
    with ProcessPoolExecutor(given.workers) as pool:
        found = {job: pool.submit(work, job) for job in jobs}
        for law in laws:
            got = [found[job].result() for job in jobs if job[0] == law]
            statuses = [status for status, _ in got]
            every += statuses
            print(row(law, statuses, Counter(name for _, names in got for name in names)), flush=True)
    print(row("all", every, Counter()))
    print(f"{time.perf_counter() - begun:.0f} s")


def row(name: str, statuses: list[str], lines: Counter[str]) -> str:
    fails, most = statuses.count("fail"), int(binom.ppf(1 - RARE, len(statuses), LEVEL))
    told = ", ".join(f"{line} {count}" for line, count in lines.most_common())
    return f"| {name} | {len(statuses)} | {fails}{' *' if fails > most else ''} | {most} | {told} |"


if __name__ == "__main__":
    main()
