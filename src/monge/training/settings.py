"""How to train: the settings that travel together."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from monge.errors import BadInput

DEFAULT_STEPS = 3000
FULL, HALF = PRECISIONS = ("32-true", "bf16-mixed")
AMOUNTS = "steps", "budget"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(budget: str | float) -> float:
    """Seconds of a wall-clock budget: a number of them, or text such as "90s", "5m", "2h", or "5", whole minutes.

    Raises BadInput for anything else and for less than one second.

    >>> seconds("5m"), seconds("5"), seconds(90)
    (300.0, 300.0, 90.0)
    """
    text = f"{budget.strip()}m" if isinstance(budget, str) and budget.strip().isdigit() else str(budget)
    text = text if isinstance(budget, str) else f"{text}s"
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smh])\s*", text)
    if match is None or float(match[1]) * UNITS[match[2]] < 1:
        raise BadInput(
            "budget must be a time of at least a second such as 90s, 5m or 2h, or whole minutes such as 5, not "
            f"{budget!r}"
        )
    return float(match[1]) * UNITS[match[2]]


def fastest_precision() -> str:
    """bf16-mixed where this machine multiplies such numbers in hardware, a GPU or the tiles of a CPU (AMX), where steps
    of a U-Net take half to two thirds of the time; else 32-true."""
    if torch.cuda.is_available():
        return HALF if torch.cuda.is_bf16_supported(including_emulation=False) else FULL
    return HALF if torch.cpu._is_amx_tile_supported() else FULL


def further(name: str, asked: Any, before: Any) -> bool:
    """Whether a setting is an amount of training, `steps` or `budget`, and more of it is asked for than before.

    >>> further("steps", 200, 100), further("steps", 50, 100), further("batch_size", 64, 32)
    (True, False, False)
    """
    return name in AMOUNTS and None not in (asked, before) and asked > before


def cosine(fraction: float) -> float:
    """Half a cosine from 1 to 0 over the training.

    >>> round(cosine(0.5), 6)
    0.5
    """
    return 0.5 * (1 + math.cos(math.pi * fraction))


def constant(fraction: float) -> float:
    """1 throughout: for games whose two sides must keep their pace."""
    return 1.0


@dataclass(frozen=True)
class AdamW:
    """How an objective's parameters are moved (Loshchilov and Hutter 2019).

    lr: peak learning rate; weight_decay: decay of the weights; None for what the training says.
    betas: memory of the mean and of the square of the gradient. schedule: share of the peak that the learning rate
    has when a fraction of the training is done, after the training's warm-up.

    Raises BadInput for values out of range.
    """

    lr: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float | None = None
    schedule: Callable[[float], float] = cosine

    def __post_init__(self) -> None:
        if not (self.lr is None or self.lr > 0) or not all(0 <= beta < 1 for beta in self.betas):
            raise BadInput(f"AdamW needs lr > 0 and betas in [0, 1), not lr={self.lr}, betas={self.betas}")


@dataclass(frozen=True)
class Training:
    """Settings of one training.

    steps: number of steps, or None when `budget` rules. budget: wall-clock seconds, or None.
    batch_size: rows per draw. lr: peak learning rate, reached after `warmup` steps and brought down to 0 by a
    half cosine, unless an objective says otherwise. clip: largest norm of the gradient. average: decay per step of
    the running average of the weights that is kept as the model. precision: "32-true", or "bf16-mixed".
    checkpoint_s: seconds between checkpoints.
    validation: share of the rows kept aside; the first objective's loss on them, by the averaged weights, is told
    every `validate_every` steps. patience: stop when it has not fallen for so many times, and keep the weights that
    had the lowest; None to go on to the end, and keep the last.

    Raises BadInput unless exactly one of steps and budget is given, for values out of range, and for patience without
    validation.
    """

    steps: int | None = DEFAULT_STEPS
    budget: float | None = None
    batch_size: int = 64
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 1e-2
    clip: float = 1.0
    average: float = 0.999
    precision: str = FULL
    checkpoint_s: float = 20.0
    log_every: int = 10
    validation: float = 0.0
    validate_every: int = 100
    patience: int | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.budget is None):
            raise BadInput(f"give either steps or a budget, not steps={self.steps} with budget={self.budget}")
        counts = ("steps", "batch_size", "log_every", "validate_every", "patience")
        for name, least in (*((name, 1) for name in counts), ("lr", 1e-12)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise BadInput(f"{name} must be at least {least}, not {value}")
        if self.precision not in PRECISIONS:
            raise BadInput(f"precision must be {' or '.join(PRECISIONS)}, not {self.precision}")
        if not 0 <= self.validation < 1:
            raise BadInput(f"validation is a share of the rows, 0 to 1, not {self.validation}")
        if self.patience is not None and not self.validation:
            raise BadInput("patience needs rows to judge by: give validation=0.1, say")
