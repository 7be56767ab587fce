"""Checkpoints: tensors and a JSON header in one safetensors file, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from monge.errors import BadInput
from monge.files import write_atomic

KEEP = 2  # the last one, and one before it in case the disk hurts the last


def write_tensors(path: str | os.PathLike[str], tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors with a JSON header, atomically. Raises DiskFull, the old file then being kept."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(contiguous, metadata={"monge": json.dumps(header)}))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file. Raises BadInput if it is missing, truncated or not ours."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})["monge"])
            # clones are aligned as fresh tensors are, so that kernels round the same way
            return {name: file.get_tensor(name).clone() for name in file.keys()}, header  # noqa: SIM118 (not a dict)
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing: give the folder of a run, or fit it again") from error
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise BadInput(f"{path} cannot be read ({error}): it is truncated or not a monge file; fit again") from error


class Checkpoints:
    """The checkpoints of one run, `folder/00001200.safetensors` after 1,200 steps; the last two are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("[0-9]*.safetensors"))

    def save(self, step: int, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
        write_tensors(self.folder / f"{step:08d}.safetensors", tensors, header)
        for old in self.paths()[:-KEEP]:
            old.unlink(missing_ok=True)

    def last(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint that can be read; None if there is none. Raises BadInput if all are damaged."""
        failure: BadInput | None = None
        for path in reversed(self.paths()):
            try:
                return read_tensors(path)
            except BadInput as error:
                failure = error
        if failure is not None:
            raise failure
        return None
