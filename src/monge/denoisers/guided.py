"""A denoiser that was told an observation: E[x | y, obs], by Bayes (course (21))."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.denoisers.algebra import per_sample
from monge.denoisers.wrapper import Wrapper
from monge.densities import Gaussian
from monge.doors import like, of_noisy, one_of
from monge.errors import BadInput
from monge.observations import Linear, Observation, Weighing
from monge.protocols import Denoiser

HOW = "moments", "wiener", "pi-gdm", "dps", "diffpir"
FURTHEST = 4.0  # move by a derivative, over that by the covariance of a Gaussian law
POINTS, WIDTHS = 64, 2.0  # by which other likelihoods are looked ahead at; and the longest move, in widths
FEW = 8  # values of an observation up to which each is worth a derivative
VALUES = 64  # of an observation or an event up to which each may have one
DERIVATIVES = 30  # of one event, where there are more
LEAST, TINY = 1e-4, 1e-30  # noise of values that are exact, where the likelihood of D is asked, in the size of y


class Twist(NamedTuple):
    """What was seen at noisy events.

    x_hat: D(y, sigma). guided: E[x | y, obs]. log_likelihood: of the observation, log p(obs | y) [n].
    """

    x_hat: Float[Tensor, "n *event"]
    guided: Float[Tensor, "n *event"]
    log_likelihood: Float[Tensor, " n"]


class Guided(Wrapper):
    """D(y, sigma) + sigma^2 grad_y log p(obs | y), and what is taken for p(obs | y), where y = x + sigma z:

    "moments": N(A D, A S A' + noise^2), with S = sigma^2 dD/dy the covariance of x given y (course (142),
        differentiated; MMPS, Rozet et al. 2024), dS/dy left out: E[x | y, obs] = D + S A' (A S A' + noise^2)^-1
        (obs - A D). Exact for Gaussian laws. A derivative of D for each value of the observation up to 64, else for
        each iteration.
    "wiener": the same with S = C sigma^2 (C + sigma^2)^-1, that of the Gaussian law of the same covariance C, in the
        matrix, and the derivative of D beside it. One derivative. Exact for Gaussian laws.
    "pi-gdm": the same with S = r^2 Id, r^2 = sigma^2 w^2 / (sigma^2 + w^2), w the mean s.d. of the law (Song et al.
        2023), and the derivative of D beside it. One derivative.
    "dps": N(A D, noise^2), as if x were D (Chung et al. 2023), in steps no longer than fits obs best. One derivative;
        biased, and over-confident.
    "diffpir": as "pi-gdm", but no derivative: D is moved to where it fits (Zhu et al. 2023).

    For other likelihoods than linear ones p(obs | y) is taken for the mean of p(obs | x) over 64 points x of N(D, S),
    of events of more than 64 values N(D, r^2 Id), whichever is asked ("dps": for p(obs | x = D)), and D moves by no
    more than twice the width of that law.

    how: "moments" for observations of up to 8 values, else "wiener", unless given. moments: of the law, where the
    denoiser does not say; without them w is 1, and "wiener" is "pi-gdm".

    It is a denoiser as every other, for `monge.samplers.reverse_diffusion` for instance. Raises BadInput for another
    `how`.

    >>> import torch
    >>> from monge.denoisers import Oracle
    >>> from monge.densities import Gaussian
    >>> seen = Linear(torch.eye(1), torch.tensor([1.0]), 1.0)
    >>> Guided(Oracle(Gaussian(torch.zeros(1), torch.ones(1))), seen)(torch.zeros(1, 1), 1.0)  # of N(0, 1/2), seen as 1
    tensor([[0.3333]])
    """

    def __init__(
        self, denoiser: Denoiser, observation: Observation, how: str | None = None, moments: Gaussian | None = None
    ) -> None:
        super().__init__(denoiser)
        if not isinstance(observation, Observation):
            raise BadInput(f"an observation is one of monge.observations, not {type(observation).__name__}")
        few = not isinstance(observation, Linear) or observation.size <= FEW
        how = how or ("moments" if few else "wiener")
        one_of(how, HOW, "how")
        self.observation, self.how = observation, how
        self.prior: Gaussian | None = super().__getattr__("moments") if moments is None else moments
        self.moments = None  # of the law given the observation: not known

    def denoised(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        return self.look(y, sigma).guided

    def look(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Twist:
        """The denoiser's answer before and after, and the likelihood of the observation at y."""
        linear = isinstance(self.observation, Linear)
        if linear and self.how == "diffpir":
            return self._fitted(like(y, self.denoiser(y, sigma)), sigma, None)
        with torch.enable_grad():
            y = y.detach().requires_grad_(True)
            x_hat = like(y, self.denoiser(y, sigma))
            if not x_hat.requires_grad:
                raise BadInput("guidance takes the derivative of the denoiser, and this one has none in y")
            return self._fitted(x_hat, sigma, y) if linear and self.how != "dps" else self._moved(x_hat, sigma, y)

    def _moved(self, x_hat: Tensor, sigma: Tensor, y: Tensor) -> Twist:
        """By the gradient of a likelihood of x_hat, no further than makes sense."""
        seen, at = self.observation, x_hat.detach()
        if isinstance(seen, Linear):
            least = LEAST * float(seen.y.square().mean().sqrt()) + TINY
            value = -0.5 * (seen.residual(x_hat) / seen.noise.to(x_hat).clamp_min(least)).square().sum(1)
        else:
            value = seen.log_likelihood(x_hat) if self.how == "dps" else self._smoothed(x_hat, sigma, y)
        if not value.requires_grad:
            raise BadInput("guidance takes the derivative of the likelihood in x, and it has none")
        move = per_sample(sigma, at).square() * torch.autograd.grad(value.sum(), y)[0].nan_to_num()
        if isinstance(seen, Linear):  # to where obs is met best, each value in units of its noise
            unit = seen.noise.to(at).clamp_min(least)
            ahead, r = seen.forward(move) / unit, seen.residual(at) / unit
            share = (r * ahead).sum(1) / ahead.square().sum(1).clamp_min(TINY)
        else:
            most = WIDTHS * math.sqrt(at[0].numel()) * self._spread(sigma, at).flatten()
            share = most / move.flatten(1).norm(dim=1).clamp_min(TINY)
        return Twist(at, at + move * per_sample(share.clamp(0.0, 1.0), move), value.detach())

    def _smoothed(self, x_hat: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        """log of the mean likelihood over points of the law of x given y."""
        e = rng.normal((POINTS // 2, *y.shape[1:]), 0, "around", dtype=y.dtype, device=y.device)
        points = torch.cat([e, -e])
        if y[0].numel() <= VALUES:
            away = torch.einsum("nij,kj->kni", self._root(x_hat, y), points.flatten(1)).reshape(-1, *y.shape)
            away = per_sample(sigma, y) * away
        else:
            away = self._spread(sigma, y) * points[:, None]
        each = self.observation.log_likelihood((x_hat + away).flatten(0, 1)).reshape(POINTS, len(y))
        return each.logsumexp(0) - math.log(POINTS)

    def _root(self, x_hat: Tensor, y: Tensor) -> Float[Tensor, "n d d"]:
        """The square root of dD/dy, which is symmetric where D is optimal, and has no negative eigenvalue."""
        d = y[0].numel()
        units = torch.eye(d, dtype=y.dtype, device=y.device).reshape(d, 1, *y.shape[1:]).expand(d, *y.shape)
        J = torch.stack([torch.autograd.grad(x_hat, y, unit, retain_graph=True)[0].flatten(1) for unit in units], 1)
        lam, vectors = torch.linalg.eigh((J + J.mT) / 2)
        root: Tensor = (vectors * lam.clamp_min(0.0).sqrt()[:, None]) @ vectors.mT
        return root

    def _fitted(self, x_hat: Tensor, sigma: Tensor, y: Tensor | None) -> Twist:
        """By the covariance of x given y that its way has."""
        seen, at = self.observation, x_hat.detach()
        assert isinstance(seen, Linear)

        def derivative(v: Tensor, _: Any = None) -> Tensor:  # sigma^2 J' v; J is symmetric where D is optimal
            assert y is not None
            slope: Tensor = torch.autograd.grad(x_hat, y, v.to(at), retain_graph=True)[0]
            return per_sample(sigma, at).square() * slope

        r = seen.residual(at)
        if self.how == "moments":
            part = torch.arange(len(at), device=at.device)
            weighing = seen.weighing(derivative, at, dense=seen.size <= VALUES, most=DERIVATIVES, together=False)
        else:
            weighing, part = self._weighing(sigma, at)
        weighed, log_det = weighing(r, part, at), weighing.log_det[part].to(at)
        back = seen.adjoint(weighed, at)
        plain = self._covariance(sigma, back) if self.how != "moments" else None
        moved = plain if plain is not None and self.how == "diffpir" else derivative(back)
        if plain is not None and self.how != "diffpir":  # what a network errs by at high levels, times sigma^2, is held
            moved = torch.where(moved.isfinite(), moved, plain)
            far = moved.flatten(1).norm(dim=1) / plain.flatten(1).norm(dim=1).clamp_min(TINY)
            moved = moved * per_sample((FURTHEST / far.clamp_min(TINY)).clamp_max(1.0), moved)
        return Twist(at, at + moved, -0.5 * ((r * weighed).sum(1) + log_det))

    def drawn(
        self,
        y: Float[Tensor, "n *event"],
        sigma: Float[Tensor, " n"],
        z: Float[Tensor, "n *event"],
        e: Float[Tensor, "n m"],
    ) -> Float[Tensor, "n *event"]:
        """A draw of N(D, S) given a linear observation, with the S of "wiener" or "pi-gdm", of unit noise z and e; no
        derivative."""
        x = like(y, self.denoiser(y, sigma)) + self._covariance(sigma, z, root=True)
        weighing, part = self._weighing(sigma, x)
        return weighing.conditioned(x, part, e)

    def _weighing(self, sigma: Tensor, x: Tensor) -> tuple[Weighing, Tensor]:
        """One for all rows of a level, and which is whose."""
        assert isinstance(self.observation, Linear)
        level, part = torch.unique(sigma, return_inverse=True)
        products = lambda v, of: self._covariance(level[of], v)  # noqa: E731
        return self.observation.weighing(products, x[: len(level)]), part

    def _covariance(self, sigma: Tensor, v: Tensor, *, root: bool = False) -> Tensor:
        """That of x given y, or its root, by v, where it is taken to be the same at all y of a level."""
        if self.how == "wiener" and self.prior is not None:
            C = self.prior.covariance
            level = C.level(sigma, len(v)).to(v).square()
            power = 0.5 if root else 1.0
            found: Tensor = C.apply(lambda lam: (level / (1 + level / lam)) ** power, v)
            return found
        spread = self._spread(sigma, v)
        return (spread if root else spread.square()) * v

    def _spread(self, sigma: Tensor, x: Tensor) -> Tensor:
        """r, the s.d. of a value of x given y if the law were Gaussian with one variance; w is 1 where the denoiser
        does not say how wide it is."""
        level = per_sample(sigma, x)
        w = 1.0 if self.prior is None else float(self.prior.covariance.eigenvalues.mean().sqrt())
        return level * w / (level.square() + w**2).sqrt()

    @of_noisy
    def forward(self, y: Any, sigma: Any, label: Any = None) -> Any:
        """E[x | y, obs]."""
        with torch.no_grad():
            found: Tensor = (self if label is None else self.told(label)).denoised(y, sigma)
        return found
