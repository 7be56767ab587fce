"""What Markov chains leave: their draws, what is to be believed of them, and the file that a long run goes on from."""

import dataclasses
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

R_HAT = 1.01  # above, chains disagree (Vehtari et al. 2021)
ESS_PER_CHAIN = 25  # effective draws a chain below which a mean and its error say little
ACCEPTED = 0.05  # share below which a chain hardly moves
SWAPPED = 0.05
FEWEST = 4  # draws that ArviZ asks for
FEW = 16  # values of an event up to which each is judged; of larger ones, their mean


class DoubtfulChains(UserWarning):
    """Chains whose averages should not be believed, and why."""


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws of many chains, after warm-up.

    x: [chains, draws, *event], or the last draws alone. energy: [chains, draws]. acceptance: [chains], the mean
    probability that a proposal was accepted. divergences: number of draws where the energy left the real numbers, or
    the integrator its level. observed: values [chains, draws] by name. kernel: as the warm-up left it. seconds: of the
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
            few = values.shape[2] <= FEW and self.x.ndim == 3  # sites of a field are alike
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
    if chains.divergences > 0:
        yield f"{chains.divergences} steps diverged: the law has corners that this step is too large for"
    if chains.swaps is not None and float(chains.swaps.min()) < SWAPPED:
        k = int(chains.swaps.argmin())
        yield f"replicas {k} and {k + 1} swapped {float(chains.swaps[k]):.1%} of the times: give more replicas"
    table = chains.summary()
    count, draws = chains.energy.shape
    r_hat = {name: row["r_hat"] for name, row in table.items() if row["r_hat"] > R_HAT}
    if r_hat and count > 1:
        name = max(r_hat, key=r_hat.__getitem__)
        yield f"the chains disagree on {name} (R-hat {r_hat[name]:.2f}, above {R_HAT}): run longer, or another sampler"
    ess = {name: row["ess"] for name, row in table.items() if row["ess"] < min(ESS_PER_CHAIN * count, 400)}
    if ess:
        name = min(ess, key=ess.__getitem__)
        yield f"{count * draws} draws are worth {ess[name]:.0f} independent ones of {name}: run longer"


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
