"""The command line: it parses, calls a stage, and prints what came back."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import click

from hardedge.artefact import disk_errors
from hardedge.cli import completion
from hardedge.cli.commands import CommandGroup
from hardedge.cli.data import check, prepare, scenes, scribbles
from hardedge.cli.deploying import bench, deploy, run, verify
from hardedge.cli.device import acceptance, doctor, sign
from hardedge.cli.exporting import certify, export, keep, tune
from hardedge.cli.importing import import_
from hardedge.cli.parts import Stdout, as_document
from hardedge.cli.predicting import predict
from hardedge.cli.reporting import dossier, report
from hardedge.cli.serving import triton
from hardedge.cli.stripping import strip
from hardedge.cli.sweeping import search_loss, sweep
from hardedge.cli.training import backbones, edges, hard, models, recipes, train
from hardedge.errors import BadInput, HardedgeError, ReportedElsewhere, users_line
from hardedge.names import visible
from hardedge.version import __version__

__all__ = ["cli", "main"]

INTERRUPTED = 130
GOES_ON = {
    **dict.fromkeys(("run", "train"), " What was finished is kept: go on with --resume."),
    **dict.fromkeys(("sweep", "search-loss", "predict"), " What was finished is kept: go on with the same command."),
}


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hardedge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Semantic segmentation from training to TensorRT on edge GPUs, with proof.

    Exit codes: 0 passed, 1 a gate or a check failed, 2 wrong use or bad input, 3 something is missing on this
    machine, 130 interrupted. Results go to stdout, everything else to stderr.
    """


COMMANDS = (
    acceptance,
    backbones,
    bench,
    certify,
    check,
    deploy,
    doctor,
    dossier,
    edges,
    export,
    hard,
    import_,
    keep,
    models,
    predict,
    prepare,
    recipes,
    report,
    run,
    scenes,
    scribbles,
    search_loss,
    sign,
    strip,
    sweep,
    train,
    triton,
    tune,
    verify,
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> NoReturn:
    """The program: exit codes as the help of `hardedge` says, and no traceback for a user's mistake."""
    stdout = Stdout()
    completion.install()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill cleans up as Ctrl-C does
    try:
        with disk_errors(), _without_echo_of_ctrl_c():
            cli(standalone_mode=False, obj=stdout)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(visible(shown.getvalue()), nl=False, err=True)
        _end(error.format_message(), error.exit_code, stdout)
    except ReportedElsewhere as error:
        sys.exit(error.exit_code)
    except HardedgeError as error:
        _show(error)
        _end(str(error), error.exit_code, stdout)
    except SystemExit as error:
        if stdout.has_result or "_HARDEDGE_COMPLETE" in os.environ:  # a command of ours whose result says why, or TAB
            raise
        ended = BadInput(f"code that is not hardedge's ended the program ({error.code}). Look at what was imported.")
        _show(ended)
        _end(str(ended), ended.exit_code, stdout)
    except (KeyboardInterrupt, click.Abort):  # before Exception: click's Abort is one
        stopped = f"Interrupted.{interrupted_hint(sys.argv)}"
        # over what a bar has left of its line
        click.echo(f"\r\x1b[K{stopped}" if sys.stderr.isatty() else stopped, err=True)
        _end(stopped, INTERRUPTED, stdout)
    except Exception as error:
        place = users_line(error)
        if place is None:
            raise
        failed = BadInput(f"{place}: {type(error).__name__}: {error}\nMend it there. --debug shows all.")
        failed.__cause__ = error
        _show(failed)
        _end(str(failed), failed.exit_code, stdout)
    sys.exit(0)


@contextmanager
def _without_echo_of_ctrl_c() -> Iterator[None]:
    """A terminal does not write ^C meanwhile: it would stand in the line that a bar draws again."""
    terminal = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
    # a job in the background may not change the terminal
    if terminal is None or os.tcgetpgrp(terminal) != os.getpgrp():
        yield
        return
    import termios

    before = termios.tcgetattr(terminal)
    quiet = [*before[:3], before[3] & ~termios.ECHOCTL, *before[4:]]
    termios.tcsetattr(terminal, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)


def interrupted_hint(arguments: Sequence[str]) -> str:
    """How the interrupted command goes on, if it can and anything is kept; of predict, --ray alone does."""
    command = next((argument for argument in arguments[1:] if not argument.startswith("-")), "")
    out = next((value for option, value in pairwise(arguments) if option == "--out"), "")
    nothing_kept = out and not any(Path(f"{out}{end}").exists() for end in ("", ".next"))
    if nothing_kept or (command == "predict" and "--ray" not in arguments):
        return ""
    return GOES_ON.get(command, "")


def _show(error: HardedgeError) -> None:
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {visible(str(error))}", err=True)


def _end(message: str, exit_code: int, stdout: Stdout) -> NoReturn:
    """Ends the program; with --json and no result, the error is the one document on stdout."""
    if "--json" in sys.argv and not stdout.has_result:
        click.echo(as_document({"error": message, "exit_code": exit_code}), nl=False)
    sys.exit(exit_code)
