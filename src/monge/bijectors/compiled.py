"""The steered spline on the CPU, by `kernels`: one pass over the values, shared among threads; second
derivatives by torch."""

from typing import Any

import torch
from torch import Tensor

from monge.bijectors.spline import Shape, again, in_box, plain, plain_inverse

EACH = 8192  # values below which a second thread costs more than it does


class Compiled(torch.autograd.Function):
    """(values, parameters) -> (the affine map, then the spline, log slope); no affine map where `affine` is 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, parameters: Tensor, shape: Shape, affine: float) -> tuple[Tensor, Tensor]:
        ctx.how = *shape, affine
        here, found = _mapped("forward", x, parameters, shape, affine)
        ctx.save_for_backward(x, parameters, *here)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, p, *here = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *again(lambda x, p: _plain(x, p, ctx.how), x, p, gradients), None, None
        g_x, g_parameters = torch.empty_like(here[0]), torch.empty_like(here[1])
        upstream = [gradient.contiguous() for gradient in gradients]
        _shared("backward", here, ctx.how, [*upstream, g_x, g_parameters])
        return g_x, g_parameters, None, None


class CompiledInverse(torch.autograd.Function):
    """The inverse of `Compiled` and its log slope, by the derivatives of the map itself where it arrives:

    with (z, l) = F(u, p), u = F^-1(z, p) and v = (g_u - g_l dl/du) / (dz/du), the gradients are v in z and
    -v dz/dp - g_l dl/dp in p.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, parameters: Tensor, shape: Shape, affine: float) -> tuple[Tensor, Tensor]:
        ctx.how = *shape, affine
        (_, *here), found = _mapped("inverse", z, parameters, shape, affine)
        ctx.save_for_backward(z, parameters, *found, *here)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        z, p, u, slope, parameters, shares = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *again(lambda z, p: _plain_inverse(z, p, ctx.how), z, p, gradients), None, None
        by_value, by_slope = (gradient.contiguous() for gradient in gradients)
        bend, g_parameters = torch.empty_like(u), torch.empty_like(parameters)
        here = [u, parameters, shares]
        _shared("backward", here, ctx.how, [torch.zeros_like(u), torch.ones_like(u), bend, g_parameters])
        g_z = (by_value - by_slope * bend) * slope.exp()
        _shared("backward", here, ctx.how, [-g_z, -by_slope, torch.empty_like(u), g_parameters])
        return g_z, g_parameters, None, None


def _mapped(
    name: str, at: Tensor, parameters: Tensor, shape: Shape, affine: float
) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """What a kernel reads, values, parameters and shares, and what it gives, values and log slopes."""
    here = _arranged(at, parameters, shape)
    found = torch.empty_like(here[0]), torch.empty_like(here[0])
    _shared(name, here, (*shape, affine), list(found))
    return here, found


def _affine(parameters: Tensor, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log scale and shift of the affine map, and the parameters of the spline."""
    if not bound:
        nothing = parameters.new_zeros(())
        return nothing, nothing, parameters
    a, t = parameters[..., 0], parameters[..., 1]
    return bound * (a / bound).tanh(), t, parameters[..., 2:]


def _plain(x: Tensor, parameters: Tensor, how: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """`Compiled` by operations of torch."""
    grown, shift, rest = _affine(parameters, how[-1])
    value, slope = in_box(plain, x * grown.exp() + shift, rest, Shape(*how[:-1]))
    return value, slope + grown


def _plain_inverse(z: Tensor, parameters: Tensor, how: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    grown, shift, rest = _affine(parameters, how[-1])
    value, slope = in_box(plain_inverse, z, rest, Shape(*how[:-1]))
    return (value - shift) * (-grown).exp(), slope - grown


def _arranged(x: Tensor, parameters: Tensor, shape: Shape) -> list[Tensor]:
    k, parameters = shape.bins, parameters.contiguous()
    sides = parameters[..., parameters.shape[-1] - 3 * k + 1 : parameters.shape[-1] - k + 1].reshape(*x.shape, 2, k)
    shares = (sides - sides.amax(-1, keepdim=True)).exp_()  # softmax, which takes three times as long on short rows
    shares /= shares.sum(-1, keepdim=True)
    return [x.contiguous(), parameters, shares.flatten(-2)]


def _shared(name: str, given: list[Tensor], how: tuple[float, ...], filled: list[Tensor]) -> None:
    """Run a kernel on values [*n] and their parameters [*n, size], in as many parts as there is work for."""
    from monge.bijectors import kernels  # numba takes a second to import
    from monge.compiling import side_by_side

    values = given[0].ndim
    before, after = (
        [(t.view(-1) if t.ndim == values else t.view(-1, t.shape[-1])).detach().numpy() for t in tensors]
        for tensors in (given, filled)
    )
    side_by_side(getattr(kernels, name), before, how, after, each=EACH)
