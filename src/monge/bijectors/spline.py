"""The rational-quadratic spline, and its gradient by hand: autograd would take some sixty small steps for it."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

COMPILED = importlib.util.find_spec("numba") is not None


class Shape(NamedTuple):
    """What is not a parameter: pieces on [-bound, bound], and their smallest share and slope.

    rest: what is added to a slope's parameter, so that 0 stands for the slope 1.
    """

    bins: int
    bound: float
    least: float
    rest: float


class Piece(NamedTuple):
    """The piece that each value lies in.

    number: its number, [*n, 1]. shares: of all pieces along both axes, after the softmax, [*n, 2, bins].
    left, low: its corner. width, height: its sides. first, last: slopes at its ends. raw: their parameters, [*n, 2].
    inner: whether those ends are inside the box, where slopes are free, [*n, 2].
    """

    number: Tensor
    shares: Tensor
    left: Tensor
    low: Tensor
    width: Tensor
    height: Tensor
    first: Tensor
    last: Tensor
    raw: Tensor
    inner: Tensor


def find(at: Tensor, parameters: Tensor, shape: Shape, *, inverse: bool = False) -> Piece:
    """The piece of each value `at`, along the first axis or, inverse, along the second."""
    k, b, least = shape.bins, shape.bound, shape.least
    shares = parameters[..., : 2 * k].reshape(*at.shape, 2, k).softmax(-1)
    sums = shares.cumsum(-1)
    # the edge after piece j is at -b + 2 b (least (j + 1) / k + (1 - least) sums_j)
    floor = (least / k) * torch.arange(1, k, device=at.device, dtype=at.dtype)
    share = (((at + b) / (2 * b))[..., None] - floor) / (1 - least)
    index = (share >= sums[..., 1 if inverse else 0, :-1]).sum(-1, keepdim=True)
    both = index[..., None, :].expand(*index.shape[:-1], 2, 1)
    own = shares.gather(-1, both)[..., 0]
    before = sums.gather(-1, both)[..., 0] - own
    sides = 2 * b * (least / k + (1 - least) * own)
    starts = 2 * b * ((least / k) * index.to(at.dtype) + (1 - least) * before) - b
    (left, low), (width, height) = starts.unbind(-1), sides.unbind(-1)
    ends = torch.cat([index - 1, index], -1)
    inner = (ends >= 0) & (ends < k - 1)
    raw = parameters[..., 2 * k :].gather(-1, ends.clamp(0, k - 2))
    slopes = torch.where(inner, least + F.softplus(raw + shape.rest), 1.0)
    first, last = slopes.unbind(-1)
    return Piece(index, shares, left, low, width, height, first, last, raw, inner)


def at_share(t: Tensor, piece: Piece) -> tuple[Tensor, Tensor]:
    """The spline at the share t of a piece, and the log of its slope (Durkan et al. 2019, eq. 4 and 5)."""
    slope, q = piece.height / piece.width, t * (1 - t)
    below = slope + (piece.first + piece.last - 2 * slope) * q
    rise = piece.last * t.square() + 2 * slope * q + piece.first * (1 - t).square()
    value = piece.low + piece.height * (slope * t.square() + piece.first * q) / below
    return value, 2 * (slope.log() - below.log()) + rise.log()


def invert(at: Tensor, piece: Piece) -> Tensor:
    """The share of a piece at which the spline has the value `at`."""
    slope, away = piece.height / piece.width, at - piece.low
    bend = piece.first + piece.last - 2 * slope
    a = piece.height * (slope - piece.first) + away * bend
    b = piece.height * piece.first - away * bend
    c = -slope * away
    t = (2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())).clamp(0, 1)
    # one step of Newton's: the root loses half of the digits where the discriminant is small
    q = t * (1 - t)
    below = slope + bend * q
    miss = piece.height * (slope * t.square() + piece.first * q) / below - away
    rise = piece.last * t.square() + 2 * slope * q + piece.first * (1 - t).square()
    return t - miss * below.square() / (piece.height * slope * rise)


def plain(at: Tensor, parameters: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """The spline inside its box and the log of its slope, by operations of torch that are differentiable again."""
    piece = find(at, parameters, shape)
    return at_share((at - piece.left) / piece.width, piece)


def plain_inverse(z: Tensor, parameters: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Its inverse, in the same way."""
    piece = find(z, parameters, shape, inverse=True)
    share = invert(z, piece)
    return piece.left + piece.width * share, -at_share(share, piece)[1]


