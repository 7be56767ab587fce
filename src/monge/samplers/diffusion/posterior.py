"""Draws of x given an observation, by a denoiser that was learned without it (course (21))."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import Guided, Oracle, informed
from monge.densities import Gaussian, GaussianMixture
from monge.doors import number, one_of, whole
from monge.errors import BadInput
from monge.observations import DENSE, Exact, Linear, Observation, conditioned
from monge.protocols import Denoiser
from monge.samplers.diffusion.annealing import Annealing, SpectralAnnealing
from monge.samplers.diffusion.descent import noise_levels
from monge.samplers.diffusion.linearisation import Linearisation
from monge.samplers.diffusion.particles import Cloud, Particles
from monge.samplers.diffusion.pilot import Plan, pilot, steps
from monge.samplers.diffusion.reverse import check, planned

EXACTNESS = {
    "exact": "exact, in closed form",
    "particles": "exact as particles and steps become many",
    "moments": "biased: the law of x given y is taken for Gaussian",
    "wiener": "biased: the law of x given y is taken for Gaussian, of the covariance of a Gaussian law",
    "pi-gdm": "biased: the law of x given y is taken for Gaussian with one variance",
    "daps": "biased: the law of x given y is taken for Gaussian, of the covariance of a Gaussian law",
    "dps": "biased and over-confident: x is taken for its posterior mean",
    "ddrm": "biased: the posterior mean is taken for x where it is not seen better",
    "diffpir": "biased: the posterior mean is moved to where it fits",
}
RENEWED, SPECTRAL = ("daps", "diffpir"), "ddrm"  # which go from level to level by new noise; by singular directions
LOST = 1.0  # nats of error from which the evidence is not known, and the particles are one
MANY = 64  # values of an observation, above which few particles would count
COLLAPSED = 0.05  # share of the particles that count, at some level, below which it is told
ALONE = 3.0  # particles that count at the end, below which it is told


@dataclass(frozen=True)
class Posterior:
    """Draws from p(x | obs), and how far to believe them.

    x: [n, *event]. weights: [n], of sum 1. method, exactness: how they were drawn, and what of it is exact. calls: of
    the denoiser a sample. sigma, ess: levels, and the share of the particles that counted there. log_evidence: log
    p(obs) in nats and its standard error, NaN where the method does not tell. doubts: in words. counted: of how many
    particles that count these are draws.
    """

    x: Float[Tensor, "n *event"]
    weights: Float[Tensor, " n"]
    method: str
    exactness: str
    calls: int
    sigma: Float[Tensor, " k"] = field(default_factory=lambda: torch.zeros(0))
    ess: Float[Tensor, " k"] = field(default_factory=lambda: torch.zeros(0))
    log_evidence: float = math.nan
    log_evidence_error: float = math.nan
    doubts: tuple[str, ...] = ()
    counted: float = math.inf

    @property
    def effective(self) -> float:
        """Draws that count, 1 / sum w^2; of draws from weighted particles no more than those that counted."""
        return min(float(1 / self.weights.square().sum()), self.counted)

    @property
    def weighted(self) -> bool:
        """Whether some draws count more than others."""
        return bool((self.weights - self.weights.mean()).abs().max() > 1e-9)

    def mean(self) -> Float[Tensor, "*event"]:
        return self._weighed(self.x)

    def std(self) -> Float[Tensor, "*event"]:
        return self._weighed((self.x - self.mean()).square()).sqrt()

    def _weighed(self, value: Tensor) -> Tensor:
        return (self.weights.to(value) @ value.flatten(1)).reshape(value.shape[1:])

    def quantile(self, q: float) -> Float[Tensor, "*event"]:
        """Of each value, by weight: the lowest that a share q of the weight does not exceed.

        Raises BadInput for q outside 0 to 1.
        """
        number(q, "q", "q is a share, 0 to 1", most=1.0)
        x, order = self.x.flatten(1).sort(0)
        passed = self.weights.to(x)[order].cumsum(0)
        place = (passed < q * passed[-1] - 1e-6).sum(0).clamp_max(len(x) - 1)
        return x.gather(0, place[None])[0].reshape(self.x.shape[1:])

    def sample(self, n: int, *, seed: int = 0) -> Float[Tensor, "n *event"]:
        """n draws of equal weight, systematically by their weights, in random order."""
        u = rng.uniform((1, 1), seed, "resampled", dtype=torch.float64)[0]
        at = (torch.arange(whole(n, "n"), dtype=torch.float64) + u) / n
        rows = torch.searchsorted(self.weights.double().cpu().cumsum(0), at).clamp_max(len(self.x) - 1)
        return self.x[rows[torch.randperm(n, generator=rng.generator(seed, "resampled"))].to(self.x.device)]

    def to_arviz(self) -> Any:
        """ArviZ's `InferenceData` of as many draws of equal weight, one chain."""
        import arviz  # 2 s to import

        return arviz.from_dict(posterior={"x": self.sample(len(self.x)).cpu().numpy()[None]})


