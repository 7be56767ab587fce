"""What an audit should be told about the data before its numbers are read."""

import numpy as np

from monge.evaluation.prepared import REPEATED, SAME, Prepared
from monge.evaluation.rows import Source

LOOKED = 2000  # rows whose range is looked at


def warnings_of(p: Prepared, arrays: dict[str, Source]) -> list[str]:
    """Sentences: no training set, held-out rows in it, real rows that repeat, constants, units that do not fit."""
    found = []
    if p.train is None:
        found.append("no training set was given, so copying could not be looked for")
    elif shared := int((p.held_out_to_training.distance <= SAME).sum()):
        found.append(
            f"{shared} of {len(p.y)} held-out rows are in the training set too, which hides copying and makes the "
            f"floors "
            "too good: split the data again"
        )
    if p.repeated > REPEATED:
        found.append(
            f"{p.repeated:.1%} of the held-out rows occur twice: real data repeat, and repeats of x are held against "
            f"that"
        )
    mine, real = (np.asarray(arrays[name][:LOOKED], dtype=np.float64) for name in ("generated", "holdout"))
    constant = int((np.ptp(real.reshape(len(real), -1), axis=0) == 0).sum())
    if constant:
        found.append(f"{constant} of {real[0].size} values never change in held-out samples")
    (low, high), (real_low, real_high) = ((float(a.min()), float(a.max())) for a in (mine, real))
    if (real_high - real_low) > 50 * (high - low) > 0 or (high - low) > 50 * (real_high - real_low) > 0:
        found.append(
            f"generated values run from {low:.3g} to {high:.3g}, held-out ones from {real_low:.3g} to "
            f"{real_high:.3g}: are "
            "they in the same units?"
        )

    return found
