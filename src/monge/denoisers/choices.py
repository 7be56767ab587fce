"""Coordinates of which one is 1 and the others are 0: their posterior mean is a law, the posterior probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers.algebra import per_sample

NATS = 4.0  # that a network's output of 1 says


@dataclass(frozen=True, eq=False)
class Choices:
    """E[x_b | y] of blocks b of vectors, x_b = (e_k + w - shift) / scale with k of probability p_k and w uniform over a
    little cube, of variance v:

        E[e_k | y] = softmax(log p + u / (s^2 + v) + a),    u = scale y + shift, s = scale sigma,

    by Bayes, exact for the block alone, a = 0; a network tells what other coordinates say of k, in nats, and cannot
    leave the simplex: it need not learn to make up its mind.

    blocks: first and last, exclusive; of one coordinate those that are 0 or 1. shift, scale: of each coordinate, [d]; a
    shift is p_k, the mean of e_k. variance: v.

    >>> one = Choices([(0, 2)], torch.tensor([0.5, 0.5]), torch.ones(2), 0.0)
    >>> one.fill(torch.zeros(1, 2), torch.tensor([[0.5, -0.5]]), torch.tensor([0.1]))
    tensor([[ 0.5000, -0.5000]])
    """

    blocks: Sequence[tuple[int, int]]
    shift: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    variance: float

    def fill(
        self,
        x: Float[Tensor, "n d"],
        y: Float[Tensor, "n d"],
        sigma: Float[Tensor, " n"],
        told: Float[Tensor, "n d"] | None = None,
    ) -> Float[Tensor, "n d"]:
        """x with the posterior mean given y in the blocks; told: by a network, of what it is 4 nats each."""
        parts, at = [], 0
        shift, scale = self.shift.to(y), self.scale.to(y)
        for first, last in self.blocks:
            b = slice(first, last)
            u, noise = y[:, b] * scale[b] + shift[b], (per_sample(sigma, y) * scale[b]).square() + self.variance
            logits = _log(shift[b]) + u / noise
            logits = logits if told is None else logits + NATS * told[:, b].to(y)
            if last == first + 1:  # 1 or none
                p = torch.sigmoid(logits - _log(1 - shift[b]) - 0.5 / noise)
            else:
                p = torch.softmax(logits, 1)
            kept = self.variance / noise
            parts += [x[:, at:first], ((1 - kept) * p + kept * u - shift[b]) / scale[b]]
            at = last
        return torch.cat([*parts, x[:, at:]], 1)


def _log(p: Tensor) -> Tensor:
    return p.clamp_min(torch.finfo(p.dtype).tiny).log()
