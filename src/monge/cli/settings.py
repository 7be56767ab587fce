"""`--set name=value`: from text to the settings of a family, and back."""

import ast
import difflib
import inspect
import typing
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any

from monge import nets, noise, objects
from monge.errors import BadInput
from monge.models import Family

WORDS = {"true": True, "false": False, "none": None}
CLASSES = [getattr(home, name) for home in (nets, noise) for name in home.__all__]
OBJECTS: dict[str, type] = {found.__name__: found for found in CLASSES if isinstance(found, type)}


def settings(family: type[Family], given: Sequence[str]) -> dict[str, Any]:
    """The settings that `name=value` texts give a family.

    A value is a number, true, false, none, a text, a tuple `(16, 32)`, or an object of `monge.nets` or `monge.noise`
    with its arguments, `Size(widths=(16, 32))`; nothing else is evaluated.

    Raises BadInput for a name that the family does not have, with the nearest one, and for a value of another type.

    >>> from monge.models import Diffusion
    >>> settings(Diffusion, ["blind=true", "sigma_max=20", "net=Size(widths=(16, 32))"])
    {'blind': True, 'sigma_max': 20, 'net': Size(widths=(16, 32), blocks=None, attention=None, dropout=0.0,
    stem=None, waves=0)}
    """
    known = list(inspect.signature(family).parameters)
    hints = typing.get_type_hints(family.__init__)
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise BadInput(f"--set {text}: give a name and a value, such as --set {known[0] if known else 'name'}=...")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            nearest = f"did you mean {close[0]}? " if close else ""
            raise BadInput(f"{family.__name__} has no setting {name}: {nearest}it has {', '.join(known) or 'none'}")
        found[name] = parse(value.strip())
        if not _fits(found[name], hints.get(name, Any)):
            raise BadInput(f"--set {text}: {name} must be {_words(hints[name])}, not {value.strip()!r}")
    return found


def parse(text: str) -> Any:
    """The value that a text stands for; the text itself if none.

    >>> parse("(8, 16)"), parse("-2.5"), parse("False"), parse("a-b")
    ((8, 16), -2.5, False, 'a-b')
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return text
    return _value(tree, text)


def _value(node: ast.AST, text: str) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_value(item, text) for item in items)
        case ast.Name(id=name) if name.lower() in WORDS:
            return WORDS[name.lower()]
        case ast.Name(id=name) if name in OBJECTS:
            return _made(name, [], {}, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in OBJECTS:
            named = {word.arg or "": _value(word.value, text) for word in keywords}
            return _made(name, [_value(arg, text) for arg in args], named, text)
        case ast.Call(func=ast.Name(id=name)):
            close = difflib.get_close_matches(name, OBJECTS, n=1, cutoff=0.5)
            raise BadInput(f"no object {name}{f': did you mean {close[0]}?' if close else ' in monge.nets or noise'}")
    return text


def _made(name: str, args: list[Any], named: dict[str, Any], text: str) -> Any:
    try:
        return OBJECTS[name](*args, **named)
    except TypeError as error:
        raise BadInput(f"{text}: {error}") from error


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; a whole number is a float too."""
    if hint is Any:
        return True
    if typing.get_origin(hint) in (typing.Union, UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    kind = typing.get_origin(hint) or hint
    if kind in (int, float) and isinstance(value, bool):
        return False
    if getattr(kind, "_is_protocol", False):
        return isinstance(value, kind) and not isinstance(value, type)
    return isinstance(value, (int, float) if kind is float else kind)


def _words(hint: Any) -> str:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)
    words = {bool: "true or false", NoneType: "none", float: "a number", int: "a whole number", str: "a text"}
    return ", ".join(words.get(option, f"a {getattr(option, '__name__', option)}") for option in options)


def as_options(described: Mapping[str, Any], family: type[Family]) -> list[str]:
    """The `--set` options, as words, that give a family the settings of a record; those that are its defaults left out.

    >>> from monge.models import Diffusion
    >>> as_options({"blind": True, "noise": None}, Diffusion)
    ['--set', 'blind=true']
    """
    usual = {name: parameter.default for name, parameter in inspect.signature(family).parameters.items()}
    changed = {name: value for name, value in described.items() if name not in usual or value != usual[name]}
    return [word for name, value in changed.items() for word in ("--set", f"{name}={objects.words(value)}")]
