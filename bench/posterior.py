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
photographs  PSNR of the mean of 8 answers, half of the pixels masked and four times as small, beside biharmonic
             inpainting and bicubic.
"""

import argparse
import importlib.util
import math
import platform
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import monge
from cores import asked, cores, side_by_side
from monge import ot, rng, samplers
from monge.denoisers import Oracle
from monge.densities import GaussianMixture
from monge.evaluation import calibration
from monge.observations import Linear, conditioned

ROWS, DRAWS = (1, 2, 4), {8: 256, 80: 128, 800: 128}
METHODS = "particles", "moments", "wiener", "pi-gdm", "dps", "diffpir"
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


def digits(method: str, _: int, __: int, many: int, fast: bool) -> list[str]:
    """The share of answers of the true class, by a classifier of whole digits, beside the probability that a classifier
    of lower halves gives it."""
    from sklearn.linear_model import LogisticRegression

    train, held = monge.data.load("digits").split(0.2, seed=0)
    model = monge.Diffusion().fit(train, **({"steps": 5} if fast else {"budget": 60}), show=False)
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, 4:] = True
    A = monge.observations.mask(known)
    whole = LogisticRegression(max_iter=2000, C=0.1).fit(train.x.flatten(1), train.y)
    half = LogisticRegression(max_iter=2000, C=0.1).fit(train.x[:, known], train.y)
    found, wanted, off = [], [], []
    begun = time.monotonic()
    for i in range(many):
        x, label = held.x[i], int(held.y[i])
        drawn = model.posterior(16, Linear(A, x[known], 0.5), method=method, nfe=5 if fast else 50, seed=i, show=False)
        found.append(float((whole.predict(drawn.x.flatten(1)) == label).mean()))
        wanted.append(float(half.predict_proba(x[known][None])[0, label]))
        off.append(float((drawn.mean() - x)[~known].square().mean().sqrt()))
    gap = torch.tensor(found) - torch.tensor(wanted)
    told = f"true class in {sum(found) / many:.3f} of the answers, {sum(wanted) / many:.3f} by lower halves: "
    told += (
        f"{float(gap.mean()):+.3f} ± {float(gap.std()) / math.sqrt(many):.3f}; mean off by {sum(off) / many:.2f} levels"
    )
    return [row("digits", f"{many} digits", method, told, f"{(time.monotonic() - begun) / many:.1f} s each")]


# -- photographs ----------------------------------------------------------------------------------------


def photographs(method: str, _: int, __: int, side: int, fast: bool) -> list[str]:
    """Learned from pieces of photographs, asked of others."""
    from skimage import data, restoration
    from skimage.color import rgb2gray
    from skimage.transform import resize

    def gray(name: str) -> Tensor:
        picture = getattr(data, name)()
        picture = rgb2gray(picture) * 255 if picture.ndim == 3 else picture
        return torch.from_numpy(resize(picture, (256, 256), anti_aliasing=True, preserve_range=True)).float()[None]

    pieces = []
    for k, name in enumerate(("astronaut", "coffee", "rocket", "chelsea")):
        picture = gray(name)
        at = (rng.uniform((600, 2), k, "pieces") * (256 - 32)).long().tolist()
        pieces += [picture[:, i : i + 32, j : j + 32] for i, j in at]
    samples = monge.data.Samples(torch.stack(pieces).round(), kind="images", quantum=1.0, limits=(0.0, 255.0))
    model = monge.Diffusion().fit(samples, **({"steps": 2} if fast else {"budget": 200}), show=False)
    x = gray("camera")[:, 60 : 60 + side, 90 : 90 + side].round()
    lines = []

    def psnr(found: Any) -> float:
        return float(10 * torch.log10(255**2 / (torch.as_tensor(found).reshape(x.shape).float() - x).square().mean()))

    known = rng.uniform(tuple(x.shape), 0, "mask") > 0.5
    small = monge.observations.downscale(tuple(x.shape), 4)
    y = small.forward(x[None])[0]
    peers = (
        restoration.inpaint_biharmonic((x * known)[0].numpy(), (~known)[0].numpy()),
        torch.nn.functional.interpolate(y[None], scale_factor=4, mode="bicubic")[0],
    )
    for name, A, seen, peer, than in (
        ("half masked", monge.observations.mask(known), x[known], peers[0], "biharmonic"),
        ("4 x smaller", small, y, peers[1], "bicubic"),
    ):
        n, calls = (2, 2) if fast else (8, 40)
        begun = time.monotonic()
        drawn = model.posterior(n, Linear(A, seen, 0.0), method=method, nfe=calls, show=False)
        told = f"PSNR {psnr(drawn.mean()):.2f} dB, {than} {psnr(peer):.2f}; one answer {psnr(drawn.x[0]):.2f}"
        lines.append(row("photographs", name, method, told, f"{time.monotonic() - begun:.0f} s"))
    return lines


WORK = {"grid": grid, "calibration": calibrated, "digits": digits, "photographs": photographs}


def work(section: str, *job: Any) -> list[str]:
    return WORK[section](*job)


def _seeds(method: str, d: int, most: int) -> int:
    """All of them for the method that is asked about, and a quarter for the others, which are further off."""
    return most if method == "particles" and d < 800 else max(1, most // 4)


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
                    names = names if m == 1 and d < 800 else ["particles", "wiener", "dps"]
                    names = [name for name in (names[:2] if fast else names) if wanted is None or name in wanted]
                    yield from ((section, name, d, m, _seeds(name, d, seeds), fast) for name in names)
        if section == "calibration":
            names = ["exact"] if fast else ["exact", "particles", "wiener", "dps"]
            yield from ((section, name, 0, 0, 60 if fast else 1000, fast) for name in names)
        if section == "digits":
            names = ["wiener"] if fast else ["particles", "wiener"]
            yield from ((section, name, 0, 0, 2 if fast else 24, fast) for name in names)
        if section == "photographs":
            yield section, "diffpir", 0, 0, 64, fast


def main() -> None:
    given = asked(__doc__, ("seeds", int, "of the grid"), methods="of the grid")
    print(f"{platform.machine()}, {len(cores())} cores, one each; torch {torch.__version__}", flush=True)
    every = list(jobs(given))
    found = (work(*job) for job in every) if given.fast else side_by_side(work, every)
    for lines in found:
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
