"""What work costs beside another program: training, sampling, an audit and chains with a busy loop on one core.

    make bench-busy                 # about two minutes
    python bench/busy.py --fast     # little work, once: what the tests run

Each is done in a process of its own, alone and beside a program that never rests, in turn; `ratio` is the median of
the second over that of the first.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from statistics import median

import torch


def work(fast: bool) -> dict[str, float]:
    """Seconds of each, after what is done once in a process."""
    import warnings

    import monge

    warnings.simplefilter("ignore")
    train, holdout = monge.data.load("moons?n=300" if fast else "digits").split(0.3, seed=0)
    steps, n = (2, 20) if fast else (200, 2000)
    monge.Diffusion().fit(train, steps=1, show=False)
    spent = {}
    begun = time.perf_counter()
    model = monge.Diffusion().fit(train, steps=steps, show=False)
    spent["training"] = time.perf_counter() - begun
    begun = time.perf_counter()
    x = model.sample(n, show=False)
    spent["sampling"] = time.perf_counter() - begun
    if not fast:
        begun = time.perf_counter()
        monge.audit(x, holdout=holdout, train=train)
        spent["audit"] = time.perf_counter() - begun
    law = monge.densities.Gaussian(torch.zeros(100), torch.eye(100))
    begun = time.perf_counter()
    monge.samplers.hmc(law, draws=20 if fast else 1000, chains=64, show=False)
    spent["chains"] = time.perf_counter() - begun
    return spent


def measured(fast: bool, busy: bool) -> dict[str, float]:
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        told = subprocess.run(
            [sys.executable, __file__, "--work", *["--fast"] * fast], capture_output=True, text=True, check=True
        )
    finally:
        if other is not None:
            other.kill()
            other.wait()
    return {name: float(seconds) for name, seconds in map(str.split, told.stdout.splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        for name, seconds in work(given.fast).items():
            print(name, f"{seconds:.3f}")
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for _ in range(1 if given.fast else 3):
        for busy in runs:
            runs[busy].append(measured(given.fast, busy))
    print("| work | alone, s | beside a busy loop, s | ratio |\n|---|---|---|---|")
    for name in runs[True][0]:
        alone, beside = (median(run[name] for run in runs[busy]) for busy in (False, True))
        print(f"| {name} | {alone:.1f} | {beside:.1f} | {beside / alone:.2f} |")


if __name__ == "__main__":
    main()
