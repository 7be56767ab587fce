"""Shapes in signatures are checked while the tests run, and are free in production."""

import os
from pathlib import Path

# tests run side by side, one a core: threads of one would only wait for those of the other
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from jaxtyping import install_import_hook  # noqa: E402

hook = install_import_hook("monge", "numeric_tower.check")


def pytest_addoption(parser):
    parser.addoption("--run", type=Path, default=None, help="folder of a finished `monge demo`, for tests/acceptance")
