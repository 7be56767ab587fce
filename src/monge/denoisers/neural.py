"""A network made into a denoiser."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.denoisers.algebra import per_sample
from monge.linalg import Moments

BLIND_FLOOR = 0.05


class Neural(nn.Module):
    """D(y, sigma) from a network that sees input of unit variance at every sigma, and a target of unit variance too.

    (The blind one's target is smaller at small noise: what it must remove is then not written on y.)

    Conditioned on sigma (Karras et al. 2022, Table 1, for data of standard deviation s):

        D = c_skip y + c_out net(c_in y, log(sigma) / 4),
        c_skip = s^2 / (s^2 + sigma^2),  c_out = s sigma / sqrt(s^2 + sigma^2),  c_in = 1 / sqrt(s^2 + sigma^2).

    Blind (course, section 6.2.3: sigma is not given), with r = |y| / sqrt(d) measured on y itself in place of
    sqrt(s^2 + sigma^2):

        D = min(1, s^2 / r^2) y + s net(y / r, log(r) / 4).

    net: (input [n, *event], level [n], label [n] or None) -> [n, *event].

    >>> from monge.nets import MLP
    >>> D = Neural(MLP(1, width=8))  # before training the network says 0
    >>> D(torch.tensor([[2.0]]), torch.tensor([1.0])).detach().round(decimals=4)
    tensor([[1.]])
    """

    def __init__(self, net: nn.Module, *, sigma_data: float = 1.0, blind: bool = False) -> None:
        super().__init__()
        self.net = net
        self.sigma_data = sigma_data
        self.blind = blind
        self.moments: Moments | None = None  # of the data, where they are known

    def forward(
        self,
        y: Float[Tensor, "n *event"],
        sigma: Float[Tensor, " n"] | float,
        label: Shaped[Tensor, " n *k"] | None = None,
    ) -> Float[Tensor, "n *event"]:
        if self.blind:
            r = y.flatten(1).square().mean(1).sqrt().clamp_min(torch.finfo(y.dtype).tiny ** 0.5)
            scale = per_sample(r, y)
            skip = (self.sigma_data / scale).square().clamp_max(1.0)
            guess: Tensor = skip * y + self.sigma_data * self.net(y / scale, r.log() / 4, label)
            return guess
        level = per_sample(sigma, y)
        spread = (level.square() + self.sigma_data**2).sqrt()
        out = self.net(y / spread, level.reshape(-1).log() / 4, label)
        denoised: Tensor = torch.addcmul(
            y * (self.sigma_data / spread).square(), level * (self.sigma_data / spread), out
        )
        return denoised

    def loss_weight(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """1 / c_out^2: with it the squared error of D is the squared error of the network at unit variance.

        Blind, c_out cannot follow sigma: the weight stops growing below a twentieth of s.
        """
        least = (BLIND_FLOOR * self.sigma_data) ** 2 if self.blind else 0.0
        return 1 / (sigma.square() + least) + 1 / self.sigma_data**2
