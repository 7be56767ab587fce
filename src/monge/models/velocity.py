"""A network made into a velocity V(x, t), and paths of pairs that it is fitted to."""

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.denoisers import per_sample

LEAST = 1e-3  # share of the variance of V that the linear part leaves at least: a network's part has a scale
FLOOR = 1e-3  # s.d. of a value at least, in that of all: those that never vary are divided by it


class Velocity(nn.Module):
    """V(x, t) of paths x_t = (1 - t) x0 + t x1: its best linear part and a network for the rest.

        V = m1 - m0 + a (x - m) + c net((x - m) / s, 2 t - 1),   m = (1 - t) m0 + t m1,
        s^2 = (1 - t)^2 v0 + t^2 v1 + 2 t (1 - t) k,   a = ((1 - t) (k - v0) + t (v1 - k)) / s^2,
        c^2 = v0 + v1 - 2 k - a^2 s^2,

    the regression of x1 - x0 on x_t and what it leaves, by the moments of the pairs (`look`): means m0 and m1,
    variances v0 and v1, and the covariance k of one with the other, the means over all values of a vector, but of each
    site what it is there. The network sees and says values of variance one, those that hardly vary, too. With a
    Brownian bridge of deviation `bridge` s^2 is larger by bridge^2 t (1 - t), and a accordingly. Of no paths,
    event_shape=None, V = net(x, 2 t - 1).

    net: (x [n, *event], level [n], label or None) -> [n, *event].
    """

    m0: Tensor
    m1: Tensor
    moments: Tensor

    def __init__(self, net: nn.Module, event_shape: tuple[int, ...] | None = None, *, bridge: float = 0.0) -> None:
        super().__init__()
        self.net, self.bridge, self.linear = net, bridge, event_shape is not None
        if event_shape is not None:
            self.register_buffer("m0", torch.zeros(event_shape))
            self.register_buffer("m1", torch.zeros(event_shape))
            self.register_buffer("moments", torch.ones(3, *event_shape))  # v0, v1, k
            self.moments[2] = 0.0

    def look(self, x0: Float[Tensor, "n *event"], x1: Float[Tensor, "n *event"], *, alike: bool = False) -> None:
        """Take the moments of pairs. alike: those of all sites of a channel are one, as in fields on a torus."""
        sites = tuple(range(2, x0.ndim))
        over = (0, *sites) if alike else (0,) if sites else (0, 1)

        def mean(x: Tensor) -> Tensor:
            return x.mean(over, keepdim=True).expand(1, *x.shape[1:])[0]

        self.m0.copy_(x0.mean(0))
        self.m1.copy_(x1.mean(0))
        a, b = x0 - self.m0, x1 - self.m1
        v0, v1, k = mean(a.square()), mean(b.square()), mean(a * b)
        least = FLOOR**2 * (v0 + v1).mean()
        self.moments.copy_(torch.stack([v0 + least, v1 + least, k]))

    def left(self, x: Float[Tensor, "n *event"], t: Float[Tensor, " n"]) -> Float[Tensor, "n *one"]:
        """The s.d. of what the linear part leaves of x1 - x0, the noise of a bridge included, for each row."""
        c, s = self._linear(x, t)[3], per_sample(t, x)
        noise = (self.bridge * (0.5 - s)).square() / (s * (1 - s)) if self.bridge else 0.0
        return (c.square() + noise).sqrt()

    def forward(
        self, x: Float[Tensor, "n *event"], t: Float[Tensor, " n"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n *event"]:
        if not self.linear:
            found: Tensor = self.net(x, _level(t), label)
            return found
        mean, shift, a, c, scale = self._linear(x, t)
        away = x - mean
        out: Tensor = shift + a * away + c * self.net(away * scale, _level(t), label)
        return out

    def pushed(
        self, x: Float[Tensor, "n *event"], directions: Float[Tensor, "m n *event"], t: Tensor, label: Tensor | None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, "m n *event"]]:
        """V, and J e of each direction e, where the network can tell."""
        net: Any = self.net
        if not self.linear:
            found: tuple[Tensor, Tensor] = net.pushed(x, directions, _level(t), label)
            return found
        mean, shift, a, c, scale = self._linear(x, t)
        away = x - mean
        v, moved = net.pushed(away * scale, directions, _level(t), label)
        return shift + a * away + c * v, a * directions + c * scale * moved

    def _linear(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """m, m1 - m0, a, c and 1 / s."""
        m0, m1 = self.m0.to(x), self.m1.to(x)
        v0, v1, k = self.moments.to(x)
        s = per_sample(t, x)
        noise = self.bridge**2 * s * (1 - s)
        var = (1 - s) ** 2 * v0 + s**2 * v1 + 2 * s * (1 - s) * k + noise
        a = ((1 - s) * (k - v0) + s * (v1 - k) + self.bridge**2 * (0.5 - s)) / var
        moved = v0 + v1 - 2 * k
        c = (moved - a.square() * var).clamp_min(LEAST * (v0 + v1)).sqrt()
        return torch.lerp(m0, m1, s), m1 - m0, a, c, var.rsqrt()

    def of(self, label: Tensor | None) -> nn.Module:
        """(x, t) -> V, of a label or of none."""
        return (_Pushing if hasattr(self.net, "pushed") else _Told)(self, label)


def _level(t: Tensor) -> Tensor:
    """As a network is told it; one for all rows stays one."""
    return (2 * t[:1] - 1).expand(len(t)) if t.stride(0) == 0 else 2 * t - 1


class _Told(nn.Module):
    def __init__(self, velocity: nn.Module, label: Tensor | None) -> None:
        super().__init__()
        self.velocity, self.label = velocity, label

    def _label(self, x: Tensor) -> Tensor | None:
        return None if self.label is None else self.label.expand(len(x), *self.label.shape[1:])

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        v: Tensor = self.velocity(x, t, self._label(x))
        return v


class _Pushing(_Told):
    def pushed(self, x: Tensor, directions: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        velocity: Any = self.velocity
        found: tuple[Tensor, Tensor] = velocity.pushed(x, directions, t, self._label(x))
        return found
