"""The rational-quadratic spline in one pass over the values, compiled for the CPU; `spline` has the formulas.

Parameters of a value: a and t of an affine map that comes first, x e^s + t with s = affine tanh(a / affine), if
affine > 0; then 2 k of sides and k - 1 of slopes. `shares` are the sides after the softmax. Compiled at the first call
of a process and kept on disk for the next.
"""

import math

from monge.compiling import compiled


@compiled
def _piece(u, shares, p, k, bound, least, rest, axis):  # numba infers them
    """Number, corner, sides and end slopes of the piece that u lies in, along the first axis or the second."""
    even, free = 2 * bound * least / k, 2 * bound * (1 - least)
    index, left, low, width, height = 0, -bound, -bound, even + free * shares[0], even + free * shares[k]
    while index < k - 1 and u >= (left + width if axis == 0 else low + height):
        left += width
        low += height
        index += 1
        width, height = even + free * shares[index], even + free * shares[k + index]
    start = len(p) - k + 1
    first = 1.0 if index == 0 else least + _softplus(p[start + index - 1] + rest)
    last = 1.0 if index == k - 1 else least + _softplus(p[start + index] + rest)
    return index, left, low, width, height, first, last


@compiled
def _softplus(x):
    return x if x > 30 else math.log(1 + math.exp(x))


@compiled
def _tanh(x):
    return 1 - 2 / (math.exp(2 * x) + 1)  # to rounding beside 1, and three times as fast


@compiled
def _slope(t, s, first, last):
    """log of the slope at the share t of a piece of mean slope s."""
    q = t * (1 - t)
    below, rise = s + (first + last - 2 * s) * q, last * t * t + 2 * s * q + first * (1 - t) ** 2
    return math.log(s * s * rise / (below * below))


@compiled
def forward(x, p, shares, k, bound, least, rest, affine, value, slope):
    """value, slope <- the map of x [n], and the log of its slope."""
    for i in range(len(x)):
        u, grown = x[i], 0.0
        if affine > 0:
            grown = affine * _tanh(p[i, 0] / affine)
            u = u * math.exp(grown) + p[i, 1]
        value[i], slope[i] = u, grown
        if abs(u) < bound:
            _, left, low, w, h, first, last = _piece(u, shares[i], p[i], k, bound, least, rest, 0)
            t, s = (u - left) / w, h / w
            q = t * (1 - t)
            value[i] = low + h * (s * t * t + first * q) / (s + (first + last - 2 * s) * q)
            slope[i] = grown + _slope(t, s, first, last)


@compiled
def inverse(z, p, shares, k, bound, least, rest, affine, value, slope):
    """value, slope <- the inverse map of z [n], and the log of its slope."""
    for i in range(len(z)):
        u, grown = z[i], 0.0
        if abs(u) < bound:
            _, left, low, w, h, first, last = _piece(u, shares[i], p[i], k, bound, least, rest, 1)
            s, away = h / w, u - low
            bend = first + last - 2 * s
            a, b, c = h * (s - first) + away * bend, h * first - away * bend, -s * away
            t = min(max(2 * c / (-b - math.sqrt(max(b * b - 4 * a * c, 0.0))), 0.0), 1.0)
            q = t * (1 - t)  # one step of Newton's: the root loses half of the digits where the discriminant is small
            below = s + bend * q
            rise = last * t * t + 2 * s * q + first * (1 - t) ** 2
            t -= (h * (s * t * t + first * q) / below - away) * below * below / (h * s * rise)
            u, grown = left + w * t, -_slope(t, s, first, last)
        if affine > 0:
            own = affine * _tanh(p[i, 0] / affine)
            u, grown = (u - p[i, 1]) * math.exp(-own), grown - own
        value[i], slope[i] = u, grown


@compiled
def backward(x, p, shares, k, bound, least, rest, affine, by_value, by_slope, g_x, g_p):
    """g_x [n], g_p [n, size] <- the gradients, from those by value and by log slope."""
    free = 2 * bound * (1 - least)
    first_side = 2 if affine > 0 else 0
    start = p.shape[1] - k + 1
    for i in range(len(x)):
        u, scale, bent = x[i], 1.0, 0.0
        if affine > 0:
            bent = _tanh(p[i, 0] / affine)
            scale = math.exp(affine * bent)
            u = u * scale + p[i, 1]
        gv, gl = 1.0 * by_value[i], 1.0 * by_slope[i]  # in double precision, as all the rest
        g, g_u = g_p[i], gv
        g[:] = 0.0
        if abs(u) < bound:
            index, left, _, w, h, d0, d1 = _piece(u, shares[i], p[i], k, bound, least, rest, 0)
            t, s = (u - left) / w, h / w
            q, turn, t2, u2 = t * (1 - t), 1 - 2 * t, t * t, (1 - t) ** 2
            bend = d0 + d1 - 2 * s
            below, rise, n = s + bend * q, d1 * t2 + 2 * s * q + d0 * u2, s * t2 + d0 * q
            g_n = gv * h / below
            g_below = -(g_n * n + 2 * gl) / below
            r = gl / rise
            g_t = g_n * (2 * s * t + d0 * turn) + g_below * bend * turn + r * 2 * (d1 * t + s * turn - d0 * (1 - t))
            g_s = g_n * t2 + g_below * (1 - 2 * q) + r * 2 * q + 2 * gl / s
            g_u = g_t / w
            own = (-(g_t * t + g_s * s) / w, gv * n / below + g_s / w)
            before = (-g_u, gv)
            for axis in range(2):
                column = axis * k
                mean = shares[i, column + index] * own[axis]
                for j in range(index):
                    mean += shares[i, column + j] * before[axis]
                for j in range(k):
                    each = before[axis] if j < index else own[axis] if j == index else 0.0
                    g[first_side + column + j] = free * shares[i, column + j] * (each - mean)
            if index > 0:
                j = start + index - 1
                g[j] = ((g_n + g_below) * q + r * u2) / (1 + math.exp(-(p[i, j] + rest)))
            if index < k - 1:
                j = start + index
                g[j] = (g_below * q + r * t2) / (1 + math.exp(-(p[i, j] + rest)))
        if affine > 0:
            g[0] = (g_u * x[i] * scale + gl) * (1 - bent * bent)
            g[1] = g_u
        g_x[i] = g_u * scale
