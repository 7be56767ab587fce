"""The loop: every row once an epoch, resumed runs that end where whole ones do, failures that lose nothing."""

import csv
import errno
import itertools
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from monge import files
from monge.data import Samples
from monge.errors import BadInput, NumericalFailure
from monge.report import read_log
from monge.threads import Threads
from monge.training import (
    AdamW,
    Checkpoints,
    Loss,
    Objective,
    Training,
    constant,
    cosine,
    read_tensors,
    seconds,
    train,
    write_tensors,
)
from monge.training.rows import Rows


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))


class Fit(Objective):
    """|w - x|^2 with noise from the step's generator; from step `bad_after` the loss is not a number, or its slope."""

    def __init__(self, model, bad_after=None, bad="loss"):
        super().__init__()
        self.model, self.bad_after, self.bad = model, bad_after, bad

    def forward(self, batch):
        noise = torch.randn(batch.x.shape, generator=batch.generator)
        loss = (self.model.weight - batch.x - 0.1 * noise).square().mean()
        if self.bad_after is None or batch.step < self.bad_after:
            return loss
        if self.bad == "loss":
            return loss * float("nan")
        zero = (self.model.weight - self.model.weight.detach()).sum()
        return loss + zero.abs().sqrt()  # the slope of sqrt |u| at 0 is not a number


def samples(n=50):
    return Samples(torch.randn(n, 3, generator=torch.Generator().manual_seed(0)) + 2.0)


def run(out=None, steps=40, bad_after=None, bad="loss", **settings):
    model = Line()
    given = {"steps": steps, "batch_size": 8, "lr": 0.1, "warmup": 5, "checkpoint_s": 0.0, **settings}
    train(model, [Fit(model, bad_after, bad)], samples(), Training(**given), out=out, show=False)
    return model.weight.detach().clone()


def test_every_row_once_an_epoch_whatever_the_batch():
    rows = Rows(10, 4, seed=0)
    seen = torch.cat([rows.at(step) for step in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(10))
    assert sorted(seen[10:].tolist()) == list(range(10))
    assert torch.equal(Rows(10, 20, seed=0).at(0), seen)
    assert not torch.equal(seen[:10], seen[10:])


def test_it_learns():
    weight = run(steps=300)
    mean = samples().x.mean(0)
    assert (weight - mean).abs().max() < 4 / 50**0.5  # within the spread of a mean of the data


@pytest.mark.parametrize("stop_at", [1, 7, 23])
def test_resumed_is_uninterrupted_bit_for_bit(tmp_path, stop_at):
    class Stop(Exception):
        pass

    class Interrupted(Fit):
        def forward(self, batch):
            if batch.step == stop_at:
                raise Stop
            return super().forward(batch)

    whole = run(tmp_path / "whole")
    model = Line()
    settings = Training(steps=40, batch_size=8, lr=0.1, warmup=5, checkpoint_s=0.0)
    with pytest.raises(Stop):
        train(model, [Interrupted(model)], samples(), settings, out=tmp_path / "cut", show=False)
    assert torch.equal(run(tmp_path / "cut"), whole)
    steps = [row.split(",")[0] for row in (tmp_path / "cut" / "log.csv").read_text().split()[1:]]
    assert len(steps) == len(set(steps))  # no row twice


@pytest.mark.parametrize("done", [20, 13])  # finished, or cut
def test_more_steps_go_on_from_what_was_learned(tmp_path, done, capsys):
    """At a constant rate to the same bits as at once; else as if so many had been asked for from there on."""

    def at(out, steps, schedule):
        model = Line()
        fit = Fit(model)
        fit.optimiser = replace(fit.optimiser, schedule=schedule)
        settings = Training(steps=steps, batch_size=8, lr=0.1, warmup=5, checkpoint_s=0.0)
        train(model, [fit], samples(), settings, out=out, show=True)
        return model.weight.detach().clone()

    whole = at(tmp_path / "whole", 40, constant)
    at(tmp_path / "more", done, constant)
    assert torch.equal(at(tmp_path / "more", 40, constant), whole)
    assert (
        f"40 steps in place of {done}: goes on from step {done}, the learning rate from 100%" in capsys.readouterr().err
    )
    at(tmp_path / "cosine", done, cosine)
    assert not torch.equal(at(tmp_path / "cosine", 40, cosine), at(tmp_path / "once", 40, cosine))
    rates = [float(line.split(",")[2]) for line in (tmp_path / "cosine" / "log.csv").read_text().split()[1:]]
    assert rates[-1] == pytest.approx(0.1 * cosine(40 / 40), abs=1e-9)
    with pytest.raises(BadInput, match="started with steps=40 and cannot go on with steps=30"):
        at(tmp_path / "whole", 30, constant)


def test_a_run_without_a_checkpoint_starts_its_log_again(tmp_path):
    (tmp_path / "log.csv").write_text("step,seconds,lr,fit\n10,0.1,0.1,1.0\n20,0.2,0.1,1.0\n")
    run(tmp_path, log_every=10, checkpoint_s=100.0)
    steps = [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().split()]
    assert steps == ["step", "10", "20", "30", "40"]


def test_settings_of_another_run_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(BadInput, match=r"started with batch_size=8 and cannot go on with batch_size=4"):
        run(tmp_path, batch_size=4)


@pytest.mark.parametrize("bad", ["loss", "gradient"])
@pytest.mark.parametrize("step", [12, 39])
def test_what_is_not_finite_keeps_the_last_good_checkpoint(tmp_path, bad, step):
    with pytest.raises(
        NumericalFailure, match=f"not finite at step {step}: the learning rate 0.1 is probably too high"
    ):
        run(tmp_path, bad_after=step, bad=bad)
    tensors, header = Checkpoints(tmp_path / "checkpoints").last()
    assert 0 < header["step"] <= step
    assert all(value.isfinite().all() for value in tensors.values())


def test_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": torch.ones(3)}, {"step": 1})

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(files.DiskFull, match="no space left to write") as caught:
        checkpoints.save(2, {"a": torch.zeros(3)}, {"step": 2})
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    tensors, header = checkpoints.last()
    assert header["step"] == 1
    assert torch.equal(tensors["a"], torch.ones(3))
    assert len(list(tmp_path.iterdir())) == 1  # no leftovers


def test_truncated_checkpoint_falls_back_to_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"a": torch.full((1000,), float(step))}, {"step": step})
    last = checkpoints.paths()[-1]
    last.write_bytes(last.read_bytes()[:100])
    assert checkpoints.last()[1]["step"] == 1
    first = checkpoints.paths()[0]
    first.write_bytes(b"")
    with pytest.raises(BadInput, match="truncated"):
        checkpoints.last()


