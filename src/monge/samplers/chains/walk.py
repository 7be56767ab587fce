"""The one loop that runs a kernel: warm-up, draws, progress, and a file that a long run goes on from."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from monge import progress
from monge.compiling import alone
from monge.densities import Energy, Law
from monge.doors import events, options, real, whole
from monge.errors import BadInput
from monge.files import refuse_overwrite, write_atomic
from monge.samplers.chains.draws import Chains
from monge.samplers.chains.states import Info, Kernel, filled, flat, packed, unpacked

FIRST_S, SAVED_S = 3.0, 30.0  # seconds to the first state of the file, and between two
SHARE = 0.05  # of the time at most goes into writing it
Observables = Mapping[str, Callable[[Tensor], Tensor]]


class Options(TypedDict, total=False):
    """What every sampler takes.

    chains: number of chains, 16. draws: kept of each, 1000. warmup: steps before, while the kernel is tuned; half the
    draws and at least 200, if not given. thin: steps for each draw, 1. x: where the chains start, [chains, *event] or
    [*event]; the law's scattered points if not given. seed: of all noise. observe: functions x [chains, *event] ->
    [chains] by name, told for each draw. keep: whether draws of x are kept, or only the last. show: progress after two
    seconds. out: a file (safetensors) that holds the run, written every 30 s (less often where that is slow), at the
    end, and at Ctrl-C. resume: go on from that file; force: or write over it.
    """

    chains: int
    draws: int
    warmup: int | None
    thin: int
    x: Tensor | None
    seed: int
    observe: Observables | None
    keep: bool
    show: bool
    out: str | Path | None
    resume: bool
    force: bool


def as_law(density: Any) -> Law:
    """A law of yours with an `energy` and an `event_shape`, made one that kernels can use."""
    if isinstance(density, Law):
        return density
    if not hasattr(density, "energy") or not hasattr(density, "event_shape"):
        raise BadInput("give a law of monge.densities, or monge.densities.Energy(your_function, event_shape)")
    given = getattr(density, "dtype", None)
    dtype = given if isinstance(given, torch.dtype) else torch.float32
    return Energy(density.energy, tuple(density.event_shape), score=getattr(density, "score", None), dtype=dtype)


@torch.no_grad()  # kernels that need a gradient take it
def run(kernel: Kernel, given: Options) -> Chains:
    """Run a kernel from its start, or from where its file says that it stands."""
    walk = Walk(kernel, given)
    try:
        walk.go(given.get("show", True))
    except KeyboardInterrupt:
        walk.save()
        raise
    walk.save()
    return walk.chains().judge()


class Walk:
    def __init__(self, kernel: Kernel, given: Options) -> None:
        options(given, Options.__annotations__, "a chain")
        self.draws, self.thin = whole(given.get("draws", 1000), "draws"), whole(given.get("thin", 1), "thin")
        warmup, chains = given.get("warmup"), whole(given.get("chains", 16), "chains")
        self.warmup = max(200, self.draws // 2) if warmup is None else whole(warmup, "warmup", 0)
        self.observe, self.keep = dict(given.get("observe") or {}), given.get("keep", True)
        out = given.get("out")
        self.out = None if out is None else Path(out)
        x = start(kernel.law, given.get("x"), chains, given.get("seed", 0))
        if "chains" in given and len(x) != chains:
            raise BadInput(f"{chains} chains start at {chains} rows of x or at one event, not at {len(x)} rows")
        self.kernel, self.state, self.seconds = kernel, kernel.start(x), 0.0
        refuse_bad(self.state)
        if self.warmup and hasattr(kernel, "ready"):
            self.kernel = kernel.ready(self.state)
        self.identity = self._identity(given.get("seed", 0))
        rows = self.draws if self.keep else 1
        held = rows * x.numel() * x.element_size()
        if 3 * held > (memory := os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")):
            raise BadInput(
                f"{rows:,} draws of {list(x.shape)} are {held / 1e9:.1f} GB, too many for {memory / 1e9:.0f} GB of "
                "memory: keep only what is observed (keep=False, --no-keep), or thin more"
            )
        event = tuple(x.shape[1:])
        self.record: dict[str, Tensor] = {
            "x": torch.zeros(rows, len(x), *event, dtype=x.dtype),
            "energy": torch.zeros(self.draws, len(x), dtype=x.dtype),
            "acceptance": torch.zeros(self.draws, len(x), dtype=x.dtype),
            "diverged": torch.zeros(self.draws, len(x), dtype=torch.bool),
            "broken": torch.zeros(self.draws, len(x), dtype=torch.bool),
            "wider": torch.zeros(self.draws, len(x), dtype=x.dtype),
            **{f"observed {name}": torch.zeros(self.draws, len(x), dtype=x.dtype) for name in self.observe},
        }
        if self.out is not None and self.out.exists():
            if given.get("resume", False):
                self.load()
            else:
                refuse_overwrite(self.out, force=given.get("force", False))

    # -- the loop ------------------------------------------------------------------------------------------

    def go(self, show: bool) -> None:
        total = self.warmup + self.draws * self.thin
        due = time.monotonic() + FIRST_S
        threads = alone() if getattr(self.kernel, "compiled", False) else nullcontext()
        with threads, progress.bar("chains", total, show=show) as advance:
            advance(self.state.steps)
            while self.state.steps < total:
                begun = time.monotonic()
                self.step()
                now = time.monotonic()
                self.seconds += now - begun if self.state.steps > self.warmup else 0.0
                if now > due:
                    self.save()
                    done = time.monotonic()
                    due = done + max(SAVED_S, (done - now) / SHARE)
                advance(1)

    def step(self) -> None:
        before = self.state
        after, info = self.kernel.step(before)
        k, rest = divmod(after.steps - self.warmup, self.thin)
        if k > 0 and rest == 0:
            self.put(k - 1, after, info)
        if before.steps < self.warmup:
            self.kernel = self.kernel.tuned(before, after, info, (before.steps + 1) / self.warmup)
        self.state = after

    def put(self, k: int, state: Any, info: Info) -> None:
        record = self.record
        record["x"][k if self.keep else 0] = state.x
        record["energy"][k] = state.energy
        record["acceptance"][k] = info.acceptance
        record["diverged"][k] = info.divergent
        if info.broken is not None:
            record["broken"][k] = info.broken
        if info.wider is not None:
            record["wider"][k] = info.wider
        for name, function in self.observe.items():
            value = function(state.x)
            if value.shape != state.energy.shape:
                raise BadInput(
                    f"what is observed is a number for each of {len(state.energy)} chains, and {name!r} gave "
                    f"{list(value.shape)}"
                )
            record[f"observed {name}"][k] = value
        if info.swaps is not None:
            if "swaps" not in record:
                record["swaps"] = torch.zeros(self.draws, len(info.swaps), dtype=info.swaps.dtype)
            record["swaps"][k] = info.swaps

    def chains(self) -> Chains:
        r = {name: value.transpose(0, 1) for name, value in self.record.items()}
        return Chains(
            x=r["x"],
            energy=r["energy"],
            acceptance=r["acceptance"].mean(1),
            divergences=int(r["diverged"].sum()),
            broken=int(r["broken"].sum()),
            wider=float(r["wider"].double().mean()),
            observed={name.removeprefix("observed "): r[name] for name in r if name.startswith("observed ")},
            kernel=self.kernel,
            seconds=self.seconds,
            swaps=r["swaps"].mean(1) if "swaps" in r else None,
        )

    # -- the file ------------------------------------------------------------------------------------------

    def _identity(self, seed: int) -> dict[str, Any]:
        """What must agree for a file to be of this run."""
        return {
            "sampler": type(self.kernel).__name__,
            "law": type(self.kernel.law).__name__,
            "chains": len(self.state.energy),
            "event_shape": list(self.state.x.shape[1:]),
            "draws": self.draws,
            "thin": self.thin,
            "warmup": self.warmup,
            "keep": self.keep,
            "seed": seed,
            "observed": sorted(self.observe),
            **getattr(self.kernel, "given", {}),
            "energies at the start": hashlib.sha256(self.state.energy.cpu().numpy().tobytes()).hexdigest()[:16],
        }

    def save(self) -> None:
        if self.out is None:
            return
        tensors = {name: t.clone(memory_format=torch.contiguous_format) for name, t in flat(self.state).items()}
        tensors |= self.record
        numbers = {name: v for name, v in packed(self.kernel).items() if not isinstance(v, Tensor)}
        tensors |= {f"kernel {n}": v.contiguous() for n, v in packed(self.kernel).items() if isinstance(v, Tensor)}
        header = {"run": self.identity, "count": self.state.steps, "seconds": self.seconds, "kernel": numbers}
        write_atomic(self.out, save(tensors, {"monge": json.dumps(header)}))

    def load(self) -> None:
        assert self.out is not None
        try:
            with safe_open(self.out, "pt") as file:
                header = json.loads((file.metadata() or {})["monge"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, OSError) as error:
            raise BadInput(f"{self.out} is not a file of chains: give another path") from error
        for name, mine in self.identity.items():
            theirs = header["run"].get(name, mine)
            if mine != theirs:
                raise BadInput(
                    f"{self.out} is of another run, with {name}={theirs}, and this one has {name}={mine}: "
                    "give the same, or another path"
                )
        adapted = {**header["kernel"], **{n[7:]: t for n, t in tensors.items() if n.startswith("kernel ")}}
        self.kernel = unpacked(self.kernel, adapted)
        self.state = filled(self.kernel.start(self.state.x, header["count"]), tensors)
        self.seconds = header["seconds"]
        self.record |= {n: t for n, t in tensors.items() if not n.startswith(("state.", "kernel "))}


def start(law: Law, x: Tensor | None, chains: int, seed: int) -> Tensor:
    """[chains, *event]: given, or one point for all, or scattered."""
    if x is None:
        return law.scattered(chains, seed=seed)
    x = real(x)
    if x.ndim == len(law.event_shape):
        x = x.expand(chains, *x.shape)
    if not len(x):
        raise BadInput("chains start at a row of x or more, and there is none")
    return events(x, law.event_shape).clone()


def refuse_bad(state: Any) -> None:
    bad = (~state.energy.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise BadInput(
            f"the energy where chain {bad[0]} starts is {float(state.energy[bad[0]])}: give a start x of finite energy"
        )
