"""The application: its options, and how what goes wrong is told. Nothing here imports torch."""

import os
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer

from monge.errors import MongeError

BAD, INTERNAL, INTERRUPTED, CLOSED_PIPE = 2, 70, 130, 141
RESUMABLE = ("demo", "fit", "chain", "generalise")

app = typer.Typer(
    name="monge",
    help="Learn a probability law from samples, draw new ones, and know whether to believe them.",
    epilog="Exit status: 0 done (audit: pass), 1 audit fail, 2 bad usage or bad input, 3 audit undecided.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"monge {version('monge')}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    about: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Learn a probability law from samples, draw new ones, and know whether to believe them."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; what went wrong is told in one line on stderr.

    `--debug` anywhere lets the exception through.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        status = typer.main.get_command(app).main(args=arguments, prog_name="monge", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # click turns a closed pipe into an exit with 1
        return CLOSED_PIPE
    except Exception as error:
        if debug:
            raise
        return _tell(error)
    if status == INTERRUPTED:
        _say(f"interrupted: {_how_to_go_on(arguments)}")
    return status if isinstance(status, int) else 0


def _tell(error: Exception) -> int:
    """Print an error on one line, and return the exit status that belongs to it."""
    usage = getattr(error, "format_message", None)  # of click's errors, which typer does not export
    if usage is not None:
        message = " ".join(usage().split())
        if message:  # none where the help was shown instead
            _say(f"error: {message} (see monge --help)")
        return BAD
    if isinstance(error, MongeError):
        _say(f"error: {' '.join(str(error).split())}")
        return BAD
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}: check the path, its permissions and the space on its disk")
        return BAD
    what = " ".join(str(error).split())
    _say(f"error: unexpected {type(error).__name__}: {what}: run it again with --debug for the traceback")
    return INTERNAL


def warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning on one line, without the place in the code that it came from."""
    _say(f"warning: {' '.join(str(message).split())}")


def _how_to_go_on(arguments: Sequence[str]) -> str:
    if not any(argument in RESUMABLE for argument in arguments[:1]):
        return "run the same command again"
    again = [argument for argument in arguments if argument not in ("--force", "--resume")]
    return f"go on with: monge {shlex.join([*again, '--resume'])}"


def _say(text: str) -> None:
    typer.echo(f"monge: {text}", err=True)
