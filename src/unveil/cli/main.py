"""The command `unveil`: its options, and the one place where everything that fails ends."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import cyclopts

from unveil import __version__
from unveil.cli import failures
from unveil.config.explanation import explain
from unveil.errors import ConfigError

_TRACEBACK_OPTION = "--traceback"
_ENDING = (
    "Ctrl-C ends the training early and keeps the best model so far; a second Ctrl-C ends it without a model, and "
    "--resume goes on from its last epoch."
)

COMMANDS = {
    "segment": ("prediction:segment", "Segment images into labels, written as <stem>_labels.tif or OME-Zarr."),
    "denoise": ("prediction:denoise", "Denoise images, written as <stem>_denoised.tif or OME-Zarr."),
    "check": (
        "checking:check",
        "Say whether images are like those that a model learned from, and if not, why and what to do.",
    ),
    "train segmentation": (
        "training:segmentation",
        f"Train a model that segments, from images and labels.\n\n{_ENDING}",
    ),
    "train denoising": (
        "training:denoising",
        f"Train a model that denoises, from noisy and clean images, or from one kind alone.\n\n{_ENDING}",
    ),
    "suggest": (
        "suggestion:suggest",
        "Rank blocks of images by what annotating them would teach a model, written as CSV.",
    ),
    "evaluate segmentation": ("evaluation:segmentation", "Judge a segmentation model against labels."),
    "evaluate denoising": ("evaluation:denoising", "Judge a denoising model against clean images."),
    "inspect": (
        "inspection:inspect",
        "Look into a model: its layers, their filters, what they make of an image, how far they can move it.",
    ),
    "stability": (
        "stability:stability",
        "Say how far a model's output moves on an image, if the image changes a little.",
    ),
    "verify": (
        "verification:verify",
        "Check on this computer what is promised of a model; exits with 1 if anything fails.",
    ),
    "models list": ("models:list_", "List the models that ship with Unveil and your own."),
    "models show": ("models:show", "Show the card of a model: what it does, where it comes from, how well it did."),
    "demo": (
        "demo:demo",
        "Show the main job: napari with a sample image and the Segment panel.\n\n"
        "Without a display, napari runs on a virtual screen and its screenshot and results are saved as files; without "
        "napari, the results alone.",
    ),
}
"""Each command, the function that runs it, and how that function's docstring begins: repeated here so that listing the
commands does not import them all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments
        What follows ``unveil`` on the command line; by default that of this process.
    """
    atexit.register(_leave_garbage)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with _tracebacks(_TRACEBACK_OPTION in arguments):
        return _guard(lambda: _run([argument for argument in arguments if argument != _TRACEBACK_OPTION]))


def _leave_garbage() -> None:
    """Keep the process from looking for garbage among PyTorch's objects at its end, for half a second.

    Triton, which newer builds of PyTorch load to train, would print a long list of what it calls leaks.
    """
    if "triton" not in sys.modules:
        gc.freeze()


def make_app() -> cyclopts.App:
    """Assemble the commands; the module of one is imported when it runs or explains itself."""
    app = cyclopts.App(
        name="unveil",
        version=__version__,
        help="Segment and denoise microscopy images with U-Net and DnCNN, and train both.",
        help_epilogue=f"With {_TRACEBACK_OPTION}, an unexpected error shows where it happened.",
        help_format="plaintext",
        default_parameter=cyclopts.Parameter(
            negative=(), json_list=False, json_dict=False, show_default=_shown_default
        ),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    groups = {
        "train": cyclopts.App(name="train", help="Train a model on your own images.", sort_key=3),
        "evaluate": cyclopts.App(name="evaluate", help="Judge a model against references.", sort_key=4),
        "models": cyclopts.App(name="models", help="List the models there are, or show the card of one.", sort_key=5),
    }
    for group in groups.values():
        app.command(group)
    for place, (words, (function, summary)) in enumerate(COMMANDS.items()):
        *group_name, name = words.split()
        parent = groups[group_name[0]] if group_name else app
        parent.command(f"unveil.cli.{function}", name=name, help=summary, sort_key=place)
    return app


def _shown_default(value: object) -> str | None:
    """Return what the help says of a default; nothing of what is off, empty or not given."""
    return None if value is None or value is False or value == () else str(value)


def _run(arguments: list[str]) -> int:
    if "" in arguments:  # a path of no letters would be the folder where the command runs, and all its images
        raise ConfigError("An argument is empty, as of a variable that is not set. Give it a value, or leave it out.")
    result = make_app()(arguments, exit_on_error=False, print_error=False)
    return result if isinstance(result, int) else failures.DONE


def _guard(run: Callable[[], int]) -> int:
    """Turn whatever `run` raises into one paragraph and an exit code."""
    for name in ("stdout", "stderr"):  # closed by whoever started this process: nobody listens
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # a screen without our letters (µ, →) shows ? and not an error
        sys.stdout.reconfigure(errors="replace")
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
        message = explain(failure.__cause__, lambda key: "--" + key.split(".")[0].replace("_", "-")) + "."
    elif isinstance(failure, cyclopts.UnusedCliTokensError):
        message = f"There is no place for {', '.join(failure.unused_tokens or ())}."
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
