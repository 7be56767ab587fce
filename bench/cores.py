"""Jobs side by side, each with a core of its own: what is compared runs under the same conditions."""

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import Queue
from typing import TypeVar

import torch

Found = TypeVar("Found")


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def asked(
    doc: str | None, *more: tuple[str, type, str], only: str = "sections", methods: str = "parts of their names"
) -> argparse.Namespace:
    """--fast, --only and --methods of the command line, and more options by (name, type, help), None unless given."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", default="", help=f"{only}, with commas")
    parser.add_argument("--methods", default="", help=f"{methods}, with commas")
    for name, kind, told in more:
        parser.add_argument(f"--{name}", type=kind, help=told)
    return parser.parse_args()


def side_by_side(work: Callable[..., Found], jobs: Sequence[tuple]) -> Iterator[Found]:
    """What `work` gives for each of the jobs, in their order; as many of them at a time as there are cores."""
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for core in cores():
        queue.put(core)
    with ProcessPoolExecutor(len(cores()), mp_context=context, initializer=_on_one, initargs=(queue,)) as pool:
        yield from pool.map(work, *zip(*jobs, strict=True))


def _on_one(queue: "Queue[int]") -> None:
    core = queue.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