def posterior(
    denoiser: Denoiser,
    event_shape: tuple[int, ...],
    n: int,
    observation: Observation,
    *,
    method: str | None = None,
    nfe: int = 100,
    particles: int = 128,
    alpha: float | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    seed: int = 0,
    moments: Gaussian | None = None,
    plan: Plan | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    show: bool = False,
) -> Posterior:
    """Draw from p(x | obs) ~ p(x) p(obs | x), where a denoiser tells p(x).

    method: "exact" for an `Oracle` of a Gaussian or a mixture and a linear observation; taken where it can be.
        "particles": twisted sequential Monte Carlo (`Particles`), with weights and log p(obs), exact as particles and
        steps become many; taken for observations of up to 64 values and likelihoods of your own. (Of more values few
        particles count, and of more than 1,024 the evidence is not found.) The others are biased, and walk to x in
        nfe calls. "daps", taken for more values: x is drawn from N(D, S) given the observation, S the covariance of x
        given y of a Gaussian law, and noise of the next level is new (decoupled annealing, Zhang et al. 2024: a split
        Gibbs sampler whose coupling falls, its draws in closed form); exact for Gaussian laws. "diffpir": the same by
        the mean of that draw, of one variance. "ddrm": each singular direction of A by itself (`SpectralAnnealing`).
        "moments", "wiener", "pi-gdm" and "dps": reverse diffusions of a `Guided` denoiser, by as many derivatives, or
        more.
    nfe: calls of the denoiser a sample. particles: how many go together; of fewer samples than that these are drawn of
        them, of more there are several systems, whose weights are by their evidence.
    alpha: of these reverse diffusions; 1 unless it is given. sigma_min, sigma_max, moments, plan: as in
    `monge.samplers.reverse_diffusion`.

    Raises BadInput for an observation of other events, a likelihood that is 0 wherever the law is, and a method that
    there is not, or not for this.

    >>> from monge.observations import Linear
    >>> D = Oracle(GaussianMixture(torch.tensor([[-2.0], [2.0]]), torch.tensor([0.1, 0.1])))
    >>> found = posterior(D, (1,), 1000, Linear(torch.eye(1), torch.tensor([1.0]), 1.0), method="particles")
    >>> bool((found.mean() - 1.815).abs() < 0.1), found.exactness
    (True, 'exact as particles and steps become many')
    """
    if not isinstance(observation, Observation):
        raise BadInput(f"an observation is one of monge.observations, not {type(observation).__name__}")
    observation.fits(tuple(event_shape), dtype)
    n, nfe, particles = whole(n, "n"), whole(nfe, "nfe"), whole(particles, "particles")
    known = isinstance(denoiser, Oracle) and isinstance(denoiser.density, Gaussian | GaussianMixture)
    closed = known and isinstance(observation, Linear)
    many = isinstance(observation, Linear) and observation.size > MANY
    asked, method = method, ("exact" if closed else "daps" if many else "particles") if method is None else method
    one_of(method, tuple(EXACTNESS), "method")
    if method in ("exact", "particles", *RENEWED, SPECTRAL) and alpha is not None:
        raise BadInput(f"{method} goes by kernels of its own: leave alpha out, or take another method")
    if method in (*RENEWED, SPECTRAL) and not isinstance(observation, Linear):
        raise BadInput(
            f'{method} is for linear observations: take "particles", or "moments" or "dps", which are biased'
        )
    check(n, nfe, 1.0 if alpha is None else alpha, sigma_min, sigma_max)
    if method == "exact":
        if not closed:
            raise BadInput('method="exact" is for an Oracle of a Gaussian or a mixture, and a Linear observation')
        return _closed(conditioned(denoiser.density, observation), n, seed)  # type: ignore[attr-defined]
    options: dict[str, Any] = {"dtype": dtype, "device": device}
    moments = moments if moments is not None else informed(denoiser).moments
    guessed = None not in (sigma_min, sigma_max) and moments is None and method != "particles"
    if plan is None and not guessed:
        plan = pilot(denoiser, event_shape, moments, **options, show=show)
    ends = {"sigma_min": sigma_min, "sigma_max": sigma_max}
    way = _Way(denoiser, tuple(event_shape), observation, moments, plan, nfe, ends, seed, options, show)
    if method != "particles":
        return way.walked(n, method, alpha)
    found = way.particles(n, particles)
    if asked is None and isinstance(observation, Linear) and not found.log_evidence_error < LOST:
        other = way.walked(n, "daps", None)
        tried = "of the particles that were tried all came from one: ask for more of them"
        return replace(other, doubts=(*other.doubts, tried))
    return found


