"""What is told of a training while it runs: log.csv, and TensorBoard where asked."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monge.errors import MissingExtra
from monge.files import write_atomic


class Journal:
    """log.csv in a run's folder: one row a logged step, flushed as it comes; a number not known at a step is empty.

    Raises MissingExtra if `tensorboard` is asked for and not installed.
    """

    def __init__(self, out: Path, *, tensorboard: bool = False) -> None:
        self.path = out / "log.csv"
        self.columns = self._read()[0] if self.path.exists() else []
        self.board = _board(out) if tensorboard else None

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """A row; its first column is `step`. A number of a new name becomes a column, empty in the rows before."""
        row = {"step": step, **numbers}
        new = [name for name in row if name not in self.columns]
        if new:
            rows = self._read()[1] if self.path.exists() else []
            self.columns += new
            self._write(rows)
        with self.path.open("a", newline="") as file:
            self._writer(file).writerow(row)
        if self.board:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, step)

    def cut(self, step: int) -> None:
        """Forget the rows after `step`: they will be written again."""
        if self.path.exists():
            self._write([row for row in self._read()[1] if _at_most(row.get("step"), step)])

    def close(self) -> None:
        if self.board:
            self.board.close()

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or []), list(reader)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        text = io.StringIO()
        writer = self._writer(text)
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.path, text.getvalue())

    def _writer(self, file: Any) -> "csv.DictWriter[str]":
        return csv.DictWriter(file, self.columns, restval="", extrasaction="ignore", lineterminator="\n")


def _at_most(text: str | None, step: int) -> bool:
    return text is not None and text.isdigit() and int(text) <= step


def _board(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", group="tensorboard") from error
    return SummaryWriter(str(out / "tensorboard"))