def test_only_two_checkpoints_are_kept(tmp_path):
    run(tmp_path)
    assert len(Checkpoints(tmp_path / "checkpoints").paths()) == 2


def test_foreign_safetensors_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(BadInput, match="not a monge file"):
        read_tensors(tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match="is missing"):
        read_tensors(tmp_path / "y.safetensors")
    write_tensors(tmp_path / "z.safetensors", {"a": torch.arange(3)}, {"b": [1]})
    tensors, header = read_tensors(tmp_path / "z.safetensors")
    assert tensors["a"].tolist() == [0, 1, 2]
    assert header == {"b": [1]}


def test_budget_rules_the_clock_and_the_learning_rate(tmp_path):
    run(tmp_path, steps=None, budget=1.0)
    rows = [row.split(",") for row in (tmp_path / "log.csv").read_text().split()[1:]]
    assert 1.0 <= float(rows[-1][1]) < 1.5
    assert float(rows[-1][2]) < 0.01


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("5m", 300), ("1.5h", 5400), (7, 7), ("3", 180), (" 3 ", 180), (1.5, 1.5)]
)
def test_budgets_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0", "5 days", "1.5", -3])
def test_bad_budgets_are_refused(text):
    with pytest.raises(BadInput, match="budget must be a time"):
        seconds(text)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"lr": 0.0}, {"budget": 3.0}, {"steps": None}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(BadInput):
        Training(**wrong)


def test_looks_see_the_averaged_weights_and_leave_the_training_alone(monkeypatch):
    monkeypatch.setattr("monge.training.loop.WATCH_S", 0.0)
    monkeypatch.setattr("monge.training.loop.WATCH_SHARE", 1e9)
    unseen, model, seen = run(), Line(), []

    def look():
        seen.append((model.training, model.weight.detach().clone()))

    settings = Training(steps=40, batch_size=8, lr=0.1, warmup=5)
    train(model, [Fit(model)], samples(), settings, watch=look, show=False)
    assert len(seen) == 41
    assert not any(training for training, _ in seen)
    assert torch.equal(seen[-1][1], model.weight)
    assert torch.equal(model.weight, unseen)


