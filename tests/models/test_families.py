"""The contract of a family: fit, sample, save, load, resume, refuse bad input."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import TOYS

import monge
from monge import rng
from monge.data import Samples
from monge.errors import BadInput
from monge.evaluation import Verdict
from monge.models import FAMILIES
from monge.nets import Size
from monge.protocols import LogProb, SupportsLogProb

ALL = (*FAMILIES, *TOYS)
STEPS = 12
DATA = {
    "vectors": lambda: Samples(rng.normal((60, 3), 0, "v") * torch.tensor([1.0, 2.0, 1.5]) + 4.0),
    "images": lambda: Samples(
        (rng.uniform((60, 1, 8, 8), 0, "i") * 16).round(), kind="images", quantum=1.0, limits=(0.0, 16.0)
    ),
    "fields": lambda: Samples(rng.normal((60, 1, 16), 0, "f"), kind="fields"),
}


@pytest.fixture(params=ALL, ids=lambda family: family.__name__)
def family(request):
    return request.param


@pytest.fixture(params=DATA)
def data(request):
    return DATA[request.param]()


SMALL = {
    monge.Diffusion: {"net": Size(widths=(16,), blocks=1)},
    monge.FlowMatching: {"net": Size(widths=(16,), blocks=1)},
    monge.ContinuousFlow: {"net": Size(widths=(8,), blocks=1), "steps": 1, "rtol": 0.1, "atol": 0.1},
    monge.RealNVP: {"layers": 2},
    monge.MAF: {"layers": 2},
    monge.SplineFlow: {"layers": 1},
    monge.GAN: {"net": Size(widths=(16,), blocks=1)},
    monge.WassersteinGAN: {"net": Size(widths=(16,), blocks=1), "critic_steps": 1},
}


def make(family):
    """A small one, where its size can be set."""
    return family(**SMALL.get(family, {}))


def is_stepped(family, data):
    return make(family).defaults(data) is not None


def fitted(family, data, **options):
    steps = {"steps": STEPS} if is_stepped(family, data) else {}
    return make(family).fit(data, **{"show": False, **steps, **options})


def test_fit_sample_save_load(family, data, tmp_path):
    model = fitted(family, data, out=tmp_path / "run")
    x = model.sample(5, seed=3)
    assert x.shape == (5, *data.event_shape)
    assert x.dtype == torch.float32
    again = family.load(tmp_path / "run")
    assert type(again) is family
    if family in FAMILIES:
        assert type(monge.load(tmp_path / "run")) is family
    assert torch.equal(again.sample(5, seed=3), x)
    written = {"model.json", "weights.safetensors", *(["log.csv", "checkpoints"] if is_stepped(family, data) else [])}
    assert {p.name for p in (tmp_path / "run").iterdir()} == written
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    assert record["data"]["fingerprint"] == data.fingerprint
    assert record["seed"] == 0
    model.save(tmp_path / "copy")
    assert torch.equal(family.load(tmp_path / "copy").sample(5, seed=3), x)


def test_samples_are_in_the_data_s_units_and_on_its_grid(family):
    data = DATA["images"]()
    x = fitted(family, data).sample(20)
    assert torch.equal(x, x.round())
    assert 0 <= x.min() <= x.max() <= 16


def test_sample_belongs_to_its_index(family, data):
    model = fitted(family, data)
    whole = model.sample(7, seed=1)
    assert torch.allclose(model.sample(3, seed=1), whole[:3], atol=1e-5)
    assert torch.allclose(model.sample(4, seed=1, start=3), whole[3:], atol=1e-5)


def test_seed_decides_everything(family, data):
    first, again, other = (fitted(family, data, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.sample(3), again.sample(3))
    assert not torch.equal(first.sample(30), first.sample(30, seed=1))
    if is_stepped(family, data):
        assert any(not torch.equal(value, other.tensors()[name]) for name, value in first.tensors().items())


def test_refuses_what_it_cannot_use(family, data, tmp_path):
    with pytest.raises(BadInput, match="has not been fitted"):
        family().sample(1)
    model = fitted(family, data, out=tmp_path / "run")
    with pytest.raises(BadInput, match="holds another run"):
        fitted(family, data, out=tmp_path / "run")
    if is_stepped(family, data):
        with pytest.raises(BadInput, match="steps=12, and you ask for steps=11: give the same or more"):
            fitted(family, data, out=tmp_path / "run", steps=11, resume=True)
        with pytest.raises(BadInput, match="begun with steps=12: go on with so much or more steps"):
            make(family).fit(data, out=tmp_path / "run", budget=60, resume=True)
    else:
        with pytest.raises(BadInput, match="fitted in closed form, without steps"):
            family().fit(data, steps=13)
    other = Samples(data.x + 1, kind=data.kind, quantum=data.quantum, limits=data.quantum and (1.0, 17.0))
    with pytest.raises(BadInput, match="data="):
        fitted(family, other, out=tmp_path / "run", resume=True)
    with pytest.raises(BadInput, match="n must be at least 1"):
        model.sample(0)


def test_refuses_damaged_runs(family, tmp_path):
    with pytest.raises(BadInput, match="holds no run"):
        family.load(tmp_path)
    fitted(family, DATA["vectors"](), out=tmp_path / "run")
    weights = tmp_path / "run" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(BadInput, match="truncated"):
        family.load(tmp_path / "run")
    weights.unlink()
    with pytest.raises(BadInput, match="has not finished"):
        family.load(tmp_path / "run")
    record = tmp_path / "run" / "model.json"
    record.write_text(record.read_text()[:50])
    with pytest.raises(BadInput, match="cannot be read"):
        family.load(tmp_path / "run")


def test_what_it_draws_can_be_judged(family):
    data = DATA["vectors"]()
    x = fitted(family, data).sample(120)
    verdict = monge.audit(x, holdout=rng.normal((120, 3), 1, "v") * torch.tensor([1.0, 2.0, 1.5]) + 4.0, train=data.x)
    assert isinstance(verdict, Verdict)


def test_a_likelihood_is_in_the_data_s_units(family):
    """Twice as large, the same shape: log p falls by log 2 for each value."""
    if not isinstance(make(family), SupportsLogProb):
        pytest.skip("it has no likelihood")
    data = DATA["vectors"]()
    small = fitted(family, data).log_prob(data.x[:5])
    large = fitted(family, Samples(2 * data.x)).log_prob(2 * data.x[:5])
    assert isinstance(small, LogProb)
    assert torch.allclose(small.value - 3 * torch.tensor(2.0).log(), large.value, atol=1e-3)


def test_a_fit_that_did_not_end_is_not_fitted(family, tmp_path, monkeypatch):
    data = DATA["vectors"]()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    model = make(family)
    monkeypatch.setattr(family, "learn", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, out=tmp_path / "run", show=False)
    for use in (lambda: model.sample(2), lambda: model.save(tmp_path / "elsewhere")):
        with pytest.raises(BadInput, match="was not fitted to the end: fit it again"):
            use()
    assert not (tmp_path / "elsewhere").exists()
    monkeypatch.undo()
    assert fitted(family, data).sample(2).shape == (2, 3)


def test_finished_run_is_taken_as_it_is(family, data, tmp_path):
    first = fitted(family, data, out=tmp_path / "run")
    before = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    again = fitted(family, data, out=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == before
    assert torch.equal(first.sample(2), again.sample(2))


def test_more_is_given_to_a_finished_run(family, tmp_path):
    """It goes on from its last checkpoint, what was made of it is gone, and the record says so."""
    data = DATA["vectors"]()
    if not is_stepped(family, data):
        pytest.skip("fitted in closed form")
    run = tmp_path / "run"
    first = fitted(family, data, out=run)
    for name in ("samples.npz", "verdict.json", "report.html", "mine.txt"):
        (run / name).write_text("")
    more = fitted(family, data, out=run, resume=True, steps=STEPS + 3)
    assert {path.name for path in run.iterdir()} & {"samples.npz", "verdict.json", "report.html", "mine.txt"} == {
        "mine.txt"
    }
    record = json.loads((run / "model.json").read_text())
    assert (record["training"]["steps"], record["stages"]) == (STEPS + 3, [STEPS])
    if record["training"]["patience"] is None:  # else the best may be what it was
        assert any(not torch.equal(value, more.tensors()[name]) for name, value in first.tensors().items())
    assert [line.split(",")[0] for line in (run / "log.csv").read_text().split()][-1] == str(STEPS + 3)
    again = fitted(family, data, out=run, resume=True, steps=STEPS + 3)
    assert torch.equal(more.sample(2), again.sample(2))
    asked_nothing = make(family).fit(data, out=run, resume=True, show=False)  # as much as it has
    assert torch.equal(more.sample(2), asked_nothing.sample(2))


def test_a_run_of_before_a_setting_was_there_goes_on_as_it_was(tmp_path):
    """Its scaling is the one that it has, and only what is asked for otherwise is refused, by name."""
    data, run = DATA["fields"](), tmp_path / "run"
    fitted(monge.Diffusion, data, out=run, batch_size=16, precision="bf16-mixed")
    record = json.loads((run / "model.json").read_text())
    del record["settings"]["bend"]
    record["scaling"]["shift"] = [0.5]  # as another version found it
    (run / "model.json").write_text(json.dumps(record))
    with pytest.raises(BadInput, match=r"has bend=None, and you ask for bend=True: give the same to go on"):
        monge.Diffusion(bend=True, **SMALL[monge.Diffusion]).fit(data, out=run, resume=True, show=False)
    fitted(monge.Diffusion, data, out=run, resume=True, steps=STEPS + 3)
    after = json.loads((run / "model.json").read_text())
    assert after["settings"] == record["settings"]
    assert after["training"] == record["training"] | {"steps": STEPS + 3}  # what is not asked for is as it was
    with pytest.raises(BadInput, match="has batch_size=16, and you ask for batch_size=8"):
        fitted(monge.Diffusion, data, out=run, resume=True, steps=STEPS + 3, batch_size=8)
    assert after["scaling"]["shift"] == [0.5]
    assert monge.load(run).sample(2).shape == (2, *data.event_shape)


class Named(monge.RealNVP):
    """A family whose setting is called as one of the training."""

    def __init__(self, *, seed=1, lr=0.5):
        super().__init__(layers=2)
        self.settings |= {"seed": seed, "lr": lr}


def test_what_differs_is_named_whatever_it_is_called(tmp_path):
    data, run = DATA["vectors"](), tmp_path / "run"
    Named(seed=5).fit(data, out=run, steps=2, show=False)
    for again, told in ((Named(seed=6), "has seed=5, and you ask for seed=6"), (Named(seed=5, lr=1.0), "has lr=0.5")):
        with pytest.raises(BadInput, match=told):
            again.fit(data, out=run, steps=2, resume=True, show=False)
    table, run = Samples(rng.normal((150, 3), 0, "t")), tmp_path / "table"
    monge.Diffusion().fit(table, out=run, steps=2, show=False)
    with pytest.raises(BadInput, match=r"has validation=0\.1, and you ask for validation=0"):
        monge.Diffusion().fit(table, out=run, steps=2, resume=True, validation=0, show=False)
    for other in (monge.RealNVP(layers=2), monge.GAN()):
        with pytest.raises(BadInput, match=f"has family=Diffusion, and you ask for family={type(other).__name__}"):
            other.fit(table, out=run, steps=2, resume=True, show=False)


def test_a_finished_model_is_kept_until_there_is_another(tmp_path, monkeypatch):
    data, run = DATA["vectors"](), tmp_path / "run"
    first = fitted(monge.RealNVP, data, out=run)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(monge.RealNVP, "learn", stop)
    with pytest.raises(KeyboardInterrupt):
        fitted(monge.RealNVP, data, out=run, steps=STEPS + 3, resume=True)
    monkeypatch.undo()
    assert torch.equal(monge.load(run).sample(2), first.sample(2))
    more = fitted(monge.RealNVP, data, out=run, steps=STEPS + 3, resume=True)  # it is not taken for finished
    assert [line.split(",")[0] for line in (run / "log.csv").read_text().split()][-1] == str(STEPS + 3)
    first.save(tmp_path / "saved")
    with pytest.raises(BadInput, match="keeps no checkpoint to go on from"):
        fitted(monge.RealNVP, data, out=tmp_path / "saved", steps=STEPS + 3, resume=True)
    assert torch.equal(monge.load(tmp_path / "saved").sample(2), first.sample(2))
    assert torch.equal(monge.load(run).sample(2), more.sample(2))


def test_killed_runs_resume_to_the_same_bits(tmp_path):
    """Real kills of real processes in the middle of training, of every family."""
    script = Path(__file__).with_name("killing.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=170, env=environment
    )
    assert done.returncode == 0, done.stderr
    data = DATA["vectors"]()
    told = [(family.__name__, "SIGKILL") for family in ALL]
    told += [(family.__name__, "SIGINT") for family in (monge.Diffusion, *TOYS) if is_stepped(family, data)]
    assert sorted(line.split() for line in done.stdout.splitlines()) == sorted(map(list, told))


TOGETHER = """
import sys, torch, monge
from pathlib import Path
from torch import distributed
from toys import ToyGibbs
torch.set_num_threads(1)
data = torch.randn(300, 2, generator=torch.manual_seed(0))
model = monge.Diffusion().fit(data, budget=1.0, seed=0, out=sys.argv[1], show=False)
print("weights", sum(p.detach().double().sum() for p in model.parameters()).item(), flush=True)

# chains differ by process, and each goes on with its own
out = Path(sys.argv[1]).parent / "chains"
options = {"steps": 12, "seed": 0, "out": out, "show": False, "checkpoint_s": 0.0, "resume": True}
whole = ToyGibbs().fit(data, **options)
last = out / "checkpoints" / "00000012.safetensors"
distributed.barrier()
if distributed.get_rank() == 0:
    tensors, _ = monge.training.read_tensors(last)
    assert not torch.equal(tensors["buffers/0/objective 0.chains"], tensors["buffers/1/objective 0.chains"])
    (out / "weights.safetensors").unlink()
    last.unlink()
distributed.barrier()
again = ToyGibbs().fit(data, **options)
assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
print("chains", flush=True)
"""


def test_processes_of_torchrun_stay_together(tmp_path):
    """A budget is each process's own clock: they must leave the loop at one step, with one set of weights."""
    script = tmp_path / "fit.py"
    script.write_text(TOGETHER)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        script,
        tmp_path / "run",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    first, second = re.findall(r"weights (-?\d+\.\d{9})", done.stdout)  # two writers may share a line
    assert first == second
    assert done.stdout.count("chains") == 2
    assert monge.load(tmp_path / "run").sample(2, nfe=3).shape == (2, 2)
