"""How to train: the settings that travel together."""

import re
from dataclasses import dataclass

from monge.errors import BadInput

DEFAULT_STEPS = 3000
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(budget: str | float) -> float:
    """Seconds of a wall-clock budget: a number, or text such as "90s", "5m", "2h".

    Raises BadInput for anything else and for less than one second.

    >>> seconds("5m"), seconds(90)
    (300.0, 90.0)
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smh]?)\s*", str(budget))
    if match is None or float(match[1]) * UNITS[match[2]] < 1:
        raise BadInput(f"budget must be a time of at least a second such as 90s, 5m or 2h, not {budget!r}")
    return float(match[1]) * UNITS[match[2]]


@dataclass(frozen=True)
class Training:
    """Settings of one training.

    steps: number of steps, or None when `budget` rules. budget: wall-clock seconds, or None.
    batch_size: rows per step. lr: peak learning rate, reached after `warmup` steps and brought down to 0 by a
    half cosine. clip: largest norm of the gradient. average: decay per step of the running average of the weights
    that is kept as the model. checkpoint_s: seconds between checkpoints.

    Raises BadInput unless exactly one of steps and budget is given, and for values out of range.
    """

    steps: int | None = DEFAULT_STEPS
    budget: float | None = None
    batch_size: int = 64
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 1e-2
    clip: float = 1.0
    average: float = 0.999
    precision: str = "32-true"
    checkpoint_s: float = 20.0
    log_every: int = 10

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.budget is None):
            raise BadInput(f"give either steps or a budget, not steps={self.steps} with budget={self.budget}")
        for name, least in (("steps", 1), ("batch_size", 1), ("lr", 1e-12), ("log_every", 1)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise BadInput(f"{name} must be at least {least}, not {value}")