def test_looks_take_a_twentieth_of_the_time(monkeypatch):
    now, looks = [0.0], []
    monkeypatch.setattr("monge.training.loop.time.monotonic", lambda: now[0])

    class Slow(Fit):
        def forward(self, batch):
            now[0] += 1.0
            return super().forward(batch)

    def look():
        looks.append(now[0])
        now[0] += 3.0

    model = Line()
    train(model, [Slow(model)], samples(), Training(steps=200), watch=look, show=False)
    assert [after - before for before, after in itertools.pairwise(looks[:-1])] == [64.0, 64.0]


def test_tensorboard_when_asked(tmp_path):
    pytest.importorskip("tensorboard")
    model = Line()
    train(model, [Fit(model)], samples(), Training(steps=10), out=tmp_path, tensorboard=True, show=False)
    assert any((tmp_path / "tensorboard").iterdir())


class Pair(torch.nn.Module):
    """A generator of three numbers and the critic that it must please."""

    def __init__(self):
        super().__init__()
        self.made, self.critic = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(3))
        self.register_buffer("chain", torch.zeros(4))


class Critic(Objective):
    name = "critic"
    repeats = 3
    optimiser = AdamW(lr=0.05, betas=(0.5, 0.9), weight_decay=0.0, schedule=constant)

    def __init__(self, pair):
        super().__init__()
        self.pair, self.seen = pair, []

    def moves(self):
        return [self.pair.critic]

    def forward(self, batch):
        self.seen.append((batch.step, batch.x))
        with torch.no_grad():
            self.pair.chain += torch.randn(4, generator=batch.generator)
        gap = (self.pair.made - batch.x.mean(0)) @ self.pair.critic
        return Loss(gap + self.pair.critic.square().sum(), {"gap": gap, "chain": self.pair.chain.mean()})


class Maker(Objective):
    name = "maker"

    def __init__(self, pair):
        super().__init__()
        self.pair = pair

    def moves(self):
        return [self.pair.made]

    def forward(self, batch):
        return -(self.pair.made @ self.pair.critic)


def play(out=None, steps=60, stop_at=None, data=None, **settings):
    pair = Pair()
    critic = Critic(pair)
    if stop_at is not None:
        critic.register_forward_pre_hook(lambda _, args: _raise() if args[0].step == stop_at else None)
    given = {"steps": steps, "batch_size": 8, "lr": 0.02, "warmup": 0, "checkpoint_s": 0.0, **settings}
    train(pair, [critic, Maker(pair)], data or samples(), Training(**given), out=out, show=False)
    return pair, critic


class Stop(Exception):
    pass


def _raise():
    raise Stop


def test_an_objective_moves_what_it_lists_and_nothing_else():
    pair = Pair()
    still = Critic(pair)
    train(pair, [still], samples(), Training(steps=5), show=False)
    assert torch.equal(pair.made, torch.zeros(3))
    assert not torch.equal(pair.critic, torch.zeros(3))
    assert pair.made.grad is None
    still.moves = list
    with pytest.raises(BadInput, match="'critic' moves no parameter"):
        train(pair, [still], samples(), Training(steps=5), show=False)


def test_each_repeat_has_a_batch_of_its_own():
    """Three draws a round for the critic and one for the maker, none the same: an epoch of 48 rows is 6 draws of 8."""
    _, critic = play(steps=3, data=Samples(torch.arange(144.0).reshape(48, 3)))
    assert [step for step, _ in critic.seen] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    first = torch.cat([x for _, x in critic.seen[:5]])  # the maker had the fourth draw
    assert len(first.unique(dim=0)) == 40


def test_optimisers_are_those_of_the_objectives(tmp_path):
    play(tmp_path, steps=20, log_every=10, checkpoint_s=100.0)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert list(rows[0]) == [
        *("step", "seconds", "critic/lr", "maker/lr", "critic", "critic/gap", "critic/chain", "critic/gradient"),
        *("maker", "maker/gradient"),
    ]
    assert [float(row["critic/lr"]) for row in rows] == [0.05, 0.05]
    assert float(rows[-1]["maker/lr"]) == pytest.approx(0.0, abs=1e-12)
    assert all(value != "" for row in rows for value in row.values())


def test_objectives_of_one_name_are_told_apart(tmp_path):
    model = Line()
    train(model, [Fit(model), Fit(model)], samples(), Training(steps=20), out=tmp_path, show=False)
    rows = read_log(tmp_path / "log.csv")
    assert len(rows) == 2
    assert {"fit", "fit 2"} <= set(rows[0])


