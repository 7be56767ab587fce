"""Every example runs in its fast form, and leaves its pictures where it is told to."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


PICTURES = {
    "audit": {"defects"},
    "chains": {"stuck", "replicas", "transition", "particles", "brownian"},
    "transport": {"map", "plans", "digits", "segments"},
    "adversaries": {"discriminator", "segments", "collapse", "pairs"},
    "flows": {"laws", "grid", "latents", "ways", "attribute"},
}


@pytest.mark.parametrize(("name", "pictures"), PICTURES.items(), ids=PICTURES)
def test_example(name, pictures, tmp_path):
    command = [sys.executable, EXAMPLES / f"{name}.py", "--fast", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}-{picture}.png" for picture in pictures}
    assert {path.name for path in (EXAMPLES / "pictures").glob(f"{name}-*")} == {p.name for p in tmp_path.iterdir()}
