"""Posteriors by a denoiser that was learned without the observation: ours beside each other, and azula's.

    make bench-posterior                     # all in 12 minutes
    python bench/posterior.py --fast         # a second or two of each: what the tests run
    python bench/posterior.py --only grid --seeds 5

grid         25 unit Gaussians 8 apart on a grid repeated over d coordinates, random weights, a random operator of d_y
             rows with singular values uniform in (0, 1) and noise uniform up to the largest (Cardoso et al. 2024, table
             1): sliced W of 128 or 256 draws to as many exact ones, the mean over seeds and its error; evidence in
             its errors.
calibration  1,000 pairs of a mixture: the verdict, and the width that draws lack.
digits       the lower half given: the classes of the answers beside those of real digits with such a lower half.
photographs  PSNR of the mean of 8 answers, half of the pixels masked and four times as small, over biharmonic
             inpainting and bicubic: of photographs of all kinds (six, as in bench/denoise.py, 96 x 96 of each), learned
             from others;
pictures     and of one kind, learned from that kind, where a file of such is given.
"""

import argparse
import importlib.util
import math
import platform
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

import monge
from cores import asked, cores, side_by_side
from denoise import BATCH, others, tested, trained
from monge import ot, rng, samplers
from monge.denoisers import Oracle
from monge.densities import GaussianMixture
from monge.evaluation import calibration, psnr
from monge.observations import Linear, conditioned

ROWS, DRAWS = (1, 2, 4), {8: 256, 80: 128, 800: 128}
METHODS = "particles", "daps", "moments", "wiener", "pi-gdm", "dps", "ddrm", "diffpir"
F = torch.float64


def row(*parts: str) -> str:
    return "| " + " | ".join(parts) + " |"


# -- 25 Gaussians ---------------------------------------------------------------------------------------


