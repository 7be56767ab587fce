"""The package's names: each found, none imported before it is used."""

import subprocess
import sys

import pytest

import monge
from monge.models import FAMILIES


def test_every_name_and_every_family_is_there():
    assert all(getattr(monge, name) is not None for name in monge.__all__)
    assert all(getattr(monge, family.__name__) is family for family in FAMILIES)
    assert {family.__name__ for family in FAMILIES} <= set(dir(monge))
    for name in ("Difusion", "nothing"):
        with pytest.raises(AttributeError, match=name):
            getattr(monge, name)


def test_the_import_costs_nothing():
    code = "import sys, monge; monge.__version__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
