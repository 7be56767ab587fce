"""Shapes in signatures are checked while the tests run, and are free in production."""

from jaxtyping import install_import_hook

hook = install_import_hook("monge", "numeric_tower.check")
