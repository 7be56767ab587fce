"""Figures, and the one-file HTML page that shows a verdict with its evidence."""

from monge.report.denoising import Denoising, denoising
from monge.report.figures import (
    by_label,
    denoising_strip,
    image_grid,
    neighbours,
    path,
    png,
    scatter,
    spectrum,
)
from monge.report.generalisation import twin_curves, twin_pictures
from monge.report.looks import Look
from monge.report.losses import loss, read_log
from monge.report.page import write
from monge.report.posterior import answers
from monge.report.tracing import traces
from monge.report.words import SYMBOLS, counts, reason

__all__ = [
    "SYMBOLS",
    "Denoising",
    "Look",
    "answers",
    "by_label",
    "counts",
    "denoising",
    "denoising_strip",
    "image_grid",
    "loss",
    "neighbours",
    "path",
    "png",
    "read_log",
    "reason",
    "scatter",
    "spectrum",
    "traces",
    "twin_curves",
    "twin_pictures",
    "write",
]
