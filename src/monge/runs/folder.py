"""The folder of a run: what is in it, and in which state it is. Torch is not needed to look."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monge.errors import BadInput
from monge.files import DERIVED

RESULT = "generalisation.json"  # of an experiment, which several runs are part of
MADE_BY_FIT = ("model.json", "weights.safetensors", "log.csv", "watch.png", "checkpoints", "tensorboard")


@dataclass(frozen=True)
class Run:
    """The folder of a run, and the names of what it holds."""

    folder: Path

    @property
    def record_file(self) -> Path:
        return self.folder / "model.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.csv"

    @property
    def watch(self) -> Path:
        return self.folder / "watch.png"

    @property
    def samples(self) -> Path:
        return self.folder / "samples.npz"

    @property
    def verdict(self) -> Path:
        return self.folder / "verdict.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def is_started(self) -> bool:
        return self.record_file.exists()

    @property
    def is_fitted(self) -> bool:
        return self.is_started and (self.folder / "weights.safetensors").exists()

    @property
    def last_checkpoint(self) -> int | None:
        """The step of the last checkpoint, None if there is none."""
        steps = [int(path.stem) for path in (self.folder / "checkpoints").glob("*.safetensors") if path.stem.isdigit()]
        return max(steps, default=None)

    def record(self) -> dict[str, Any]:
        """What model.json says. Raises BadInput if it is missing or damaged."""
        return read_json(
            self.record_file, f"{self.folder} holds no run: give the --out of a `monge fit` or `monge demo`"
        )

    def refuse_strangers(self) -> None:
        """Raise BadInput if the folder holds files and no run: they are somebody's."""
        if self.folder.exists() and not self.folder.is_dir():
            raise BadInput(f"{self.folder} is a file, and a run is a folder: give another --out")
        if self.is_started or not self.folder.exists():
            return
        found = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        if found:
            raise BadInput(f"{self.folder} holds other files ({found[0]}, ...) and no run: give an --out of its own")

    def clear(self) -> None:
        """Delete what a fit wrote and what was made from it, and nothing else. A folder without a run is refused."""
        self.refuse_strangers()
        for name in (*DERIVED, *MADE_BY_FIT[::-1]):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def refuse_other_experiment(folder: Path, resume: bool) -> None:
    """Raise BadInput unless a folder is new, or holds an experiment that is to be gone on with, and nothing else."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, and an experiment is a folder: give another --out")
    found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    begun = any(name == RESULT or name.startswith("size-") for name in found)
    if found and not begun:
        raise BadInput(f"{folder} holds other files ({found[0]}, ...) and no experiment: give an --out of its own")
    if begun and not resume:
        raise BadInput(f"{folder} holds an experiment: give another --out, or --resume to go on with it")


def read_json(path: Path, missing: str) -> dict[str, Any]:
    """The object in a JSON file. Raises BadInput with the text `missing`, or if it is damaged."""
    if not path.exists():
        raise BadInput(missing)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{path} cannot be read ({error}): it is damaged; make it again") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no JSON object: it is damaged; make it again")
    return content
