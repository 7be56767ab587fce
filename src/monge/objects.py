"""Objects as settings: told in JSON, and made again from it where they are ours.

A run's record can make again plain values, small tensors, and objects of `monge` that were made from such: dataclasses,
and classes that remember their arguments (`Recorded`), which their package registers when it is imported. Of any other
object it keeps the name, and `load` must be given one.
"""

import dataclasses
import inspect
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from monge.errors import BadInput

SMALL = 4096  # values of a tensor that a record holds
_registered: dict[str, type] = {}  # what a record may name, and nothing else, by its public name
_names: dict[type, str] = {}
Made = TypeVar("Made", bound="Recorded")


def register(home: str, names: Iterable[str]) -> None:
    """Let records make again the classes among these public names of a package."""
    for name in names:
        kind = getattr(sys.modules[home], name)
        if isinstance(kind, type):
            _registered[f"{home}.{name}"] = kind
            _names[kind] = f"{home}.{name}"


class Recorded:
    """Remembers the arguments that it was made with, as `made_with`."""

    made_with: dict[str, Any] | None  # None: it became something else since

    def __new__(cls: type[Made], *args: Any, **options: Any) -> Made:
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
    import torch  # two seconds, that `monge --help` does without

    plain = isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_complex()
    if plain and value.numel() <= SMALL:
        return {"tensor": value.detach().tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    name, settings = _names.get(type(value)), _arguments(value)
    if name is None or settings is None or needed(described := describe(settings)):
        return {"object": f"{type(value).__module__}.{type(value).__qualname__}", "settings": None}
    return {"object": name, "settings": described}


def rebuild(described: Any) -> Any:
    """What `describe` told. Raises BadInput for an object that is not ours."""
    if isinstance(described, list):
        return tuple(rebuild(item) for item in described)
    if not isinstance(described, dict):
        return described
    if "tensor" in described:
        import torch

        kind = getattr(torch, str(described.get("dtype")), None)
        if not isinstance(kind, torch.dtype):
            raise BadInput(f"a tensor of dtype {described.get('dtype')} cannot be made again from a record")
        try:
            return torch.tensor(described["tensor"], dtype=kind)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"a tensor of the record cannot be made again ({error})") from error
    name, settings = str(described.get("object")), described.get("settings")
    if name not in _registered or not isinstance(settings, dict):
        raise BadInput(f"{name} cannot be made again from a record: give one")
    try:
        return _registered[name](**{key: rebuild(value) for key, value in settings.items()})
    except TypeError as error:
        raise BadInput(f"{name} cannot be made again from a record ({error})") from error


def needed(described: Any) -> list[str]:
    """The classes in a description that cannot be made again.

    >>> needed({"net": describe(print), "blind": True})
    ['builtins.builtin_function_or_method']
    """
    if isinstance(described, list):
        return [name for item in described for name in needed(item)]
    if not isinstance(described, dict) or "tensor" in described:
        return []
    if "object" in described and described["settings"] is None:
        return [described["object"]]
    return [name for item in described.values() for name in needed(item)]


def words(described: Any) -> str:
    """A description as a person writes it, and as `monge fit --set` takes it, without what is the default anyway.

    >>> import monge.nets
    >>> words({"object": "monge.nets.Size", "settings": {"widths": [16], "blocks": None}})
    'Size(widths=(16,))'
    """
    if isinstance(described, bool) or described is None:
        return str(described).lower()
    if isinstance(described, list):
        return f"({', '.join(words(item) for item in described)}{',' * (len(described) == 1)})"
    if isinstance(described, dict) and "tensor" in described:
        return "tensor"
    if isinstance(described, dict) and "object" in described:
        kind, settings = _registered.get(described["object"]), described["settings"] or {}
        fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
        usual = {field.name: field.default for field in fields}
        told = {k: v for k, v in settings.items() if k not in usual or v != describe(usual[k])}
        inside = ", ".join(f"{name}={words(value)}" for name, value in told.items())
        return f"{described['object'].rpartition('.')[2]}({inside})"
    return str(described)


def _arguments(value: Any) -> dict[str, Any] | None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    return getattr(value, "made_with", None)
