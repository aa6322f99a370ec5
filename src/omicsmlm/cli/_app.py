"""The command itself: what every part of it does alike with results, messages and errors."""

import functools
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

FAILURE, WRONG_INPUT = 1, 2
"""Exit codes: something failed that the user could not know; the input or the call was wrong. 0: all is well."""
TRACEBACK = "OMICSMLM_TRACEBACK"
"""Environment variable that asks for the traceback of an error."""
WIDTH = 120

# What takes seconds to import waits inside the commands: ``--help`` needs none of it.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="One good embedding of any omics data. Results go to the standard output, messages to the standard error.",
    epilog=f"Exit codes: 0 done, {FAILURE} failed, {WRONG_INPUT} wrong input. {TRACEBACK}=1 shows where an error came from.",
)


class Report(NamedTuple):
    """What a command has to say in the end."""

    result: dict[str, Any]
    """For programs (``--json``)."""
    text: str
    """For people."""


def reporting(command: Callable[..., Report]) -> Callable[..., None]:
    """Return a command that prints its report to the standard output; all else that is printed meanwhile goes to standard error.

    Parameters
    ----------
    command
        Has a parameter ``as_json``, whether its result is printed as one line of JSON.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        out = sys.stdout
        with redirect_stdout(sys.stderr):
            report = command(*args, **kwargs)
        text = json.dumps(report.result, default=_plain) if kwargs["as_json"] else report.text
        out.write(f"{text}\n" if text else "")
        out.flush()

    run.__annotations__ = {**command.__annotations__, "return": None}
    return run


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)


def say(line: str) -> None:
    """Print a message to the standard error."""
    Console(stderr=True, width=WIDTH).print(line, highlight=False, soft_wrap=True)


def _say_version(asked: bool) -> None:
    if asked:
        from omicsmlm import __version__

        sys.stdout.write(f"omicsmlm {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main() -> None:
    """Run the command; an error ends with one sentence, not with a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("omicsmlm").setLevel(logging.INFO)
    try:
        app()
    except (ValueError, FileNotFoundError) as error:
        _explain(error, "error", str(error))
        raise SystemExit(WRONG_INPUT) from error
    except Exception as error:
        what = " ".join(str(error).split())[:500]
        _explain(error, "failed", f"{type(error).__name__}: {what} (for the traceback: {TRACEBACK}=1)")
        raise SystemExit(FAILURE) from error


def _explain(error: Exception, heading: str, sentence: str) -> None:
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error, file=sys.stderr)
    sys.stderr.write(f"{heading}: {sentence}\n")
