"""The network of a denoiser for the time there is: as large as gets enough steps on this machine."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from monge.denoisers import Neural
from monge.nets import Size, Spec, UNet, denoiser
from monge.training import HALF, Muon, Training

WAVING = Size(waves=32)
FEW_VALUES, MANY_ROWS = 8, 5000  # of vectors that are seen in waves: at most and at least
SITES = 256  # above which blocks of sites are folded into channels, until so many are left
WIDTHS = (32, 48, 64, 96, 128, 192, 256)
UNTIMED = 1  # the place in WIDTHS of the network that is taken without a budget
SMALL = 64  # sites up to which the usual network is fast
TWO_SCALES = 8  # coarse sites from which on there are two scales
ENOUGH = 1500  # steps that a network needs to learn much
TIMED = 3  # steps that are timed, after one that is not


class Choice(NamedTuple):
    """A size, and what it costs; None for what was not measured.

    seconds: of a training step. call: seconds of a denoiser call on one event. memory: bytes that the process, or the
    GPU, held at most.
    """

    size: Size
    weights: int
    seconds: float | None = None
    call: float | None = None
    memory: int | None = None


def sizes(spec: Spec) -> list[Size]:
    """Denoisers for these events, the fastest first: space folded, once or until at most 256 sites are left.

    >>> sizes(Spec((1, 28, 28), "images"))[2]
    Size(widths=(64, 128), blocks=1, attention=None, dropout=0.0, stem=2, waves=0)
    """
    stem = 2
    while _coarse(spec, stem) > SITES:
        stem *= 2
    scales = 1 if -(-min(spec.space) // stem) < TWO_SCALES else 2
    return [Size(tuple(w * 2**scale for scale in range(scales)), 1, stem=stem) for w in WIDTHS]


def choose(spec: Spec, training: Training) -> Choice | None:
    """The largest of `sizes` that makes 1,500 steps in the budget (seconds), or the fastest; without a budget the
    second, the same on every machine. None for vectors and small events, whose usual network is fast.
    """
    if not spec.space or _coarse(spec, 1) <= SMALL:
        return None
    every = sizes(spec)
    if training.budget is None:
        return _timed(spec, every[UNTIMED])
    chosen = _timed(spec, every[0], training)
    for size in every[1:]:
        found = _timed(spec, size, training)
        if found.seconds is None or found.seconds * ENOUGH > training.budget:
            break
        chosen = found
    return chosen


def seen_in_waves(spec: Spec, data: Mapping[str, Any]) -> bool:
    """Whether a network sees waves of these data (`Samples.about`) beside them: of few values, which are no atoms, and
    of many rows, as few would be learned by heart."""
    small = not spec.space and spec.event_shape[0] <= FEW_VALUES
    return small and data["n"] >= MANY_ROWS and data.get("quantum") is None


def in_waves(make: Callable[[], nn.Module]) -> Choice:
    """The usual network of vectors, with waves."""
    with torch.random.fork_rng(devices=[]):
        return Choice(WAVING, sum(p.numel() for p in make().parameters()))


def _coarse(spec: Spec, stem: int) -> int:
    return math.prod(-(-side // stem) for side in spec.space)


def _timed(spec: Spec, size: Size, training: Training | None = None) -> Choice:
    """With a few training steps on noise, and a few calls, if it is told how it will be trained."""
    with torch.random.fork_rng(devices=[]):
        unet = cast(UNet, denoiser(spec, size, inputs=2))
    net = Neural(unet, guided=True)
    weights = sum(p.numel() for p in net.parameters())
    if training is None:
        return Choice(size, weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    movers = [torch.optim.AdamW(net.to(device).parameters(), fused=True), Muon(unet.kernels(), lr=0.0)]
    n, half = training.batch_size, training.precision == HALF
    x, sigma = torch.zeros(n, *spec.event_shape, device=device), torch.ones(n, device=device)

    def step() -> None:
        net.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = net(x, sigma).square().mean()
        loss.backward()
        for mover in movers:
            mover.step()

    with torch.no_grad():
        call = _fastest(lambda: net(x, sigma), device) / n
    return Choice(size, weights, _fastest(step, device), call, _memory(device))


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of a few, the first of which does not count."""
    found = []
    for _ in range(1 + TIMED):
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - begun)
    return min(found[1:])


def _memory(device: torch.device) -> int | None:
    """Bytes held at most so far; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return None
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held
