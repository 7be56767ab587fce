"""Optimal transport beside POT and ott-jax: seconds, memory and values.

    make bench-ot                          # all, ten minutes at most
    python bench/transport.py --fast       # small clouds: what the tests run
    python bench/transport.py --only sinkhorn --methods monge,POT

Two Gaussian clouds, the second moved by .5, uniform weights, float64, all cores. `exact`: W2^2. `sinkhorn`: <P, C> at
epsilon .05 or .01 of the mean cost, run until the marginals are off by 1e-6 in L1 (POT is given the L2 that means
that). `sliced`: 64 directions, the same for all. Each method and problem has a process of its own: seconds are the
median of three runs (of one above 20 s), after a run on few points that compiles and imports; memory is how far the
peak rises above what the process held before. off: from our value, relative, worked out after the clock has stopped.
A method that did not converge within its 10,000 iterations, or 60 s, says so.
"""

import argparse
import importlib.util
import math
import multiprocessing
import os
import platform
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

DIRECTIONS, TOLERANCE, MOST, PATIENCE_S = 64, 1e-6, 10_000, 60
Clouds = tuple[Any, Any]


class Problem(NamedTuple):
    kind: str
    n: int
    d: int
    share: float = 0.0  # epsilon, of the mean cost

    def __str__(self) -> str:
        return f"{self.kind}{f' {self.share}' if self.share else ''} | {self.n:,} | {self.d}"


class Found(NamedTuple):
    """value: worked out when it is asked for, after the clock has stopped."""

    value: Callable[[], float]
    note: str = ""


