"""The contract of a family: fit, sample, save, load, resume, refuse bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import monge
from monge import rng
from monge.data import Samples
from monge.errors import BadInput
from monge.models import FAMILIES

STEPS = 12
DATA = {
    "vectors": lambda: Samples(rng.normal((60, 3), 0, "v") * torch.tensor([1.0, 2.0, 1.5]) + 4.0),
    "images": lambda: Samples(
        (rng.uniform((60, 1, 8, 8), 0, "i") * 16).round(), kind="images", quantum=1.0, limits=(0.0, 16.0)
    ),
    "fields": lambda: Samples(rng.normal((60, 1, 16), 0, "f"), kind="fields"),
}


@pytest.fixture(params=FAMILIES, ids=lambda family: family.__name__)
def family(request):
    return request.param


@pytest.fixture(params=DATA)
def data(request):
    return DATA[request.param]()


def fitted(family, data, **options):
    return family().fit(data, **{"steps": STEPS, "show": False, **options})


def test_fit_sample_save_load(family, data, tmp_path):
    model = fitted(family, data, out=tmp_path / "run")
    x = model.sample(5, seed=3)
    assert x.shape == (5, *data.event_shape)
    assert x.dtype == torch.float32
    again = monge.load(tmp_path / "run")
    assert type(again) is family
    assert torch.equal(again.sample(5, seed=3), x)
    assert {"model.json", "weights.safetensors", "log.csv", "checkpoints"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    assert record["data"]["fingerprint"] == data.fingerprint
    assert record["seed"] == 0
    model.save(tmp_path / "copy")
    assert torch.equal(monge.load(tmp_path / "copy").sample(5, seed=3), x)


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
    assert torch.equal(fitted(family, data, seed=4).sample(3), fitted(family, data, seed=4).sample(3))
    assert not torch.equal(fitted(family, data, seed=4).sample(3), fitted(family, data, seed=5).sample(3))


def test_refuses_what_it_cannot_use(family, data, tmp_path):
    with pytest.raises(BadInput, match="has not been fitted"):
        family().sample(1)
    model = fitted(family, data, out=tmp_path / "run")
    with pytest.raises(BadInput, match="holds another run"):
        fitted(family, data, out=tmp_path / "run")
    with pytest.raises(BadInput, match="steps=12, and you ask for steps=13"):
        fitted(family, data, out=tmp_path / "run", steps=13, resume=True)
    with pytest.raises(BadInput, match="data="):
        fitted(family, Samples(data.x + 1, kind=data.kind), out=tmp_path / "run", resume=True)
    with pytest.raises(BadInput, match="n must be at least 1"):
        model.sample(0)


def test_refuses_damaged_runs(family, tmp_path):
    with pytest.raises(BadInput, match="holds no run"):
        monge.load(tmp_path)
    fitted(family, DATA["vectors"](), out=tmp_path / "run")
    weights = tmp_path / "run" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInput, match="truncated"):
        monge.load(tmp_path / "run")
    weights.unlink()
    with pytest.raises(BadInput, match="has not finished"):
        monge.load(tmp_path / "run")
    record = tmp_path / "run" / "model.json"
    record.write_text(record.read_text()[:50])
    with pytest.raises(BadInput, match="cannot be read"):
        monge.load(tmp_path / "run")


def test_finished_run_is_taken_as_it_is(family, data, tmp_path):
    first = fitted(family, data, out=tmp_path / "run")
    before = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    again = fitted(family, data, out=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == before
    assert torch.equal(first.sample(2), again.sample(2))


SCRIPT = """
import sys, torch, monge
torch.set_num_threads(1)
family = next(f for f in monge.models.FAMILIES if f.__name__ == sys.argv[1])
x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
family().fit(x, steps=int(sys.argv[2]), out=sys.argv[3], resume=True, checkpoint_s=0.2, show=False)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_resumes_to_the_same_bits(family, tmp_path, blow):
    """A real kill of a real process in the middle of training."""
    steps = 400
    script = tmp_path / "fit.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), family.__name__, str(steps)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    process = subprocess.Popen([*command, str(tmp_path / "cut")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cut" / "checkpoints").glob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(blow)
    assert process.wait() != 0
    assert not (tmp_path / "cut" / "weights.safetensors").exists()  # it had not finished
    subprocess.run([*command, str(tmp_path / "cut")], check=True)
    expected, _ = monge.training.read_tensors(tmp_path / "whole" / "weights.safetensors")
    got, _ = monge.training.read_tensors(tmp_path / "cut" / "weights.safetensors")
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


TOGETHER = """
import sys, torch, monge
torch.set_num_threads(1)
data = torch.randn(300, 2, generator=torch.manual_seed(0))
model = monge.Diffusion().fit(data, budget=1.0, seed=0, out=sys.argv[1], show=False)
print("weights", sum(p.detach().double().sum() for p in model.parameters()).item(), flush=True)
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    first, second = (line for line in done.stdout.splitlines() if line.startswith("weights"))
    assert first == second
    assert monge.load(tmp_path / "run").sample(2, nfe=3).shape == (2, 2)
