"""What a learned law gets wrong, and where: by noise level and by band of principal directions, beside the verdict.

    python bench/learning.py --only digits                 # or moons, phi4: two minutes of training each, and the looks
    python bench/learning.py --only digits --seconds 60 --seeds 0,1,2
    python bench/learning.py --run RUN                     # a run of yours, whose data are found by its record
    python bench/learning.py --fast                        # digits for a second: what the tests run
    python bench/learning.py --verdicts --only digits,phi4 # a row a law: the verdict at 20 and at 10 calls
    python bench/learning.py --verdicts --only mnist14,rain --data FOLDER  # of files mnist.npz, rain64.npz, ...

Bands hold like eigenvalues of the training rows' covariance: 1, 2-4, 5-8, 9-16, ... With y = x + sigma z and D the
denoiser, of each band and level, as shares of Var x:

    train, held    E[y (D - x)] on rows learned from, and on others; 0 for E[x | y]
    carried        variance of held-out rows that were noised at sigma and carried down by the transport, over theirs
    drawn          variance of new samples over that of held-out rows, and its standard error

below them the shares of exact values that come often, the verdict with the lines that fail, and seconds.

A row of `--verdicts`: seconds of the fit, the verdict at 20 calls and at 10, with the lines that fail and the
reference defects that are left undecided, and averages of 2,000 samples over those of held-out rows, each within how
many standard errors: of phi^4 <|M|>, <M^2>, <M^4>, <x^2> and <x^4>; of others the mean, the mean square and the power
in octaves; of rows with labels what a classifier says.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import monge
from monge import rng, samplers
from monge.data import Samples
from monge.densities import Gaussian, Phi4
from monge.evaluation.outcomes import Outcome

FRACTION = 0.3  # of the rows held out
LEVELS = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)  # of noise, times the root mean eigenvalue
ROWS, NEW = 1000, 2000  # that are looked at on each side, and drawn
FAST = (4.0, 0.5), 200, 300  # levels, rows and samples of the fast form
CLASSIFIED = 20_000  # rows that a classifier learns from
OFTEN, SHOWN = 0.02, 6  # share of an exact value that is told, and how many at most


def digits() -> Samples:
    return monge.data.load("digits")


def phi4(kappa: float = 0.26) -> Samples:
    """14,000 fields 16 x 16 near the transition, by clusters: 64 chains, 10 sweeps apart."""
    law = Phi4((16, 16), kappa=kappa, lam=0.02)
    chains = samplers.wolff(law, chains=64, draws=219, thin=10, show=False)
    return Samples(chains.x.flatten(0, 1)[:14_000], kind="fields", name="phi4")


def lognormal() -> Samples:
    """14,000 fields 32 x 32 of exp(g), g Gaussian on a torus with deviation .5."""
    k = torch.fft.fftfreq(32)
    law = Gaussian.stationary(1 / (0.01 + k[:, None] ** 2 + k**2)[None])
    g = law.sample(14_000)
    return Samples((0.5 * g / g.std()).exp(), kind="fields", name="lognormal")


def breast_cancer() -> Samples:
    from sklearn.datasets import load_breast_cancer

    return Samples(torch.from_numpy(load_breast_cancer().data).float(), name="breast_cancer")


def of_file(name: str) -> Samples:
    """Laws of files in the folder of --data."""
    files = {"mnist": "mnist", "mnist14": "mnist", "rain": "rain64", "web": "cosmic_web", "protein": "protein"}
    with np.load(Path(FOLDER[0]) / f"{files[name]}.npz", allow_pickle=False) as file:
        x = torch.from_numpy(file["x_train" if name.startswith("mnist") else "x"].astype("float32"))
        y = torch.from_numpy(file["y_train"].astype("int64")) if name == "mnist" else None
    if name == "protein":
        return Samples(x, name=name)
    if name == "web":
        x = x.unfold(1, 32, 32).unfold(2, 32, 32).flatten(0, 2)
        return Samples(x[:, None], kind="fields", name=name)
    if name == "rain":  # in mm/h
        x = torch.where(x > 0, 0.1 * 10 ** ((x - 1) / 80), 0.0)
        return Samples(x[:, None], kind="fields", name=name)
    if name == "mnist14":
        x = torch.nn.functional.avg_pool2d(x[:14_000, None], 2).round()
        return Samples(x, kind="images", name=name, quantum=1.0, limits=(0.0, 255.0))
    return Samples(x[:, None], y, kind="images", name=name, quantum=1.0, limits=(0.0, 255.0))


FOLDER = ["."]
PLANAR = ("moons", "rings", "checkerboard", "pinwheel", "banana")
OF_FILES = ("mnist", "mnist14", "rain", "web", "protein")
TASKS: dict[str, Callable[[], Samples]] = {
    "digits": digits,
    "phi4": phi4,
    "phi4_critical": partial(phi4, 0.267),  # Binder cumulants of 8 x 8 and 16 x 16 sites cross there
    "phi4_two_signs": partial(phi4, 0.28),
    "lognormal": lognormal,
    "breast_cancer": breast_cancer,
    **{name: partial(monge.data.load, f"{name}?n=4000") for name in PLANAR},
    **{name: partial(of_file, name) for name in OF_FILES},
}
SECONDS = {
    "digits": 85.0,
    "phi4": 180.0,
    "phi4_critical": 300.0,
    "phi4_two_signs": 300.0,
    "lognormal": 180.0,
    "rain": 300.0,
    "mnist": 300.0,
}


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


def averages(x: Samples | Tensor, phi: bool) -> dict[str, Tensor]:
    """Of each row, by name."""
    x = (x.x if isinstance(x, Samples) else x).double()
    flat = x.flatten(1)
    if phi:
        M = flat.mean(1)
        found = {"|M|": M.abs(), "M^2": M**2, "M^4": M**4}
        return found | {"x^2": flat.square().mean(1), "x^4": (flat**4).mean(1)}
    found = {"mean": flat.mean(1), "square": flat.square().mean(1)}
    if x.ndim == 4:
        power = torch.fft.fftn(x - x.mean((2, 3), keepdim=True), dim=(2, 3)).abs().square().mean(1)
        k = torch.hypot(*(f.abs() for f in torch.meshgrid(*map(torch.fft.fftfreq, x.shape[2:]), indexing="ij")))
        octave = (-k.clamp_min(1e-6).log2()).floor()
        found |= {f"k<2^-{int(o)}": power[:, octave == o].mean(1) for o in octave[k > 0].unique()}
    return found


def classified(x: Tensor, train: Samples, held: Samples) -> str:
    """How often a classifier of training rows is .9 sure of a sample, and the classes' shares, beside held-out's."""
    from sklearn.neural_network import MLPClassifier

    some = train.take(range(min(len(train), CLASSIFIED)))
    top = float(some.x.max())
    judge = MLPClassifier((256,), early_stopping=True, max_iter=30, random_state=0)
    judge.fit((some.x.float() / top).flatten(1).numpy(), some.y)
    p, q = (judge.predict_proba((side.float() / top).flatten(1).numpy()) for side in (x, held.x[:NEW]))
    shares, real = (np.bincount(each.argmax(1), minlength=p.shape[1]) / len(each) for each in (p, q))
    errors = np.sqrt(real * (1 - real) * (1 / len(p) + 1 / len(q)))
    worst, sure, truly = np.abs((shares - real) / errors).max(), (p.max(1) > 0.9).mean(), (q.max(1) > 0.9).mean()
    return f".9 sure of {sure:.3f} ({truly:.3f}), class shares within {worst:.1f} s.e."


def undecided(outcome: Outcome) -> str:
    """A concern, and how many rows of both sides would decide it."""
    needed = [rows for rows in outcome.needed.values() if rows is not None]
    return outcome.name + (f" (needs {max(needed):,} rows)" if needed else "")


def row(name: str, model: monge.Diffusion, train: Samples, held: Samples, took: float, seed: int) -> str:
    """A line of the table of verdicts."""
    cells = []
    for nfe in (20, 10):
        x = model.sample(NEW, seed=seed, nfe=nfe, show=False)
        verdict = monge.audit(x, holdout=held.take(range(min(NEW, len(held)))).x, train=train.x)
        failed = ", ".join(line.name for line in verdict.lines if line.status == "fail")
        left = ", ".join(undecided(outcome) for outcome in verdict.defects if outcome.status == "undecided")
        parts = (verdict.status, failed and f"failed: {failed}", left and f"left: {left}")
        cells.append("; ".join(filter(None, parts)))
        if nfe == 20:
            mine, real = (averages(side, name.startswith("phi4")) for side in (x, held))
            told = [] if train.y is None else [classified(x, train, held)]
            for what in mine:
                a, b = mine[what], real[what]
                error = float((a.var() / len(a) + b.var() / len(b)).sqrt())
                told.append(f"{what} {float(a.mean() / b.mean()):.3f} ({float(a.mean() - b.mean()) / error:+.1f})")
    return f"| {name} | {seed} | {took:.0f} | {cells[0]} | {cells[1]} | {', '.join(told)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="digits", help=", ".join(TASKS))
    parser.add_argument("--seconds", type=float, help="of training; 120 unless the law has its own")
    parser.add_argument("--verdicts", action="store_true")
    parser.add_argument("--data", default=".", help="folder of the files")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--run", help="a run's folder, instead")
    parser.add_argument("--fast", action="store_true")
    given = parser.parse_args()
    FOLDER[0] = given.data
    if given.verdicts:
        print("| law | seed | s to fit | 20 calls | 10 calls | averages over held-out's (standard errors) |")
        print("|---|---|---|---|---|---|", flush=True)
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
        seconds = given.seconds or SECONDS.get(name, 120.0)
        for seed in map(int, given.seeds.split(",")):
            if not given.verdicts:
                print(
                    f"## {name}, seed {seed}: {len(train):,} rows to learn from, {len(held):,} held out\n", flush=True
                )
            begun = time.perf_counter()
            options = {"steps": 20} if given.fast else {"budget": seconds}
            model = monge.Diffusion().fit(train, seed=seed, show=False, **options)
            took = time.perf_counter() - begun
            if given.verdicts:
                print(row(name, model, train, held, took, seed), flush=True)
            else:
                print(judged(model, train, held, took, seed, given.fast), flush=True)


if __name__ == "__main__":
    main()
