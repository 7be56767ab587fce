"""Exceptions. Each message is one line: what was expected, what came, what to do."""


class MongeError(Exception):
    """Base of every error that `monge` raises on purpose; the command line prints it without a traceback."""


class BadInput(MongeError, ValueError):
    """An argument, a file or a data set cannot be used: wrong shape, NaN, missing file, invalid setting."""


class NumericalFailure(MongeError, ArithmeticError):
    """A computation left the real numbers or did not converge: non-finite loss, ODE step underflow."""


class MissingExtra(MongeError, ImportError):
    """An optional dependency is not installed.

    >>> raise MissingExtra("tensorboard", group="tensorboard")
    Traceback (most recent call last):
    ...
    monge.errors.MissingExtra: tensorboard is not installed: pip install 'monge[tensorboard]'
    """

    def __init__(self, package: str, *, group: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'monge[{group}]'")
