"""The one training loop: any number of objectives, one stream of batches, weights averaged along the way.

Draw k is a function of (seed, k) and the state before it: which rows it sees and what noise it draws are
addressed, not consumed. So a run killed at any moment and resumed from its last checkpoint ends with the same
weights, bit for bit, as one that was left alone (on the same machine, while no other program is busy on its cores,
when `steps` rules and not a budget).
"""

import dataclasses
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monge import progress, rng
from monge.data import Samples
from monge.errors import BadInput, NumericalFailure
from monge.threads import Threads, paced
from monge.training.checkpoint import Checkpoints
from monge.training.clock import Clock
from monge.training.interrupts import stoppable
from monge.training.journal import Journal
from monge.training.muon import Muon
from monge.training.objectives import Batch, Loss, Objective, titles
from monge.training.processes import average_gradients, launched, leave_at_the_end
from monge.training.rows import Rows
from monge.training.settings import Training, further
from monge.training.state import State

# rows of the validation share that a held-out loss is taken on: at most, in values, and at least (fewer, several times)
HELD_OUT_ROWS, HELD_OUT_VALUES, HELD_OUT_LEAST = 8192, 2**19, 256
AHEAD = 20  # draws, by which rows that stay in a file are read before they are needed
KERNELS_LR = 4.0  # learning rate of Muon over that of AdamW
STRUCK = 2  # looks of a clock in a row, at which it is patience that ends
WATCH_S, WATCH_SHARE = 20.0, 0.05  # between two looks at a model, and of the time that they may take


def train(
    model: nn.Module,
    objectives: Sequence[Objective],
    samples: Samples,
    settings: Training,
    *,
    seed: int = 0,
    out: Path | None = None,
    tensorboard: bool = False,
    watch: Callable[[], None] | None = None,
    clock: Clock | None = None,
    show: bool = True,
) -> None:
    """Minimise the objectives in turn; leave in `model` the running average of its weights.

    A step is a round: each objective in order, as often as it says, each time on a batch of its own. With `out`,
    writes out/log.csv and out/checkpoints/, and goes on from the last checkpoint found there. `watch` is called every
    20 seconds, or as seldom as lets it take a twentieth of the time, and at the end, while the model is as it would be
    kept then. `clock` is asked at the steps at which it is due, what it tells is written down, and where there is
    patience the training stops when it finds what it looks for twice in a row.

    Raises NumericalFailure at a loss that is not finite (the last good checkpoint stays), BadInput if the
    checkpoint found belongs to another training or an objective moves nothing, DiskFull if a checkpoint cannot be
    written (the one before stays). Ctrl-C writes a checkpoint, then raises KeyboardInterrupt.
    """
    from lightning_fabric import Fabric  # 3 s to import

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # which precision it uses, `Training` says
    fabric = Fabric(accelerator="auto", precision=settings.precision, **launched())  # type: ignore[arg-type]
    fabric.launch()
    if fabric.world_size > 1:
        leave_at_the_end()
    loop = _Loop(fabric, model, objectives, samples, settings, seed, out, tensorboard, clock)
    loop.resume(show and fabric.is_global_zero)
    loop.run(show and fabric.is_global_zero, watch if fabric.is_global_zero else None)
    loop.finish()
    if watch is not None and fabric.is_global_zero:
        watch()


