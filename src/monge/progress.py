"""One progress bar for everything that takes more than two seconds: time left, and a few live numbers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PATIENCE_S = 2.0
Advance = Callable[..., None]


@contextmanager
def bar(label: str, total: float, *, show: bool = True, patience: float = PATIENCE_S) -> Iterator[Advance]:
    """Yield `advance(steps=1, **numbers)`; the bar appears on stderr once the work outlasts `patience` seconds.

    >>> with bar("drawing", 3, show=False) as advance:
    ...     for _ in range(3):
    ...         advance(1, loss=0.5)
    """
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    task = progress.add_task(label, total=total, numbers="")
    start = time.monotonic()
    live = False

    def advance(steps: float = 1, **numbers: float) -> None:
        nonlocal live
        if not show:
            return
        text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        progress.advance(task, steps)
        if text:
            progress.update(task, numbers=text)
        if not live and time.monotonic() - start > patience:
            progress.start()
            live = True

    try:
        yield advance
    finally:
        if live:
            progress.stop()
