"""Outsiders, each against the public surface alone: what one file of a family needs."""

import math
from dataclasses import replace

import torch
from torch import nn

from monge import rng
from monge.bijectors import ActNorm, Affine, Bijector, Chain, Coupling, Linear, Mapped
from monge.data import Samples
from monge.denoisers import Wrapper, from_velocity
from monge.densities import Gaussian, Law
from monge.models import Family, Flow, Walker
from monge.nets import Adapted, Size, critic, denoiser, generator
from monge.noise import LinearInterpolant, perturb
from monge.protocols import LogProb
from monge.training import AdamW, Loss, Objective, Training, constant

# -- a generator against a critic: two objectives, one of which runs twice a round -----------------------------------


class Critic(Objective):
    name, repeats, optimiser = "critic", 2, AdamW(lr=1e-3, betas=(0.0, 0.9), weight_decay=0.0, schedule=constant)

    def __init__(self, gan):
        super().__init__()
        self.gan = gan

    def moves(self):
        return self.gan.critic.parameters()

    def forward(self, batch):
        x = self.gan.scaled(batch.x, batch.generator)
        z = torch.randn(len(x), self.gan.settings["latent"], generator=batch.generator, device=x.device)
        real, made = self.gan.critic(x), self.gan.generator(z).detach()
        fooled = self.gan.critic(made)
        value = nn.functional.softplus(-real).mean() + nn.functional.softplus(fooled).mean()
        return Loss(value, {"real": real.sigmoid().mean(), "made": fooled.sigmoid().mean()})


class Generator(Objective):
    name, optimiser = "generator", AdamW(lr=1e-3, betas=(0.0, 0.9), weight_decay=0.0, schedule=constant)

    def __init__(self, gan):
        super().__init__()
        self.gan = gan

    def moves(self):
        return self.gan.generator.parameters()

    def forward(self, batch):
        z = torch.randn(len(batch.x), self.gan.settings["latent"], generator=batch.generator, device=batch.x.device)
        return nn.functional.softplus(-self.gan.critic(self.gan.generator(z))).mean()


class ToyGAN(Family):
    def __init__(self, latent: int = 4):
        super().__init__(latent=latent)

    def build(self, spec):
        size = Size(widths=(8, 8) if spec.space else (16,), blocks=1)
        self.generator = generator(spec, size, latent=self.settings["latent"])
        self.critic = critic(spec, size)

    def objectives(self):
        return [Critic(self), Generator(self)]

    @torch.no_grad()
    def draw(self, n, seed, start):
        return self.generator(rng.normal((n, self.settings["latent"]), seed, "latent", start=start))


# -- an invertible map: one objective, a likelihood and a latent -----------------------------------------------------


class Likelihood(Objective):
    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def forward(self, batch):
        nats = -self.flow.log_density(self.flow.scaled(batch.x, batch.generator)).mean()
        return Loss(nats / batch.x[0].numel(), {"nats": nats})


class ToyFlow(Family):
    """z = (x - shift) exp(-log_scale), value by value."""

    def build(self, spec):
        self.shift = nn.Parameter(torch.zeros(spec.event_shape))
        self.log_scale = nn.Parameter(torch.full(spec.event_shape, 0.5))

    def objectives(self):
        return [Likelihood(self)]

    def defaults(self, samples):
        return Training(batch_size=32, lr=1e-2, warmup=0)

    def log_density(self, x):
        z = ((x - self.shift) * (-self.log_scale).exp()).flatten(1)
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1) - self.log_scale.sum()

    def log_prob(self, x):
        value = self.log_density(self.scaled(self.check(x), 0)) + self.must_be_fitted().log_det
        return LogProb.exact(value.detach(), "change of variables")

    @torch.no_grad()
    def draw(self, n, seed, start):
        z = rng.normal((n, *self.shift.shape), seed, "latent", start=start)
        return self.shift + self.log_scale.exp() * z


# -- a closed form: no step ------------------------------------------------------------------------------------------


class ToyGaussian(Family):
    """The mean and variance of every value."""

    def defaults(self, samples):
        return None

    def build(self, spec):
        self.register_buffer("mean", torch.zeros(spec.event_shape))
        self.register_buffer("std", torch.ones(spec.event_shape))

    def learn(self, samples: Samples, training, **options):
        x = self.scaled(samples.batch(range(len(samples))), options["seed"])
        self.mean.copy_(x.mean(0))
        self.std.copy_(x.std(0))

    def draw(self, n, seed, start):
        return self.mean + self.std * rng.normal((n, *self.mean.shape), seed, "latent", start=start)


# -- an energy, learned with chains that are carried from step to step -----------------------------------------------


