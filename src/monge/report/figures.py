"""The figures of the report. Each returns a matplotlib `Figure`, to be saved or changed; none touches pyplot."""

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from monge.errors import BadInput
from monge.linalg import power_spectrum
from monge.report.looks import Array, Look, rows

WIDTH = 4.8  # inches: the width of a telephone, so that text stays readable there
SMALL = 8.5  # points
REAL, GENERATED = "#2F86C8", "#D55E00"  # blue and orange: told apart by colour-blind readers, on light and dark
CYCLE = (REAL, GENERATED, "#009E73", "#CC79A7")  # losses, or channels
CELL = 70, 100  # height and width of a cell that holds a curve
POINTS, FIELDS, COORDINATES = 2000, 512, 6


def image_grid(x: Any, *, columns: int = 6, look: Look | None = None, title: str = "") -> Figure:
    """Samples side by side, row by row; [n, *event], n cut to whole rows.

    >>> image_grid(np.zeros((12, 1, 8, 8)) + np.arange(8)).get_size_inches()
    array([4.8       , 1.60754717])
    """
    x = rows(x, len(x))
    look = look or Look.of(x)
    columns = min(columns, len(x))
    count = len(x) // columns
    table = [list(x[r * columns : (r + 1) * columns]) for r in range(count)]
    return mosaic(table, look, title=title)


def by_label(samples: Mapping[str, Any], *, look: Look | None = None) -> Figure:
    """Samples of each label: a row of pictures each, or for vectors a cloud of the first two coordinates each.

    samples: [n, *event] by the label's name.

    >>> by_label({"zero": np.zeros((3, 1, 8, 8)), "one": np.ones((3, 1, 8, 8))}).get_size_inches().round(1)
    array([4.8, 2.7])
    """
    table = [list(rows(x, len(x))) for x in samples.values()]
    if table[0][0].ndim > 1:
        return mosaic(table, look or Look.of(np.stack(table[0])), list(samples))
    figure, axes = _figure(WIDTH)
    colours = colormaps["tab10" if len(table) <= 10 else "viridis"]
    for i, (name, cloud) in enumerate(zip(samples, table, strict=True)):
        colour = colours(i if len(table) <= 10 else i / (len(table) - 1))
        x, y = np.stack(cloud)[:, :2].T
        axes.scatter(x, y, s=8, color=colour, label=name, linewidths=0)
    legend(axes)
    return figure


def neighbours(generated: Any, nearest: Any, distance: Any, *, look: Look | None = None) -> Figure:
    """Generated samples above the training sample nearest to each, with their distance below.

    generated, nearest: [n, *event]; distance: [n]. Vectors of two coordinates are linked by lines in the plane.
    """
    if len(generated) != len(nearest) or len(generated) != len(distance):
        raise BadInput(f"each of {len(generated)} samples needs a neighbour and a distance: give as many")
    x, near = rows(generated, len(generated)), rows(nearest, len(nearest))
    if x.ndim == 2 and x.shape[1] == 2:
        figure, axes = _figure(WIDTH)
        axes.plot(*np.stack([x, near], axis=1).transpose(2, 1, 0), color="#888888", linewidth=0.8, zorder=1)
        axes.scatter(near[:, 0], near[:, 1], s=14, color=REAL, label="nearest training sample")
        axes.scatter(x[:, 0], x[:, 1], s=14, color=GENERATED, label="generated")
        legend(axes)
        return figure
    labels = [f"{d:.3g}" for d in rows(distance, len(distance))]
    return mosaic(
        [list(x), list(near)], look or Look.of(near), ["generated", "nearest\nin training"], labels, "distance"
    )


def denoising_strip(clean: Any, sigma: Any, noisy: Any, denoised: Any, *, look: Look | None = None) -> Figure:
    """One sample clean, noisy and denoised at several noise levels.

    clean: [*event]; sigma: [k]; noisy, denoised: [k, *event].
    """
    clean, y, x_hat = np.asarray(clean), rows(noisy, len(noisy)), rows(denoised, len(denoised))
    labels = [f"{float(s):.3g}" for s in sigma]
    table = [[clean] * len(y), list(y), list(x_hat)]
    return mosaic(table, look or Look.of(clean[None]), ["clean", "noisy", "denoised"], labels, "noise level σ")


