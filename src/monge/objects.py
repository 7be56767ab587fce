"""Objects as settings: told in JSON, and made again from it where they are ours.

A run's record can make again plain values, and objects of `monge` that were made from such: frozen dataclasses, and
classes that remember their arguments (`Recorded`). Of any other object it keeps the name, and `load` must be given one.
"""

import dataclasses
import inspect
from importlib import import_module
from typing import Any

from monge.errors import BadInput

HOMES = ("monge.nets", "monge.noise")  # what a record may name: their public classes, and nothing else


class Recorded:
    """Remembers the arguments that it was made with, as `made_with`."""

    made_with: dict[str, Any]

    def __new__(cls, *args: Any, **options: Any) -> "Recorded":
        made = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(made, *args, **options)
        object.__setattr__(made, "made_with", dict(list(bound.arguments.items())[1:]))
        return made


def describe(value: Any) -> Any:
    """In JSON: a value as it is, an object as {"object": its class, "settings": ...}; settings None if not ours.

    >>> describe((1, 2.5)), describe(print)["settings"]
    ([1, 2.5], None)
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {name: describe(item) for name, item in value.items()}
    home, settings = _home(type(value)), _arguments(value)
    if home is None or settings is None or needed(described := describe(settings)):
        return {"object": f"{type(value).__module__}.{type(value).__qualname__}", "settings": None}
    return {"object": f"{home}.{type(value).__name__}", "settings": described}


def rebuild(described: Any) -> Any:
    """What `describe` told. Raises BadInput for an object that is not ours."""
    if isinstance(described, list):
        return tuple(rebuild(item) for item in described)
    if not isinstance(described, dict):
        return described
    home, _, name = str(described.get("object", "")).rpartition(".")
    settings = described.get("settings")
    if home not in HOMES or name not in import_module(home).__all__ or not isinstance(settings, dict):
        raise BadInput(f"{described.get('object')} cannot be made again from a record: give one")
    return getattr(import_module(home), name)(**{key: rebuild(value) for key, value in settings.items()})


def needed(described: Any) -> list[str]:
    """The classes in a description that cannot be made again.

    >>> needed({"net": describe(print), "blind": True})
    ['builtins.builtin_function_or_method']
    """
    if isinstance(described, list):
        return [name for item in described for name in needed(item)]
    if not isinstance(described, dict):
        return []
    if "object" in described and described["settings"] is None:
        return [described["object"]]
    return [name for item in described.values() for name in needed(item)]


def words(described: Any) -> str:
    """A description as a person writes it, and as `monge fit --set` takes it.

    >>> words({"object": "monge.nets.Size", "settings": {"widths": [16], "blocks": None}})
    'Size(widths=(16,), blocks=none)'
    """
    if isinstance(described, bool) or described is None:
        return str(described).lower()
    if isinstance(described, list):
        return f"({', '.join(words(item) for item in described)}{',' * (len(described) == 1)})"
    if isinstance(described, dict) and "object" in described:
        inside = ", ".join(f"{name}={words(value)}" for name, value in (described["settings"] or {}).items())
        return f"{described['object'].rpartition('.')[2]}({inside})"
    return str(described)


def _home(kind: type) -> str | None:
    for home in HOMES:
        if kind.__module__.startswith(f"{home}.") and getattr(import_module(home), kind.__name__, None) is kind:
            return home
    return None


def _arguments(value: Any) -> dict[str, Any] | None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    return getattr(value, "made_with", None)
