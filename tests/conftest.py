"""Shapes in signatures are checked in the first moments of each test, and are free in production."""

import os
import runpy
import sys
import threading
from pathlib import Path

import pytest

# tests run side by side, one a core: threads of one would only wait for those of the other
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from jaxtyping import config, install_import_hook  # noqa: E402

hook = install_import_hook("monge", "numeric_tower.check")
CHECKED_S = 0.2  # of a test: what is called later was called before, and to check it took a quarter of the time


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    timer = threading.Timer(CHECKED_S, setattr, (config, "jaxtyping_disable", True))
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()
        config.jaxtyping_disable = False


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
