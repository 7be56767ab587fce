"""What an audit should be told about the data before its numbers are read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from monge.errors import BadInput
from monge.evaluation.pairs import REPEATED, SAME
from monge.evaluation.prepared import Prepared
from monge.evaluation.rows import Source, blocks

CHANNELS = 4  # at most, where nothing else is said
OFTEN = 10  # times the held-out rows: a training set that may hold most of them where they repeat once in twenty
LOOKED = 2000  # rows whose range is looked at
OFF = 1e-3  # of the step of a grid: values farther from it are off it
INSIDE = 0.5  # share of held-out rows that are in the training set once: where rows repeat by chance, at most 1 / e


def warnings_of_grid(generated: Source, holdout: Any) -> list[str]:
    """What is off the grid of integer data, or beyond their limits, before generated values are rounded to it."""
    quantum, limits = getattr(holdout, "quantum", None), getattr(holdout, "limits", None)
    if quantum is None or limits is None:
        return []
    off = beyond = total = 0
    for _, rows in blocks(generated):
        steps = (rows.astype(np.float64) - limits[0]) / quantum
        off += int((np.abs(steps - np.round(steps)) > OFF).sum())
        beyond += int(((np.round(steps) < 0) | (np.round(steps) > round((limits[1] - limits[0]) / quantum))).sum())
        total += rows.size
    found = []
    if off:
        found.append(
            f"{_percent(off / total)} of the generated values are off the grid of the data, whose step is {quantum:g}: "
            "they were rounded to it before they were judged"
        )
    if beyond:
        found.append(
            f"{_percent(beyond / total)} of the generated values lie beyond the data's limits, {limits[0]:g} and "
            f"{limits[1]:g}"
        )
    return found


def warnings_of_weights(given: Sequence[Any], judged: Sequence[Any]) -> list[str]:
    """How many weighted rows are left of generated and of held-out ones."""
    return [
        f"of {len(before):,} {name} rows with weights {len(after):,} are compared, each kept with a chance in "
        "proportion to its weight"
        for name, before, after in zip(("generated", "held-out"), given, judged, strict=True)
        if after is not before
    ]


def _of_shape(event: tuple[int, ...]) -> list[str]:
    """Where the axes of events look as if they meant something else: channels come first."""
    if len(event) < 2 or event[0] <= CHANNELS:
        return []
    if event[-1] <= CHANNELS:
        cure = f"move the channels, {event[-1]} of them, to the front"
    else:
        cure = f"give [n, 1, {', '.join(map(str, event))}] if they are fields of one channel"
    space = " x ".join(map(str, event[1:]))
    return [f"events of shape {event} were read as {event[0]} channels of {space} sites: {cure}"]


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def warnings_of(p: Prepared, arrays: dict[str, Source]) -> list[str]:
    """Sentences: no training set, held-out rows in it, real rows that repeat, constants, units that do not fit."""
    found = []
    pairs, labels = p.pairs, p.split.labels
    if p.split.train is None:
        found.append("no training set was given, so copying could not be looked for")
    else:
        equal = torch.cat([pairs.counted_to_training.distance, pairs.shaping_to_training.distance]) <= SAME
        n, shared, once = len(equal), int(equal[:, 0].sum()), int((equal.sum(1) == 1).sum())
        few = len(p.split.train) <= OFTEN * n and pairs.repeated < 1 / (2 * OFTEN)  # too few to hold them by chance
        if once > INSIDE * n or (shared > INSIDE * n and few):
            raise BadInput(
                f"{max(once, shared)} of {n} held-out rows are in the training set too: give rows that the generator "
                "never saw, or split the data again"
            )
        if shared:
            found.append(
                f"{shared} of {n} held-out rows are in the training set too, which hides copying: split the data again"
            )
    if labels is not None and labels.generated is None:
        found.append(
            "labels of generated samples were not read (give Samples with the same classes): whether they fit is not "
            "judged"
        )
    if pairs.repeated > REPEATED:
        found.append(
            f"{pairs.repeated:.1%} of the held-out rows occur twice: real data repeat, and repeats of x are held "
            "against that"
        )
    mine, real = (np.asarray(arrays[name][:LOOKED], dtype=np.float64) for name in ("generated", "holdout"))
    held = torch.cat([p.split.shaping, p.split.counted]).flatten(1)
    constant = int((held.amax(0) == held.amin(0)).sum())
    if constant:
        found.append(f"{constant} of {held.shape[1]} values never change in held-out samples")
    taken = int(((pairs.to_counted.distance <= SAME).sum(1) == 1).sum())
    if taken > REPEATED * len(pairs.x) and pairs.repeated <= REPEATED:
        found.append(f"{taken} of {len(pairs.x)} generated rows are held-out rows: has the generator seen them?")
    found += _of_shape(p.split.event)
    (low, high), (real_low, real_high) = ((float(a.min()), float(a.max())) for a in (mine, real))
    if (real_high - real_low) > 50 * (high - low) > 0 or (high - low) > 50 * (real_high - real_low) > 0:
        found.append(
            f"generated values run from {low:.3g} to {high:.3g}, held-out ones from {real_low:.3g} to "
            f"{real_high:.3g}: are "
            "they in the same units?"
        )

    return found
