"""A look before the walk: two thousand calls that tell the moments, the gains, and where to step.

It is the same for every run of the same denoiser, so that samples depend on their index only.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import informed
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.linalg import Covariance, bins
from monge.protocols import Denoiser
from monge.samplers.diffusion.calibration import Calibrated, Calibrating, Calibration, matched
from monge.samplers.diffusion.descent import Descent, Look, Trajectory, noise_levels
from monge.samplers.diffusion.linearisation import LEAST, Gains, Linearisation
from monge.samplers.diffusion.scale import AFAR, coarse, of_moments, point
from monge.samplers.diffusion.solvers import ExponentialMultistep

PILOT_ROWS, LEVELS = 64, 30
CALIBRATION_ROWS, CALIBRATION_VALUES = 2000, 2**17
PILOT_VALUES = 2**20  # fewer rows for events of more than 16,384 values
HIGHEST, LOWEST = 5.0, 0.01  # levels that are looked at, times the largest principal s.d.
NEAREST = 2.0  # no walk begins below it, in the same unit
NATS = 0.05  # over the number of steps: between the law of y where the walk begins and the Gaussian it begins with
SPACING = 0.45  # steps stand as this power of the curvature of q
EARLY = 0.3  # of the error that a step makes, this power of what it has shrunk to at the end: early ones choose modes
EVEN = 0.1  # share of steps that stand evenly
SURE = 1e-6  # least gain where it is not Wiener's


class Plan(NamedTuple):
    """What was found out of a denoiser, to walk by; it belongs to the denoiser, and not to a number of samples.

    moments: of its law. gains: if they were measured. calls: rows of all calls that it took. calibration: what makes
    its moments those of the data, where these were to be kept; and the samples that it was found with, until they
    were looked at.
    """

    moments: Gaussian
    gains: Gains | None = None
    calls: int = 0
    calibration: Calibration | None = None
    ends: Tensor | None = None

    def state(self) -> dict[str, Tensor]:
        """Tensors for a file; `from_state` is the inverse."""
        groups = {"moments": self.moments.state()}
        groups |= {
            name: part._asdict() for name in ("gains", "calibration") if (part := getattr(self, name)) is not None
        }
        return {f"{group}/{name}": value for group, state in groups.items() for name, value in state.items()}

    def calibrated(self, denoiser: Denoiser) -> Denoiser:
        """The denoiser that this plan is of: as it was given, or made right in its moments."""
        return denoiser if self.calibration is None else Calibrated(denoiser, self.calibration, self.moments)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Plan":
        """What `state` gave."""
        groups: dict[str, dict[str, Tensor]] = {"moments": {}, "gains": {}, "calibration": {}}
        for path, value in state.items():
            group, _, name = path.partition("/")
            groups[group][name] = value
        gains, calibration = groups["gains"], groups["calibration"]
        return cls(
            Gaussian.from_state(groups["moments"]),
            Gains(**gains) if gains else None,
            calibration=Calibration(**calibration) if calibration else None,
        )


@torch.no_grad()
def pilot(
    denoiser: Denoiser,
    event_shape: tuple[int, ...],
    moments: Gaussian | None = None,
    *,
    lowest: float = 0.0,
    highest: float = math.inf,
    calibrate: Gaussian | None = None,
    atoms: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    show: bool = False,
) -> Plan:
    """Gains, and before them moments unless they are given or the denoiser's own.

    Moments are those of the ends of a rough walk over levels 80 to .002 times the law's width (see
    `monge.samplers.diffusion.scale`), 64 samples in 30 calls; gains and pace are read off a second one, between 5 and
    .01 times the largest principal s.d., and not below `lowest`. highest: a level above which the width is not looked
    for, unless the law is wider. The plan may be given to any walk of this denoiser.

    calibrate: the moments of the data, which are to be those of the law that is walked through though the denoiser was
    learned and errs: the look is then at up to 2,000 samples (`calibration_rows`), and the plan is that of
    `plan.calibrated(denoiser)`. atoms: whether the law is one of atoms: the last answer is then left as it is.

    Raises NumericalFailure if the denoiser's answers are not finite, BadInput if they have another shape than y.

    >>> from monge.denoisers import Oracle; from monge.densities import Gaussian
    >>> plan = pilot(Oracle(Gaussian(torch.zeros(2), torch.eye(2))), (2,), dtype=torch.float64)
    >>> plan.calls, bool(plan.gains.excess.abs().max() < 1e-4)  # of Wiener's gains
    (1920, True)
    """
    if calibrate is not None and (
        not isinstance(calibrate, Gaussian) or tuple(calibrate.event_shape) != tuple(event_shape)
    ):
        came = f"one of events {list(calibrate.event_shape)}" if isinstance(calibrate, Gaussian) else f"{calibrate!r}"
        raise BadInput(f"calibrate is the Gaussian of the moments of the data, events {list(event_shape)}, not {came}")
    rows = pilot_rows(event_shape) if calibrate is None else calibration_rows(event_shape)
    denoiser = informed(denoiser)
    rows = min(rows, denoiser.count or rows)
    denoiser = denoiser.rows(0, rows)
    moments = moments if moments is not None else denoiser.moments
    moments = moments if moments is not None else calibrate
    z = rng.normal((rows, *event_shape), 0, "pilot", dtype=dtype, device=device)
    calls = rows * LEVELS * (1 if moments is not None else 2)
    with progress.bar("looking where to step", calls, show=show) as advance:

        def walk(mean: Tensor, linear: Linearisation, y: Tensor, grid: Tensor, look: Look | None = None) -> Trajectory:
            descent = Descent(denoiser, ExponentialMultistep(2), mean, linear, trace=True, look=look, advance=advance)
            return descent.trajectory(descent.run(y, grid))

        if moments is None:
            scale = coarse(denoiser, event_shape, least=lowest, most=highest, dtype=dtype, device=device)
            ends = max(lowest, scale.rough[0]), scale.rough[1]
            rough = noise_levels(LEVELS, ends[0], min(ends[1], max(highest, AFAR / 2 * scale.width)))
            calls += scale.calls
            begin = scale.moments.noised(rough[0].item()).from_noise(z)
            moments = Gaussian.estimate(walk(scale.mean, flat(scale.moments.covariance), begin, rough).x)
        if float(moments.covariance.eigenvalues.max()) < point(moments.mean) ** 2:
            moments = of_moments(moments).moments
        linear, law = flat(moments.covariance), moments
        ends = HIGHEST * linear.top, max(LOWEST * linear.top, lowest, point(law.mean))
        grid = torch.linspace(math.log(ends[0]), math.log(ends[1]), LEVELS, dtype=torch.float64).exp()
        excess: list[Tensor] = []

        def look(y: Tensor, x_hat: Tensor, sigma: float) -> Linearisation:
            """Gains as they are at this level, kept to the next."""
            excess.append(excess_gains(y, x_hat, sigma, law))
            around = math.log(sigma) + torch.tensor([-1.0, 1.0], dtype=torch.float64)
            return Linearisation(law.covariance, Gains(around, excess[-1].expand(2, -1), torch.ones_like(around)))

        top = law.noised(ends[0])
        begin = top.from_noise(z)
        if calibrate is not None:
            denoiser = Calibrating(denoiser, calibrate, least=grid[-1].item() if atoms else 0.0)
            begin = matched(begin, calibrate.noised(ends[0]))
        way = walk(law.mean, linear, begin, grid, look)
    gains = Gains(grid.log().flip(0), torch.stack(excess).flip(0), torch.ones_like(grid))
    few = way._replace(y=way.y[:, :PILOT_ROWS], x_hat=way.x_hat[:, :PILOT_ROWS])
    plan = Plan(law, gains._replace(pace=pace_along(few, law.rows(0, PILOT_ROWS), gains)), calls)
    if isinstance(denoiser, Calibrating):
        last = way.x_hat[-1] if atoms else way.x
        return plan._replace(moments=denoiser.law, calibration=denoiser.calibration(), ends=last)
    return plan


def pilot_rows(event_shape: tuple[int, ...]) -> int:
    """Samples that a pilot looks at."""
    return max(2, min(PILOT_ROWS, PILOT_VALUES // math.prod(event_shape)))


def calibration_rows(event_shape: tuple[int, ...]) -> int:
    """Samples by which moments are made right."""
    return max(pilot_rows(event_shape), min(CALIBRATION_ROWS, CALIBRATION_VALUES // math.prod(event_shape)))


def flat(covariance: Covariance) -> Linearisation:
    """The linear part of a denoiser of which nothing is known: none, g = 0."""
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    excess = ends.new_full((2, int(bins(covariance.eigenvalues).max()) + 1), LEAST)
    return Linearisation(covariance, Gains(ends, excess, torch.ones_like(ends)))


def excess_gains(y: Tensor, x_hat: Tensor, sigma: float, moments: Gaussian) -> Float[Tensor, " bins"]:
    """Log-odds of the gains at one level, less Wiener's, from noisy samples and what the denoiser makes of them.

    With r = U'(D - y), 1 - g = E r^2 / sigma^2. Its log is estimated with that of Wiener's filter on the same samples,
    whose mean is known, as control variate, so that a Gaussian's is exact. Float64, on the CPU.
    """
    covariance = moments.covariance
    away, r = (covariance.coordinates(frame).double().cpu() for frame in (y - moments.mean.to(y), x_hat - y))
    lam = covariance.eigenvalues.double().cpu()
    wiener = sigma**2 / (lam + sigma**2)  # its 1 - g
    bin_of = bins(lam).flatten()
    members = torch.bincount(bin_of).double()

    def pooled(values: Tensor) -> Tensor:
        """Means over the directions of each bin, [n, bins]."""
        return values.new_zeros(len(values), len(members)).index_add(1, bin_of, values.flatten(1)) / members

    seen, known = (pooled(f.square() / (wiener * sigma**2)).clamp_min(SURE) for f in (r, wiener * away))  # of mean 1
    deviation, control = (each / each.mean(0) - 1 for each in (seen, known))
    share = (deviation * control).mean(0) / control.square().mean(0)
    ratio = (seen.mean(0).log() - share * known.mean(0).log()).exp().clamp_min(1.0)
    rest = pooled(wiener[None])[0]
    gain = (1 - rest).clamp_min(torch.finfo(rest.dtype).tiny)
    return ((gain - rest * (ratio - 1)).maximum(gain.clamp_max(SURE)) / (gain * ratio)).log()


def pace_along(way: Trajectory, moments: Gaussian, gains: Gains) -> Float[Tensor, " levels"]:
    """How closely steps should stand at each level: as a power of the mean curvature of q in log sigma."""
    covariance, log_sigma = moments.covariance, gains.log_sigma
    linear = Linearisation(covariance, gains)
    rest, clock = linear.rest(log_sigma).cpu()[:, None], linear.clock(log_sigma).cpu()[:, None]
    v, r = (
        torch.stack([covariance.coordinates(frame).double().cpu() for frame in frames.flip(0)])
        for frames in (way.y - moments.mean.to(way.y), way.x_hat - way.y)
    )
    q = v + r / rest
    weight = rest * torch.exp(EARLY * (clock - clock[:1]))
    bend = (q[2:] - 2 * q[1:-1] + q[:-2]) * weight[1:-1]
    pace = bend.square().flatten(2).sum(2).mean(1).sqrt() ** SPACING
    pace = torch.cat([pace[:1], pace, pace[-1:]])
    return pace / pace.mean() + EVEN if pace.sum() > 0 else torch.ones_like(pace)


def steps(linear: Linearisation, n: int, sigma_min: float | None = None, sigma_max: float | None = None) -> Tensor:
    """n falling levels [n], float64, where the pilot saw q bend; the last call is above the end of the walk, or at
    sigma_min if that is given, and the first where the law is Gaussian to .05 / n nats, or at sigma_max.
    """
    gains = linear.gains
    if gains is None:
        raise BadInput("steps are placed by gains, and this linearisation has none")
    log_sigma = gains.log_sigma.cpu()
    lowest, highest = log_sigma[0].exp().item(), log_sigma[-1].exp().item()
    least = min(NEAREST * linear.top, highest)
    begin = log_sigma[(linear.information().cpu() > NATS / n).sum().clamp_max(len(log_sigma) - 1)].exp().item()
    first = sigma_max if sigma_max is not None else max(least, begin)
    last = sigma_min if sigma_min is not None else min(lowest, first / 2)
    if not last < first:
        raise BadInput(f"sigma_min={last} is above the level at which this law is Gaussian, {first:.3g}: lower it")
    t = torch.linspace(math.log(first), math.log(last), 512, dtype=torch.float64)
    pace = torch.from_numpy(np.interp(t.numpy(), log_sigma.numpy(), gains.pace.cpu().numpy()))
    passed = torch.cat([t.new_zeros(1), ((pace[1:] + pace[:-1]) / 2).cumsum(0)])
    share = torch.arange(n, dtype=torch.float64) / (max(1, n - 1) if sigma_min is not None else n)
    placed = np.interp((share * passed[-1]).numpy(), passed.numpy(), t.numpy())
    return torch.from_numpy(placed).exp()