class Contrast(Objective):
    """E_data[U] - E_chains[U], the chains moved by Langevin steps of the current energy; they are no weights."""

    chains: torch.Tensor

    def __init__(self, gibbs):
        super().__init__()
        self.gibbs = gibbs
        self.register_buffer("chains", rng.normal((64, *gibbs.log_precision.shape), 0, "chains"))

    def forward(self, batch):
        x = self.gibbs.scaled(batch.x, batch.generator)
        for _ in range(3):
            z = torch.randn(self.chains.shape, generator=batch.generator, device=x.device)
            self.chains.copy_(self.gibbs.langevin(self.chains, z))
        data, chains = self.gibbs.energy(x).mean(), self.gibbs.energy(self.chains).mean()
        return Loss(data - chains, {"chains": self.chains.std()})


class ToyGibbs(Family):
    """U(x) = sum exp(log_precision) (x - center)^2 / 2."""

    def build(self, spec):
        self.center = nn.Parameter(torch.zeros(spec.event_shape))
        self.log_precision = nn.Parameter(torch.zeros(spec.event_shape))

    def objectives(self):
        return [Contrast(self)]

    def energy(self, x):
        return 0.5 * (self.log_precision.exp() * (x - self.center).square()).flatten(1).sum(1)

    @torch.no_grad()
    def langevin(self, x, z, step=0.3):
        return x - step * self.log_precision.exp() * (x - self.center) + (2 * step) ** 0.5 * z

    def draw(self, n, seed, start):
        x = rng.normal((n, *self.center.shape), seed, "chain", start=start)
        for k in range(20):
            x = self.langevin(x, rng.normal(tuple(x.shape), seed, "chain", k, start=start))
        return x


# -- a flow of squeezes and splits: maps of events whose latents have another shape ----------------------------------


