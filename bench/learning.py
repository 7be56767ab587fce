"""What a learned law gets wrong, and where: by noise level and by band of principal directions, beside the verdict.

    python bench/learning.py --only digits                 # or moons, phi4: two minutes of training each, and the looks
    python bench/learning.py --only digits --seconds 60 --seeds 0,1,2
    python bench/learning.py --run RUN                     # a run of yours, whose data are found by its record
    python bench/learning.py --fast                        # digits for a second: what the tests run

Bands hold like eigenvalues of the training rows' covariance: 1, 2-4, 5-8, 9-16, ... With y = x + sigma z and D the
denoiser, of each band and level, as shares of Var x:

    train, held    E[y (D - x)] on rows learned from, and on others; 0 for E[x | y]
    carried        variance of held-out rows that were noised at sigma and carried down by the transport, over theirs
    drawn          variance of new samples over that of held-out rows, and its standard error

below them the shares of exact values that come often, the verdict with the lines that fail, and seconds.
"""

import argparse
import time
from itertools import pairwise

import torch
from torch import Tensor

import monge
from monge import rng, samplers
from monge.data import Samples
from monge.densities import Phi4

FRACTION = 0.3  # of the rows held out
LEVELS = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)  # of noise, times the root mean eigenvalue
ROWS, NEW = 1000, 2000  # that are looked at on each side, and drawn
FAST = (4.0, 0.5), 200, 300  # levels, rows and samples of the fast form
OFTEN, SHOWN = 0.02, 6  # share of an exact value that is told, and how many at most


def digits() -> Samples:
    return monge.data.load("digits")


def moons() -> Samples:
    return monge.data.load("moons?n=4000")


def phi4() -> Samples:
    """12,000 fields 16 x 16 near the transition, by clusters: 64 chains, 10 sweeps apart."""
    law = Phi4((16, 16), kappa=0.26, lam=0.02)
    chains = samplers.wolff(law, chains=64, draws=188, thin=10, show=False)
    return Samples(chains.x.flatten(0, 1)[:12_000], kind="fields", name="phi4")


TASKS = {"digits": digits, "moons": moons, "phi4": phi4}


class Bands:
    """Directions of the training rows' covariance, by their number."""

    def __init__(self, rows: Tensor) -> None:
        flat = rows.flatten(1).double()
        self.mean = flat.mean(0)
        lam, self.axes = torch.linalg.eigh(torch.cov(flat.T))
        self.axes, d = self.axes.flip(1), int((lam > 1e-9 * lam.max()).sum())
        ends = [0, 1, *(2**k for k in range(2, 20) if 2**k < d), d]
        self.parts = [slice(a, b) for a, b in pairwise(ends) if a < b]
        self.names = [f"{p.start + 1}-{p.stop}" if p.stop > p.start + 1 else f"{p.stop}" for p in self.parts]

    def of(self, rows: Tensor) -> Tensor:
        return (rows.flatten(1).double() - self.mean) @ self.axes

    def sums(self, each: Tensor) -> Tensor:
        """Of values by direction, [bands]."""
        return torch.stack([each[part].sum() for part in self.parts])


