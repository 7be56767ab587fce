"""Shapes in signatures are checked while the tests run, and are free in production."""

from pathlib import Path

from jaxtyping import install_import_hook

hook = install_import_hook("monge", "numeric_tower.check")


def pytest_addoption(parser):
    parser.addoption("--run", type=Path, default=None, help="folder of a finished `monge demo`, for tests/acceptance")