class Squeeze(Bijector):
    """Sites of even and of odd number, along each axis of the space, as channels."""

    labelled = False

    def latent_shape(self, event_shape):
        c, *space = event_shape
        return (c * 2 ** len(space), *(side // 2 for side in space))

    def forward(self, x, label=None):
        for axis in range(2, x.ndim):
            x = torch.cat([x.index_select(axis, torch.arange(k, x.shape[axis], 2)) for k in (0, 1)], 1)
        return Mapped(x, x.new_zeros(len(x)))

    def inverse(self, z, label=None):
        for axis in reversed(range(2, z.ndim)):
            z = torch.stack(z.chunk(2, 1), axis + 1).flatten(axis, axis + 1)
        return Mapped(z, z.new_zeros(len(z)))


class Split(Bijector):
    """Half of the channels are done; the others go on. Latents are vectors of all values."""

    def __init__(self, further, half):
        super().__init__()
        self.further, self.labelled, self.half = further, further.labelled, half

    def latent_shape(self, event_shape):
        return (math.prod(event_shape),)

    def forward(self, x, label=None):
        going, done = x.chunk(2, 1)
        z, log_det = self.further(going, label)
        return Mapped(torch.cat([z.flatten(1), done.flatten(1)], 1), log_det)

    def inverse(self, z, label=None):
        going, done = z.chunk(2, 1)
        x, log_det = self.further.inverse(going.reshape(-1, *self.further.latent_shape(self.half)), label)
        return Mapped(torch.cat([x, done.reshape(-1, *self.half)], 1), log_det)

    def start(self, x, label=None):
        self.further.start(x.chunk(2, 1)[0], label)
        return super().start(x, label)


class ToyGlow(Flow):
    def transport(self, spec):
        steps, shape = [], spec.event_shape
        if spec.space and not any(side % 2 for side in spec.space):
            steps, shape = [Squeeze()], Squeeze().latent_shape(shape)
        coupling = Coupling(replace(spec, event_shape=shape), Affine(), Size(widths=(8,), blocks=1))
        steps += [ActNorm(shape[0]), Linear(shape[0]), coupling]
        if len(steps) == 3 or min(shape[1:]) < 4:
            return Chain(steps)
        half = (shape[0] // 2, *shape[1:])
        return Chain([*steps, Split(self.transport(replace(spec, event_shape=half)), half)])


# -- a velocity network as a denoiser: flow matching, walked as a diffusion is ----------------------------------------


class Matching(Objective):
    """min E |V(x_t, t) - (z - x)|^2 on straight lines x_t = (1 - t) x + t z."""

    def __init__(self, family):
        super().__init__()
        self.net, self.scaled = family.net, family.scaled

    def kernels(self):
        return self.net.kernels()

    def forward(self, batch):
        x = self.scaled(batch.x, batch.generator)
        t = torch.rand(len(x), generator=batch.generator).sqrt().clamp(max=0.99)
        z = torch.randn(x.shape, generator=batch.generator)
        return (self.net(perturb(LinearInterpolant(), x, t, z), t) - (z - x)).square().mean()


class ToyMatching(Family):
    def build(self, spec):
        self.net = Adapted(denoiser(spec, Size(widths=(8, 8) if spec.space else (32,), blocks=1)), spec)
        self.walker = Walker(from_velocity(self.net, LinearInterpolant()), spec.event_shape, asked=(0.01, None))

    def prepare(self, scaled, moments=None):
        self.walker.look(scaled, moments)

    @property
    def moments(self):
        return self.walker.moments

    def objectives(self):
        return [Matching(self)]

    def after_training(self):
        self.walker.measure(calibrate=False)

    def tensors(self):
        return super().tensors() | self.walker.tensors()

    def restore(self, tensors):
        super().restore(self.walker.restore(tensors))

    def draw(self, n, seed, start, nfe=10, through=None):
        return self.walker.draw(n, seed, start, nfe=nfe, through=through)

    def log_prob(self, x):
        scaled = self.scaled(self.check(x), 0)
        found = self.walker.log_prob(scaled, rtol=1e-3, atol=1e-3)
        return found._replace(value=found.value + self.must_be_fitted().log_dets(scaled))


# -- a denoiser that is guided: any family's walk, towards a mean ------------------------------------------------------


class Guided(Wrapper):
    """(1 - w) D + w D of a Gaussian about `mean`: another law than that of the data."""

    moments = None

    def __init__(self, denoiser, mean, weight=0.5):
        super().__init__(denoiser)
        self.goal, self.weight = Gaussian(mean, torch.ones_like(mean)), weight

    def denoised(self, y, sigma):
        return torch.lerp(self.denoiser(y, sigma), self.goal.denoise(y, sigma), self.weight)


# -- a neural energy and its score-matching loss: a law with a network in it -------------------------------------------


class NeuralEnergy(Law):
    """U = |x|^2 / 2 + net(x)."""

    def __init__(self, event_shape, width=32):
        d = math.prod(event_shape)
        self.event_shape = tuple(event_shape)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(d, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.last = nn.Linear(width, 1)

    def energy(self, x):
        return 0.5 * x.flatten(1).square().sum(1) + self.last(self.net(x))[:, 0]


class ScoreMatching(Objective):
    """min E |s|^2 / 2 + div s, by one random direction (Hyvarinen 2005; Song et al. 2019)."""

    def __init__(self, law, scaled):
        super().__init__()
        self.law, self.scaled = law, scaled

    def forward(self, batch):
        x = self.scaled(batch.x, batch.generator).requires_grad_()
        v = torch.randn(x.shape, generator=batch.generator)
        score = self.law.score(x)
        (bend,) = torch.autograd.grad((score * v).sum(), x, create_graph=True)
        return (0.5 * score.square() + bend * v).flatten(1).sum(1).mean()


class ToyEnergy(Family):
    def build(self, spec):
        self.law = NeuralEnergy(spec.event_shape)

    def objectives(self):
        return [ScoreMatching(self.law, self.scaled)]

    @torch.no_grad()
    def draw(self, n, seed, start, steps=30, h=0.05):
        x = rng.normal((n, *self.law.event_shape), seed, "start", start=start)
        for k in range(steps):
            z = rng.normal(tuple(x.shape), seed, "step", k, start=start)
            x = x + h * self.law.score(x) + (2 * h) ** 0.5 * z
        return x


# -- symbols: each is drawn by the one before it; probabilities, not densities -----------------------------------------


class ToyBigram(Family):
    kinds = ("sequences",)

    def defaults(self, samples):
        return None

    def build(self, spec):
        self.register_buffer("log_p", torch.zeros(spec.symbols + 1, spec.symbols))  # the last row: of the first symbol

    def learn(self, samples, training, **options):
        x = nn.functional.pad(samples.batch(range(len(samples))), (1, 0), value=len(self.log_p) - 1)
        counts = torch.ones_like(self.log_p)
        counts.index_put_((x[:, :-1].flatten(), x[:, 1:].flatten()), torch.ones(()), accumulate=True)
        self.log_p.copy_((counts / counts.sum(1, keepdim=True)).log())

    def log_prob(self, x):
        x = nn.functional.pad(self.scaled(self.check(x), 0), (1, 0), value=len(self.log_p) - 1)
        return LogProb.exact(self.log_p[x[:, :-1], x[:, 1:]].sum(1), measure="counting")

    def draw(self, n, seed, start):
        u = rng.uniform((n, self.spec.event_shape[0]), seed, "symbols", start=start)
        found = [torch.full((n,), len(self.log_p) - 1)]
        for column in u.unbind(1):
            found.append((self.log_p[found[-1]].exp().cumsum(1) < column[:, None]).sum(1))
        return torch.stack(found[1:], 1)


TOYS = (ToyGAN, ToyFlow, ToyGaussian, ToyGibbs, ToyGlow, ToyMatching, ToyEnergy)
