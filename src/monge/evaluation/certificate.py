"""Is a denoiser the one it should be? Its variance, its bias, and what it costs the law (course, sections 1 and 11)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers import denoised, informed
from monge.doors import finite
from monge.errors import BadInput
from monge.evaluation.decision import Finding
from monge.evaluation.identities import IDENTITIES, Seen, Violation, bands_of, by_band, look
from monge.evaluation.statistics.resampling import Interval, Z
from monge.protocols import Denoiser

FEWEST = 20  # events, of which a mean has an error
TINY = 1e-300
HARMLESS = 0.05  # share of the denoising error that excess is


class Estimate(NamedTuple):
    """A mean over events, and its standard error."""

    value: float
    error: float

    @property
    def interval(self) -> Interval:
        return self.value - Z * self.error, self.value + Z * self.error

    @classmethod
    def of(cls, values: Float[Tensor, " n"]) -> "Estimate":
        return cls(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


class Check(NamedTuple):
    """An identity at one level. tests: estimates by what is tested, in the unit of the identity; worst: that which
    deviates most; p_value: of so much by chance, corrected for the number of tests; cost: the excess error
    E|D - D*|^2 / d that it is, over the error, at least (where the mean is two errors nearer to 0), likely and at most;
    None where it may be of another level. rounding: a mean that is none.

    The standard error is that of the events or, if it is larger, the one that they would have if D were optimal.
    """

    tests: dict[str, Estimate]
    worst: str
    p_value: float
    cost: tuple[float, float, float] | None
    one_sided: bool
    rounding: float = 0.0

    @property
    def value(self) -> float:
        """Of the test that deviates most."""
        return self.tests[self.worst].value

    @property
    def error(self) -> float:
        """Its standard error."""
        return self.tests[self.worst].error

    def power(self, test: str, effect: float, level: float = 0.05) -> float:
        """The chance that a violation of this size is found at a level, in the unit of the identity.

        >>> check = Check({"scale": Estimate(0.0, 0.01)}, "scale", 1.0, None, False)
        >>> round(check.power("scale", 0.03), 3)
        0.851
        """
        from scipy.stats import norm

        error = self.tests[test].error
        if abs(effect) <= self.rounding or error == 0:
            return float(abs(effect) > self.rounding)
        sides = 1 if self.one_sided else 2
        bar, gap = norm.isf(level / sides / len(self.tests)), abs(effect) / error
        return float(norm.sf(bar - gap) + (0.0 if self.one_sided else norm.sf(bar + gap)))


class At(NamedTuple):
    """What was found at one level, all squares over d, in squares of the unit of the events.

    error: E|D - x|^2, of the first fit. disagreement: mean of |D_i - mean D|^2 over the fits, |D_A - D_B|^2 / 4 of two,
    and bands: its parts by octave of frequency, or coordinate; variance: that of one fit, k / (k - 1) times as much.
    bias: E|mean D - D*|^2, and excess: mean over the fits of |D_i - x|^2 - |D* - x|^2, which is bias + disagreement but
    for chance. None where there is one fit, or no optimum. checks: by identity, of the first fit.
    """

    sigma: float
    error: Estimate
    disagreement: Estimate | None
    bands: dict[str, float]
    variance: Estimate | None
    bias: Estimate | None
    excess: Estimate | None
    checks: dict[str, Check]


@dataclass(frozen=True, eq=False)
class Certificate:
    """What `certificate` found: `print` it for a table.

    at: by level. nats: a bound on KL(p | p_G) of draws by the reversed diffusion (alpha = 1) from the highest level to
    the lowest, of two or more; known where the optimum is given. variance_nats: the part of it that is variance, which
    twins tell. n: events.
    """

    at: tuple[At, ...]
    nats: Estimate | None
    variance_nats: Estimate | None
    n: int

    def p_value(self, identity: str) -> float:
        """Of an identity at all levels: the least, corrected for their number."""
        return min(1.0, len(self.at) * min(part.checks[identity].p_value for part in self.at))

    @property
    def rejected(self) -> tuple[str, ...]:
        """The identities that do not hold, each at a level of 5%."""
        return tuple(name for name in self.at[0].checks if self.p_value(name) <= 0.05)

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON knows."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(part) for name, part in value.items()}
            return plain(value._asdict()) if hasattr(value, "_asdict") else value

        return {
            "n": self.n,
            "nats": plain(self.nats),
            "variance_nats": plain(self.variance_nats),
            "identities": {name: self.p_value(name) for name in self.at[0].checks},
            "levels": [plain(part) for part in self.at],
        }

    def __str__(self) -> str:
        levels: list[tuple[str, ...]] = [("sigma", "error", "variance", "bias", "excess")]
        for part in self.at:
            shares = (part.variance, part.bias, part.excess)
            told = ("-" if e is None else f"{e.value / part.error.value:.2%}" for e in shares)
            levels.append((f"{part.sigma:.3g}", f"{part.error.value:.4g}", *told))
        rows: list[tuple[str, ...]] = [("identity", "worst at sigma", "off by", "costs at least", "p")]
        for name in self.at[0].checks:
            check, sigma = self.worst(name)
            off = f"{check.value:+.3g} ± {check.error:.2g}"
            least = "-" if check.cost is None else f"{check.cost[0]:.2%}"
            rows.append((name, f"{sigma:.3g}", off, least, f"{self.p_value(name):.2g}"))
        lines = [*_table(levels), "variance, bias, excess: shares of the error"]
        if len(rows) > 1:
            lines += ["", *_table(rows), "off by: 0 of an optimal denoiser; costs: share of the error there"]
            failed = self.rejected
            lines.append(f"do not hold: {', '.join(failed)}" if failed else "all hold, as far as these events tell")
        for nats, what in ((self.nats, "KL(p | p_G)"), (self.variance_nats, "of it, by variance")):
            if nats is not None:
                between = f"between sigma {self.at[-1].sigma:.3g} and {self.at[0].sigma:.3g}"
                most = f"at most {nats.value:.3g} ± {nats.error:.2g} nats"
                lines.append(f"{what}, of the reversed diffusion {between}: {most}")
        return "\n".join(lines)

    def worst(self, identity: str) -> tuple[Check, float]:
        """Of an identity: the check with the least p-value, and its level."""
        part = min(self.at, key=lambda part: part.checks[identity].p_value)
        return part.checks[identity], part.sigma

    def findings(self) -> list[Finding]:
        """Lines for an audit: of each identity that tells it the excess error at its worst level, as a share of the
        denoising error; 5% is harmless."""
        found = []
        for name in self.at[0].checks:
            check, sigma = self.worst(name)
            if check.cost is None:
                continue
            low, likely, high = check.cost
            note = (
                f"Excess denoising error that {check.worst} at sigma {sigma:.3g} shows, {check.value:.3g} ± "
                f"{check.error:.2g} where an optimal denoiser has 0, as a share of the error."
            )
            told = likely, (low, high), 0.0, HARMLESS, self.p_value(name)
            found.append(Finding(name, *told, "higher", note, "denoiser"))
        return found


def certificate(
    denoiser: Denoiser,
    x: Any,
    levels: Sequence[float],
    *,
    twins: Sequence[Denoiser] = (),
    optimum: Denoiser | None = None,
    identities: Sequence[str] = tuple(IDENTITIES),
    seed: int = 0,
) -> Certificate:
    """The variance of a denoiser, its bias, and whether it satisfies what an optimal one does, at each level.

    x: [n, *event] events of the law that none of the fits learned from. levels: noise levels sigma, in the unit of x.
    twins: further fits, on other events of the law. optimum: D*, where it is known (`monge.denoisers.Oracle`).

    With an optimum, E|D - x|^2 = E|D* - x|^2 + E|D - D*|^2, and the mean of the last over fits is bias + disagreement.
    Without one, identities that hold for D* alone bound E|D - D*|^2 from below (`monge.evaluation.IDENTITIES`).

    What it costs the law: by Girsanov's theorem the path laws of the reversed diffusions of D and of D*, begun alike,
    have KL = integral of E|D - D*|^2 / sigma^3 dsigma, and that of their ends is no more (course, section 6.2): nats,
    by straight lines between the levels over log sigma. The deterministic transport is not bounded by it.

    Raises BadInput for fewer than 20 events, values that are not finite, levels that are not above 0 and increasing,
    another identity, and a blind denoiser, which is not told the level.

    >>> from monge.denoisers import Oracle
    >>> from monge.densities import Gaussian
    >>> law = Gaussian(torch.zeros(4), torch.eye(4))
    >>> found = certificate(lambda y, s: 0.9 * Oracle(law)(y, s), law.sample(500), [0.5, 1.0], optimum=Oracle(law))
    >>> "orthogonality" in found.rejected, round(found.at[1].bias.value, 3)  # .01 E|D*|^2 / d = .005
    (True, 0.005)
    """
    x = finite(torch.as_tensor(x), "x").detach()
    levels = [float(level) for level in levels]
    if x.ndim < 2 or len(x) < FEWEST:
        raise BadInput(f"x is [n, *event] with {FEWEST} events or more, not {list(x.shape)}")
    if not levels or not all(0 < a < math.inf for a in levels) or sorted(set(levels)) != levels:
        raise BadInput(f"levels are increasing numbers above 0, not {levels}")
    unknown = sorted(set(identities) - set(IDENTITIES))
    if unknown:
        raise BadInput(f"there is no identity {unknown[0]}: there are {', '.join(IDENTITIES)}")
    fits = [denoiser, *twins]
    for one in (*fits, *([optimum] if optimum is not None else [])):
        if informed(one).blind:
            raise BadInput(
                "a blind denoiser answers for all levels at once, and has none to be judged at: take one that is told"
            )
    at, excess, spread = [], [], []
    event = x.shape[1:]
    for i, sigma in enumerate(levels):
        seen = look(denoiser, x, sigma, seed=seed, number=i)
        answers = torch.stack([seen.x_hat, *(denoised(twin, seen.y, sigma) for twin in twins)])
        if not bool(answers.isfinite().all()):
            raise BadInput(f"a denoiser answers NaN or infinity at sigma {sigma:g}: it cannot be judged there")
        best = None if optimum is None else denoised(optimum, seen.y, sigma)
        checks = {name: _check(IDENTITIES[name](seen), seen.error) for name in identities}
        at.append(_at(seen, answers, best, checks))
        mean = answers.mean(0)
        scale = seen.d / sigma**2
        if best is not None:
            excess.append(scale * _square(answers - best, event).mean(0))
        if twins:
            spread.append(scale * _square(answers - mean, event).sum(0) / len(twins))
    return Certificate(tuple(at), _integral(excess, levels), _integral(spread, levels), len(x))


def _at(seen: Seen, answers: Tensor, best: Tensor | None, checks: dict[str, Check]) -> At:
    k, mean, event = len(answers), answers.mean(0), seen.x.shape[1:]
    away = answers - mean
    disagreement = _square(away, event).mean(0)
    bands = torch.stack([by_band(part).mean(0) for part in away]).mean(0)
    excess = None
    if best is not None:
        excess = Estimate.of(_square(answers - seen.x, event).mean(0) - _square(best - seen.x, event))
    return At(
        seen.sigma,
        Estimate.of(_square(seen.x_hat - seen.x, event)),
        None if k == 1 else Estimate.of(disagreement),
        {} if k == 1 else dict(zip(bands_of(tuple(seen.x.shape[1:])), bands.tolist(), strict=True)),
        None if k == 1 else Estimate.of(disagreement * k / (k - 1)),
        None if best is None else Estimate.of(_square(mean - best, event)),
        excess,
        checks,
    )


def _check(found: Violation, error: float) -> Check:
    """The test of an identity that deviates most."""
    from scipy.stats import t

    n, tests = found.values.shape
    values, units = found.values.cpu(), found.unit
    mean, spread = values.mean(0), values.std(0) / math.sqrt(n)
    if found.expected is not None:
        spread = torch.maximum(spread, found.expected.cpu().sum(0).sqrt() / n)
    tiny = torch.finfo(spread.dtype).tiny
    deviates = (mean / spread.clamp_min(tiny)).numpy()
    p = t.sf(deviates, n - 1) if found.one_sided else 2 * t.sf(np.abs(deviates), n - 1)
    p = np.where((mean.abs() <= found.rounding * units).numpy() | found.rare, 1.0, np.maximum(p, found.by_absence))
    worst = int(np.argmin(p - 1e-12 * np.abs(deviates)))
    scale = torch.where(units > 0, units, 1.0)
    each = [Estimate(m, s) for m, s in zip((mean / scale).tolist(), (spread / scale).tolist(), strict=True)]
    cost = None
    if found.cost is not None:
        size, margin = mean if found.one_sided else mean.abs(), Z * spread
        likely = found.cost((size.square() - spread.square()).clamp_min(0.0).sqrt() if not found.one_sided else size)
        ends = (found.cost((size - margin).clamp_min(0.0)), likely, found.cost(size + margin))
        low, mid, high = (min(1.0, float(end[worst]) / max(error, tiny)) for end in ends)  # it is a part of the error
        cost = (low, min(max(mid, low), high), high)
    p_value = min(1.0, tests * float(p[worst]))
    return Check(
        dict(zip(found.names, each, strict=True)), found.names[worst], p_value, cost, found.one_sided, found.rounding
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns to the right, but the first, of words, to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    aligned = (
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return ["  ".join(cells) for cells in aligned]


def _square(x: Tensor, event: Sequence[int]) -> Tensor:
    """|x|^2 / d of events, in double precision."""
    return x.double().square().flatten(-len(event)).mean(-1)


def _integral(parts: list[Tensor], levels: Sequence[float]) -> Estimate | None:
    """Of parts [levels][n] over log sigma; None of fewer than two levels, which are no range."""
    if len(parts) < 2:
        return None
    log = torch.tensor(levels, dtype=torch.float64).log()
    return Estimate.of(torch.trapezoid(torch.stack(parts).cpu(), log, dim=0))
