"""Normalizing flows beside their peers: the same data, the same seconds of training each, standardised for all.

    make bench-flows                      # all in 10 minutes: 30 s each on laws of the plane, 12 s on the others
    python bench/flows.py --fast          # two laws, a few seconds: what the tests run
    python bench/flows.py --only rings,banana --seconds 12

On the five laws the number is KL(p, q) = E log p - E log q over 10,000 points that none has seen, with its standard
error; on digits and breast_cancer the held-out log-likelihood in nats. Every one is trained by Adam at its own usual
rate with a cosine to 0 over its time, on batches of 512, and has one core to itself; so many are trained at a time as
there are cores. `speed` is milliseconds at equal architecture, with all cores: medians of rounds in which each has its
turn. Peers that are not installed are left out.
"""

import importlib.util
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor

import monge
from cores import asked, cores, side_by_side
from monge import densities
from monge.data import Samples

BATCH = 512
LAWS = {name.lower(): getattr(densities, name)() for name in ("Rings", "Moons", "Banana", "Checkerboard", "Pinwheel")}
Fitted = Callable[[Tensor], Tensor]  # [n, d] standardised -> log q [n]


def of_torch(flow: torch.nn.Module, log_prob: Fitted, x: Tensor, seconds: float, lr: float = 1e-3) -> Fitted:
    """Train a peer in PyTorch; the last of its weights is kept, a tenth of small data stopping it."""
    held, rows = (x[: len(x) // 10], x[len(x) // 10 :]) if len(x) < 10_000 else (None, x)
    optimizer = torch.optim.Adam(flow.parameters(), lr=lr)
    generator, begun, step = torch.Generator().manual_seed(0), time.monotonic(), 0
    best, kept = math.inf, None
    while (done := (time.monotonic() - begun) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * done))
        batch = rows[torch.randint(len(rows), (BATCH,), generator=generator)]
        loss = -log_prob(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0 * math.sqrt(x.shape[1]))
        optimizer.step()
        step += 1
        if held is not None and step % 50 == 0:
            with torch.no_grad():
                loss = -float(log_prob(held).mean())
            if loss < best:
                best, kept = loss, {name: value.clone() for name, value in flow.state_dict().items()}
    if kept is not None:
        flow.load_state_dict(kept)

    def evaluate(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([log_prob(part) for part in torch.split(x, 4096)])

    return evaluate


def ours(family: str) -> Callable[[Tensor, float], Fitted]:
    def fit(x: Tensor, seconds: float) -> Fitted:
        model = getattr(monge, family)().fit(Samples(x, name="bench"), budget=seconds, show=False)
        return lambda x: model.log_prob(x).value

    return fit


def of_zuko(kind: str, d: int) -> torch.nn.Module:
    from zuko import flows

    torch.manual_seed(0)
    return getattr(flows, kind)(d, transforms=3, hidden_features=(64, 64))


def zuko(kind: str) -> Callable[[Tensor, float], Fitted]:
    def fit(x: Tensor, seconds: float) -> Fitted:
        flow = of_zuko(kind, x.shape[1])
        return of_torch(flow, lambda x: flow().log_prob(x), x, seconds)

    return fit


def of_normflows(d: int, layers: int) -> torch.nn.Module:
    import normflows as nf

    torch.manual_seed(0)
    steps: list[torch.nn.Module] = []
    for _ in range(layers):
        steps += [nf.flows.AutoregressiveRationalQuadraticSpline(d, 1, 64), nf.flows.LULinearPermute(d)]
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(d, trainable=False), steps)


def normflows(x: Tensor, seconds: float) -> Fitted:
    flow = of_normflows(x.shape[1], layers=4)
    return of_torch(flow, flow.log_prob, x, seconds)


def flowjax(kind: str) -> Callable[[Tensor, float], Fitted]:
    def fit(x: Tensor, seconds: float) -> Fitted:
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import optax
        from flowjax import bijections, distributions, flows

        rows = jnp.asarray(x.numpy())
        held, rows = (rows[: len(x) // 10], rows[len(x) // 10 :]) if len(x) < 10_000 else (None, rows)
        transformer = bijections.RationalQuadraticSpline(knots=8, interval=4) if kind != "affine MAF" else None
        make = flows.coupling_flow if kind == "spline coupling" else flows.masked_autoregressive_flow
        options = {} if transformer is None else {"transformer": transformer}
        base = distributions.Normal(jnp.zeros(x.shape[1]))
        flow = make(jax.random.key(0), base_dist=base, flow_layers=4, nn_width=64, nn_depth=1, **options)
        from paramax import NonTrainable, unwrap

        params, static = eqx.partition(flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, NonTrainable))
        optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
        state = optimizer.init(params)

        def nats(params, batch):
            return -unwrap(eqx.combine(params, static)).log_prob(batch).mean()

        @eqx.filter_jit
        def step(params, state, key):
            batch = rows[jax.random.randint(key, (BATCH,), 0, len(rows))]
            updates, state = optimizer.update(jax.grad(nats)(params, batch), state, params)
            return optax.apply_updates(params, updates), state

        nats_of = eqx.filter_jit(nats)
        key, best, kept = jax.random.key(1), math.inf, None
        step(params, state, key)  # compiled before its time runs
        begun, k = time.monotonic(), 0
        while (done := (time.monotonic() - begun) / seconds) < 1:
            state.hyperparams["learning_rate"] = jnp.asarray(1e-3 * 0.5 * (1 + math.cos(math.pi * done)))
            params, state = step(params, state, jax.random.fold_in(key, k))
            k += 1
            if held is not None and k % 50 == 0 and (loss := float(nats_of(params, held))) < best:
                best, kept = loss, params
        fitted = unwrap(eqx.combine(params if kept is None else kept, static))
        log_prob = eqx.filter_jit(fitted.log_prob)
        return lambda x: torch.from_numpy(np.array(log_prob(jnp.asarray(x.numpy()))))

    return fit


METHODS: dict[str, Callable[[Tensor, float], Fitted]] = {
    "monge SplineFlow": ours("SplineFlow"),
    "monge MAF": ours("MAF"),
    "monge RealNVP": ours("RealNVP"),
    "zuko NSF": zuko("NSF"),
    "zuko MAF": zuko("MAF"),
    "normflows NSF": normflows,
    "flowjax spline coupling": flowjax("spline coupling"),
    "flowjax spline MAF": flowjax("spline MAF"),
    "flowjax affine MAF": flowjax("affine MAF"),
}
USUAL = "monge SplineFlow", "zuko NSF", "zuko MAF", "normflows NSF", "flowjax spline coupling"


def problem(name: str, fast: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Training rows, rows that none sees, and the exact log p of the latter where it is known."""
    if name in LAWS:
        n = 2000 if fast else 20_000
        train, test = (monge.data.load(f"{name}?n={m}&seed={seed}").x for m, seed in ((n, 0), (n // 2, 1)))
        return train, test, LAWS[name].log_prob(test).value.double()
    if name == "digits":
        data = monge.data.load("digits")
        u = monge.rng.uniform((len(data), 64), 0, "bench")
        x, held = data.x.flatten(1) + u - 0.5, 297
    else:
        x, held = torch.from_numpy(load_breast_cancer().data).float(), 114
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[held:]], x[order[:held]], None


def compare(name: str, method: str, seconds: float, fast: bool) -> str:
    """One row: a method trained on a problem, and its number."""
    train, test, exact = problem(name, fast)
    mean, std = train.mean(0), train.std(0)
    log_q = METHODS[method]((train - mean) / std, seconds)((test - mean) / std).double() - float(std.log().sum())
    gap = (exact - log_q) if exact is not None else -log_q
    what = "KL" if exact is not None else "nats"
    return f"| {name} | {method} | {what} {gap.mean():.4f} ± {gap.std() / len(gap) ** 0.5:.4f} |"


def speeds(methods: list[str], fast: bool) -> Iterator[str]:
    """Three autoregressive splines of 8 bins, steered by two layers of 64: milliseconds, and by how much ours win."""
    from monge.nets import Size

    kinds = [kind for kind in ("monge", "zuko", "normflows") if any(kind in method for method in methods)]
    for d in (2,) if fast else (2, 16, 64):
        x = monge.rng.normal((8192, d), 0, "bench")
        model = monge.SplineFlow(layers=3, bins=8, net=Size(widths=(64,), blocks=1), autoregressive=True)
        model.fit(x, steps=1, show=False)
        flow = {kind: of_zuko("NSF", d) if kind == "zuko" else of_normflows(d, 3) for kind in kinds[1:]}
        log_prob: dict[str, Fitted] = {
            "monge": model.log_density,
            "zuko": lambda x, flow=flow: flow["zuko"]().log_prob(x),
            "normflows": lambda x, flow=flow: flow["normflows"].log_prob(x),
        }
        draw: dict[str, Callable[[int], object]] = {
            "monge": model.sample,
            "zuko": lambda n, flow=flow: flow["zuko"]().sample((n,)),
            "normflows": lambda n, flow=flow: flow["normflows"].sample(n),
        }
        optimizers = {
            kind: torch.optim.Adam((model.bijector if kind == "monge" else flow[kind]).parameters(), fused=True)
            for kind in kinds
        }

        def step(kind: str, x: Tensor = x, log_prob: dict = log_prob, optimizers: dict = optimizers) -> None:
            optimizers[kind].zero_grad()
            (-log_prob[kind](x[:BATCH]).mean()).backward()
            optimizers[kind].step()

        def evaluate(kind: str, x: Tensor = x, log_prob: dict = log_prob) -> None:
            with torch.no_grad():
                log_prob[kind](x)

        def sample(kind: str, draw: dict = draw) -> None:
            with torch.no_grad():
                draw[kind](1024)

        for what, work, rounds in (("step", step, 20), ("log_prob", evaluate, 6), ("sample", sample, 3)):
            taken = medians(work, kinds, 1 if fast else rounds)
            told = " | ".join(f"{kind} {1000 * taken[kind]:.1f} ms" for kind in kinds)
            fastest = min((taken[kind] for kind in kinds[1:]), default=math.nan)
            yield f"| {d} values | {what} | {told} | {fastest / taken['monge']:.2f} times the fastest peer |"


def medians(work: Callable[[str], None], kinds: list[str], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for round_ in range(rounds + 1):
        for kind in kinds:
            begun = time.perf_counter()
            work(kind)
            if round_:  # the first is for warming up
                taken[kind].append(time.perf_counter() - begun)
    return {kind: statistics.median(times) for kind, times in taken.items()}


def main() -> None:
    given = asked(__doc__, ("seconds", float, "of training each"), only="names of problems, or speed")
    names = ["rings", "banana", "speed"] if given.fast else [*LAWS, "digits", "cancer", "speed"]
    names = given.only.split(",") if given.only else names
    methods = [m for m in METHODS if importlib.util.find_spec(m.split()[0]) is not None]
    wanted = given.methods.split(",") if given.methods else USUAL
    methods = [m for m in methods if any(part in m for part in wanted)]
    told = ", ".join(f"{p} {version(p)}" for p in sorted({m.split()[0] for m in methods} | {"torch"}))
    print(f"{platform.machine()}, {len(cores())} cores, one each; {told}", flush=True)
    if "speed" in names:
        for row in speeds(methods, given.fast):
            print(row, flush=True)
    jobs = [
        (name, method, given.seconds or (2.0 if given.fast else 30.0 if name in LAWS else 12.0), given.fast)
        for name in names
        if name != "speed"
        for method in methods
    ]
    for row in side_by_side(compare, jobs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