def clouds(problem: Problem, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    shape = n or problem.n, problem.d
    return generator.normal(size=shape), generator.normal(size=shape) + 0.5


def epsilon(problem: Problem) -> float:
    """The mean of |x - y|^2 is 2 d + d / 4."""
    return problem.share * 2.25 * problem.d


def monge(problem: Problem, x: np.ndarray, y: np.ndarray) -> Found:
    import torch

    from monge import ot

    clouds = torch.from_numpy(x), torch.from_numpy(y)
    if problem.kind == "exact":
        plan = ot.couple(*clouds)
        return Found(lambda: plan.value, f"gap {abs(plan.gap) / plan.value:.0e}")
    if problem.kind == "sliced":
        squared = ot.sliced_wasserstein(*clouds, count=DIRECTIONS) ** 2
        return Found(lambda: squared)
    single = problem.n > 5000
    if single:
        clouds = clouds[0].float(), clouds[1].float()
    found = ot.sinkhorn(*clouds, epsilon=epsilon(problem), tolerance=None if single else TOLERANCE)
    return Found(lambda: float(found.transport_cost()), f"{found.sweeps} sweeps")


def pot(method: str = "") -> Callable[[Problem, np.ndarray, np.ndarray], Found]:
    def solve(problem: Problem, x: np.ndarray, y: np.ndarray) -> Found:
        os.environ.update({f"POT_BACKEND_DISABLE_{name}": "1" for name in ("JAX", "PYTORCH", "TENSORFLOW", "CUPY")})
        import ot

        n = len(x)
        if problem.kind == "sliced":
            turns = _turns(problem.d)
            squared = ot.sliced_wasserstein_distance(x, y, projections=turns) ** 2
            return Found(lambda: squared)
        costs, uniform = ot.dist(x, y), np.full(n, 1 / n)
        if problem.kind == "exact":
            value = ot.emd2(uniform, uniform, costs, numItermax=10**9)
            return Found(lambda: value)
        plan = ot.sinkhorn(
            uniform,
            uniform,
            costs,
            epsilon(problem),
            method=method,
            stopThr=TOLERANCE / math.sqrt(n),
            numItermax=MOST,
            warn=False,
        )
        off = np.abs(plan.sum(0) - uniform).sum() + np.abs(plan.sum(1) - uniform).sum()
        return Found(
            lambda: float((plan * costs).sum()), "" if off < 10 * TOLERANCE else f"not converged, off by {off:.0e}"
        )

    return solve


def scipy(problem: Problem, x: np.ndarray, y: np.ndarray) -> Found:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    costs = cdist(x, y, "sqeuclidean")
    value = costs[linear_sum_assignment(costs)].mean()
    return Found(lambda: float(value))


def ott(problem: Problem, x: np.ndarray, y: np.ndarray) -> Found:
    cost, converged = _ott()(x, y, epsilon(problem))
    return Found(lambda: float(cost), "" if bool(converged) else "not converged")


@cache
def _ott() -> Callable[..., Any]:
    """Compiled once for each shape; in the log domain."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from ott.geometry.pointcloud import PointCloud
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn

    solver = Sinkhorn(threshold=TOLERANCE, max_iterations=MOST)

    def solve(x: Any, y: Any, epsilon: float) -> Any:
        out = solver(LinearProblem(PointCloud(x, y, epsilon=epsilon)))
        return out.primal_cost, out.converged

    return jax.jit(solve)


def _turns(d: int) -> np.ndarray:
    from monge import ot

    return ot.directions(d, DIRECTIONS).double().numpy()


METHODS: dict[str, dict[str, Callable[[Problem, np.ndarray, np.ndarray], Found]]] = {
    "exact": {"monge": monge, "POT emd2": pot(), "scipy assignment": scipy},
    "sinkhorn": {
        "monge": monge,
        "POT": pot("sinkhorn"),
        "POT log": pot("sinkhorn_log"),
        "ott-jax": ott,
    },
    "sliced": {"monge": monge, "POT": pot()},
}
PEERS = {"POT": "ot", "ott-jax": "ott"}
PROBLEMS = [
    *(Problem("exact", n, d) for n in (1000, 5000) for d in (2, 64)),
    *(Problem("sinkhorn", n, d, share) for share in (0.05, 0.01) for n in (1000, 5000) for d in (2, 64)),
    Problem("sinkhorn", 20_000, 2, 0.05),
    *(Problem("sliced", n, d) for n in (1000, 5000, 100_000) for d in (2, 64)),
    Problem("sliced", 1_000_000, 2),
]
FAST = [Problem("exact", 600, 2), Problem("sinkhorn", 300, 2, 0.05), Problem("sliced", 2000, 2)]
ALONE = 20_000, 1_000_000  # where only ours runs
LONG = {("scipy assignment", 5000, 0.0), ("POT log", 5000, 0.05), ("POT log", 1000, 0.01), ("POT log", 5000, 0.01)}
LONG |= {("ott-jax", 1000, 0.01), ("ott-jax", 5000, 0.01)}  # a minute and more each: only where --methods asks for them


def timed(problem: Problem, method: str) -> tuple[float, float, float, str]:
    """Median seconds, GB above what was held before, value and note; in a process of its own."""
    warnings.simplefilter("ignore")
    solve = METHODS[problem.kind][method]
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        solve(problem, *clouds(problem, 600))
        seconds: list[float] = []
        x, y = clouds(problem)
        if method.startswith("ott"):  # compiles for each shape
            solve(problem, x, y)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(PATIENCE_S)
        while len(seconds) < 3 and sum(seconds) < 20:
            start = time.perf_counter()
            found = solve(problem, x, y)
            seconds.append(time.perf_counter() - start)
        signal.alarm(0)
    except KeyboardInterrupt:
        return math.inf, math.nan, math.nan, f"stopped after {PATIENCE_S} s"
    # what ott needs, it has had in the run that compiled
    more = math.nan if method == "ott-jax" else (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    return float(np.median(seconds)), more, found.value(), found.note


def wanted(problems: list[Problem], methods: list[str] | None) -> Iterator[tuple[Problem, str]]:
    for problem in problems:
        for method in METHODS[problem.kind]:
            peer = PEERS.get(method.split(" ")[0])
            missing = peer is not None and importlib.util.find_spec(peer) is None
            if methods is None and (
                (method, problem.n, problem.share) in LONG or (method != "monge" and problem.n in ALONE)
            ):
                continue
            if not missing and (methods is None or method.split(" ")[0] in methods):
                yield problem, method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="small clouds")
    parser.add_argument("--only", default="", help="kinds of problems, by commas")
    parser.add_argument("--methods", help="monge, POT, scipy, ott-jax, by commas")
    given = parser.parse_args()
    kinds = given.only.split(",") if given.only else list(METHODS)
    problems = [problem for problem in (FAST if given.fast else PROBLEMS) if problem.kind in kinds]
    names = [
        name for name in ("monge", "torch", "POT", "ott-jax", "jax", "scipy") if importlib.util.find_spec(_module(name))
    ]
    print(f"{platform.machine()}, {os.cpu_count()} cores; " + ", ".join(f"{name} {version(name)}" for name in names))
    print("| problem | n | d | method | seconds | times ours | GB more | off | |")
    print("|---|---|---|---|---|---|---|---|---|")
    ours: dict[Problem, tuple[float, float]] = {}
    methods = given.methods.split(",") if given.methods else None
    context = multiprocessing.get_context("spawn")
    for problem, method in wanted(problems, methods):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            seconds, more, value, note = pool.submit(timed, problem, method).result()
        if method == "monge":
            ours[problem] = seconds, value
        base, reference = ours.get(problem, (math.nan, math.nan))
        off = "" if method == "monge" else f"{abs(value / reference - 1):.0e}"
        print(
            f"| {problem} | {method} | {seconds:.3g} | {seconds / base:.2f} | {more:.2f} | {off} | {note} |",
            flush=True,
        )


def _module(name: str) -> str:
    return {"POT": "ot", "ott-jax": "ott"}.get(name, name)


if __name__ == "__main__":
    main()
