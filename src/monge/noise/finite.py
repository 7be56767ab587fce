"""Finite Markov chains, exactly: mu_k = (P')^k mu_0 (39), where it goes, and how fast."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import breadth_first_order, connected_components

from monge.errors import BadInput

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FiniteChain:
    """A chain on n states of transition matrix P, P[i, j] = probability of j after i.

    Raises BadInput for a matrix that is not square, or has a row that is not a probability.

    >>> chain = FiniteChain([[0.9, 0.1], [0.2, 0.8]])
    >>> chain.stationary().round(4).tolist(), round(chain.gap(), 4), chain.is_reversible()
    ([0.6667, 0.3333], 0.3, True)
    """

    matrix: ArrayLike

    def __post_init__(self) -> None:
        p = np.asarray(self.matrix, np.float64)
        if p.ndim != 2 or p.shape[0] != p.shape[1]:
            raise BadInput(f"a transition matrix is square, not {list(p.shape)}")
        bad = np.flatnonzero((p < 0).any(1) | (np.abs(p.sum(1) - 1) > 1e-9) | ~np.isfinite(p).all(1))
        if bad.size:
            raise BadInput(
                f"row {bad[0]} of the transition matrix is not a probability: it sums to {p[bad[0]].sum():g}"
            )
        object.__setattr__(self, "matrix", p)

    @property
    def p(self) -> Array:
        return np.asarray(self.matrix)

    def classes(self) -> tuple[int, NDArray[np.int32]]:
        """Number of classes of states that reach each other, and the class of each state."""
        count, label = connected_components(self.p > 0, connection="strong")
        return int(count), label

    def is_irreducible(self) -> bool:
        """Whether every state is reached from every other."""
        return self.classes()[0] == 1

    def period(self) -> int:
        """The greatest common divisor of the lengths of all returns; 1 is aperiodic. Of an irreducible chain."""
        self._must_be_irreducible("period")
        order, parent = breadth_first_order(self.p > 0, 0)
        depth = np.zeros(len(self.p), int)
        for i in order[1:]:
            depth[i] = depth[parent[i]] + 1
        source, target = np.nonzero(self.p > 0)
        return int(np.gcd.reduce(np.abs(depth[source] + 1 - depth[target])))

    def is_aperiodic(self) -> bool:
        return self.period() == 1

    def stationary(self) -> Array:
        """The law pi with pi P = pi. Raises BadInput where it is not unique."""
        n = len(self.p)
        count, label = self.classes()
        closed = [c for c in range(count) if not (self.p[label == c][:, label != c] > 0).any()]
        if len(closed) > 1:
            raise BadInput(
                f"the chain has {len(closed)} closed classes of states, each with a stationary law of its own"
            )
        system = np.vstack([(self.p.T - np.eye(n)), np.ones(n)])
        pi, *_ = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)
        positive: Array = np.maximum(pi, 0) / np.maximum(pi, 0).sum()
        return positive

    def is_reversible(self) -> bool:
        """Detailed balance: pi_i P_ij = pi_j P_ji (41)."""
        flow = self.stationary()[:, None] * self.p
        return bool(np.allclose(flow, flow.T, atol=1e-10))

    def gap(self) -> float:
        """1 - |lambda_2|, the second largest modulus of an eigenvalue of P."""
        return 1.0 - float(np.sort(np.abs(np.linalg.eigvals(self.p)))[-2]) if len(self.p) > 1 else 1.0

    def laws(self, start: ArrayLike, steps: int) -> Array:
        """mu_0 .. mu_steps, [steps + 1, n]."""
        found = [np.asarray(start, np.float64)]
        if found[0].shape != (len(self.p),) or abs(found[0].sum() - 1) > 1e-9 or (found[0] < 0).any():
            raise BadInput(f"the start is a probability of {len(self.p)} states")
        for _ in range(steps):
            found.append(found[-1] @ self.p)
        return np.stack(found)

    def total_variation(self, start: ArrayLike, steps: int) -> Array:
        """1/2 sum_i |mu_k(i) - pi(i)| for k = 0 .. steps: for a reversible chain below `bound`."""
        away: Array = 0.5 * np.abs(self.laws(start, steps) - self.stationary()).sum(1)
        return away

    def bound(self, steps: int) -> Array:
        """(1 - gap)^k / (2 sqrt(min pi)), from any start. Raises BadInput without detailed balance."""
        if not self.is_reversible():
            raise BadInput("the bound by the spectral gap is for chains with detailed balance")
        falling = (1 - self.gap()) ** np.arange(steps + 1, dtype=np.float64)
        return np.asarray(falling / (2 * math.sqrt(self.stationary().min())))

    def _must_be_irreducible(self, what: str) -> None:
        if not self.is_irreducible():
            raise BadInput(f"the {what} is that of an irreducible chain, and this one has {self.classes()[0]} classes")


def metropolis(weights: ArrayLike, proposal: ArrayLike) -> FiniteChain:
    """Metropolis and Hastings on finitely many states (40-42): P_ij = Q_ij min(1, w_j Q_ji / w_i Q_ij) for i != j.

    weights: [n], positive, any scale. proposal: Q, a transition matrix.

    >>> metropolis([1.0, 2.0], [[0.0, 1.0], [1.0, 0.0]]).p
    array([[0. , 1. ],
           [0.5, 0.5]])
    """
    w, q = np.asarray(weights, np.float64), FiniteChain(proposal).p
    if w.shape != (len(q),) or not (w > 0).all():
        raise BadInput(f"weights must be {len(q)} positive numbers")
    flow = w[:, None] * q
    p = np.divide(np.minimum(flow, flow.T), w[:, None])
    np.fill_diagonal(p, 0.0)
    np.fill_diagonal(p, 1.0 - p.sum(1))
    return FiniteChain(np.maximum(p, 0.0))
