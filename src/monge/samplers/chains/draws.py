"""What Markov chains leave: their draws, what is to be believed of them, and the file that a long run goes on from."""

import dataclasses
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

R_HAT = 1.01  # above, chains disagree (Vehtari et al. 2021)
WIDER = 0.1  # share by which unadjusted steps widen a law, above which its averages are another law's
ESS_PER_CHAIN = 25  # effective draws a chain below which a mean and its error say little
ACCEPTED = 0.05  # share below which a chain hardly moves
SWAPPED = 0.05
FEWEST = 4  # draws that ArviZ asks for
EACH_JUDGED = 16  # values of an event up to which each is judged; of larger ones, their mean


class DoubtfulChains(UserWarning):
    """Chains whose averages should not be believed, and why."""


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws of many chains, after warm-up.

    x: [chains, draws, *event], or the last draws alone. energy: [chains, draws]. acceptance: [chains], the mean
    probability that a proposal was accepted. divergences: number of draws where the energy left the real numbers, or
    the integrator its level; broken: of those where the energy was not a number. wider: the share by which unadjusted
    steps widen the law. observed: values [chains, draws] by name. kernel: as the warm-up left it. seconds: of the
    draws. swaps: [replicas - 1], rates of exchange of neighbours. doubts: why its averages should not be believed.
    """

    x: Float[Tensor, "chains kept *event"]
    energy: Float[Tensor, "chains draws"]
    acceptance: Float[Tensor, " chains"]
    divergences: int
    observed: dict[str, Tensor]
    kernel: Any
    seconds: float
    swaps: Tensor | None = None
    broken: int = 0
    wider: float = 0.0
    doubts: tuple[str, ...] = field(default=())

    def to_arviz(self) -> Any:
        """ArviZ's `InferenceData`: posterior x and what was observed, sample statistics energy.

        Where x was not kept, the last of each chain is the constant `last_x`.
        """
        import arviz  # 2 s to import

        x, posterior = self.x.cpu().numpy(), {name: v.cpu().numpy() for name, v in self.observed.items()}
        if kept := x.shape[1] == self.energy.shape[1]:
            posterior["x"] = x
        last = {} if kept else {"last_x": x[:, 0]}
        return arviz.from_dict(
            posterior=posterior, sample_stats={"energy": self.energy.cpu().numpy()}, constant_data=last
        )

    def quantities(self) -> dict[str, Tensor]:
        """Values [chains, draws] by name: the energy, what was observed, and x each of up to 16 values, of a field or
        of more of them their mean."""
        named = {"energy": self.energy, **self.observed}
        if self.x.shape[1] > 1:
            values = self.x.flatten(2)
            few = values.shape[2] <= EACH_JUDGED and self.x.ndim == 3  # sites of a field are alike
            named |= {f"x{i + 1}": v for i, v in enumerate(values.unbind(2))} if few else {"mean of x": values.mean(2)}
        return named

    def summary(self) -> dict[str, dict[str, float]]:
        """Of each: mean, Monte Carlo error, effective sample size and R-hat (Vehtari et al. 2021, by ArviZ)."""
        return {name: _judged(value.double().cpu().numpy()) for name, value in self.quantities().items()}

    def judge(self) -> "Chains":
        """The same with its doubts, each of which is told in one warning."""
        doubts = tuple(_doubts(self))
        for doubt in doubts:
            warnings.warn(doubt, DoubtfulChains, stacklevel=4)
        return dataclasses.replace(self, doubts=doubts)


def _doubts(chains: Chains) -> Iterator[str]:
    """What says that averages over these chains should not be believed, a line each."""
    if not bool(chains.energy.isfinite().all()):
        yield "the energy left the real numbers: take a smaller step"
        return
    accepted = float(chains.acceptance.mean())
    if accepted < ACCEPTED:
        yield f"{accepted:.1%} of the proposals were accepted: the chains hardly moved; take a smaller step"
    if chains.broken > 0:
        yield (
            f"{chains.broken} steps met an energy that is not a number: make it infinite where the law has no mass, or "
            "take a smaller step"
        )
    if chains.divergences > chains.broken:
        steps = chains.divergences - chains.broken
        yield f"{steps} steps diverged: the law has corners that this step is too large for"
    if chains.wider > WIDER:
        yield (
            f"steps that are not adjusted widen the law by some {chains.wider:.0%}: take a smaller one, or the "
            "default, which is chosen for it, or mala"
        )
    if chains.swaps is not None and float(chains.swaps.min()) < SWAPPED:
        k = int(chains.swaps.argmin())
        yield f"replicas {k} and {k + 1} swapped {float(chains.swaps[k]):.1%} of the times: give more replicas"
    table = chains.summary() | _apart(chains)
    count, draws = chains.energy.shape
    r_hat = {name: row["r_hat"] for name, row in table.items() if row["r_hat"] > R_HAT}
    if r_hat and count > 1:
        name = max(r_hat, key=r_hat.__getitem__)
        yield f"the chains disagree on {name} (R-hat {r_hat[name]:.2f}, above {R_HAT}): run longer, or another sampler"
    ess = {name: row["ess"] for name, row in table.items() if row["ess"] < min(ESS_PER_CHAIN * count, 400)}
    if ess:
        name = min(ess, key=ess.__getitem__)
        yield f"{count * draws} draws are worth {ess[name]:.0f} independent ones of {name}: run longer"


def _apart(chains: Chains) -> dict[str, dict[str, float]]:
    """Where events are not judged value by value: the second half of the draws, along the direction in which the means
    of the first half differ the most from chain to chain."""
    count, kept = chains.x.shape[:2]
    if count < 2 or kept < 2 * FEWEST or (chains.x.ndim == 3 and chains.x[0, 0].numel() <= EACH_JUDGED):
        return {}
    x = chains.x.flatten(2)
    half = kept // 2
    means = x[:, :half].double().mean(1)
    way = torch.linalg.svd(means - means.mean(0), full_matrices=False).Vh[0]
    along = torch.stack([(x[:, k].double() - means.mean(0)) @ way for k in range(half, kept)], 1)
    found = _judged(along.cpu().numpy())  # of half of the draws: what all of them would give
    return {"where they stand": {**found, "ess": 2 * found["ess"], "r_hat": 1 + (found["r_hat"] - 1) / 2}}


def _judged(value: NDArray[np.float64]) -> dict[str, float]:
    import arviz

    if np.ptp(value) == 0 or value.shape[1] < FEWEST:
        return {"mean": float(value.mean()), "error": math.nan, "ess": math.nan, "r_hat": math.nan}
    return {
        "mean": float(value.mean()),
        "error": np.asarray(arviz.mcse(value)).item(),
        "ess": float(arviz.ess(value)),
        "r_hat": float(arviz.rhat(value)),
    }
