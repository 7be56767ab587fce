"""Loops compiled for the CPU by numba, and run on parts of arrays side by side."""

import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from numba import njit

Arrays = Sequence[Any]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """By numba, which must see the bare function, not one that a type checker has wrapped; kept on disk for the next
    process, and without Python's lock, so that threads run side by side."""
    made: Callable[..., Any] = njit(inspect.unwrap(function), cache=True, nogil=True, error_model="numpy")
    return made


def side_by_side(kernel: Callable[..., Any], before: Arrays, how: Arrays, after: Arrays, *, each: int) -> None:
    """kernel(*before, *how, *after), the rows of the arrays before and after cut in as many parts as torch has threads.

    each: rows below which another thread costs more than it does.
    """
    n = len(before[0])
    parts = max(1, min(torch.get_num_threads(), n // each))
    cuts = [slice(n * i // parts, n * (i + 1) // parts) for i in range(parts)]
    calls = [(*(a[cut] for a in before), *how, *(a[cut] for a in after)) for cut in cuts]
    others = [_threads().submit(kernel, *call) for call in calls[1:]]
    kernel(*calls[0])
    for other in others:
        other.result()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="monge")
