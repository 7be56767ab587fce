"""What the README tells people to run, run: the same text, with less training."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monge.cli.app import run

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_form_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line]) <= 10
    short = code.replace("steps=2500", "steps=5").replace("sample(2000", "sample(400")
    assert short != code
    exec(compile(short, "README", "exec"), {})
    assert "fidelity" in capsys.readouterr().out.lower()
    assert (tmp_path / "report.html").exists()


def test_the_commands_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("fields.npy", np.random.default_rng(0).normal(size=(800, 1, 8)).astype(np.float32))
    noisy = np.random.default_rng(0).normal(128, 30, size=(40, 50)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save("photo.png")
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("monge ")]
    assert len(commands) == 4
    for command in commands:
        arguments = shlex.split(command.replace("--budget 5m", "--budget 2s"))[1:]
        assert run(arguments) in ((0, 1, 3) if arguments[0] == "audit" else (0,))


@pytest.mark.parametrize("target", ["demo", "test", "lint"])
def test_the_make_targets_exist(target):
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    assert f"make {target}" in README
