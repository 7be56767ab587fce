"""What a network is made for, and how large it is to be."""

import math
from dataclasses import dataclass

from monge.errors import BadInput


@dataclass(frozen=True)
class Spec:
    """The events that a network works on, and what it is told besides.

    event_shape: [d] or [C, *space]. kind: "vectors", "images", "fields" or "sequences". classes: number of labels, 0
    for none. features: length of a vector condition, 0 for none. periodic: circular padding, for fields on a torus.
    context: channels of an image or field over the same space that it is told, 0 for none. symbols: of sequences [T],
    how many there are. moves: numbers by which a denoiser is told that a row was moved, 0 for none.

    Raises BadInput for an event with no axis or more than four, or for more than one of labels, vectors and images.
    """

    event_shape: tuple[int, ...]
    kind: str = "vectors"
    classes: int = 0
    features: int = 0
    periodic: bool = False
    context: int = 0
    symbols: int = 0
    moves: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "event_shape", tuple(self.event_shape))
        if not 1 <= len(self.event_shape) <= 4:
            raise BadInput(
                f"no network for events of shape {self.event_shape}: give [d] or [C, *space] with 1 to 3 dimensions"
            )
        if bool(self.classes) + bool(self.features) + bool(self.context) > 1:
            raise BadInput("a network is told a label, a vector or an image, and no two of them")

    @property
    def flat(self) -> "Spec":
        """Of the values of the events as vectors, told the same."""
        return Spec((math.prod(self.event_shape),), "vectors", self.classes, self.features, context=self.context)

    @property
    def space(self) -> tuple[int, ...]:
        """Sides of the space; () for vectors."""
        return self.event_shape[1:]


@dataclass(frozen=True)
class Size:
    """How large a network is; None for what suits the events.

    widths: channels at each scale, the finest first; for vectors the one width of the layers. blocks: residual blocks
    a scale. attention: the scales (0 is the finest) at which sites look at one another. dropout: share of values
    dropped inside a block. stem: sites a side that are folded into channels before the finest scale: 4 makes the work
    of a U-Net on 32 x 32 that of one on 8 x 8. waves: of vectors, directions in which a denoiser or a field sees waves
    of them beside them, 0 for none.

    Raises BadInput for widths, blocks or a stem below 1, or a dropout outside [0, 1).

    >>> Size(widths=(16, 32), blocks=1)
    Size(widths=(16, 32), blocks=1, attention=None, dropout=0.0, stem=None, waves=0)
    """

    widths: tuple[int, ...] | None = None
    blocks: int | None = None
    attention: tuple[int, ...] | None = None
    dropout: float = 0.0
    stem: int | None = None
    waves: int = 0

    def __post_init__(self) -> None:
        for name in ("widths", "attention"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, tuple):
                raise BadInput(f"{name} must be a tuple of whole numbers such as (16, 32) or (1,), not {value}")
        if self.widths is not None and (not self.widths or min(self.widths) < 1):
            raise BadInput(f"widths must be one number or more, each at least 1, not {self.widths}")
        for name in ("blocks", "stem"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name} must be at least 1, not {value}")
        if self.waves < 0:
            raise BadInput(f"waves are 0 or more, not {self.waves}")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"dropout must be a share below 1, not {self.dropout}")
        if (
            self.attention is not None
            and self.widths is not None
            and set(self.attention) - set(range(len(self.widths)))
        ):
            raise BadInput(f"attention names scales 0 to {len(self.widths) - 1}, not {self.attention}")
