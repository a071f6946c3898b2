"""The command `unveil`: its options, and the one place where everything that fails ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import cyclopts

from unveil import __version__
from unveil.cli import demo, evaluation, failures, models, prediction, training

_TRACEBACK_OPTION = "--traceback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments
        What follows ``unveil`` on the command line; by default that of this process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with _tracebacks(_TRACEBACK_OPTION in arguments):
        return _guard(lambda: _run([argument for argument in arguments if argument != _TRACEBACK_OPTION]))


def make_app() -> cyclopts.App:
    """Assemble the commands; nothing heavy is imported before one of them runs."""
    app = cyclopts.App(
        name="unveil",
        version=__version__,
        help="Segment and denoise microscopy images with U-Net and DnCNN, and train both.",
        help_epilogue=f"With {_TRACEBACK_OPTION}, an unexpected error shows where it happened.",
        help_format="plaintext",
        default_parameter=cyclopts.Parameter(negative=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.command(prediction.segment, sort_key=1)
    app.command(prediction.denoise, sort_key=2)
    train = cyclopts.App(name="train", help="Train a model on your own images.", sort_key=3)
    train.command(training.segmentation)
    train.command(training.denoising)
    evaluate = cyclopts.App(name="evaluate", help="Judge a model against references.", sort_key=4)
    evaluate.command(evaluation.segmentation)
    evaluate.command(evaluation.denoising)
    shelf = cyclopts.App(name="models", help="List the models there are, or show the card of one.", sort_key=5)
    shelf.command(models.list_, name="list")
    shelf.command(models.show)
    for group in (train, evaluate, shelf):
        app.command(group)
    app.command(demo.demo, sort_key=6)
    return app


def _run(arguments: list[str]) -> int:
    result = make_app()(arguments, exit_on_error=False, print_error=False)
    return result if isinstance(result, int) else failures.DONE


def _guard(run: Callable[[], int]) -> int:
    """Turn whatever `run` raises into one paragraph and an exit code."""
    try:
        code = run()
        sys.stdout.flush()
    except cyclopts.CycloptsError as failure:
        print(f"unveil: {_usage(failure)}", file=sys.stderr)
        return failures.MENDABLE
    except BrokenPipeError:  # whoever read our output (head, less) has left: nobody to tell, as rich does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failures.UNEXPECTED
    except (Exception, KeyboardInterrupt) as failure:
        return failures.report(failure)
    return code


def _usage(failure: cyclopts.CycloptsError) -> str:
    """Say what is wrong with the options, and where to read about them."""
    from pydantic import ValidationError

    if isinstance(failure.__cause__, ValidationError):
        message = failures.explain(failure.__cause__, lambda key: "--" + key.split(".")[0].replace("_", "-")) + "."
    else:
        message = str(failure)
    command = " ".join(["unveil", *(failure.command_chain or ())])
    return failures.paragraph(f"{message} See `{command} --help`.")


@contextmanager
def _tracebacks(shown: bool) -> Iterator[None]:
    """Ask for tracebacks while the block runs, child processes included."""
    before = os.environ.get(failures.TRACEBACK_VARIABLE)
    if shown:
        os.environ[failures.TRACEBACK_VARIABLE] = "1"
    try:
        yield
    finally:
        if shown:
            os.environ.pop(failures.TRACEBACK_VARIABLE)
            if before is not None:
                os.environ[failures.TRACEBACK_VARIABLE] = before
