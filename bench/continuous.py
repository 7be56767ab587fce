"""Continuous transport beside its peers: the same data, the same seconds of training each, a core each.

    make bench-continuous                     # all in 12 minutes
    python bench/continuous.py --fast         # a second or two of each: what the tests run
    python bench/continuous.py --only planar,digits --seconds 30

exact    what is known: densities of linear fields, Picard's rate, Hutchinson's error, gradients both ways.
moons    8 Gaussians to moons (Tong et al. 2024; Cheng and Schwing 2025): W2^2 to 10,000 points, beside that of other
         real points, after one Euler step and after 100 calls; with classes, over pairs of ends of one class.
grid     25 narrow modes: sliced W2 to 10,000 points by calls, for each pairing by the same steps.
planar   five laws: KL(p, q) = E log p - E log q over points that none has seen.
digits   20 calls, the verdict's lines.
"""

import importlib.util
import math
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn

import monge
from cores import asked, cores, side_by_side
from flows import LAWS, of_torch
from monge import ot
from monge.data import Samples
from monge.densities import Gaussian, GaussianMixture
from monge.models import transport_cost
from monge.models.carrier import Carrier
from monge.models.velocity import Velocity
from monge.samplers import integrate, picard, walk

SECONDS = {"moons": 40.0, "grid": 30.0, "planar": 30.0, "digits": 45.0}
CALLS = 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 40
F = torch.float64
TURN = torch.arange(8) * math.pi / 4
EIGHT = GaussianMixture(
    5 * torch.stack([TURN.cos(), TURN.sin()], 1), 0.1 * torch.eye(2).expand(8, 2, 2), torch.full((8,), 1 / 8)
)
GRID = GaussianMixture(
    torch.cartesian_prod(*[torch.arange(5.0) - 2] * 2),
    0.0025 * torch.eye(2).expand(25, 2, 2),
    torch.full((25,), 1 / 25),
)


def moons(n: int, seed: int) -> tuple[Tensor, Tensor]:
    x, y = make_moons(n, noise=0.2, random_state=seed)
    return torch.from_numpy(x).float() * 3 - 1, torch.from_numpy(y)


def row(*parts: str) -> str:
    return "| " + " | ".join(parts) + " |"


# -- what is known --------------------------------------------------------------------------------------


