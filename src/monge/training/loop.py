"""The one training loop: any number of objectives, one stream of batches, weights averaged along the way.

Step k is a function of (seed, k) and the state before it: which rows it sees and what noise it draws are
addressed, not consumed. So a run killed at any moment and resumed from its last checkpoint ends with the same
weights, bit for bit, as one that was left alone (on the same machine, when `steps` rules and not a budget).
"""

import csv
import dataclasses
import io
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monge import progress, rng
from monge.data import Samples
from monge.errors import BadInput, MissingExtra, NumericalFailure
from monge.files import write_atomic
from monge.training.checkpoint import Checkpoints
from monge.training.objectives import Batch, Objective
from monge.training.settings import Training


class Rows:
    """Which rows a step sees: position p of an endless list of seeded shuffles of 0..n-1."""

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self._shuffles: dict[int, Tensor] = {}

    def at(self, step: int) -> Tensor:
        parts, position, left = [], step * self.batch_size, self.batch_size
        while left:
            epoch, offset = divmod(position, self.n)
            rows = self._shuffle(epoch)[offset : offset + left]
            parts.append(rows)
            position, left = position + len(rows), left - len(rows)
        return torch.cat(parts)

    def _shuffle(self, epoch: int) -> Tensor:
        if epoch not in self._shuffles:
            shuffle = torch.randperm(self.n, generator=rng.generator(self.seed, "epoch", epoch))
            self._shuffles = {epoch: shuffle}
        return self._shuffles[epoch]


def train(
    model: nn.Module,
    objectives: Sequence[Objective],
    samples: Samples,
    settings: Training,
    *,
    seed: int = 0,
    out: Path | None = None,
    tensorboard: bool = False,
    show: bool = True,
) -> None:
    """Minimise the objectives in turn; leave in `model` the running average of its weights.

    With `out`, writes out/log.csv and out/checkpoints/, and goes on from the last checkpoint found there.

    Raises NumericalFailure at a loss that is not finite (the last good checkpoint stays), BadInput if the
    checkpoint found belongs to another training, DiskFull if a checkpoint cannot be written (the one before stays).
    Ctrl-C writes a checkpoint, then raises KeyboardInterrupt.
    """
    from lightning_fabric import Fabric  # 3 s to import

    fabric = Fabric(accelerator="auto", precision=settings.precision, **_processes())  # type: ignore[arg-type]
    fabric.launch()
    loop = _Loop(fabric, model, objectives, samples, settings, seed, out, tensorboard)
    loop.resume()
    loop.run(show and fabric.is_global_zero)
    loop.finish()


