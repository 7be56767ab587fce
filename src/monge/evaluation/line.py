"""A line of the verdict: a number, its error bar, its floor, and what it decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from monge.errors import BadInput

Status = Literal["pass", "fail", "undecided"]
LEVEL = 0.05  # chance of any fail, over all lines, where the laws are the same
POWER = 0.8  # least chance of seeing its reference defect, for a line to be evidence


@dataclass(frozen=True)
class Line:
    """One statistic of the audit.

    value: the statistic for the generated samples. interval: 95% interval of it.
    floor: what new real samples reach in the place of the generated ones, at the same n.
    p_value: of the generated samples having the law of the real ones, before correction; None if not tested.
    margin: how far from the floor the reference defect, planted in real data, moves the value; None if there is none.
    status: "pass" when the reference defect is excluded; "fail" when a difference is there, after correction over all
        lines, and the defect is not excluded; "undecided" otherwise.
    note: what the line measures, in one plain sentence. concern: what a difference says. detail: what differs most.
    reference: the defect that the margin is of. p_equivalence: the chance that it looks so harmless. power: the chance
        that it would have been seen. curves: that chance by defect and by factor of the reference size. excludes:
        p_equivalence of each defect that the line sees, and real samples would exclude, with a chance of .8.
        p_adjusted: p_value after correction. growth: the power at the reference size by defect and by how many times
        the rows there are, below .8 where real samples would not exclude the defect.
    """

    name: str
    value: float
    interval: tuple[float, float]
    floor: float
    p_value: float | None
    margin: float | None
    status: Status
    note: str
    concern: str = "structure"
    detail: str = ""
    reference: str | None = None
    p_equivalence: float | None = None
    power: float | None = None
    curves: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    excludes: Mapping[str, float] = field(default_factory=dict)
    p_adjusted: float | None = None
    growth: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def significant(self) -> bool:
        """Whether a difference is there, beyond chance."""
        return self.p_adjusted is not None and self.p_adjusted <= LEVEL

    @property
    def blind(self) -> bool:
        """Whether it could not have seen a reference defect at this n, so that it is no evidence of there being
        none."""
        return self.status == "undecided" and (self.margin is None or (self.power is not None and self.power < POWER))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Line":
        """Inverse of `dataclasses.asdict`; raises `BadInput` that names the keys missing or unknown."""
        expected = {f.name for f in fields(cls)}
        if set(values) != expected:
            wrong = ", ".join(sorted(set(values) ^ expected))
            raise BadInput(f"a verdict line has missing or unknown keys: {wrong}; write it with Verdict.to_json")
        low, high = values["interval"]
        return cls(**{**values, "interval": (low, high)})