class _Loop:
    def __init__(
        self,
        fabric: Any,
        model: nn.Module,
        objectives: Sequence[Objective],
        samples: Samples,
        settings: Training,
        seed: int,
        out: Path | None,
        tensorboard: bool,
        clock: Clock | None,
    ) -> None:
        self.fabric, self.samples, self.settings, self.seed = fabric, samples, settings, seed
        self.objectives, self.titles, self.clock = objectives, titles(objectives), clock
        self.state = State(model, objectives, fabric.device)
        self.moved: list[list[nn.Parameter]] = []
        self.movers: list[list[torch.optim.Optimizer]] = []
        for title, objective in zip(self.titles, objectives, strict=True):
            self.optimise(title, objective)
        for tensor in (*self.state.whole.parameters(), *self.state.average.values()) if fabric.world_size > 1 else ():
            torch.distributed.broadcast(tensor.detach(), 0)
        self.rows = Rows.of(samples, settings.batch_size, seed, settings.validation)
        self.step, self.elapsed = 0, 0.0
        self.lowest, self.lowest_at, self.misses = float("inf"), 0, 0
        self.sums: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=fabric.device))
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.checkpoints = Checkpoints(out / "checkpoints") if out else None
        self.journal = Journal(out, tensorboard=tensorboard) if out and fabric.is_global_zero else None

    def optimise(self, title: str, objective: Objective) -> None:
        """Give an objective its optimisers, and list the parameters that it moves."""
        how, moved = objective.optimiser, [p for p in objective.moves() if p.requires_grad]
        if not moved:
            raise BadInput(f"the objective {title!r} moves no parameter: list them in its moves()")
        lr = how.lr if how.lr is not None else self.settings.lr
        decay = how.weight_decay if how.weight_decay is not None else self.settings.weight_decay
        kernels = list(objective.kernels())
        inside = {id(p) for p in kernels}
        others = [p for p in moved if id(p) not in inside]
        movers: list[torch.optim.Optimizer] = []
        if others:
            movers.append(torch.optim.AdamW(others, lr=lr, betas=how.betas, weight_decay=decay, fused=True))
        if kernels:
            movers.append(Muon(kernels, KERNELS_LR * lr, weight_decay=decay))
        for group in (group for mover in movers for group in mover.param_groups):
            group["peak"] = group["lr"]
        self.state.optimizers += movers
        self.movers.append(movers)
        self.moved.append(moved)

    # -- state ---------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be of this training."""
        named = dataclasses.asdict(self.settings) | {"seed": self.seed, "data": self.samples.fingerprint}
        return {name: value for name, value in named.items() if name not in ("checkpoint_s", "log_every")}

    def save(self) -> None:
        if self.checkpoints is None:
            return
        tensors = self.state.tensors(self.fabric)
        header = {"step": self.step, "elapsed": self.elapsed, "lowest": self.lowest, "misses": self.misses}
        header |= {"lowest_at": self.lowest_at, "found": 0 if self.clock is None else self.clock.found}
        if self.fabric.is_global_zero:
            self.checkpoints.save(self.step, tensors, {**header, "training": self.identity()})

    def resume(self, show: bool) -> None:
        found = self.checkpoints.last() if self.checkpoints else None
        if found is not None:
            tensors, header = found
            more: tuple[str, float] | None = None
            mine, theirs = self.identity(), header["training"]
            for name in mine:
                if further(name, mine[name], theirs.get(name)):
                    more = name, theirs[name]
                elif mine[name] != theirs.get(name):
                    raise BadInput(
                        f"the run was started with {name}={theirs.get(name)} and cannot go on with "
                        f"{name}={mine[name]}: give the same value, or another --out"
                    )
            self.state.load(tensors, self.fabric.global_rank)
            self.step, self.elapsed = header["step"], header["elapsed"]
            self.lowest, self.misses = header["lowest"], header["misses"]
            self.lowest_at = header.get("lowest_at", self.step)
            if self.clock is not None:
                self.clock.found = header.get("found", 0)
            if more is not None:
                self.misses = 0  # who asks for more time does not want it to be cut short by what was
                progress.say(self.told_more(*more), show=show)
        if self.journal:
            self.journal.cut(self.step)

    def told_more(self, name: str, before: float) -> str:
        """How a run goes on that is given more steps, or more seconds, than those before."""
        amount: float = getattr(self.settings, name)
        unit = "steps" if name == "steps" else "s"
        rates = sorted({f"{self.rate(i):.0%}" for i in range(len(self.objectives))})
        return (
            f"{amount:,.0f} {unit} in place of {before:,.0f}: goes on from step {self.step:,}, the learning rate from "
            f"{' and '.join(rates)} of its peak on as if so many had been asked for at once"
        )

    # -- the loop ------------------------------------------------------------------------------------------

    @property
    def exhausted(self) -> bool:
        """Whether the held-out loss has not fallen for as long as there is patience, or the clock struck twice."""
        patience = self.settings.patience
        struck = self.clock is not None and self.clock.found >= STRUCK
        return patience is not None and (self.misses >= patience or struck)

    def fraction(self) -> float:
        """How much of the training is done, in [0, 1]."""
        if self.exhausted:
            return 1.0
        if self.settings.steps is not None:
            return self.step / self.settings.steps
        return min(1.0, self.elapsed / (self.settings.budget or 1.0))

    def run(self, show: bool, watch: Callable[[], None] | None) -> None:
        self.state.whole.train()
        begun, earlier = time.monotonic(), self.elapsed
        saved, look = begun, begun + WATCH_S
        bad_step = torch.tensor(-1, device=self.fabric.device)
        total = self.settings.steps or self.settings.budget or 1.0
        # where steps rule, sums are to be the same to the last bit: threads are what they are, unless cores are busy
        free = self.settings.steps is None and self.fabric.device.type == "cpu" and self.fabric.world_size == 1
        pace = Threads(torch.get_num_threads()) if free else paced()
        shown = progress.bar("training", total, show=show, pace=False)
        with stoppable() as stopped, shown as advance, pace as threads:
            advance(self.fraction() * total)
            while self.fraction() < 1.0:
                before = self.fraction()
                good = self.round()
                bad_step = torch.where(good | (bad_step >= 0), bad_step, self.step)
                self.step += 1
                threads.tick() if isinstance(threads, Threads) else threads()
                clock = time.monotonic()
                self.elapsed, due, stop = self.agreed(
                    earlier + clock - begun, clock - saved > self.settings.checkpoint_s, stopped.is_set()
                )
                judged = self.rows.held_out.numel() > 0 and (
                    self.step % self.settings.validate_every == 0 or self.fraction() >= 1.0
                )
                looks = self.clock is not None and self.clock.due(self.step)
                numbers: dict[str, float] = {}
                if self.step % self.settings.log_every == 0 or due or stop or judged or looks or self.fraction() >= 1.0:
                    self.refuse_bad(bad_step)
                    numbers = self.record(judged, self.told_by_clock() if looks else {})
                advance((self.fraction() - before) * total, **numbers)
                if due or stop:
                    self.save()
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt
                if watch is not None and time.monotonic() > look:
                    look = self.look(watch)
        if self.exhausted:
            struck = self.misses < (self.settings.patience or 0)
            why = "samples are copies of what was learned from; before, " if struck else ""
            progress.say(
                f"stopped at step {self.step:,}: {why}on the rows kept aside the loss was lowest at step "
                f"{self.lowest_at:,}, of which the weights are kept",
                show=show,
            )

    def told_by_clock(self) -> dict[str, float]:
        assert self.clock is not None
        with self.state.judged(), torch.no_grad():
            told = dict(self.clock())
        if self.fabric.world_size > 1:  # all leave at one step
            self.clock.found = int(self.fabric.all_gather(torch.tensor(self.clock.found)).max())
        return told

    def look(self, watch: Callable[[], None]) -> float:
        """Let the model be looked at; the time at which the next look is due."""
        begun = time.monotonic()
        with self.state.judged(), torch.no_grad():
            watch()
        now = time.monotonic()
        return now + max(WATCH_S, (now - begun) / WATCH_SHARE)

    def agreed(self, elapsed: float, due: bool, stop: bool) -> tuple[float, bool, bool]:
        """The largest of what any process says, so that all of them leave the loop at one step."""
        if self.fabric.world_size == 1:
            return elapsed, due, stop
        said = torch.tensor([elapsed, due, stop], dtype=torch.float64, device=self.fabric.device)
        most = self.fabric.all_gather(said).amax(0).tolist()
        return most[0], bool(most[1]), bool(most[2])

    def draws(self) -> range:
        """The draws of this round."""
        each = sum(objective.repeats for objective in self.objectives)
        return range(self.step * each, (self.step + 1) * each)

    def round(self) -> Tensor:
        """Whether all losses and gradients are finite: a weight is only as good as its gradient."""
        good = torch.tensor(True, device=self.fabric.device)
        draws = iter(self.draws())
        for i, objective in enumerate(self.objectives):
            for _ in range(objective.repeats):
                good = good & self.update(i, next(draws))
        self.state.track(min(self.settings.average, (1 + self.step) / (10 + self.step)))
        return good

    def update(self, i: int, draw: int) -> Tensor:
        """One step of an objective on its draw."""
        objective, movers, moved = self.objectives[i], self.movers[i], self.moved[i]
        rank, world = self.fabric.global_rank, self.fabric.world_size
        rate = self.rate(i)
        for group in (group for mover in movers for group in mover.param_groups):
            group["lr"] = group["peak"] * rate
        loss = self.loss(objective, self.rows.at(draw)[rank::world], "train", draw, rank)
        if self.samples.block is not None:
            self.samples.ahead(self.rows.at(draw + AHEAD)[rank::world])
        for mover in movers:
            mover.zero_grad()
        torch.autograd.backward(loss.value, inputs=moved)
        if world > 1:
            average_gradients(moved, world)
        norm = nn.utils.clip_grad_norm_(moved, self.settings.clip)
        for mover in movers:
            mover.step()
        value = loss.value.detach()
        # in a game, who moves the more tells who is losing
        steepness = {"gradient": norm} if len(self.objectives) > 1 else {}
        for name, number in {"": value, **loss.numbers, **steepness}.items():
            self.tell(self.titles[i] + (f"/{name}" if name else ""), number)
        return value.isfinite() & norm.isfinite()

    def loss(self, objective: Objective, rows: Tensor, *address: int | str) -> Loss:
        batch = self.batch(rows, *address)
        if address[0] == "train":
            batch = batch._replace(draw=int(address[1]), others=self.together, done=self.fraction())
        with self.fabric.autocast():
            found = objective(batch)
        return found if isinstance(found, Loss) else Loss(found)

    def batch(self, rows: Tensor, *address: int | str) -> Batch:
        """Rows of data, and the randomness of this address."""
        device = self.fabric.device
        x = self.samples.batch(rows).to(device, non_blocking=True)
        y = None if self.samples.y is None else self.samples.y[rows].to(device, non_blocking=True)
        return Batch(x, y, self.step, rng.generator(self.seed, *address, device=device))

    def together(self, first: int, count: int) -> Batch:
        """The rows that this process has of so many draws."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        rows = torch.cat([self.rows.at(draw)[rank::world] for draw in range(first, first + count)])
        return self.batch(rows, "together", first, rank)

    def rate(self, i: int) -> float:
        """The share of its peak that the learning rate of an objective has."""
        warm = min(1.0, (self.step + 1) / self.settings.warmup) if self.settings.warmup else 1.0
        return warm * self.objectives[i].optimiser.schedule(self.fraction())

    def held_out(self) -> float:
        """The first objective's loss on the rows that are never learned from, by the averaged weights."""
        total = torch.zeros((), device=self.fabric.device)
        most = max(HELD_OUT_LEAST, min(HELD_OUT_ROWS, HELD_OUT_VALUES // math.prod(self.samples.event_shape)))
        rows = self.rows.held_out[:most]
        at_least = min(HELD_OUT_LEAST, HELD_OUT_VALUES // math.prod(self.samples.event_shape))
        rows = rows.repeat(max(1, at_least // len(rows)))  # with noise of their own each time
        with self.state.judged():
            for k, some in enumerate(torch.split(rows, max(self.settings.batch_size, 256))):
                total += len(some) * self.loss(self.objectives[0], some, "held out", k).value.detach()
        mean: float = self.fabric.all_gather(total).mean().item() / len(rows)
        if self.settings.patience is not None:
            self.misses += 1
            if mean < self.lowest and (self.clock is None or not self.clock.found):
                self.lowest, self.lowest_at, self.misses = mean, self.step, 0
                self.state.keep_best()
        return mean

    def refuse_bad(self, bad: Tensor) -> None:
        bad_step = int(self.fabric.all_gather(bad).max())
        if bad_step < 0:
            return
        self.step = bad_step
        finite = all(bool(self.samples.batch(self.rows.at(draw)).isfinite().all()) for draw in self.draws())
        rates = " or ".join(
            f"{rate:g}" for rate in sorted({movers[0].param_groups[0]["peak"] for movers in self.movers})
        )
        cause = f"the learning rate {rates} is probably too high" if finite else "the batch has NaN or infinity"
        kept = self.checkpoints.paths()[-1:] if self.checkpoints else []
        where = f"the last good checkpoint is {kept[0]}" if kept else "no checkpoint had been written"
        raise NumericalFailure(f"the loss or its gradient is not finite at step {bad_step}: {cause}; {where}")

    def tell(self, name: str, number: Tensor | float) -> None:
        self.sums[name] = self.sums[name] + torch.as_tensor(number, device=self.fabric.device).detach()
        self.counts[name] += 1

    def record(self, judged: bool, more: dict[str, float]) -> dict[str, float]:
        """The means since the last record, the held-out loss if it is time for one, and more, written down."""
        names = list(self.sums)
        means = torch.stack([self.sums[name] / self.counts[name] for name in names]).tolist()
        numbers = dict(zip(names, means, strict=True))
        self.sums.clear()
        self.counts.clear()
        if judged:
            numbers[f"held-out {self.titles[0]}"] = self.held_out()
        if self.journal:
            one = len(self.titles) == 1
            peaks = [movers[0].param_groups[0]["peak"] for movers in self.movers]
            rates = {"lr" if one else f"{t}/lr": peaks[i] * self.rate(i) for i, t in enumerate(self.titles)}
            self.journal.add(self.step, {"seconds": round(self.elapsed, 3), **rates, **numbers, **more})
        return numbers

    def finish(self) -> None:
        """Keep everything for a later look, then let the average be the model, or the best of it."""
        self.save()
        if self.journal:
            self.journal.close()
        self.state.average.update(self.state.best)
        self.state.swap_average()
        self.state.whole.eval()