@torch.no_grad()
def looked(model: monge.Diffusion, train: Samples, held: Samples, fast: bool) -> list[str]:
    """A line for each level and band, in the model's scaled units."""
    levels, most, _ = FAST if fast else (LEVELS, ROWS, NEW)
    sides = {"train": train.take(range(min(most, len(train)))), "held": held.take(range(min(most, len(held))))}
    scaled = {name: model.scaled(side.batch(range(len(side))), 0) for name, side in sides.items()}
    labels = {name: None if model.labels is None else model.labels.scaled(side.y) for name, side in sides.items()}
    bands = Bands(model.scaled(train.batch(range(len(train))), 0))
    unit = float(model.moments.covariance.eigenvalues.mean().sqrt())
    variance = {name: bands.sums(bands.of(x).var(0)) for name, x in scaled.items()}
    lines = [f"| level | what | {' | '.join(bands.names)} |", f"|---|---|{'---|' * len(bands.names)}"]
    for level in levels:
        sigma, found = level * unit, {}
        for name, x in scaled.items():
            y = x + sigma * rng.normal(tuple(x.shape), 0, name)
            D = model.walker.bound(labels[name], len(x))
            away = bands.of(D(y, torch.full((len(x),), sigma))) - bands.of(x)
            found[name] = bands.sums((bands.of(y) * away).mean(0)) / variance[name]
        moments = model.moments
        z = moments.noised(sigma).whiten(y)  # of the held-out rows, which came last
        ends = {"sigma_min": min(model.levels().sigma_min, 0.5 * sigma), "sigma_max": sigma, "rtol": 1e-3, "atol": 1e-3}
        carried = samplers.decode(model.walker.bound(labels["held"], len(z)), z, moments=moments, **ends)
        found["carried"] = bands.sums(bands.of(carried).var(0)) / variance["held"]
        lines += [f"| {level:g} | {name} | {' | '.join(f'{v:.3f}' for v in row)} |" for name, row in found.items()]
    return lines


def drawn(x: Tensor, train: Samples, held: Samples) -> list[str]:
    """Variance by band, and how often exact values come, beside held-out rows."""
    bands, real = Bands(train.x.float()), held.x.float()
    v, w = bands.of(x), bands.of(real)
    ratio = bands.sums(v.var(0)) / bands.sums(w.var(0))
    errors = []
    for k, part in enumerate(bands.parts):
        sums = (side[:, part].square().sum(1) for side in (v, w))
        errors.append(sum(float(each.var() / len(each)) for each in sums) ** 0.5 / float(bands.sums(w.var(0))[k]))
    cells = " | ".join(f"{r:.3f} ± {e:.3f}" for r, e in zip(ratio.tolist(), errors, strict=True))
    values, counts = torch.unique(real, return_counts=True)
    often = [(float(a), int(c) / real.numel()) for a, c in zip(values, counts, strict=True) if c > OFTEN * real.numel()]
    told = ", ".join(f"{a:g}: {float((x == a).float().mean()):.4f} ({share:.4f})" for a, share in often[:SHOWN])
    return [f"| 0 | drawn | {cells} |", "", f"shares of exact values (held out): {told or 'none comes often'}"]


def judged(model: monge.Diffusion, train: Samples, held: Samples, seconds: float, seed: int, fast: bool) -> str:
    begun = time.perf_counter()
    n = FAST[2] if fast else NEW
    x = model.sample(n, seed=seed, show=False)
    took = time.perf_counter() - begun
    lines = [*looked(model, train, held, fast), *drawn(x, train, held)]
    verdict = monge.audit(x, holdout=held.x, train=train.x)
    failed = ", ".join(line.name for line in verdict.lines if line.status == "fail") or "no line"
    told = f"verdict {verdict.status}: {failed} failed; trained {seconds:.0f} s, {n:,} samples in {took:.0f} s"
    return "\n".join([*lines, told])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="digits", help=", ".join(TASKS))
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--run", help="a run's folder, instead")
    parser.add_argument("--fast", action="store_true")
    given = parser.parse_args()
    if given.run:
        model = monge.load(given.run)
        about = model.record["data"]
        train, held = monge.data.load(about["source"], **about["reading"]).split(
            about["split"]["fraction"], about["split"]["seed"]
        )
        print(judged(model, train, held, 0.0, 0, given.fast), flush=True)
        return
    for name in given.only.split(","):
        train, held = TASKS[name]().split(FRACTION, 0)
        for seed in map(int, given.seeds.split(",")):
            print(f"## {name}, seed {seed}: {len(train):,} rows to learn from, {len(held):,} held out\n", flush=True)
            begun = time.perf_counter()
            options = {"steps": 20} if given.fast else {"budget": given.seconds}
            model = monge.Diffusion().fit(train, seed=seed, show=False, **options)
            print(judged(model, train, held, time.perf_counter() - begun, seed, given.fast), flush=True)


if __name__ == "__main__":
    main()
