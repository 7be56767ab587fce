"""One progress bar for everything that takes more than two seconds: time left, and a few live numbers; and as many
threads as are quick.

Where stderr is no terminal, a file or a pipe, a line every ten seconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PATIENCE_S = 2.0
LINE_S = 10.0
Advance = Callable[..., None]


@contextmanager
def bar(
    label: str, total: float, *, show: bool = True, patience: float = PATIENCE_S, pace: bool = True
) -> Iterator[Advance]:
    """Yield `advance(steps=1, **numbers)`; the bar appears on stderr once the work outlasts `patience` seconds.

    The numbers are those last given. pace: whether torch's threads are chosen as the work goes on, see
    `monge.threads.paced`.

    >>> with bar("drawing", 3, show=False) as advance:
    ...     for _ in range(3):
    ...         advance(1, loss=0.5)
    """
    from monge.threads import paced  # torch

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    task = progress.add_task(label, total=total, numbers="")
    start = time.monotonic()
    told, live = start, False

    def advance(steps: float = 1, **numbers: float) -> None:
        nonlocal live, told
        tick()
        if not show:
            return
        text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        progress.advance(task, steps)
        if text:
            progress.update(task, numbers=text)
        now = time.monotonic()
        if not console.is_terminal:
            if now - told > LINE_S:
                told = now
                console.print(_line(progress.tasks[0], now - start), soft_wrap=True)
        elif not live and now - start > patience:
            progress.start()
            live = True

    with paced() if pace else nullcontext(_nothing) as tick:
        try:
            yield advance
        finally:
            if live:
                progress.stop()


def _nothing() -> None:
    """What is done for work that has threads of its own."""


def say(text: str, *, show: bool = True) -> None:
    """A line on stderr."""
    if show:
        Console(stderr=True).print(text, soft_wrap=True, highlight=False)


def _line(task: Task, seconds: float) -> str:
    share = task.completed / task.total if task.total else 0.0
    left = "" if share <= 0 else f", {seconds * (1 - share) / share:.0f} s left"
    return f"{task.description} {share:.0%}  {task.fields['numbers']}  {seconds:.0f} s{left}"
