"""Loops compiled for the CPU by numba, and run on parts of arrays side by side."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

Arrays = Sequence[Any]
_granted = 0  # threads for compiled loops, where torch has but one


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """By numba, which must see the bare function, not one that a type checker has wrapped; kept on disk for the next
    process, and without Python's lock, so that threads run side by side."""
    from numba import njit  # a second to import

    made: Callable[..., Any] = njit(inspect.unwrap(function), cache=True, nogil=True, error_model="numpy")
    return made


def side_by_side(kernel: Callable[..., Any], before: Arrays, how: Arrays, after: Arrays, *, each: int) -> None:
    """kernel(*before, *how, *after), the rows of the arrays before and after cut in as many parts as torch has threads.

    each: rows below which another thread costs more than it does.
    """
    n = len(before[0])
    parts = max(1, min(_granted or torch.get_num_threads(), n // each))
    cuts = [slice(n * i // parts, n * (i + 1) // parts) for i in range(parts)]
    calls = [(*(a[cut] for a in before), *how, *(a[cut] for a in after)) for cut in cuts]
    others = [_threads().submit(kernel, *call) for call in calls[1:]]
    kernel(*calls[0])
    for other in others:
        other.result()


@contextmanager
def alone() -> Iterator[None]:
    """Torch works on one thread within, and compiled loops on as many as it had: its own, when they have nothing to do,
    keep turning on the cores for a while, and the loops would get half of them."""
    global _granted
    _granted, before = torch.get_num_threads(), _granted
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(_granted)
        _granted = before


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="monge")
