"""Markov chains on phi^4 beside blackjax: effective samples of |M| a second, M the mean of the field.

    make bench-mcmc                       # all, about 4 minutes
    python bench/mcmc.py --fast           # one small lattice: what the tests run
    python bench/mcmc.py --only 64 --kappa 0.2692

Square lattices of lam = .02, in the disordered phase, near the transition and at it. All start from scattered points
and have a warm-up that is not counted, nor is compiling; the same number of chains, float32, all cores; effective
sample sizes by ArviZ. R-hat is told where it is above 1.01: a number beside it is not to be believed.
"""

import argparse
import importlib.util
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version

import arviz
import numpy as np
import torch

from monge import samplers
from monge.densities import Phi4

LAM = 0.02
CHAINS = {16: 64, 32: 32, 64: 16}
Draws = tuple[np.ndarray, float]  # |M| [chains, draws], and the seconds that they took


def ours(sampler: str) -> Callable[[int, float, int, int], Draws]:
    def draw(side: int, kappa: float, chains: int, draws: int) -> Draws:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", samplers.DoubtfulChains)
            found = getattr(samplers, sampler)(
                Phi4((side, side), kappa, LAM),
                chains=chains,
                draws=draws,
                warmup=draws // 2,
                keep=False,
                show=False,
                observe={"|M|": lambda x: x.flatten(1).mean(1).abs()},
            )
        return found.observed["|M|"].numpy(), found.seconds

    return draw


def blackjax(algorithm: str) -> Callable[[int, float, int, int], Draws]:
    def draw(side: int, kappa: float, chains: int, draws: int) -> Draws:
        import blackjax as bj
        import jax
        import jax.numpy as jnp

        def log_density(x: jax.Array) -> jax.Array:
            around = jnp.roll(x, 1, 0) + jnp.roll(x, 1, 1)
            return -((1 - 2 * LAM) * x**2 + LAM * x**4 - 2 * kappa * x * around).sum()

        make, options = getattr(bj, algorithm), {} if algorithm == "nuts" else {"num_integration_steps": 10}
        start = jax.random.normal(jax.random.key(0), (chains, side, side))
        adaptation = bj.window_adaptation(make, log_density, **options)
        adapt = jax.jit(lambda key, x: adaptation.run(key, x, num_steps=draws // 2))
        (_, tuned), _ = adapt(jax.random.key(1), start[0])
        kernel = make(log_density, **tuned)

        def one(state: tuple, key: jax.Array) -> tuple:
            state, _ = jax.vmap(kernel.step)(jax.random.split(key, chains), state)
            return state, jnp.abs(state.position.mean((1, 2)))

        run = jax.jit(lambda state, key: jax.lax.scan(one, state, jax.random.split(key, draws)))
        state = jax.vmap(kernel.init)(start)
        state, _ = jax.block_until_ready(run(state, jax.random.key(2)))  # compiles, and burns in
        begun = time.perf_counter()
        _, m = jax.block_until_ready(run(state, jax.random.key(3)))
        return np.asarray(m).T, time.perf_counter() - begun

    return draw


METHODS = {
    "monge wolff": ours("wolff"),
    "monge hmc": ours("hmc"),
    "blackjax hmc": blackjax("hmc"),
    "blackjax nuts": blackjax("nuts"),
}


def rows(sides: list[int], kappas: list[float], methods: list[str], draws: int) -> Iterator[str]:
    for side in sides:
        for kappa in kappas:
            for method in methods:
                count = draws // 4 if "nuts" in method and side > 16 else draws  # its steps are up to 1,023 gradients
                m, seconds = METHODS[method](side, kappa, CHAINS[side], count)
                ess, r_hat = float(arviz.ess(m.astype(np.float64))), float(arviz.rhat(m.astype(np.float64)))
                doubt = f" (R-hat {r_hat:.2f})" if r_hat > 1.01 else ""
                error = np.asarray(arviz.mcse(m.astype(np.float64))).item()
                told = f"{ess / seconds:.0f} a second{doubt} | {m.mean():.4f} ± {error:.4f}"
                yield f"| {side} | {kappa} | {method} | {told} | {1e3 * seconds / count:.2f} ms a step |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", type=int, help="side of the lattice")
    parser.add_argument("--kappa", type=float)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--methods", default="", help="parts of their names, with commas")
    given = parser.parse_args()
    methods = [m for m in METHODS if importlib.util.find_spec(m.split()[0]) is not None]
    methods = [m for m in methods if any(part in m for part in given.methods.split(","))]
    sides = [given.only] if given.only else [16] if given.fast else list(CHAINS)
    kappas = [given.kappa] if given.kappa else [0.26] if given.fast else [0.2, 0.26, 0.2692]
    told = ", ".join(f"{p} {version(p)}" for p in sorted({m.split()[0] for m in methods} | {"torch"}))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads; {told}", flush=True)
    for row in rows(sides, kappas, methods, given.draws or (60 if given.fast else 500)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
