"""The loop: every row once an epoch, resumed runs that end where whole ones do, failures that lose nothing."""

import errno
import os

import pytest
import torch
from safetensors.torch import save_file

from monge import files
from monge.data import Samples
from monge.errors import BadInput, NumericalFailure
from monge.training import Checkpoints, Objective, Training, read_tensors, seconds, train, write_tensors
from monge.training.loop import Rows


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


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("5m", 300), ("1.5h", 5400), (7, 7)])
def test_budgets_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0", "5 days"])
def test_bad_budgets_are_refused(text):
    with pytest.raises(BadInput, match="budget must be a time"):
        seconds(text)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"lr": 0.0}, {"budget": 3.0}, {"steps": None}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(BadInput):
        Training(**wrong)


def test_tensorboard_when_asked(tmp_path):
    pytest.importorskip("tensorboard")
    model = Line()
    train(model, [Fit(model)], samples(), Training(steps=10), out=tmp_path, tensorboard=True, show=False)
    assert any((tmp_path / "tensorboard").iterdir())