def _processes() -> dict[str, Any]:
    """One process, or those that torchrun started, whose gradients are averaged."""
    if not torch.distributed.is_torchelastic_launched():
        return {"devices": 1}
    world, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    return {"strategy": "ddp", "devices": here, "num_nodes": world // here}


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
    ) -> None:
        self.fabric, self.model, self.samples, self.settings = fabric, model, samples, settings
        self.seed = seed
        self.names = [objective.name for objective in objectives]
        self.modules, self.optimizers = [], []
        for objective in objectives:
            moved = [p for p in objective.parameters() if p.requires_grad]
            optimizer = torch.optim.AdamW(moved, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
            module, optimizer = fabric.setup(objective, optimizer)
            self.modules.append(module)
            self.optimizers.append(optimizer)
        model.to(fabric.device)
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.rows = Rows(len(samples), settings.batch_size, seed)
        self.step, self.elapsed = 0, 0.0
        self.checkpoints = Checkpoints(out / "checkpoints") if out else None
        writes = out if fabric.is_global_zero else None
        self.log = _Log(writes / "log.csv", ["step", "seconds", "lr", *self.names]) if writes else None
        self.board = _board(writes) if tensorboard and writes else None

    # -- state ---------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be of this training."""
        named = dataclasses.asdict(self.settings) | {"seed": self.seed, "data": self.samples.fingerprint}
        return {name: value for name, value in named.items() if name not in ("checkpoint_s", "log_every")}

    def save(self) -> None:
        if self.checkpoints is None or not self.fabric.is_global_zero:
            return
        tensors = {f"weights/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"average/{name}": value for name, value in self.average.items()}
        for i, optimizer in enumerate(self.optimizers):
            for j, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{i}/{j}/{name}": torch.as_tensor(value) for name, value in state.items()}
        self.checkpoints.save(
            self.step, tensors, {"step": self.step, "elapsed": self.elapsed, "training": self.identity()}
        )

    def resume(self) -> None:
        found = self.checkpoints.last() if self.checkpoints else None
        if found is None:
            if self.log:
                self.log.cut(0)
            return
        tensors, header = found
        mine, theirs = self.identity(), header["training"]
        for name in mine:
            if mine[name] != theirs.get(name):
                raise BadInput(
                    f"the run was started with {name}={theirs.get(name)} and cannot go on with {name}={mine[name]}: "
                    "give the same value, or another --out"
                )
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "optimizer": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = value
        self.model.load_state_dict(groups["weights"])
        for name, value in groups["average"].items():
            self.average[name].copy_(value)
        for i, optimizer in enumerate(self.optimizers):
            whole = optimizer.state_dict()
            whole["state"] = {}
            for path, value in groups["optimizer"].items():
                which, j, field = path.split("/")
                if int(which) == i:
                    whole["state"].setdefault(int(j), {})[field] = value
            optimizer.load_state_dict(whole)
        self.step, self.elapsed = header["step"], header["elapsed"]
        if self.log:
            self.log.cut(self.step)

    # -- the loop ------------------------------------------------------------------------------------------

    def fraction(self) -> float:
        """How much of the training is done, in [0, 1]."""
        if self.settings.steps is not None:
            return self.step / self.settings.steps
        return min(1.0, self.elapsed / (self.settings.budget or 1.0))

    def lr(self) -> float:
        warm = min(1.0, (self.step + 1) / self.settings.warmup) if self.settings.warmup else 1.0
        return self.settings.lr * warm * 0.5 * (1 + math.cos(math.pi * self.fraction()))

    def run(self, show: bool) -> None:
        self.model.train()
        device = self.fabric.device
        begun, earlier = time.monotonic(), self.elapsed
        saved = begun
        sums, count = torch.zeros(len(self.modules), device=device), 0
        bad_step = torch.tensor(-1, device=device)
        total = self.settings.steps or self.settings.budget or 1.0
        with _stoppable() as stopped, progress.bar("training", total, show=show) as advance:
            advance(self.fraction() * total)
            while self.fraction() < 1.0:
                before = self.fraction()
                losses, good = self.one_step()
                sums += losses
                count += 1
                bad_step = torch.where(good | (bad_step >= 0), bad_step, self.step)
                self.step += 1
                clock = time.monotonic()
                self.elapsed, due, stop = self.agreed(
                    earlier + clock - begun, clock - saved > self.settings.checkpoint_s, stopped.is_set()
                )
                numbers: dict[str, float] = {}
                if self.step % self.settings.log_every == 0 or due or stop or self.fraction() >= 1.0:
                    self.refuse_bad(bad_step)
                    numbers = dict(zip(self.names, (sums / count).tolist(), strict=True))
                    sums.zero_()
                    count = 0
                    self.record(numbers)
                advance((self.fraction() - before) * total, **numbers)
                if due or stop:
                    self.save()
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt

    def agreed(self, elapsed: float, due: bool, stop: bool) -> tuple[float, bool, bool]:
        """The largest of what any process says, so that all of them leave the loop at one step."""
        if self.fabric.world_size == 1:
            return elapsed, due, stop
        said = torch.tensor([elapsed, due, stop], dtype=torch.float64, device=self.fabric.device)
        most = self.fabric.all_gather(said).amax(0).tolist()
        return most[0], bool(most[1]), bool(most[2])

    def one_step(self) -> tuple[Tensor, Tensor]:
        """The losses, and whether they and the gradients are finite: a weight is only as good as its gradient."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        index = self.rows.at(self.step)[rank::world]
        device = self.fabric.device
        x = self.samples.batch(index).to(device, non_blocking=True)
        y = None if self.samples.y is None else self.samples.y[index].to(device, non_blocking=True)
        losses, good = [], torch.tensor(True, device=device)
        for i, (module, optimizer) in enumerate(zip(self.modules, self.optimizers, strict=True)):
            for group in optimizer.param_groups:
                group["lr"] = self.lr()
            generator = rng.generator(self.seed, "train", self.step, i, rank, device=device)
            loss = module(Batch(x, y, self.step, generator))
            optimizer.zero_grad()
            self.fabric.backward(loss)
            norm = self.fabric.clip_gradients(module, optimizer, max_norm=self.settings.clip, error_if_nonfinite=False)
            optimizer.step()
            losses.append(loss.detach())
            good = good & loss.detach().isfinite() & norm.isfinite()
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)
        return torch.stack(losses), good

    def refuse_bad(self, bad: Tensor) -> None:
        bad_step = int(self.fabric.all_gather(bad).max())
        if bad_step < 0:
            return
        at = self.rows.at(bad_step)
        finite = bool(self.samples.batch(at).isfinite().all())
        cause = (
            f"the learning rate {self.settings.lr:g} is probably too high"
            if finite
            else "the batch has NaN or infinity"
        )
        kept = self.checkpoints.paths()[-1:] if self.checkpoints else []
        where = f"the last good checkpoint is {kept[0]}" if kept else "no checkpoint had been written"
        raise NumericalFailure(f"the loss or its gradient is not finite at step {bad_step}: {cause}; {where}")

    def record(self, numbers: dict[str, float]) -> None:
        if self.log:
            self.log.add([self.step, round(self.elapsed, 3), self.lr(), *numbers.values()])
        if self.board:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, self.step)

    def finish(self) -> None:
        """Keep everything for a later look, then let the average be the model."""
        self.save()
        if self.board:
            self.board.close()
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.average[name])
        self.model.eval()


class _Log:
    """log.csv: one row per logged step, flushed as it comes."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path, self.columns = path, columns
        if not path.exists():
            write_atomic(path, ",".join(columns) + "\n")

    def add(self, row: list[Any]) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)

    def cut(self, step: int) -> None:
        """Forget the rows after `step`: they will be written again."""
        with self.path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row and (row[0] == "step" or _at_most(row[0], step))]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_atomic(self.path, text.getvalue())


def _at_most(text: str, step: int) -> bool:
    return text.isdigit() and int(text) <= step


def _board(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", group="tensorboard") from error
    return SummaryWriter(str(out / "tensorboard"))


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a flag, so that a step is never cut in two; a second one acts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
