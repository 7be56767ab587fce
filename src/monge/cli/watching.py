"""A picture of a model in training, drawn anew every now and then."""

import inspect
from pathlib import Path

import torch

from monge import report
from monge.data import Samples
from monge.files import write_atomic
from monge.models import Family

EVENTS, VECTORS = 24, 1000
DOTS = 150  # per inch


class Watcher:
    """Called with a model, it draws samples into the picture at `path`: a grid of them, or for vectors their cloud
    beside that of the data that the model learns from. They are the same noise each time. Samples that are not finite,
    as they may be of a model that has hardly begun, are not drawn.
    """

    def __init__(self, path: Path, train: Samples) -> None:
        self.path, self.vectors = path, train.kind == "vectors"
        few = torch.linspace(0, len(train) - 1, min(len(train), VECTORS)).long()
        self.real, self.look = train.batch(few), report.Look.of(train)

    def __call__(self, model: Family) -> None:
        quiet = {"show": False} if "show" in inspect.signature(model.sample).parameters else {}
        x = model.sample(VECTORS if self.vectors else EVENTS, seed=0, **quiet)
        if not bool(x.isfinite().all()):
            return
        figure = report.scatter(self.real, x) if self.vectors else report.image_grid(x, look=self.look)
        write_atomic(self.path, report.png(figure, DOTS))
