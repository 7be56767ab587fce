"""Shapes in signatures are checked while the tests run, and are free in production."""

import os
import runpy
import sys
from pathlib import Path

import pytest

# tests run side by side, one a core: threads of one would only wait for those of the other
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from jaxtyping import config, install_import_hook  # noqa: E402

hook = install_import_hook("monge", "numeric_tower.check")


@pytest.fixture
def run_script(monkeypatch):
    """run(path, *arguments) runs a script as `python path arguments` would, in this process, without checks."""

    def run(path, *arguments):
        monkeypatch.setattr(config, "jaxtyping_disable", True)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        monkeypatch.syspath_prepend(path.parent)
        runpy.run_path(str(path), run_name="__main__")

    return run


def pytest_addoption(parser):
    parser.addoption("--run", type=Path, default=None, help="folder of a finished `monge demo`, for tests/acceptance")
