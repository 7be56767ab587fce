"""A picture that was masked, made small or blurred, as an observation; and the answers to it as pictures."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monge import observations, report
from monge.cli.pictures import Picture, in_units, of_units, read, write
from monge.errors import BadInput
from monge.files import write_atomic
from monge.observations import Linear, Operator
from monge.samplers import Posterior

ROUNDED = 1 / math.sqrt(12)  # s.d. of rounding, levels
LOUD = 1e3  # noise, in the highest level, beyond which nothing was seen


@dataclass(frozen=True, eq=False)
class Answers:
    """A picture of which something was seen, and the operator by which.

    seen: [C, *space], as it was given. events: [groups, channels, *space] of what was seen, as a model takes them:
    colours one by one where it learned gray. operator: on one of them. limits: of the units that levels stand for.
    hidden: [*space], where nothing was seen; None where everything was.
    """

    picture: Picture
    events: Tensor
    operator: Operator
    event_shape: tuple[int, ...]
    limits: Any
    hidden: Tensor | None

    @classmethod
    def of(
        cls,
        path: Path,
        about: dict[str, Any],
        *,
        mask: Path | None,
        crop_out: str | None,
        downscale: int | None,
        blur: float | None,
    ) -> "Answers":
        """What the options of the command say. about: the `data` of a run's record."""
        if len(about["event_shape"]) < 2:
            raise BadInput("a picture is restored by a run on pictures or fields, and this one is on a table")
        picture, channels = _of_channels(read(path)), about["event_shape"][0]
        if picture.full is not None and about["limits"] is None:
            raise BadInput(f"the run's data are numbers without limits: give {path} as an .npy array in their units")
        if len(about["event_shape"]) != picture.values.ndim:
            raise BadInput(
                f"{path} is [C, *space] = {list(picture.values.shape)}, and the run's data are {about['event_shape']}"
            )
        apart = channels == 1
        if not apart and len(picture.values) != channels:
            raise BadInput(f"{path} has {len(picture.values)} channels, and the run's data {channels}")
        y = in_units(picture, about["limits"])
        events = y[:, None] if apart else y[None]
        event = tuple(events.shape[1:])
        hidden = None
        if mask is not None:
            hidden = _dark(mask, tuple(y.shape[1:]))
        if crop_out is not None:
            hidden = box(crop_out, tuple(y.shape[1:]))
        if hidden is not None:
            operator = observations.mask((~hidden).expand(event).contiguous())
        elif downscale is not None:
            event = (event[0], *(side * downscale for side in event[1:]))
            operator = observations.downscale(event, downscale)
        else:
            assert blur is not None
            operator = observations.blur(event, blur)
        return cls(picture, events, operator, event, about["limits"], hidden)

    def drawn(self, model: Any, n: int, noise: float, options: dict[str, Any]) -> list[Posterior]:
        """Draws for each group of channels."""
        top = self.picture.full or float(self.picture.values.abs().max()) or 1.0
        if not noise <= LOUD * top:
            raise BadInput(
                f"--noise {noise:g} is more than {LOUD:g} times the highest level, {top:g}: nothing was seen"
            )
        if self.picture.full is not None and self.hidden is None:  # means of levels were rounded to levels
            noise = max(noise, ROUNDED)
        unit = in_units(self.picture.of(torch.tensor([0.0, noise])), self.limits)
        sd = float(unit[1] - unit[0])
        if not hasattr(model, "posterior"):
            raise BadInput(f"a {type(model).__name__} has no denoiser to be told an observation: take a diffusion")
        found = []
        for each in self.events:
            y = each if self.hidden is None else each[:, ~self.hidden]
            seen = Linear(self.operator, y.reshape(self.operator.y_shape), sd)
            found.append(model.posterior(n, seen, **options))
        return found

    def write(self, found: list[Posterior], paths: dict[str, Path]) -> None:
        """Answers, mean, deviation and residual as pictures of the kind that was given, and the sheet."""
        channel = -len(self.event_shape)
        x = self._levels(torch.cat([one.sample(len(one.x)) if one.weighted else one.x for one in found], channel))
        mean, std = (torch.cat([each(one) for one in found], channel) for each in (Posterior.mean, Posterior.std))
        width, left, mean = self._apart(std), self._left(mean), self._levels(mean)
        full = self.picture.full
        middle = 0.0 if full is None else (full + 1) / 2
        shown = {str(i + 1): each for i, each in enumerate(x)}
        shown |= {"mean": mean, "deviation": width, "residual": left + middle}
        for name, values in shown.items():
            same = values.shape == self.picture.values.shape
            write(paths[name], self.picture.of(values) if same else Picture(values, full, is_last=self.picture.is_last))
        seen = self.picture.values.clone()
        if self.hidden is not None:
            seen[:, self.hidden] = middle
        look = report.Look(0.0 if full else float(seen.min()), full or float(seen.max()), "images")
        told = "; ".join(dict.fromkeys(f"{one.method}: {one.exactness}" for one in found))
        sheet = report.answers(seen, x, mean, width, left, look=look, told=told)
        write_atomic(paths["sheet"], report.png(sheet))

    def _levels(self, x: Tensor) -> Tensor:
        return of_units(x, self.limits, self.picture.full).values

    def _apart(self, x: Tensor) -> Tensor:
        """Levels between what differs by x in the model's units."""
        return self._levels(x) - self._levels(torch.zeros_like(x))

    def _left(self, mean: Tensor) -> Tensor:
        """What was seen less what would have been of the mean, in levels, 0 where nothing was seen."""
        events = mean.reshape(len(self.events), *self.event_shape)
        of_mean = self.operator.forward(events)
        if self.hidden is None:
            off = self.events - of_mean
        else:
            off, seen = torch.zeros_like(self.events), ~self.hidden
            off[:, :, seen] = self.events[:, :, seen] - of_mean.reshape(len(events), events.shape[1], -1)
        return self._apart(off.reshape(self.picture.values.shape))

    def told(self, found: list[Posterior]) -> list[str]:
        """How it was done, and what there is to doubt."""
        first = found[0]
        lines = [f"{first.method}: {first.exactness}; {first.calls} calls an answer"]
        nats, error = sum(one.log_evidence for one in found), math.hypot(*(one.log_evidence_error for one in found))
        if not math.isnan(nats):
            lines[0] += f"; log evidence {nats:.1f} ± {error:.1f} nats"
        return lines + list(dict.fromkeys(doubt for one in found for doubt in one.doubts))