def test_chains_are_saved_and_resumed_with_the_rest(tmp_path):
    whole, _ = play(tmp_path / "whole")
    with pytest.raises(Stop):
        play(tmp_path / "cut", stop_at=23)
    again, _ = play(tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    assert whole.chain.abs().min() > 0


def test_held_out_rows_are_never_learned_from_and_stop_a_run_that_overfits(tmp_path, capsys):
    """A table of weights, one a row: rows that are learned say nothing of others, whose loss only rises."""

    class Rote(Objective):
        def __init__(self, model):
            super().__init__()
            self.model, self.learned = model, set()

        def forward(self, batch):
            if self.training:
                self.learned |= set(batch.x[:, 0].tolist())
            return (self.model.weight - batch.x[:, :1] * torch.tensor([1.0, -1.0, 1.0])).square().mean()

    data = Samples(torch.cat([torch.ones(45, 3), -torch.ones(15, 3)]) * (1 + 1e-3 * torch.arange(60.0))[:, None])
    model = Line()
    objective = Rote(model)
    settings = Training(
        steps=2000, batch_size=16, lr=0.01, warmup=0, average=0.0, validation=0.25, validate_every=10, patience=3
    )
    train(model, [objective], data, settings, seed=3, out=tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    held = Rows(60, 16, 3, 0.25).held_out
    end = int(rows[-1]["step"])
    assert f"stopped at step {end:,}: on the rows kept aside the loss was lowest at step {end - 30:,}" in (
        capsys.readouterr().err
    )
    assert not objective.learned & set(data.x[held, 0].tolist())
    found = [float(row["held-out loss"]) for row in rows if row["held-out loss"]]
    assert int(rows[-1]["step"]) < 2000
    assert found.index(min(found)) == len(found) - 1 - 3
    # the weights kept are those of the lowest held-out loss
    again = (model.weight.detach() - data.x[held, :1] * torch.tensor([1.0, -1.0, 1.0])).square().mean()
    assert float(again) == pytest.approx(min(found), rel=1e-4)


def test_a_stopped_run_with_patience_goes_on_to_the_same_end(tmp_path):
    options = {"validation": 0.2, "validate_every": 10, "patience": 2, "steps": 60}
    whole, _ = play(tmp_path / "whole", **options)
    with pytest.raises(Stop):
        play(tmp_path / "cut", stop_at=25, **options)
    again, _ = play(tmp_path / "cut", **options)
    assert torch.equal(whole.made, again.made)


def test_large_events_are_not_judged_many_at_once():
    seen = []

    class Counts(Objective):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))

        def forward(self, batch):
            seen.append(len(batch.x))
            return (batch.x.mean() - self.w).square()

    for values, most in ((4, 256), (2**17, 4)):
        seen.clear()
        objective = Counts()
        settings = Training(steps=1, batch_size=2, validation=0.1, validate_every=1)
        train(objective, [objective], Samples(torch.rand(30, values)), settings, show=False)
        assert most // 2 < max(seen) <= most


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "bf16-true"}, "32-true or bf16-mixed, not bf16-true"),
        ({"precision": "16-mixed"}, "32-true or bf16-mixed, not 16-mixed"),
        ({"patience": 3}, "patience needs rows to judge by"),
        ({"validation": 1.5}, "share of the rows"),
    ],
)
def test_settings_that_would_not_work_are_refused_at_the_door(wrong, message):
    with pytest.raises(BadInput, match=message):
        Training(**wrong)
    with pytest.raises(BadInput, match="leaves 50 to learn from and 0"):
        Rows(50, 8, 0, 0.001)


def test_mixed_precision_learns():
    assert (run(steps=300, precision="bf16-mixed") - samples().x.mean(0)).abs().max() < 4 / 50**0.5


class Machine:
    """A clock that goes on by what a step costs with the threads in use."""

    def __init__(self, costs):
        self.costs, self.now, self.n = costs, 0.0, 2

    def use(self, n):
        self.n = n

    def run(self, threads, steps):
        for _ in range(steps):
            self.now += self.costs[self.n]
            threads.tick()


def test_threads_are_those_that_steps_are_fastest_with():
    machine = Machine({2: 1.0, 1: 1.7})
    with Threads(2, lambda: machine.now, machine.use) as threads:
        machine.run(threads, 20)
        assert machine.n == 2
        machine.costs = {2: 50.0, 1: 1.9}  # another program takes a core
        machine.run(threads, 20)
        assert machine.n == 1
        machine.run(threads, 20)
        assert machine.n == 1
    assert machine.n == 2
