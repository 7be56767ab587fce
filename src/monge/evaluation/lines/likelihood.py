"""The lines of a model that knows its likelihood: does it hold on data that were not learned from?"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monge.errors import BadInput
from monge.evaluation.decision import Finding
from monge.evaluation.statistics.resampling import Z

NATS = 0.05  # a value: of log-likelihood lost on held-out data, harmless
DISPLACED = 0.1  # share of the mass of a latent coordinate, or of its norm, out of place, harmless


def likelihood_lines(
    held_out: NDArray[np.floating],
    trained: NDArray[np.floating],
    latents: NDArray[np.floating],
    *,
    quantum: float | None = None,
) -> list[Finding]:
    """Held-out log-likelihood against that of training rows, and whether held-out latents are N(0, Id).

    held_out, trained: [n] and [m] log p(x) in nats. latents: [n, d] of held-out rows. quantum: the step of the grid of
    integer data, whose log-likelihood is told in bits, too.

    Raises BadInput for fewer than two rows, or values that are not finite.

    >>> z = np.random.default_rng(0).standard_normal((500, 2))
    >>> nats = stats.norm.logpdf(z).sum(1)
    >>> [line.name for line in likelihood_lines(nats[:250], nats[250:], z[:250])]
    ['log-likelihood', 'latent coordinates', 'latent norm']
    """
    z = latents.reshape(len(latents), -1)
    if min(len(held_out), len(trained), len(z)) < 2 or not all(np.isfinite(x).all() for x in (held_out, trained, z)):
        raise BadInput("the likelihood lines need two finite rows of each: give more data, or fit again")
    return [_log_likelihood(held_out, trained, z.shape[1], quantum), _coordinates(z), _norm(z)]


def _log_likelihood(
    held_out: NDArray[np.floating], trained: NDArray[np.floating], d: int, quantum: float | None
) -> Finding:
    mean, error = float(held_out.mean()), float(held_out.std(ddof=1)) / math.sqrt(len(held_out))
    gap = float(trained.mean()) - mean
    both = math.hypot(error, float(trained.std(ddof=1)) / math.sqrt(len(trained)))
    bits = "" if quantum is None else f" ({-mean / d / math.log(2) - math.log2(quantum):.3f} bits a value, at most)"
    note = (
        f"Mean log p(x) of held-out samples in nats{bits}, and as the floor that of training samples: the gap, "
        f"{gap:.3g} ± {both:.2g}, is what was learned by heart."
    )
    return Finding(
        "log-likelihood",
        mean,
        (mean - Z * both, mean + Z * both),
        float(trained.mean()),
        NATS * d,
        float(stats.norm.sf(gap / both)) if both > 0 else 1.0,
        "lower",
        note,
    )


def _coordinates(z: NDArray[np.floating]) -> Finding:
    tests = [stats.kstest(column, "norm") for column in z.T]
    d, worst = z.shape[1], int(np.argmax([test.statistic for test in tests]))
    note = (
        "Largest distance, over the coordinates, between the distribution function of held-out latents and that of "
        f"N(0, 1): coordinate {worst} of {d}; the floor is what latents that are normal reach."
    )
    p_value = min(1.0, d * min(float(test.pvalue) for test in tests))
    return _distance("latent coordinates", float(tests[worst].statistic), len(z), d, p_value, note)


def _norm(z: NDArray[np.floating]) -> Finding:
    test = stats.kstest(np.square(z).sum(1), "chi2", args=(z.shape[1],))
    note = (
        "Distance between the distribution function of |z|^2 of held-out latents and that of chi-square with "
        f"{z.shape[1]} degrees of freedom; the floor is what latents that are normal reach."
    )
    return _distance("latent norm", float(test.statistic), len(z), 1, float(test.pvalue), note)


def _distance(name: str, value: float, n: int, d: int, p_value: float, note: str) -> Finding:
    """A Kolmogorov distance: its 95% interval and the median of the largest of d by Massart's bound 2 exp(-2 n t^2)."""
    half = math.sqrt(math.log(2 / 0.05) / (2 * n))
    floor = math.sqrt(math.log(2 * d / math.log(2)) / (2 * n))
    return Finding(name, value, (max(0.0, value - half), value + half), floor, DISPLACED, p_value, "higher", note)
