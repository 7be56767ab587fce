"""What families share whose transport is an ODE: its likelihood and its latent (course, section 5.3)."""

import math
from abc import abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monge.densities import Gaussian
from monge.models.carrier import Carrier
from monge.models.family import Events, Family
from monge.models.walker import Walker
from monge.protocols import LogProb

EXACT_DIVERGENCE = 64  # values per event up to which the likelihood uses the exact divergence
PROBES = 16


class TransportFamily(Family):
    """A family that carries noise to data along the paths of a field, by its `mover`."""

    @property
    @abstractmethod
    def mover(self) -> Walker | Carrier:
        """What moves noise to data and back."""

    @property
    def moments(self) -> Gaussian:
        """Mean and covariance of the scaled data, from which the transport begins. Raises BadInput before a `fit`."""
        self.must_be_fitted()
        return self.mover.moments

    def log_prob(
        self,
        x: Events,
        *,
        label: Any = None,
        probes: int | None = None,
        seed: int = 0,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        show: bool = True,
    ) -> LogProb:
        """log p(x), or log p(x | label), in nats and data units, by Liouville's equation (96) along the transport.

        Where the model was trained with labels, log p(x) is what it says that is not told any.

        The divergence is exact up to 64 values an event, else estimated by 16 probes; `probes` overrules. Quantised
        data are spread uniformly over their grid step first, so the value is that of a density, and its mean a
        lower bound of the log-probability of the pixels. `error` is that of the probes; beside it stands the
        integrator's, within rtol and atol for each event, which may change in that measure with the company that it
        is integrated in. A blind denoiser's likelihood takes its answers for those at the nominal level, which holds
        where an event has many values.

        Raises BadInput for events of another shape, NaN or infinity, an unknown label and tolerances that are not above
        0; NumericalFailure where the integrator does not converge, and says at which time.
        """
        scaling, x = self.must_be_fitted(), self.check(x)
        if probes is None and math.prod(x.shape[1:]) > EXACT_DIVERGENCE:
            probes = PROBES
        scaled = self.scaled(x, seed)
        options: dict[str, Any] = {"probes": probes, "seed": seed, "rtol": rtol, "atol": atol, "show": show}
        found = self.mover.log_prob(scaled.to(self.device), self.as_told(label, len(x)), **options)
        return found._replace(value=found.value.to(x.device) + scaling.log_dets(scaled), error=found.error.to(x.device))

    def encode(self, x: Events, *, label: Any = None, seed: int | None = None) -> Float[Tensor, "n *event"]:
        """Latent of x: standard normal if the model is right; quantised data stand at the middle of their step, or with
        a seed where its noise puts them."""
        scaling, x = self.must_be_fitted(), self.check(x)
        scaled = (scaling.forward(x) if seed is None else self.scaled(x, seed)).to(self.device)
        return self.mover.encode(scaled, self.as_told(label, len(x))).to(x.device)

    def decode(self, z: Events, *, label: Any = None) -> Float[Tensor, "n *event"]:
        """x of a latent, the inverse of `encode` (data units, not rounded to a grid)."""
        scaling, z = self.must_be_fitted(), self.check(z)
        return scaling.inverse(self.mover.decode(z.to(self.device), self.as_told(label, len(z)))).to(z.device)