class _Way(NamedTuple):
    """From noise to samples that agree with an observation."""

    denoiser: Denoiser
    event_shape: tuple[int, ...]
    observation: Observation
    moments: Gaussian | None
    plan: Plan | None
    nfe: int
    ends: dict[str, float | None]
    seed: int
    options: dict[str, Any]
    show: bool

    def guided(self, how: str | None) -> Guided:
        """The denoiser that was told."""
        law = self.moments if self.moments is not None or self.plan is None else self.plan.moments
        return Guided(self.denoiser, self.observation, how, law)

    def walked(self, n: int, method: str, alpha: float | None) -> Posterior:
        """By a guided walk."""
        guided = self.guided({"daps": "wiener", "ddrm": "dps"}.get(method, method))
        alpha = (math.inf if method in RENEWED else 1.0) if alpha is None else alpha
        ends = self.ends["sigma_min"], self.ends["sigma_max"]
        about = (self.moments, self.plan, ends, self.options, self.show)
        plan, linear, known = planned(informed(self.denoiser), self.event_shape, *about)
        grid = noise_levels(self.nfe, *known) if known else steps(linear, self.nfe, *ends)
        law = self.moments or plan.moments
        walk = (
            SpectralAnnealing(guided, law, seed=self.seed)
            if method == SPECTRAL
            else Annealing(guided, law, drawn=method == "daps", alpha=alpha, seed=self.seed)
        )
        with progress.bar("drawing from the posterior", n * self.nfe, show=self.show) as advance, torch.no_grad():
            x = walk.run(n, grid, self.options, advance).to(self.options["dtype"])
        seen = self.observation
        x = seen.met(x)
        doubts = seen.notes + seen.unmet(x)
        return Posterior(x, torch.full((n,), 1 / n), method, EXACTNESS[method], self.nfe, doubts=doubts)

    def particles(self, n: int, together: int) -> Posterior:
        """By systems of particles."""
        assert self.plan is not None
        systems = max(1, n // together)
        each = max(together, -(-n // systems))
        linear = Linearisation(self.plan.moments.covariance, self.plan.gains)
        grid = steps(linear, self.nfe, *self.ends.values())
        z = rng.normal((systems * each, *self.event_shape), self.seed, "start", **self.options)
        law = self.moments or self.plan.moments
        walk = Particles(self.guided(None), law.mean.to(z), linear, systems, each, self.seed)
        with progress.bar("drawing from the posterior", len(z) * self.nfe, show=self.show) as advance, torch.no_grad():
            cloud = walk.run(law.noised(grid[0].item()).from_noise(z), grid, advance)
        found = _weighed(cloud, n, self.nfe, self.seed, self.observation.notes)
        found = replace(found, doubts=found.doubts + self.observation.unmet(found.x))
        if isinstance(self.observation, Linear) and self.observation.size > DENSE:
            return replace(found, log_evidence=math.nan, log_evidence_error=math.nan)
        return found


def _closed(law: Exact, n: int, seed: int) -> Posterior:
    evidence: dict[str, Any] = {"log_evidence": law.log_evidence, "log_evidence_error": 0.0}
    x, even = law.sample(n, seed=seed), torch.full((n,), 1 / n)
    doubts = law.observation.notes + law.observation.unmet(x)
    return Posterior(x, even, "exact", EXACTNESS["exact"], 0, **evidence, doubts=doubts)


def _weighed(cloud: Cloud, n: int, nfe: int, seed: int, notes: tuple[str, ...]) -> Posterior:
    """Systems together, each by its evidence, and what there is to doubt."""
    log_z = cloud.log_evidence
    systems, each = cloud.log_weights.shape
    if not bool(log_z.isfinite().any()):
        raise BadInput(
            "the likelihood is 0 at every sample: the law excludes what was seen, or log_likelihood is -inf everywhere"
        )
    total = log_z.logsumexp(0)
    weights = (cloud.log_weights + (log_z - total)[:, None]).exp().flatten()
    variance = (cloud.variance * (2 * (log_z - total)).exp()).sum()
    if systems > 1:  # between systems, what each of them says of itself beside
        shares = (log_z - total).exp()
        between = (shares - 1 / systems).square().sum() * systems / (systems - 1)
        variance = torch.maximum(variance, between)
    ess = (cloud.ess / each).mean(1)
    doubts = list(notes)
    if float(ess.min()) < COLLAPSED:
        doubts.append(f"at sigma {float(cloud.sigma[ess.argmin()]):.3g} only {float(ess.min()):.1%} of them counted")
    if float(1 / weights.square().sum()) < ALONE:
        doubts.append("the weights collapsed: hardly more than one particle counts")
    if not variance < LOST**2:
        doubts.append("the evidence is not known: all particles come from one; ask for more particles")
    x = cloud.x.flatten(0, 1)
    told: dict[str, Any] = {"sigma": cloud.sigma, "ess": ess, "doubts": tuple(doubts)}
    told |= {"log_evidence": float(total) - math.log(systems), "log_evidence_error": float(variance.sqrt())}
    found = Posterior(x, weights, "particles", EXACTNESS["particles"], nfe, **told)
    if len(x) == n:
        return found
    drawn, even = found.sample(n, seed=seed), torch.full((n,), 1 / n)
    return replace(found, x=drawn, weights=even, counted=found.effective)
