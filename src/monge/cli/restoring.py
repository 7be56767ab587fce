"""Pictures through a denoiser, and what is told of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from monge import models
from monge.cli.pictures import Picture, in_units, of_units
from monge.data import is_gray
from monge.denoisers import ByChannel, PatchMixture, WaveletShrinkage, Wiener, noise_level
from monge.errors import BadInput
from monge.evaluation import psnr, ssim
from monge.protocols import Denoiser, SupportsDenoise

RUNGS: dict[str, Callable[[], Denoiser]] = {"wavelet": WaveletShrinkage, "wiener": Wiener, "patches": PatchMixture}
SMALLEST = 11  # side from which on SSIM is told
Denoise = Callable[[Tensor, float], Tensor]  # y [1, *event], sigma


class Restorer:
    """A picture, its noise and what is left, by a denoiser that works on events in some units.

    denoise: (y [1, *event], sigma) -> x_hat. limits: of the units that the levels of a picture stand for, None for the
    levels themselves. blind: whether it looks at no sigma; the level is then read off what it takes out. channels: of
    the events that it works on, None for any.
    """

    def __init__(
        self,
        denoise: Denoise,
        limits: Sequence[float] | None = None,
        *,
        blind: bool = False,
        channels: int | None = None,
    ) -> None:
        self.denoise, self.limits, self.blind, self.channels = denoise, limits, blind, channels

    @classmethod
    def untrained(cls, method: str, by_channel: bool) -> "Restorer":
        """By the name of a rung of the ladder."""
        D = ByChannel(RUNGS[method](), decorrelated=not by_channel)
        return cls(lambda y, sigma: D(y, torch.full((len(y),), sigma, dtype=y.dtype)))

    @classmethod
    def of_run(cls, folder: Path) -> "Restorer":
        """Colours one by one where it learned gray. Raises BadInput where it holds a model that does not denoise."""
        model = models.load(folder)
        if not isinstance(model, SupportsDenoise):
            raise BadInput(f"{folder} holds a {type(model).__name__}, which does not denoise: use a diffusion")
        event = model.record["data"]["event_shape"]

        def denoise(y: Tensor, sigma: float) -> Tensor:
            apart = len(event) > 1 and event[0] == 1 and y.ndim == len(event) + 1
            return model.denoise(y.transpose(0, 1) if apart else y, sigma).reshape(y.shape)

        blind = bool(model.settings.get("blind"))
        return cls(denoise, model.record["data"]["limits"], blind=blind, channels=event[0])

    def __call__(self, picture: Picture, sigma: float | None, path: Path) -> tuple[Picture, Picture, str]:
        """What is found, what was taken out, and what there is to say of it."""
        y = in_units(picture, self.limits)
        gray = self.channels in (None, 1) and y.ndim == 3 and is_gray(y.numpy())  # stored three times, with one noise
        y = y[:1] if gray else y
        event = y[None] if y.ndim < 3 and self.limits is None else y
        level = 1.0 if sigma is None and self.blind else sigma
        if level is None:
            if event.ndim < 2 or min(event.shape[1:]) < 4:
                raise BadInput(f"{path} is too small to read its noise off it: give --sigma")
            level = float(noise_level(event[None].double()))
        x_hat = self.denoise(event[None], level)[0].reshape(y.shape)
        out = float((y - x_hat).square().mean().sqrt())
        level = out if sigma is None and self.blind else level
        x_hat = x_hat.expand(picture.values.shape) if gray else x_hat
        found = picture.of(of_units(x_hat, self.limits, picture.full).values)
        left = picture.values - found.values
        middle = 0.0 if picture.full is None else (picture.full + 1) / 2
        told = f"sigma {level:.4g}{' (estimated)' if sigma is None else ''}"
        told += f", taken out {out:.4g}"
        residual = replace(picture, values=left + middle, alpha=None)
        return found, residual, told


def quality(noisy: Picture, found: Picture, clean: Picture, path: Path | None) -> str:
    """PSNR before and after, and SSIM, against the clean picture. Raises BadInput for one of another size or depth."""
    if clean.values.shape != found.values.shape or clean.full != found.full:
        raise BadInput(
            f"the reference {path} is {_size(clean)}, and the picture is {_size(noisy)}: give the clean picture of it"
        )
    x = clean.values[None].double()
    span = clean.full or float(x.max() - x.min()) or 1.0
    top = found.full or float("inf")
    y, x_hat = (part.values[None].double() for part in (noisy, found))
    x_hat = x_hat.clamp(0, top) if found.full else x_hat
    text = f"PSNR {float(psnr(y, x, span)):.2f} to {float(psnr(x_hat, x, span)):.2f} dB"
    if x.ndim == 4 and min(x.shape[2:]) >= SMALLEST:
        text += f", SSIM {float(ssim(y, x, span)):.3f} to {float(ssim(x_hat, x, span)):.3f}"
    return text


def _size(picture: Picture) -> str:
    depth = {255.0: ", 8 bits", 65535.0: ", 16 bits"}.get(picture.full or 0.0, "")
    return f"{list(picture.values.shape)}{depth}"
