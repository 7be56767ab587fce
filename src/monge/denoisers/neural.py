"""A network made into a denoiser."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.denoisers.algebra import per_sample
from monge.denoisers.choices import Choices
from monge.denoisers.pointwise import Pointwise
from monge.denoisers.separable import Separable
from monge.densities import Gaussian
from monge.nets import BiasFreeUNet
from monge.objects import Recorded

BLIND_FLOOR = 0.05
FAR = 4.0  # times s, the size from which on y is taken to be noise above all


class Neural(Recorded, nn.Module):
    """D(y, sigma) from a network that sees input of unit variance at every sigma, and a target of unit variance too.

    Conditioned on sigma, with the mean m and covariance C of the data it is the best linear denoiser W (Wiener's),
    corrected by the network, whose part is all that is not Gaussian:

        D = W(y, sigma) + c_out net((y - m) / s_in, log(sigma) / 4),
        W = m + C (C + sigma^2)^-1 (y - m),  c_out^2 = tr C sigma^2 (C + sigma^2)^-1 / d,  s_in^2 = tr C / d + sigma^2.

    With a `start` W is the best separable denoiser (`Separable`), and c_out^2 its error: in the directions that it
    knows, the network learns what others tell of them.

    Where C = s^2 Id, as is taken while the moments are not known, this is the denoiser of Karras et al. (2022,
    Table 1).

    Blind (course, section 6.2.3: sigma is not given), with r = |y| / sqrt(d) measured on y itself:

        D = min(1, s^2 / r^2) y + s net(y / r, log(r) / 4),

    whose target is smaller at small noise: what it must remove is then not written on y. A network that is homogeneous,
    net(a y) = a net(y), is not shown r, which is a property of the whole event, so that a patch is denoised for itself:

        D = min(1, (4 s / r)^2) (y - net(y)),

    where the first factor is 1 but at noise that hides everything.

    net: (input [n, *event], level [n], label [n] or None) -> [n, *event]. guided: the network is given W beside y, as
    further channels. moments, start: set when they are known, in the units of y. choices: of vectors in which some
    coordinates are a choice of one of several; these are its posterior, corrected by the network in nats.

    >>> from monge.nets import MLP
    >>> D = Neural(MLP(1, width=8))  # before training the network says 0
    >>> D(torch.tensor([[2.0]]), torch.tensor([1.0])).detach().round(decimals=4)
    tensor([[1.]])
    """

    count: int | None = None  # it is made for any rows

    def __init__(self, net: nn.Module, *, sigma_data: float = 1.0, blind: bool = False, guided: bool = False) -> None:
        super().__init__()
        self.net = net
        self.sigma_data = sigma_data
        self.blind, self.guided = blind, guided
        self.homogeneous = blind and isinstance(net, BiasFreeUNet)
        self.moments: Gaussian | None = None
        self.start: Separable | Pointwise | None = None
        self.choices: Choices | None = None

    def rows(self, first: int, n: int) -> "Neural":
        """That of rows first .. first + n: itself."""
        return self

    def forward(
        self,
        y: Float[Tensor, "n *event"],
        sigma: Float[Tensor, " n"] | float,
        label: Shaped[Tensor, " n *k"] | None = None,
        moved: Float[Tensor, "n k"] | None = None,
    ) -> Float[Tensor, "n *event"]:
        """E[x | y], or E[x | y, label]; moved: how rows were moved, where the network was made to be told."""
        told = {} if moved is None else {"moved": moved}
        if self.blind:
            r = y.flatten(1).square().mean(1).sqrt().clamp_min(torch.finfo(y.dtype).tiny ** 0.5)
            scale = per_sample(r, y)
            if self.homogeneous:
                kept: Tensor = (FAR * self.sigma_data / scale).square().clamp_max(1.0)
                cleaned: Tensor = kept * (y - self.net(y, r, label))
                return cleaned
            skip = (self.sigma_data / scale).square().clamp_max(1.0)
            guess: Tensor = skip * y + self.sigma_data * self.net(y / scale, r.log() / 4, label, **told)
            return guess
        level = torch.as_tensor(sigma, dtype=y.dtype, device=y.device).reshape(-1).expand(len(y))
        with torch.autocast(y.device.type, enabled=False):  # W holds digits of y that half precision would lose
            guess, away, spread = self._linear(y, level)
            guess = guess if self.choices is None else self.choices.fill(guess, y, level)
            seen = away / per_sample((spread**2 + level.square()).sqrt(), y)
            if self.guided:
                seen = torch.cat([seen, (guess - (y - away)) / spread], dim=1)
        out = self.net(seen, level.log() / 4, label, **told)
        denoised: Tensor = torch.addcmul(guess, per_sample(self._error(level).sqrt(), y), out)
        return denoised if self.choices is None else self.choices.fill(denoised, y, level, out)

    def loss_weight(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """1 / c_out^2: with it the squared error of D is the squared error of the network at unit variance, and 1 that
        of the best linear denoiser.

        Blind, c_out cannot follow sigma: the weight stops growing below a twentieth of s. For a network without
        constants it is 1 / (sigma + .05 s) s, by which levels count alike: errors of photographs grow with sigma or so.
        """
        if self.homogeneous:
            return 1 / (sigma / self.sigma_data + BLIND_FLOOR) / self.sigma_data**2
        if self.blind:
            return 1 / (sigma.square() + (BLIND_FLOOR * self.sigma_data) ** 2) + 1 / self.sigma_data**2
        return 1 / self._error(sigma)

    def _linear(self, y: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """W(y), y - m and the root of tr C / d."""
        if self.moments is None:
            share = self.sigma_data**2 / (self.sigma_data**2 + per_sample(sigma, y).square())
            return share * y, y, y.new_full((), self.sigma_data)
        away = y - self.moments.mean.to(y)
        return (
            (self.start or self.moments).denoise(y, sigma),
            away,
            self.moments.covariance.eigenvalues.mean().sqrt().to(y),
        )

    def _error(self, sigma: Tensor) -> Tensor:
        if self.moments is None:
            return 1 / (1 / sigma.square() + 1 / self.sigma_data**2)
        return (self.start or self.moments).error(sigma)