def in_box(map_: Any, at: Tensor, parameters: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """A map of the box, and the identity beyond."""
    inside = at.abs() < shape.bound
    value, slope = map_(torch.where(inside, at, 0.0), parameters, shape)
    return torch.where(inside, value, at), torch.where(inside, slope, 0.0)


def again(
    map_: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], at: Tensor, parameters: Tensor, by: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """The gradients of a map, themselves differentiable: what a gradient by hand falls back on when it is asked for
    with a graph."""
    with torch.enable_grad():
        here = [t if t.requires_grad else t.detach().requires_grad_() for t in (at, parameters)]
        first, second = torch.autograd.grad(map_(*here), here, by, create_graph=True)
    return first, second


class Forward(torch.autograd.Function):
    """(values inside the box, parameters) -> (spline, log slope), the gradient by hand.

    With s = height / width, t = (x - left) / width, q = t (1 - t), D = s + (first + last - 2 s) q,
    n = s t^2 + first q and M = last t^2 + 2 s q + first (1 - t)^2 (Durkan et al. 2019, eq. 4 and 5):

        value = low + height n / D,    log slope = 2 log s + log M - 2 log D.
    """

    @staticmethod
    def forward(ctx: Any, at: Tensor, parameters: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
        piece = find(at, parameters, shape)
        t = (at - piece.left) / piece.width
        ctx.shape = shape
        ctx.save_for_backward(at, parameters, t, *piece)
        return at_share(t, piece)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (g_value, g_log), shape = gradients, ctx.shape
        at, parameters, t, *parts = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *again(lambda x, p: plain(x, p, shape), at, parameters, gradients), None
        piece = Piece(*parts)
        h, w, d0, d1 = piece.height, piece.width, piece.first, piece.last
        s, q, turn, t2, u2 = h / w, t * (1 - t), 1 - 2 * t, t.square(), (1 - t).square()
        below, rise, n = s + (d0 + d1 - 2 * s) * q, d1 * t2 + 2 * s * q + d0 * u2, s * t2 + d0 * q
        per_below, per_rise = 1 / below, g_log / rise
        g_n = g_value * h * per_below  # the gradients of n, D and M, then of what they are made of
        g_below = -(g_n * n + 2 * g_log) * per_below
        g_t = (
            g_n * (2 * s * t + d0 * turn)
            + g_below * (d0 + d1 - 2 * s) * turn
            + per_rise * 2 * (d1 * t + s * turn - d0 * (1 - t))
        )
        g_s = g_n * t2 + g_below * (1 - 2 * q) + per_rise * 2 * q + 2 * g_log / s
        g_d0 = (g_n + g_below) * q + per_rise * u2
        g_d1 = g_below * q + per_rise * t2
        g_x = g_t / w
        g_w, g_h = -g_t * t / w - g_s * s / w, g_value * n * per_below + g_s / w
        share = 2 * shape.bound * (1 - shape.least)
        own, before = share * torch.stack([g_w, g_h], -1), share * torch.stack([-g_x, g_value], -1)
        each_number, own_number = torch.arange(shape.bins, device=t.device), piece.number[..., None]
        each = torch.where(each_number < own_number, before[..., None], 0.0) + torch.where(
            each_number == own_number, own[..., None], 0.0
        )
        weighted = piece.shares * each
        sides = weighted - piece.shares * weighted.sum(-1, keepdim=True)
        ends = torch.cat([piece.number - 1, piece.number], -1).clamp(0, shape.bins - 2)
        g_raw = torch.where(piece.inner, torch.stack([g_d0, g_d1], -1) * (piece.raw + shape.rest).sigmoid(), 0.0)
        slopes = sides.new_zeros(*t.shape, shape.bins - 1).scatter_add_(-1, ends, g_raw)
        return g_x, torch.cat([sides.flatten(-2), slopes], -1), None