def path(sigma: Any, y: Any, x_hat: Any, *, look: Look | None = None, frames: int = 7) -> Figure:
    """The way from noise to samples: y at decreasing noise levels, and what the denoiser makes of it.

    sigma: [k]; y, x_hat: [k, n, *event], as a sampler's trace has them. Noise is shown shrunk to the data's contrast.
    Vectors are shown as clouds of their first two coordinates, each on its own scale.
    """
    levels = rows(sigma, len(sigma))
    picked = np.unique(np.linspace(0, len(levels) - 1, min(frames, len(levels))).round().astype(int))
    noisy, clean = rows(y, len(y))[picked], rows(x_hat, len(x_hat))[picked]
    labels = [f"{level:.3g}" for level in levels[picked]]
    if noisy.ndim == 3 and noisy.shape[2] > 1:
        return _clouds(noisy[:, :, :2], clean[:, :, :2], labels)
    look = look or Look.of(clean[-1])
    spread = float(clean[-1].std())
    table, names = [], []
    for i in range(noisy.shape[1]):
        table += [[look.rescaled(event, spread) for event in noisy[:, i]], list(clean[:, i])]
        names += ["noisy", "denoised"]
    return mosaic(table, look, names, labels, "noise level σ")


def spectrum(real: Any, generated: Any) -> Figure:
    """Mean power at each wavenumber, real and generated fields [n, C, *space]; the band holds 80% of real samples."""
    figure, axes = _figure(WIDTH, 3.0)
    for x, name, colour in ((real, "real", REAL), (generated, "generated", GENERATED)):
        k, power = power_spectrum(torch.from_numpy(rows(x, FIELDS).astype(np.float64)))
        each = power.mean(1)[:, 1:].numpy()
        axes.plot(k[1:], each.mean(0), color=colour, label=name, linestyle="-" if name == "real" else "--")
        if name == "real":
            low, high = np.percentile(each, (10, 90), axis=0)
            axes.fill_between(k[1:], low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="wavenumber (cycles per side)", ylabel="power")
    legend(axes)
    return figure


def scatter(
    real: Any, generated: Any, columns: Sequence[int] | None = None, names: Sequence[str] | None = None
) -> Figure:
    """Vectors [n, d]: two clouds for d = 2, histograms for d = 1, else the corner plot of up to 6 coordinates.

    columns: those that are shown, all if not given; names: of all, x1 to xd if not given."""
    count = min(len(real), len(generated), POINTS)  # of each, or the larger cloud would look the wider one
    x, g = rows(real, count), rows(generated, count)
    columns = range(x.shape[1]) if columns is None else columns
    told = [f"x{i + 1}" if names is None else names[i] for i in columns]
    x, g = x[:, list(columns)], g[:, list(columns)]
    size = min(x.shape[1], COORDINATES)
    limits = [_range(np.concatenate([x[:, i], g[:, i]])) for i in range(size)]
    if size == 2:
        figure = empty(WIDTH * 1.6, WIDTH * 0.85)
        for i, (cloud, name, colour) in enumerate(((x, "real", REAL), (g, "generated", GENERATED))):
            axes = figure.add_subplot(1, 2, i + 1)
            axes.scatter(cloud[:, 0], cloud[:, 1], s=4, color=colour, alpha=0.5, linewidths=0, rasterized=True)
            axes.set(xlim=limits[0], ylim=limits[1], xlabel=told[0], ylabel=told[1] if i == 0 else "")
            axes.set_title(name, fontsize=SMALL + 1)
        return figure
    figure = empty(WIDTH * 1.4, WIDTH * (1.4 if size > 1 else 0.6))
    for i in range(size):
        for j in range(i + 1):
            axes = figure.add_subplot(size, size, i * size + j + 1)
            axes.set_xlim(limits[j])
            axes.tick_params(labelsize=SMALL - 2, labelbottom=i == size - 1, labelleft=j == 0 < i)
            if i == j:
                grid = np.linspace(limits[i][0], limits[i][1], 31).tolist()
                axes.hist(x[:, i], bins=grid, density=True, histtype="stepfilled", color=REAL, alpha=0.4, label="real")
                axes.hist(g[:, i], bins=grid, density=True, histtype="step", color=GENERATED, label="generated")
                axes.set_yticks([])
            else:
                axes.scatter(x[:, j], x[:, i], s=2, color=REAL, alpha=0.4, linewidths=0, rasterized=True)
                axes.scatter(g[:, j], g[:, i], s=2, color=GENERATED, alpha=0.4, linewidths=0, rasterized=True)
                axes.set_ylim(limits[i])
            if i == size - 1:
                axes.set_xlabel(told[j], fontsize=SMALL)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", frameon=False, fontsize=SMALL)
    return figure


