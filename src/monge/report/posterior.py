"""Answers to an observation, side by side."""

from typing import Any

from matplotlib.figure import Figure

from monge.report.looks import Look, rows

SIDE, TITLE, COLUMNS = 1.5, 8.5, (4, 8)  # inches of a picture; points; least and most in a line


def answers(seen: Any, draws: Any, mean: Any, deviation: Any, residual: Any, *, look: Look, told: str = "") -> Figure:
    """What was observed, the mean and the deviation of draws that agree with it, what their mean leaves of it, and the
    draws.

    seen, residual: [C, *space], as it was observed. draws: [n, *event]; mean, deviation: [*event]. told: a title.

    >>> import numpy as np
    >>> x = np.zeros((3, 1, 8, 8))
    >>> answers(x[0], x, x[0], x[0], x[0], look=Look(0.0, 1.0, "images")).get_size_inches()
    array([6., 3.])
    """
    x = rows(draws, len(draws))
    seen, mean, deviation, residual = (rows(each[None], 1)[0] for each in (seen, mean, deviation, residual))
    spread, left = deviation.mean(0), residual.mean(0)
    reach = float(abs(left).max()) or 1.0
    first: list[tuple[str, Any, dict[str, Any]]] = [
        ("observed", look.pixels(seen), {}),
        ("mean", look.pixels(mean), {}),
        (f"deviation, to {spread.max():.3g}", spread, {"cmap": "magma", "vmin": 0}),
        (f"left over, to {reach:.2g}", left, {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}),
    ]
    columns = max(COLUMNS[0], min(COLUMNS[1], len(x)))
    lines = 1 + (len(x) + columns - 1) // columns
    figure = Figure(figsize=(SIDE * columns, SIDE * lines), layout="constrained")
    figure.suptitle(told, fontsize=TITLE)
    places = [*range(1, 5), *range(columns + 1, columns + 1 + len(x))]
    shown = [*first, *(("draws" if i == 0 else "", look.pixels(each), {}) for i, each in enumerate(x))]
    for place, (title, pixels, colours) in zip(places, shown, strict=True):
        axes = figure.add_subplot(lines, columns, place)
        axes.imshow(pixels, interpolation="nearest", **colours)
        axes.set_title(title, fontsize=TITLE)
        axes.axis("off")
    return figure
