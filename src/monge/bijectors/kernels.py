"""The rational-quadratic spline in one pass over the values, compiled for the CPU; `spline` has the formulas.

Compiled at the first call of a process and kept on disk for the next; without numba, and on a GPU, `spline` does it in
tensors.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """By numba, which must see the bare function, not one that a type checker has wrapped."""
    made: Callable[..., Any] = njit(inspect.unwrap(function), cache=True, nogil=True, error_model="numpy")
    return made


@compiled
def _piece(u, p, k, bound, least, rest, shares):  # numba infers them
    """Number, corner, sides and end slopes of the piece that u lies in; `shares` [2, k] takes the softmax of both."""
    for axis in range(2):
        most = p[axis * k]
        for j in range(1, k):
            most = max(most, p[axis * k + j])
        total = 0.0
        for j in range(k):
            shares[axis, j] = math.exp(p[axis * k + j] - most)
            total += shares[axis, j]
        for j in range(k):
            shares[axis, j] /= total
    even, free = 2 * bound * least / k, 2 * bound * (1 - least)
    index, left, low = 0, -bound, -bound
    while index < k - 1 and u >= left + even + free * shares[0, index]:
        left += even + free * shares[0, index]
        low += even + free * shares[1, index]
        index += 1
    first, last = 1.0, 1.0
    if index > 0:
        first = least + _softplus(p[2 * k + index - 1] + rest)
    if index < k - 1:
        last = least + _softplus(p[2 * k + index] + rest)
    return index, left, low, even + free * shares[0, index], even + free * shares[1, index], first, last


@compiled
def _softplus(x):
    return x if x > 30 else math.log1p(math.exp(x))


@compiled
def forward(x, parameters, k, bound, least, rest, value, slope):
    """value, slope <- the spline of x [n] with parameters [n, 3 k - 1], and the log of its slope."""
    shares = np.empty((2, k))
    for i in range(len(x)):
        if not abs(x[i]) < bound:
            value[i], slope[i] = x[i], 0.0
            continue
        _, left, low, w, h, d0, d1 = _piece(x[i], parameters[i], k, bound, least, rest, shares)
        t, s = (x[i] - left) / w, h / w
        q = t * (1 - t)
        below, rise = s + (d0 + d1 - 2 * s) * q, d1 * t * t + 2 * s * q + d0 * (1 - t) ** 2
        value[i] = low + h * (s * t * t + d0 * q) / below
        slope[i] = math.log(s * s * rise / (below * below))


@compiled
def backward(x, parameters, k, bound, least, rest, by_value, by_slope, g_x, g_parameters):
    """g_x [n], g_parameters [n, 3 k - 1] <- the gradients, from those by value and by log slope."""
    shares = np.empty((2, k))
    for i in range(len(x)):
        p, g = parameters[i], g_parameters[i]
        g[:] = 0.0
        if not abs(x[i]) < bound:
            g_x[i] = by_value[i]
            continue
        index, left, _, w, h, d0, d1 = _piece(x[i], p, k, bound, least, rest, shares)
        gv, gl = by_value[i], by_slope[i]
        t, s = (x[i] - left) / w, h / w
        q, turn, t2, u2 = t * (1 - t), 1 - 2 * t, t * t, (1 - t) ** 2
        bend = d0 + d1 - 2 * s
        below, rise, n = s + bend * q, d1 * t2 + 2 * s * q + d0 * u2, s * t2 + d0 * q
        g_n = gv * h / below
        g_below = -(g_n * n + 2 * gl) / below
        r = gl / rise
        g_t = g_n * (2 * s * t + d0 * turn) + g_below * bend * turn + r * 2 * (d1 * t + s * turn - d0 * (1 - t))
        g_s = g_n * t2 + g_below * (1 - 2 * q) + r * 2 * q + 2 * gl / s
        g_x[i] = g_t / w
        own = (-(g_t * t + g_s * s) / w, gv * n / below + g_s / w)
        before = (-g_x[i], gv)
        free = 2 * bound * (1 - least)
        for axis in range(2):
            mean = shares[axis, index] * own[axis]
            for j in range(index):
                mean += shares[axis, j] * before[axis]
            for j in range(k):
                each = before[axis] if j < index else own[axis] if j == index else 0.0
                g[axis * k + j] = free * shares[axis, j] * (each - mean)
        if index > 0:
            g[2 * k + index - 1] = ((g_n + g_below) * q + r * u2) / (1 + math.exp(-(p[2 * k + index - 1] + rest)))
        if index < k - 1:
            g[2 * k + index] = (g_below * q + r * t2) / (1 + math.exp(-(p[2 * k + index] + rest)))