def _range(values: Array) -> tuple[float, float]:
    """Where nearly all values lie, and a little more."""
    low, high = np.percentile(values, (0.1, 99.9))
    room = 0.08 * float(np.ptp(values)) or 1.0
    return float(low) - room, float(high) + room


def _clouds(noisy: Array, clean: Array, labels: Sequence[str]) -> Figure:
    figure = empty(WIDTH * 1.6, WIDTH * 1.6 * 2.2 / len(labels))
    for row, (clouds, name) in enumerate(((noisy, "noisy"), (clean, "denoised"))):
        for column, cloud in enumerate(clouds):
            axes = figure.add_subplot(2, len(labels), row * len(labels) + column + 1)
            axes.scatter(cloud[:, 0], cloud[:, 1], s=3, color=GENERATED, alpha=0.6, linewidths=0, rasterized=True)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(name, fontsize=SMALL)
            if row == 1:
                axes.set_xlabel(f"σ = {labels[column]}", fontsize=SMALL)
    return figure


def mosaic(
    table: Sequence[Sequence[Array]],
    look: Look,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    column_title: str = "",
    title: str = "",
) -> Figure:
    """Events in rows and columns: a mosaic of pictures, or a curve in each cell."""
    if look.is_picture(table[0][0].shape):
        tiles = [[look.pixels(event) for event in row] for row in table]
        high, wide = tiles[0][0].shape[:2]
    else:
        high, wide = CELL
    gap = max(1, round(0.08 * wide))
    across, down = len(table[0]) * (wide + gap) - gap, len(table) * (high + gap) - gap
    beside = 0.75 if row_labels else 0.1
    below = 0.1 + (0.35 if column_labels else 0.0) + (0.25 if title else 0.0)
    figure, axes = _figure(WIDTH, (WIDTH - beside) * down / across + below)
    if look.is_picture(table[0][0].shape):
        whole = np.zeros((down, across, 4))
        for r, row in enumerate(tiles):
            for c, tile in enumerate(row):
                whole[r * (high + gap) :, c * (wide + gap) :][:high, :wide] = tile
        axes.imshow(whole, interpolation="none")
    else:
        _curves(axes, table, look, gap)
        axes.set(xlim=(-0.5, across - 0.5), ylim=(down - 0.5, -0.5), aspect="equal")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL)
    axes.set_yticks([(r + 0.5) * high + r * gap for r in range(len(row_labels))], row_labels)
    axes.set_xticks([(c + 0.5) * wide + c * gap for c in range(len(column_labels))], column_labels)
    axes.set_xlabel(column_title, fontsize=SMALL)
    axes.set_title(title, fontsize=SMALL + 1)
    return figure


def _curves(axes: Axes, table: Sequence[Sequence[Array]], look: Look, gap: int) -> None:
    """One cell a sample: a curve for each channel [C, L], or for the coordinates of a vector [d]."""
    high, wide = CELL
    for r, row in enumerate(table):
        for c, event in enumerate(row):
            left, middle = c * (wide + gap), r * (high + gap) + 0.5 * high
            curves = np.atleast_2d(event)
            share = (curves - 0.5 * (look.low + look.high)) / (1.4 * (look.high - look.low))
            x = left + np.linspace(0.04, 0.96, curves.shape[1]) * wide
            for curve, colour in zip(middle - high * np.clip(share, -0.5, 0.5), itertools.cycle(CYCLE)):
                axes.plot(x, curve, color=colour, linewidth=0.9)
            axes.add_patch(Rectangle((left, middle - 0.5 * high), wide, high, fill=False, edgecolor="#888888", lw=0.6))


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The picture, as the bytes of a PNG file.

    >>> png(empty(1, 1))[1:4]
    b'PNG'
    """
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    return content.getvalue()


def empty(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _figure(width: float, height: float | None = None) -> tuple[Figure, Axes]:
    figure = empty(width, height or 0.8 * width)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=SMALL)
    axes.xaxis.label.set_fontsize(SMALL)
    axes.yaxis.label.set_fontsize(SMALL)
    return figure, axes


def legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=SMALL)
