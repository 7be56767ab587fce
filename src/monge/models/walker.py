"""What a denoiser needs to be walked with: levels, moments, plan, and labels bound; however it was learned."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from monge import rng, samplers
from monge.denoisers import Informed, Labelled, Wrapper, informed, to_velocity
from monge.densities import Gaussian, likeliest
from monge.doors import function
from monge.errors import BadInput
from monge.models.thresholds import Thresholds
from monge.noise import LinearInterpolant
from monge.protocols import Denoiser, LogProb
from monge.samplers import Plan

SIGMA_MIN = 2e-3
SIGMA_MAX_WIDTHS = 10.0
PLACES, EDGES = "thresholds/places", "thresholds/edges"
COARSE = 0.25  # a grid step of more than this share of the data's s.d. is drawn to a quarter of itself
Through = Callable[[Denoiser], Denoiser]
Asked = tuple[float | None, float | None]


class Levels(NamedTuple):
    """A range of noise levels."""

    sigma_min: float
    sigma_max: float


class Walker:
    """Draws, latents and likelihoods by the denoiser of a family, in its scaled units.

    denoiser: (y [n, *event], sigma [n]) -> E[x | y], and a label [n, *k] as a third where it is told one. asked:
        sigma_min and sigma_max, where the user gave them. step: of the grid on which the data lie; 0: on none. Drawing
        then goes no lower than half of it, where rounding the posterior mean errs less than a network does (a quarter
        where a step is more than a quarter of the data's s.d., as for binary data: half a step would round rare values
        away). edges: between the points of that grid, by channel, so that each comes as often as in the data;
        quantiles: beside those of the data.

    A family makes one in `build`, lets it `look` at scaled data in `prepare`, and keeps its `tensors` with its own.

    >>> from monge.densities import Gaussian
    >>> walker = Walker(Gaussian(torch.zeros(2), torch.ones(2)).denoise, (2,))
    >>> walker.look(torch.randn(100, 2))
    >>> walker.draw(3, seed=0, nfe=5).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        denoiser: Denoiser,
        event_shape: tuple[int, ...],
        *,
        asked: Asked = (None, None),
        step: float = 0.0,
        edges: Float[Tensor, "c k"] | None = None,
        quantiles: bool = False,
    ) -> None:
        self.denoiser, self.event_shape, self.asked, self.step = denoiser, tuple(event_shape), asked, step
        self.thresholds = None if edges is None else Thresholds(edges, quantiles=quantiles)
        self.plan: Plan | None = None

    # -- what is known of the law --------------------------------------------------------------------------

    def look(
        self, scaled: Float[Tensor, "n *event"], moments: Gaussian | None = None, *, periodic: bool = False
    ) -> None:
        """Take the moments of scaled data, unless they are given: of the structure that fits them best."""
        if moments is None:
            moments = Gaussian.estimate(scaled, likeliest(scaled, periodic=periodic))
        found = moments
        if tuple(found.event_shape) != self.event_shape:
            raise BadInput(f"it walks events {list(self.event_shape)}, and these are {list(found.event_shape)}")
        self.plan = Plan(found)
        if self.thresholds is not None:
            self.thresholds.look(scaled)

    @property
    def moments(self) -> Gaussian:
        """Mean and covariance of the scaled data."""
        return self._planned().moments

    def levels(self, sampling: bool = True) -> Levels:
        """The noise levels that the transport runs between; the likelihood goes below the grid step."""
        lowest = SIGMA_MIN
        if sampling and self.step:
            lowest = max(lowest, (0.5 if self.step <= COARSE else 0.25) * self.step)
        own = lowest, SIGMA_MAX_WIDTHS * self.moments.widest
        return Levels(*(own if given is None else float(given) for given, own in zip(self.asked, own, strict=True)))

    def measure(self, label: Shaped[Tensor, " n *k"] | None = None, *, calibrate: bool = True, **options: Any) -> None:
        """Find out how far the denoiser as it is misses the moments of the data, by which it is corrected, its gains,
        by which `draw` steps, and how often each grid point comes, for rows of these labels: one for all, or
        `calibration_rows` of them. calibrate: or its gains only."""
        self.plan = Plan(self.moments)  # nothing is corrected that is looked at
        to_be = {"calibrate": self.moments, "atoms": self.step > 0} if calibrate else {}
        found = self._piloted(label, None, 0.0, **to_be, **options)
        self.plan = found._replace(ends=None, moments=self.moments)  # of all, though those looked at have labels
        if self.thresholds is not None and found.ends is not None:
            self.thresholds.find(found.ends)

    # -- what it does --------------------------------------------------------------------------------------

    def draw(
        self,
        n: int,
        seed: int,
        start: int = 0,
        *,
        label: Shaped[Tensor, " n *k"] | None = None,
        through: Through | None = None,
        typical: Shaped[Tensor, " m *k"] | None = None,
        guidance: float = 0.0,
        device: torch.device | str = "cpu",
        **options: Any,
    ) -> Any:
        """n scaled samples, the first being number `start`, by `monge.samplers.reverse_diffusion`, whose options go on.

        through: a denoiser -> the denoiser that is walked with, `monge.denoisers.Symmetric` for instance, or one that
        is guided; its plan is found out anew. typical: labels by which that is done, 64 as they come or one; not those
        of these rows, or a sample would depend on its company. Where there are labels and none that are typical, the
        walk is by the moments alone. guidance: walk with D(label) + guidance (D(label) - D(none)), whose plan is found
        out anew, too.
        """
        seen: dict[str, Any] = {"device": device, "show": options.get("show", False)}
        if through is not None:
            function(through, "through makes a denoiser of a denoiser, monge.denoisers.Symmetric for instance")
        label = None if label is None else self._labels(label, n)
        blindly = label is not None and typical is None
        other = through is not None or (guidance != 0 and label is not None)
        plan: Plan | None = self._planned()
        if (other or self._planned().gains is None) and not blindly:
            plan = self._piloted(typical, through, guidance, **seen)
        elif other:
            plan = None
        self.moments.to(device)
        usual: dict[str, Any] = {
            "solver": samplers.ExponentialMultistep(atoms=self.step > 0),
            "sigma_min": self.levels().sigma_min if self.step else self.asked[0],
            "sigma_max": self.asked[1],
            "plan": plan,
        }
        about: dict[str, Any] = {"seed": seed, "start": start, "device": device}
        bound = self.bound(label, n, through, guidance)
        drawn = samplers.reverse_diffusion(bound, self.event_shape, n, **about, **{**usual, **options})
        if self.thresholds is None:
            return drawn
        if isinstance(drawn, Tensor):
            return self.thresholds.apply(drawn)
        return drawn._replace(x=self.thresholds.apply(drawn.x))

    def log_prob(self, x: Float[Tensor, "n *event"], label: Tensor | None = None, **options: Any) -> LogProb:
        """log p of scaled events, by `monge.samplers.log_prob`."""
        bound, more = self._between(label, x)
        return samplers.log_prob(bound, x, **more, **options)

    def encode(self, x: Float[Tensor, "n *event"], label: Tensor | None = None) -> Float[Tensor, "n *event"]:
        """The latent of scaled events."""
        bound, more = self._between(label, x)
        return samplers.encode(bound, x, **more)

    def decode(self, z: Float[Tensor, "n *event"], label: Tensor | None = None) -> Float[Tensor, "n *event"]:
        """Scaled events of a latent."""
        bound, more = self._between(label, z)
        return samplers.decode(bound, z, **more)

    def bound(self, label: Tensor | None, n: int, through: Through | None = None, guidance: float = 0.0) -> Informed:
        """The denoiser of n rows that are told these labels, or none, with the moments of their law; guided, or not.

        From as far as sigma_max a denoiser answers with the mean: there each label's own is read off.
        """
        own: Denoiser = self.denoiser
        if label is not None:
            label = self._labels(label, n)
            told, moments = cast(Any, self.denoiser), self.moments.to(label.device)
            kinds, which = torch.unique(label.expand(n, *label.shape[1:]), dim=0, return_inverse=True)
            far = torch.full((len(kinds),), self.levels().sigma_max, device=label.device)
            with torch.no_grad():
                mean = told(moments.mean.expand(len(kinds), *moments.mean.shape), far, kinds)
            guided = _guided(told, guidance) if guidance else told
            own = Labelled(guided, label, Gaussian(mean[which], moments.covariance))
        own = self._planned().calibrated(own)
        return informed(own if through is None else _Through(own, through))

    def _labels(self, label: Any, n: int) -> Tensor:
        """As the denoiser takes them, a tensor of one or of n."""
        given = torch.as_tensor(label)
        given = given.reshape(1) if given.ndim == 0 else given
        if len(given) not in (1, n):
            raise BadInput(f"there are {len(given)} labels for {n} rows: give one, or one for each row")
        return given

    def ways(
        self, n: int, seed: int, steps: int, *, label: Tensor | None = None, device: torch.device | str = "cpu"
    ) -> Iterator[Float[Tensor, "n *event"]]:
        """Where n samples are at the highest level and after each of so many steps, x_t = (1 - t) y, along the straight
        path of flow matching, t even from sigma / (1 + sigma) of the highest level to that of the lowest."""
        low, high = self.levels()
        path = LinearInterpolant()
        first, last = (float(path.time(level)) for level in (high, low))
        z = rng.normal((n, *self.event_shape), seed, "latent").to(device)
        x = (1 - first) * self.moments.to(device).noised(high).from_noise(z)
        yield x
        yield from samplers.walk(to_velocity(self.bound(label, n), path), x, first, last, steps)

    # -- a file --------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps of it; `restore` is the inverse."""
        t = self.thresholds
        places = {} if t is None else {PLACES: t.places.clone()} | ({EDGES: t.edges} if t.quantiles else {})
        return self._planned().state() | places

    def restore(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take back what `tensors` gave from among those of a model, and return the others."""
        own = {name: value for name, value in tensors.items() if "/" in name}
        places, edges = own.pop(PLACES, None), own.pop(EDGES, None)
        self.plan = Plan.from_state(own)
        if self.thresholds is not None and places is not None:
            self.thresholds.places = places
            self.thresholds.edges = self.thresholds.edges if edges is None else edges
        if "widest" in tensors:  # runs of before moments told it
            self.moments.top = float(tensors["widest"])
        return {name: value for name, value in tensors.items() if "/" not in name and name != "widest"}

    def _planned(self) -> Plan:
        if self.plan is None:
            raise BadInput("a walker looks at data before it walks: call .look(scaled)")
        return self.plan

    def _piloted(self, label: Tensor | None, through: Through | None, guidance: float, **options: Any) -> Plan:
        some = samplers.pilot_rows if options.get("calibrate") is None else samplers.calibration_rows
        rows = some(self.event_shape)
        bound = self.bound(None if label is None else label.expand(rows, *label.shape[1:]), rows, through, guidance)
        known = None if label is not None or through is not None else self.moments
        return samplers.pilot(bound, self.event_shape, known, lowest=self.levels().sigma_min, **options)

    def _between(self, label: Tensor | None, x: Tensor) -> tuple[Informed, dict[str, Any]]:
        moments = self.moments.to(x.device)
        more: dict[str, Any] = self.levels(sampling=False)._asdict()
        return self.bound(label, len(x)), more | ({} if label is not None else {"moments": moments})


def _guided(told: Any, guidance: float) -> Any:
    """D(label) + guidance (D(label) - D(none)), classifier-free (Ho and Salimans 2022; course (21))."""
    return lambda y, sigma, label: torch.lerp(told(y, sigma), told(y, sigma, label), 1 + guidance)


class _Through(Wrapper):
    """What a function makes of a denoiser: of each part of the rows anew, so that a mere function may come back."""

    def __init__(self, denoiser: Denoiser, through: Through) -> None:
        super().__init__(denoiser)
        self.through, self.made = through, informed(through(denoiser))
        self.moments, self.blind = self.made.moments, self.made.blind

    def denoised(self, y: Tensor, sigma: Tensor) -> Any:
        return self.made(y, sigma)

    def rows(self, first: int, n: int) -> Informed:
        part = informed(self.denoiser).rows(first, n)
        return cast(Informed, self if part is self.denoiser else _Through(part, self.through))
