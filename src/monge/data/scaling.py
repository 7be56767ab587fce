"""Between data units and the unit scale in which networks work."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from monge.data.marginals import Marginals
from monge.data.samples import Samples
from monge.errors import BadInput
from monge.progress import bar

FIT_VALUES = 2**26  # that are read at most, in FIT_ROWS_LEAST rows or more
FIT_ROWS, FIT_ROWS_LEAST = 65_536, 1024  # evenly spaced, for the moments: their relative error is then below 1%
ALIKE = 4.0  # scales within this factor are taken as one
VALUES_AT_ONCE = 2**20
HELD = 0.2  # standard deviations of a bent column, how far beyond the data it is drawn
MOST_POINTS = 4096  # of a grid, whose one-point law is kept
SEED = 0x5CA1E  # unlike those that data are made with, on which the spread would depend


@dataclass(frozen=True, eq=False)
class Scaling:
    """z = (x - shift) / scale, its inverse and its log-determinant; and dequantisation. Before it, what single channels
    need (`Marginals`): integers and atoms are spread, columns that are skew or have heavy tails bent, and so are fields
    where it is asked for: shift, scale and `unit` are then those of bent values.

    One shift a channel for images and fields, [C, 1, ...], one a coordinate for vectors, [d], so that z has mean 0
    (dequantised, where the data are integers). One scale for all while the standard deviations of channels
    or coordinates lie within a factor of 4, z then having variance 1 on average: noise that is white in z is white in
    data units too, of standard deviation `unit` times as much. Else a scale each, z having variance 1 in each (scale
    1 where constant), and `unit` is 1.

    A density in z becomes one in data units by log p(x) = log p(z) + log_det. For quantised data the
    density is that of x + quantum (u - 1/2), u uniform in (0, 1), and E_u log p(x + quantum (u - 1/2)) + d
    log(quantum) is a lower bound of log P(x), the probability of the grid point, in nats (Theis, van den
    Oord, Bethge, *A note on the evaluation of generative models*, 2016).

    symbols: of sequences, which stay as they are, whole numbers within `limits`; their law has probabilities. wide: of
    tables whose digits need float64, which data units then are; z is float32.

    >>> scaling = Scaling.fit(Samples(torch.tensor([[0.0, 5.0], [4.0, 5.0], [0.0, 9.0], [4.0, 9.0]])))
    >>> scaling.forward(torch.tensor([[4.0, 7.0]])), round(scaling.log_det, 4), scaling.unit
    (tensor([[1., 0.]]), -1.3863, 2.0)
    """

    shift: Float[Tensor, "*channels"]
    scale: Float[Tensor, "*channels"]
    event_shape: tuple[int, ...]
    quantum: float | None = None
    limits: tuple[float, float] | None = None
    marginals: Marginals | None = None
    symbols: bool = False
    wide: bool = False

    @classmethod
    def fit(cls, samples: Samples, *, bend: bool | None = None) -> "Scaling":
        """Moments in float64, chunk by chunk, of at most 65,536 evenly spaced rows, fewer of large events.

        bend: whether columns of tables and channels of fields are bent where that helps: then noise that is white in z
        is not in data units. None: those of tables."""
        n, event = len(samples), samples.event_shape
        if samples.kind == "sequences":
            one = torch.ones(event, dtype=torch.float64)
            return cls(0 * one, one, event, limits=samples.limits, symbols=True)
        most = min(n, FIT_ROWS, max(FIT_ROWS_LEAST, FIT_VALUES // math.prod(event)))
        picked = samples.spaced(most)
        groups, count = event[0], len(picked) * math.prod(event[1:])

        def chunks() -> Iterator[Tensor]:
            for rows in torch.split(picked, max(1, VALUES_AT_ONCE // math.prod(event))):
                yield samples.batch(rows).reshape(len(rows), groups, -1)

        if not all(bool(x.isfinite().all()) for x in chunks()):
            raise BadInput(f"{samples.name} holds NaN or infinity: drop or repair those rows")
        table = samples.kind == "vectors" and samples.quantum is None
        real = samples.kind in ("vectors", "fields") and samples.quantum is None
        bends = real and (table if bend is None else bend)
        blocks = () if samples.code is None else samples.code.blocks
        options: dict[str, Any] = {"blocks": blocks, "wide": samples.wide}
        marginals = Marginals.fit(chunks, bend=bends, whole=table, quantum=samples.quantum, **options)
        fine = samples.quantum is not None and not marginals.stretches
        pivot = marginals.bent(samples.batch([0]).double().reshape(1, groups, -1)[..., :1])[0]
        first = second = torch.zeros(groups, dtype=torch.float64)
        generator = torch.Generator().manual_seed(SEED)
        with bar(f"scaling {samples.name}", len(picked)) as advance:
            for x in chunks():
                x = x.double()
                u = torch.full(x.shape, 0.5).double() if fine else torch.rand(x.shape, generator=generator).double()
                x = marginals.bent(marginals.spread(x + (samples.quantum or 0.0) * (u - 0.5), u))
                # about a value of the data, not about zero: no digits are lost to a large mean
                away = x - pivot
                first = first + away.sum((0, 2))
                second = second + away.square().sum((0, 2))
                advance(len(x))
        mean = first / count
        variance = (second / count - mean.square()).clamp_(min=0.0)
        for start, stop in marginals.blocks:  # one unit for all texts: which it is does not hang on how rare it is
            variance[start:stop] = variance[start:stop].sum()
        noise = (samples.quantum or 0.0) ** 2 / 12 if fine else 0.0  # of what is spread, where it is not drawn
        if len(picked) == n and not (variance > 0).any():
            raise BadInput(f"{samples.name} does not vary: nothing can be learned from it, so give samples that differ")
        scale = torch.where(variance > 0, (variance + noise).sqrt(), 1.0)
        bent = marginals.bend > 0  # which has no unit, and others have
        one_unit = bool(bent.all()) or not bool(bent.any())
        if one_unit and (variance + noise).max() <= ALIKE**2 * (variance + noise).min():
            scale = (variance + noise).mean().sqrt().expand(groups).clone()
        shape = (groups, *[1] * (len(event) - 1))
        shift = (pivot[:, 0] + mean).reshape(shape)
        scale = scale.reshape(shape)
        return cls(shift, scale, event, samples.quantum, samples.limits, marginals, wide=samples.wide)

    def refuse_other(self, samples: Samples) -> None:
        """Raise BadInput for samples of another nature than those that it was fitted to: the shape of events, their
        grid and its limits, symbols or numbers, and which columns have integers or few values."""
        own = Scaling.fit(samples)
        for name in ("event_shape", "symbols", "quantum", "limits"):
            mine, theirs = getattr(self, name), getattr(own, name)
            if mine != theirs:
                raise BadInput(
                    f"the scaling is of data with {name} {mine}, and that of {samples.name} is {theirs}: "
                    "two models that share it learn from data of one nature"
                )
        rounded = [None if s.marginals is None else s.marginals.rounds.tolist() for s in (self, own)]
        if rounded[0] != rounded[1]:
            raise BadInput(f"the scaling rounds other columns to integers or few values than {samples.name} has")

    def forward(self, x: Shaped[Tensor, "n *event"], *, noisy: bool = False) -> Shaped[Tensor, "n *event"]:
        """Data units to unit scale. noisy: events with noise, which is not to be stretched where atoms are, and over
        a space of any size."""
        self._check(x, noisy)
        if self.symbols:
            return x
        x = x.double() if self.wide else x
        if self.marginals is not None and not (noisy and self.marginals.stretches):
            x = self.marginals.bent(x)
        z = (x - self.shift.to(x)) / self.scale.to(x)
        return z.float() if self.wide else z

    def inverse(self, z: Shaped[Tensor, "n *event"], *, noisy: bool = False) -> Shaped[Tensor, "n *event"]:
        """Unit scale to data units. noisy: what was made of events with noise; what lies beyond a stretched atom's
        limit is then that limit."""
        self._check(z, noisy)
        if self.symbols:
            return z
        z = z.double() if self.wide else z
        x = z * self.scale.to(z) + self.shift.to(z)
        if noisy and self.marginals is not None and self.marginals.stretches:
            return self.marginals.clamped(x)
        return x if self.marginals is None else self.marginals.unbent(x)

    def edges(self) -> Float[Tensor, "c k"] | None:
        """Where one value ends and the next begins, scaled, by channel: the middles between the grid points of
        quantised data, of known limits and at most 4,096 points; of fields the limits that have atoms in all channels,
        none or more where they are bent; of columns of real numbers none. None where there is nothing of the kind, and
        one-point laws are left as they are drawn.

        >>> Scaling.fit(Samples(torch.arange(4.0)[:, None], quantum=1.0, limits=(0.0, 3.0))).edges().shape
        torch.Size([1, 3])
        """
        at = self._edges()
        real = self.quantum is None and not self.symbols
        if not len(at) and not (real and (self.bends or len(self.event_shape) == 1)):
            return None
        wide = at.reshape(len(at), *self.shift.shape)
        bent = wide if self.marginals is None else self.marginals.bent(wide)
        return ((bent - self.shift) / self.scale).reshape(len(at), self.shift.numel()).T.float()

    @property
    def is_common(self) -> bool:
        """Whether there is one scale for all, and nothing is bent."""
        return not self.bends and bool((self.scale == self.scale.flatten()[0]).all())

    @property
    def bends(self) -> bool:
        """Whether some channel is learned bent, so that noise which is white in z is not in data units."""
        return self.marginals is not None and bool((self.marginals.bend > 0).any())

    @property
    def unit(self) -> float:
        """Data units in one unit of z, where they are the same for every coordinate; else 1."""
        return float(self.scale.flatten()[0]) if self.is_common else 1.0

    @property
    def spreads(self) -> bool:
        """Whether data are spread by noise before they are learned from."""
        return self.quantum is not None or (self.marginals is not None and self.marginals.spreads)

    @property
    def log_det(self) -> float:
        """log |det dz/dx| of one sample, in nats, but for the bend of heavy tails: minus the sum of log scale; and what
        makes the density of texts, which are spread over less than a step, their probability."""
        volume = 0.0 if self.marginals is None else self.marginals.log_volume
        return volume - float(self.scale.log().sum()) * (math.prod(self.event_shape) // self.scale.numel())

    def log_dets(self, z: Shaped[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """log |det dz/dx| of each sample, from scaled samples, in nats."""
        whole = z.new_full((len(z),), self.log_det, dtype=None if z.is_floating_point() else torch.float32)
        if self.marginals is None or not self.marginals.bends:
            return whole
        return whole + self.marginals.log_slope(z * self.scale.to(z) + self.shift.to(z))

    def dequantise(self, x: Shaped[Tensor, "n *event"], u: Shaped[Tensor, "n *event"]) -> Shaped[Tensor, "n *event"]:
        """x + quantum (u - 1/2), for u uniform in (0, 1) of the caller; of continuous data atoms and integer columns
        are spread, and nothing else."""
        if self.quantum is None:
            return x if self.marginals is None else self.marginals.spread(x, u)
        return x + self.quantum * (u - 0.5)

    def quantise(self, x: Shaped[Tensor, "n *event"]) -> Shaped[Tensor, "n *event"]:
        """To the nearest point of the data's grid, within its limits; of continuous data integer columns are rounded,
        what lies beyond an atom's limit is that limit, and bent columns are held within a fifth of a standard
        deviation, as they are bent, beyond the data: their map back knows no measure."""
        if self.symbols:
            return x.round().clamp(*(self.limits or (0.0, math.inf))).to(torch.int64)
        if self.quantum is None and self.marginals is not None:
            return self.marginals.restore(self._held(x) if self.bends else x)
        if self.quantum is None:
            return x
        low, high = self.limits or (0.0, math.inf)
        grid = low + self.quantum * ((x - low) / self.quantum).round()
        return grid if self.limits is None else grid.clamp(low, high)

    @property
    def fingerprint(self) -> str:
        """The same for the same units."""
        return hashlib.sha256(repr(self.to_dict() | {"statement": ""}).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """JSON form, exact, with a sentence that says in which units densities are."""
        return {
            "shift": self.shift.flatten().tolist(),
            "scale": self.scale.flatten().tolist(),
            "event_shape": list(self.event_shape),
            "quantum": self.quantum,
            "limits": None if self.limits is None else list(self.limits),
            "marginals": None if self.marginals is None else self.marginals.to_dict(),
            **({"symbols": True} if self.symbols else {}),
            **({"wide": True} if self.wide else {}),
            "statement": self.statement,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Scaling":
        """What `to_dict` wrote. Raises `BadInput` when keys are missing or sizes do not fit.

        >>> Scaling.from_dict(Scaling.fit(Samples(torch.eye(3))).to_dict()).event_shape
        (3,)
        """
        try:
            event = tuple(int(side) for side in content["event_shape"])
            shape = (event[0], *[1] * (len(event) - 1))
            shift, scale = (
                torch.tensor(content[part], dtype=torch.float64).reshape(shape) for part in ("shift", "scale")
            )
            limits = None if content["limits"] is None else (float(content["limits"][0]), float(content["limits"][1]))
            marginals = content.get("marginals")
            bends = None if marginals is None else Marginals.from_dict(marginals)
            told = bool(content.get("symbols")), bool(content.get("wide"))
            return cls(shift, scale, event, content["quantum"], limits, bends, *told)
        except (KeyError, IndexError, TypeError, RuntimeError, ValueError) as error:
            raise BadInput(f"not a scaling as to_dict writes it ({error!r}): take it from a model.json") from error

    @property
    def statement(self) -> str:
        """In words: what was done to the data, and in which units densities are."""
        if self.symbols:
            top = int((self.limits or (0, 0))[1])
            return f"data are sequences of symbols 0 to {top}, as they are: the law has probabilities, not densities"
        more = "" if self.marginals is None else self.marginals.statement
        if self.quantum is None:
            return f"data are continuous{'; ' * bool(more)}{more}: densities are per data unit"
        between = "" if self.limits is None else f" within {self.limits[0]:g} to {self.limits[1]:g}"
        return (
            f"data are integers (step {self.quantum:g}){between}, dequantised by adding "
            f"{self.quantum:g} (u - 1/2), u uniform in (0, 1): densities are those of the dequantised data, "
            f"per data unit{'; ' * bool(more)}{more}; samples are rounded back to the grid"
        )

    def _held(self, x: Tensor) -> Tensor:
        assert self.marginals is not None
        away = HELD * self.scale
        low, high = (end.reshape(self.scale.shape) for end in self.marginals.ends)
        ends = (self.marginals.unbent(end[None])[0].to(x) for end in (low - away, high + away))
        return x.clamp(*ends)

    def _edges(self) -> Float[Tensor, "k c"]:
        """`edges` in data units, none or more."""
        none = torch.empty(0, self.shift.numel(), dtype=torch.float64)
        if self.quantum is None and self.marginals is not None and len(self.event_shape) > 1:
            m = self.marginals
            ends = [end for end, width in ((m.low, m.below), (m.high, m.above)) if bool((width > 0).all())]
            return torch.stack(ends) if ends else none
        if self.quantum is None or self.limits is None or self.symbols:
            return none
        points = round((self.limits[1] - self.limits[0]) / self.quantum)
        if not 1 <= points < MOST_POINTS:
            return none
        middles = self.limits[0] + self.quantum * (torch.arange(points, dtype=torch.float64) + 0.5)
        return middles[:, None].expand(points, self.shift.numel())

    def _check(self, x: Tensor, any_size: bool = False) -> None:
        space = x.shape[2:] if any_size and x.ndim == len(self.event_shape) + 1 else self.event_shape[1:]
        if tuple(x.shape[1:]) != (self.event_shape[0], *space):
            raise BadInput(
                f"expected samples of shape [n, {', '.join(map(str, self.event_shape))}], got {list(x.shape)}"
            )