def problem(d: int, m: int, seed: int) -> tuple[GaussianMixture, Linear]:
    """As published: centres 8 (i, j), i, j = -2 ... 2, repeated; weights chi-squared; A = U diag(s) V'."""
    centers = 8 * torch.cartesian_prod(*[torch.arange(5.0, dtype=F) - 2] * 2).repeat(1, d // 2)
    w = rng.normal((25,), seed, "weights", dtype=F).square()
    law = GaussianMixture(centers, torch.ones(25, dtype=F), w)
    A = rng.normal((m, d), seed, "operator", dtype=F)
    U, _, V = torch.linalg.svd(A, full_matrices=False)
    s = rng.uniform((m,), seed, "singular", dtype=F).sort(descending=True).values
    A = U @ torch.diag(s) @ V
    noise = float(rng.uniform((1,), seed, "noise", dtype=F) * s[0])
    x = law.sample(1, seed=seed + 1000)
    return law, Linear(A, (x @ A.T + noise * rng.normal((1, m), seed, "seen", dtype=F))[0], noise)


Draw = Callable[[GaussianMixture, Linear, int, int, Any], Any]  # law, observation, n, seed, plan


def ours(method: str) -> Draw:
    def draw(law: GaussianMixture, seen: Linear, n: int, seed: int, plan: Any) -> Any:
        options = {"plan": plan, "nfe": 100, "particles": 128, "dtype": F, "seed": seed}
        return samplers.posterior(Oracle(law), law.event_shape, n, seen, method=method, **options)

    return draw


def of_azula(method: str) -> Draw:
    """Its own samplers of the same denoiser, levels from ten widths of the law down to .01, 100 steps."""

    def draw(law: GaussianMixture, seen: Linear, n: int, seed: int, plan: Any) -> Any:
        from azula import denoise, guidance, linalg, noise, sample

        class Exact(denoise.Denoiser):
            def __init__(self) -> None:
                super().__init__()
                self.schedule = noise.VESchedule(0.01, 10 * law.moments.widest)

            def forward(self, x: Tensor, t: Tensor, **_: Any) -> Any:
                return denoise.DiracPosterior(law.denoise(x, self.schedule.sigma(t)))

        torch.manual_seed(seed)
        D, A, variance = Exact(), seen.forward, seen.noise[0] ** 2
        matrix = A(torch.eye(law.event_shape[0], dtype=F)).T
        AA, wide = matrix @ matrix.T, float(law.moments.covariance.eigenvalues.mean())
        eye = torch.eye(len(AA), dtype=F)

        def twist(x_hat: Tensor, sigma: Tensor) -> Tensor:
            S = variance * eye + AA * (sigma**2 * wide / (sigma**2 + wide))
            return torch.distributions.MultivariateNormal(seen.y, S, validate_args=False).log_prob(A(x_hat))[:, None]

        options = {"steps": 100, "silent": True, "dtype": F}
        if method == "DPS":
            walk = guidance.DPSSampler(D, seen.y, A, **options)
        elif method == "PGDM":
            inverse = torch.linalg.pinv(matrix)
            walk = guidance.PGDMSampler(D, seen.y, A, lambda r: r @ inverse.T, eta=1.0, **options)
        elif method == "MMPS":
            cov = linalg.covariance.IsotropicCovariance(variance)
            guided = guidance.MMPSDenoiser(D, seen.y, A, cov, iterations=len(AA))
            walk = sample.DDPMSampler(guided, **options)
        else:
            walk = guidance.TDSSampler(D, twist, **options)
        rows = 128 if method == "TDS" else n
        parts = []
        for _ in range(n // rows):
            z = torch.randn(rows, *law.event_shape, dtype=F)
            parts.append(walk(law.mean + 10 * law.moments.widest * z))
        x = torch.cat(parts).detach()
        return samplers.Posterior(x, torch.full((len(x),), 1 / len(x)), method, "", 100)

    return draw


GRID: dict[str, Draw] = {method: ours(method) for method in METHODS} | {
    f"azula {method}": of_azula(method) for method in ("TDS", "MMPS", "PGDM", "DPS")
}


def grid(method: str, d: int, m: int, seeds: int, fast: bool) -> list[str]:
    n, found, off, seconds, floor = (128 if fast else DRAWS[d]), [], [], 0.0, []
    for seed in range(seeds):
        law, seen = problem(d, m, seed)
        exact = conditioned(law, seen)
        plan = samplers.pilot(Oracle(law), (d,), dtype=F)
        begun = time.monotonic()
        drawn = GRID[method](law, seen, n, seed, plan)
        seconds += time.monotonic() - begun
        x = drawn.sample(n) if drawn.weighted else drawn.x
        wanted = exact.sample(n, seed=7)
        found.append(ot.sliced_wasserstein(x, wanted, p=1))
        floor.append(ot.sliced_wasserstein(exact.sample(n, seed=8), wanted, p=1))
        off.append((drawn.log_evidence - exact.log_evidence) / max(drawn.log_evidence_error, 1e-9))
    mean, error = torch.tensor(found).mean(), torch.tensor(found).std() / math.sqrt(max(1, seeds))
    told = f"{float(mean):.2f} ± {float(error):.2f} (exact draws {sum(floor) / len(floor):.2f})"
    if not math.isnan(off[0]):
        told += f"; evidence off by up to {max(map(abs, off)):.1f} of its errors"
    return [row("grid", f"d {d}, d_y {m}", method, told, f"{seconds / seeds:.1f} s each")]


# -- calibration ----------------------------------------------------------------------------------------


def calibrated(method: str, _: int, __: int, pairs: int, fast: bool) -> list[str]:
    law = GaussianMixture(
        torch.tensor([[-2.0, 0.0], [2.0, 1.0], [0.0, -2.0]], dtype=F), torch.tensor([0.3, 0.6, 0.2], dtype=F)
    )
    D, A = Oracle(law), torch.tensor([[1.0, 0.5]], dtype=F)
    plan = samplers.pilot(D, (2,), dtype=F)
    truth = law.sample(pairs, seed=5)
    y = truth @ A.T + 0.5 * rng.normal((pairs, 1), 5, "seen", dtype=F)
    given = list(zip(truth, (Linear(A, each, 0.5) for each in y), strict=True))
    options: dict[str, Any] = {"dtype": F} if method == "exact" else {"plan": plan, "nfe": 25, "dtype": F}

    def draw(seen: Linear) -> Any:
        return samplers.posterior(
            D, (2,), 64, seen, method=method, particles=64, seed=hash(float(seen.y)) % 2**31, **options
        )

    begun = time.monotonic()
    found = calibration(draw, given, draws=32 if fast else 64, show=False)
    lines = ", ".join(f"{line.name} {line.value:.3f} {line.status}" for line in found.lines)
    return [
        row("calibration", f"{pairs} pairs", method, f"{found.status}: {lines}", f"{time.monotonic() - begun:.0f} s")
    ]


# -- digits ---------------------------------------------------------------------------------------------


def digits(_: str, __: int, ___: int, many: int, fast: bool) -> list[str]:
    """The share of answers of the true class, as a classifier of whole digits sees them, beside the probability that a
    calibrated classifier of lower halves gives it."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    train, held = monge.data.load("digits").split(0.2, seed=0)
    model = monge.Diffusion().fit(train, **({"steps": 5} if fast else {"budget": 80}), show=False)
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, 4:] = True
    A = monge.observations.mask(known)
    whole = SVC(C=10).fit(train.x.flatten(1), train.y)
    half = CalibratedClassifierCV(SVC(C=10), ensemble=False).fit(train.x[:, known], train.y)
    told = half.predict_proba(held.x[:many, known])
    wanted = torch.tensor([told[i, int(held.y[i])] for i in range(many)])
    right = float((whole.predict(held.x.flatten(1)) == held.y.numpy()).mean())
    lines = []
    for method in ("daps",) if fast else ("particles", "daps", "diffpir", "wiener", "dps"):
        found, off = [], []
        begun = time.monotonic()
        for i in range(many):
            x, label = held.x[i], int(held.y[i])
            seen = Linear(A, x[known], 0.5)
            drawn = model.posterior(16, seen, method=method, nfe=5 if fast else 50, seed=i, show=False)
            found.append(float((whole.predict(drawn.x.flatten(1)) == label).mean()))
            off.append(float((drawn.mean() - x)[~known].square().mean().sqrt()))
        gap = torch.tensor(found) - wanted
        share = f"true class in {sum(found) / many:.3f} of the answers, {float(wanted.mean()):.3f} by lower halves: "
        share += f"{float(gap.mean()):+.3f} ± {float(gap.std()) / math.sqrt(many):.3f}"
        share += f" (whole real digits {right:.3f}); mean off by {sum(off) / many:.2f} levels"
        lines.append(row("digits", f"{many} digits", method, share, f"{(time.monotonic() - begun) / many:.1f} s each"))
    return lines


# -- photographs ----------------------------------------------------------------------------------------


def photographs(source: str, _: int, __: int, side: int, fast: bool) -> list[str]:
    """Learned from photographs of all kinds, by a network that is blind, and asked of others."""
    model = trained(others(source or None, fast), 1.0 if fast else 150.0, BATCH, sigma_max=4.0)
    return restored("photographs", model, tested(side)[: 1 if fast else None], ("diffpir", "daps"), fast)


def pictures(source: str, _: int, __: int, ___: int, fast: bool) -> list[str]:
    """Learned from pictures of one kind, of which the last sixth of each label is asked."""
    samples = monge.data.load(source)
    last = torch.zeros(len(samples), dtype=torch.bool)
    for label in samples.y.unique():
        of = (samples.y == label).nonzero()[:, 0]
        last[of[len(of) * 5 // 6 :]] = True
    rows = (~last).nonzero()[:, 0].tolist()
    model = monge.Diffusion().fit(samples.take(rows), **({"steps": 2} if fast else {"budget": 120}), show=False)
    asked = samples.x[last].float()[:: max(1, int(last.sum()) // 16)][: 1 if fast else None]
    return restored("pictures", model, asked, ("daps", "diffpir", "wiener"), fast)


def restored(section: str, model: Any, x: Tensor, methods: tuple[str, ...], fast: bool) -> list[str]:
    """PSNR over the peers': of the mean of 8, and of one."""
    from skimage import restoration

    shape, lines = tuple(x.shape[1:]), []
    known, small = rng.uniform(shape, 0, "mask") > 0.5, monge.observations.downscale(shape, 4)
    y = small.forward(x)
    holes = [restoration.inpaint_biharmonic((each * known)[0].numpy(), (~known)[0].numpy()) for each in x]
    wide = torch.nn.functional.interpolate(y, scale_factor=4, mode="bicubic")
    for name, A, seen, peer, than in (
        (
            "half masked",
            monge.observations.mask(known),
            x[:, known],
            torch.from_numpy(np.stack(holes))[:, None],
            "biharmonic",
        ),
        ("4 x smaller", small, y, wide, "bicubic"),
    ):
        least = psnr(peer.float(), x, 255.0)
        for method in methods[: 1 if fast else None]:
            begun = time.monotonic()
            options = {"method": method, "nfe": 2 if fast else 40, "show": False}
            drawn = [model.posterior(2 if fast else 8, Linear(A, each, 0.0), **options) for each in seen]
            gain = psnr(torch.stack([each.mean() for each in drawn]), x, 255.0) - least
            one = psnr(torch.stack([each.x[0] for each in drawn]), x, 255.0) - least
            told = f"{than} {float(least.mean()):.2f} dB; mean of 8 {float(gain.mean()):+.2f} dB (each "
            told += ", ".join(f"{float(each):+.1f}" for each in gain) + f"); one answer {float(one.mean()):+.2f}"
            lines.append(row(section, name, method, told, f"{(time.monotonic() - begun) / len(x):.1f} s each"))
    return lines


WORK = {  # the longest first
    "photographs": photographs,
    "pictures": pictures,
    "digits": digits,
    "grid": grid,
    "calibration": calibrated,
}


def work(section: str, *job: Any) -> list[str]:
    return WORK[section](*job)


def _seeds(method: str, d: int, most: int) -> int:
    """All of them for the method that is asked about, and a quarter for the others, which are further off."""
    return max(1, most // 6) if d == 800 else most if method == "particles" else max(1, most // 4)


def jobs(given: argparse.Namespace) -> Iterator[tuple[str, str, int, int, int, bool]]:
    there = importlib.util.find_spec("azula") is not None
    sections = given.only.split(",") if given.only else list(WORK)
    wanted = given.methods.split(",") if given.methods else None
    fast, seeds = given.fast, given.seeds or (1 if given.fast else 20)
    for section in sections:
        if section == "grid":
            for m in ROWS[:1] if fast else ROWS:
                for d in [8] if fast else DRAWS:
                    names = [*METHODS, *(name for name in GRID if there and name not in METHODS)]
                    names = (
                        names if m == 1 and d < 800 else ["particles", "daps", "dps"][: 1 if d == 800 and m > 1 else 3]
                    )
                    names = [name for name in (names[:2] if fast else names) if wanted is None or name in wanted]
                    yield from ((section, name, d, m, _seeds(name, d, seeds), fast) for name in names)
        if section == "calibration":
            names = ["exact"] if fast else ["exact", "particles", "daps", "wiener", "dps"]
            yield from ((section, name, 0, 0, 60 if fast else 1000, fast) for name in names)
        if section == "digits":
            yield section, "", 0, 0, 2 if fast else 36, fast
        if section == "photographs":
            yield section, given.photographs or "", 0, 0, 16 if fast else 96, fast
        if section == "pictures" and given.pictures:
            yield section, given.pictures, 0, 0, 0, fast


def main() -> None:
    more = (
        ("seeds", int, "of the grid"),
        ("photographs", str, "a file of more photographs to learn from"),
        ("pictures", str, "a file of pictures of one kind, with labels"),
    )
    given = asked(__doc__, *more, methods="of the grid")
    print(f"{platform.machine()}, {len(cores())} cores, one each; torch {torch.__version__}", flush=True)
    every = list(jobs(given))
    found = (work(*job) for job in every) if given.fast else side_by_side(work, every)
    for lines in found:
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