def _of_channels(picture: Picture) -> Picture:
    """An array [H, W] as one of a channel."""
    return picture if picture.values.ndim > 2 else picture.of(picture.values[None])


def _dark(path: Path, space: tuple[int, ...]) -> Tensor:
    """Where a mask is black."""
    picture = read(path)
    values = torch.from_numpy(picture.alpha.astype("float32"))[None] if picture.alpha is not None else picture.values
    values = values.mean(0) if values.ndim > len(space) else values
    low, high = float(values.min()), float(values.max())
    dark: Tensor = values <= (low + high) / 2 if high > low else values == 0
    if tuple(dark.shape) != space:
        raise BadInput(f"the mask is {list(dark.shape)}, and the picture {list(space)}: give one of its size")
    if bool(dark.all()) or not bool(dark.any()):
        raise BadInput(f"{path} hides {'all' if dark.all() else 'nothing'} of the picture: black is what is not seen")
    return dark


def box(text: str, space: tuple[int, ...]) -> Tensor:
    """A box x,y,w,h that is not seen."""
    try:
        x, y, w, h = (int(part) for part in text.split(","))
    except ValueError as error:
        raise BadInput(f"crop-out is a box X,Y,W,H in pixels, such as 8,8,16,16, not {text}") from error
    if len(space) != 2:
        raise BadInput(f"a box X,Y,W,H is of pictures [C, h, w], and these have {len(space)} axes of space")
    if not (0 <= x < x + w <= space[1] and 0 <= y < y + h <= space[0]):
        raise BadInput(f"the box {text} is not inside the picture, {space[-1]} pixels wide and {space[0]} high")
    hidden = torch.zeros(space, dtype=torch.bool)
    hidden[y : y + h, x : x + w] = True
    if bool(hidden.all()):
        raise BadInput(f"the box {text} is all of the picture: nothing is seen")
    return hidden