class Linear(nn.Module):
    """V = A x, or of the level 2 t - 1 what it is asked for in a velocity."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[-0.5, 1.2, 0.0], [-0.3, 0.4, 0.2], [0.1, 0.0, 0.3]], dtype=F))

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return x @ self.a.T


def exact() -> Iterator[str]:
    field, x = Linear(), monge.rng.normal((400, 3), 0, "x", dtype=F)
    carrier = Carrier(Velocity(field), (3,))
    carrier.look(monge.rng.normal((4000, 3), 1, "x", dtype=F) + 1)
    wanted = carrier.moments.log_prob(x @ torch.linalg.matrix_exp(field.a.detach()).T).value + field.a.detach().trace()
    off = float((carrier.log_prob(x, rtol=1e-8, atol=1e-8).value - wanted).abs().max())
    yield row("exact", "log_prob of a linear field", f"{off:.1e} nats from the change of variables")
    probed = carrier.log_prob(x, probes=16, rtol=1e-8, atol=1e-8)
    away = (probed.value - wanted) / probed.error
    told = f"mean {float(away.mean()):+.3f} ± {float(away.std()) / 20:.3f}, s.d. {float(away.std()):.2f} of its errors"
    yield row("exact", "Hutchinson, 16 probes", told)
    _, paths = picard(field, x, 0.0, 1.0, iterations=8, nodes=24)
    end = x @ torch.linalg.matrix_exp(field.a.detach()).T
    lipschitz = float(torch.linalg.matrix_norm(field.a.detach(), 2))
    errors = [float((path[-1] - end).norm(dim=1).max() / x.norm(dim=1).max()) for path in paths]
    bounds = [lipschitz ** (k + 1) / math.factorial(k + 1) * math.exp(lipschitz) for k in range(9)]
    told = ", ".join(f"{error:.1e} of {bound:.1e}" for error, bound in list(zip(errors, bounds, strict=True))[2::3])
    yield row("exact", "Picard after 2, 5 and 8 iterations, of the bound L^(k+1) e^L / (k+1)!", told)
    slopes = []
    for gradients in ("direct", "adjoint"):
        found = integrate(field, x, 0.0, 1.0, divergence=True, gradients=gradients, rtol=1e-9, atol=1e-9)
        assert found.divergence is not None
        slopes.append(torch.autograd.grad(found.x.square().mean() + found.divergence.mean(), field.a)[0])
    off = float((slopes[0] - slopes[1]).abs().max() / slopes[0].abs().max())
    yield row("exact", "gradients, direct and adjoint", f"{off:.1e} apart")


# -- 8 Gaussians to moons -------------------------------------------------------------------------------

Draw = Callable[[int, int, Tensor | None], Tensor]  # n, calls, classes -> [n, 2]


def ours_to_moons(pairing: str, labels: bool) -> Callable[[float], tuple[Draw, int]]:
    def fit(seconds: float) -> tuple[Draw, int]:
        x, y = moons(50_000, 0)
        model = monge.FlowMatching(pairing=pairing, source=EIGHT, bend=False)
        steps = counted(model, Samples(x, y if labels else None), seconds)
        return lambda n, calls, told: model.sample(n, seed=3, nfe=calls, label=told, show=False), steps

    return fit


def counted(model: Any, data: Any, seconds: float) -> int:
    """Fit for so many seconds; the steps that it made."""
    steps = 0
    objectives = model.objectives

    def watched() -> Any:
        found = objectives()

        def count(*_: Any) -> None:
            nonlocal steps
            steps += 1

        found[0].register_forward_hook(count)
        return found

    model.objectives = watched
    model.fit(data, budget=seconds, show=False)
    return steps


def torchcfm_to_moons(matcher: str) -> Callable[[float], tuple[Draw, int]]:
    """Its own network, its own pairing of a batch of 256, Adam at 1e-3."""

    def fit(seconds: float) -> tuple[Draw, int]:
        from torchcfm import conditional_flow_matching
        from torchcfm.models import MLP

        torch.manual_seed(0)
        net, way = MLP(dim=2, time_varying=True), getattr(conditional_flow_matching, matcher)(sigma=0.0)
        optimizer, x = torch.optim.Adam(net.parameters(), 1e-3), moons(50_000, 0)[0]
        begun, steps = time.monotonic(), 0
        while time.monotonic() - begun < seconds:
            batch = x[torch.randint(len(x), (256,))]
            t, at, velocity = way.sample_location_and_conditional_flow(EIGHT.sample(256, seed=steps), batch)
            loss = (net(torch.cat([at, t[:, None]], 1)) - velocity).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
        field = lambda x, t: net(torch.cat([x, t[:, None]], 1))  # noqa: E731

        def draw(n: int, calls: int, told: Tensor | None) -> Tensor:
            return list(walk(field, EIGHT.sample(n, seed=10**6), 0.0, 1.0, calls))[-1]

        return draw, steps

    return fit


TO_MOONS: dict[str, Callable[[float], tuple[Draw, int]]] = {
    "monge transport": ours_to_moons("transport", False),
    "monge independent": ours_to_moons("independent", False),
    "monge transport, classes": ours_to_moons("transport", True),
    "monge independent, classes": ours_to_moons("independent", True),
    "torchcfm OT": torchcfm_to_moons("ExactOptimalTransportConditionalFlowMatcher"),
    "torchcfm independent": torchcfm_to_moons("ConditionalFlowMatcher"),
}


def w2(x: Tensor, y: Tensor, labels: tuple[Tensor, Tensor] | None) -> float:
    """W2^2; where there are labels the mean over these."""
    if labels is None:
        return ot.couple(x, y).value
    kinds = labels[0].unique().tolist()
    return sum(ot.couple(x[labels[0] == k], y[labels[1] == k]).value for k in kinds) / len(kinds)


def to_moons(method: str, seconds: float, fast: bool) -> list[str]:
    n = 1000 if fast else 10_000
    real, y = moons(n, 7)
    told = y if "classes" in method else None
    if method == "real points":
        other, z = moons(n, 8)
        found = (w2(other, real, labels) for labels in (None, (z, y)))
        return [row("moons", method, "W2^2 {:.4f}, within classes {:.4f}".format(*found))]
    draw, steps = TO_MOONS[method](seconds)
    parts = []
    for calls, name in ((1, "one Euler step"), (100, "100 calls")):
        value = w2(draw(n, calls, told), real, None if told is None else (y, y))
        parts.append(f"{name} {value:.4f}")
    return [row("moons", method, f"W2^2: {', '.join(parts)}; {steps:,} steps in {seconds:.0f} s")]


# -- 25 modes -------------------------------------------------------------------------------------------

PAIRINGS: dict[str, Callable[[], monge.FlowMatching]] = {
    "transport": lambda: monge.FlowMatching(pairing="transport"),
    "independent": lambda: monge.FlowMatching(source=Gaussian(torch.zeros(2), 2 * torch.eye(2))),
    "independent, by Diffusion's sampler": lambda: monge.FlowMatching(),
}


def grid(method: str, seconds: float, fast: bool) -> list[str]:
    n = 1000 if fast else 10_000
    real, other = GRID.sample(n, seed=1), GRID.sample(n, seed=2)
    model = PAIRINGS[method]()
    model.fit(GRID.sample(n if fast else 50_000, seed=0), budget=seconds, show=False)
    calls = CALLS[:3] if fast else CALLS
    found = [ot.sliced_wasserstein(model.sample(n, seed=3, nfe=k, show=False), real) for k in calls]
    told = ", ".join(f"{k}: {value:.3f}" for k, value in zip(calls, found, strict=True))
    bent = "" if "sampler" in method else f"; bent {transport_cost(model, 500, show=False).straightness:.1%}"
    return [row("grid", method, f"sliced W2 by calls {told}; real {ot.sliced_wasserstein(other, real):.3f}{bent}")]


# -- five laws of the plane -----------------------------------------------------------------------------


def of_zuko(x: Tensor, seconds: float) -> Callable[[Tensor], Tensor]:
    from zuko import flows

    torch.manual_seed(0)
    flow = flows.CNF(2, hidden_features=(64, 64))
    return of_torch(flow, lambda x: flow().log_prob(x), x, seconds)


def of_ours(family: str, **settings: Any) -> Callable[[Tensor, float], Callable[[Tensor], Tensor]]:
    def fit(x: Tensor, seconds: float) -> Callable[[Tensor], Tensor]:
        model = getattr(monge, family)(**settings).fit(Samples(x), budget=seconds, show=False)
        return lambda x: model.log_prob(x, show=False).value

    return fit


PLANAR = {
    "monge ContinuousFlow": of_ours("ContinuousFlow"),
    "monge FlowMatching": of_ours("FlowMatching"),
    "zuko CNF": of_zuko,
}


def planar(problem: str, seconds: float, fast: bool) -> list[str]:
    name, method = problem.split(":")
    law, n = LAWS[name], 500 if fast else 4000
    x, held = law.sample(1000 if fast else 20_000, seed=0), law.sample(n, seed=1)
    mean, std = x.mean(0), x.std(0)
    density = PLANAR[method]((x - mean) / std, seconds)
    gap = law.log_prob(held).value - density((held - mean) / std) + std.log().sum()
    return [row("planar", name, method, f"KL {float(gap.mean()):.4f} ± {float(gap.std()) / n**0.5:.4f}")]


# -- digits ---------------------------------------------------------------------------------------------

DIGITS: dict[str, Callable[[], Any]] = {
    "Diffusion": monge.Diffusion,
    "FlowMatching": monge.FlowMatching,
    "FlowMatching transport": lambda: monge.FlowMatching(pairing="transport"),
    "ContinuousFlow": monge.ContinuousFlow,
}


def digits(method: str, seconds: float, fast: bool) -> list[str]:
    train, holdout = monge.data.load("digits").split(0.2, seed=0)
    model = DIGITS[method]().fit(train, budget=seconds, show=False)
    verdict = monge.audit(model.sample(1000, seed=1, nfe=20, show=False), holdout=holdout.x, train=train.x)
    lines = [line for section in (verdict.fidelity, verdict.diversity, verdict.memorisation) for line in section]
    told = ", ".join(f"{line.name} {line.value:.3f} {line.status}" for line in lines if line.status != "-")
    nats = model.log_prob(holdout.x[:128], probes=4, show=False).value
    return [row("digits", method, f"{float(nats.mean()):.1f} nats; {verdict.status}: {told}")]


WORK = {"moons": to_moons, "grid": grid, "planar": planar, "digits": digits}


def work(section: str, problem: str, seconds: float, fast: bool) -> list[str]:
    return WORK[section](problem, seconds, fast)


def main() -> None:
    given = asked(__doc__, ("seconds", float, "of training each"))
    sections = given.only.split(",") if given.only else ["exact", *WORK]
    here = {peer: importlib.util.find_spec(peer) is not None for peer in ("torchcfm", "zuko")}
    problems = {
        "moons": ["real points", *TO_MOONS],
        "grid": list(PAIRINGS),
        "planar": [f"{law}:{method}" for law in (list(LAWS)[:1] if given.fast else LAWS) for method in PLANAR],
        "digits": list(DIGITS),
    }
    jobs = [
        (section, problem, given.seconds or (1.0 if given.fast else SECONDS[section]), given.fast)
        for section in sections
        if section != "exact"
        for problem in problems[section]
        if all(there or peer not in problem for peer, there in here.items())
        and (not given.methods or any(part in problem for part in given.methods.split(",")))
    ]
    peers = ", ".join(f"{peer} {version(peer)}" for peer in ("torch", *(peer for peer, there in here.items() if there)))
    print(f"{platform.machine()}, {len(cores())} cores, one each; {peers}", flush=True)
    for line in exact() if "exact" in sections else ():
        print(line, flush=True)
    if given.fast:
        for job in jobs:
            print("\n".join(work(*job)), flush=True)
        return
    for lines in side_by_side(work, jobs):
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
