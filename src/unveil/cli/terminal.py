"""Where a command's words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

from unveil.errors import UnveilWarning
from unveil.events import EpochEnd, Event, Monitor, Notice, Progress, StepEnd, TrainingStart

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as ProgressBar


class Terminal:
    """Print one command's results and reports.

    Parameters
    ----------
    as_json
        Results are collected for one JSON object, and nothing else reaches standard output.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        from rich.console import Console

        self.as_json = as_json
        self._stdout = sys.stdout
        self._errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._noticed: set[str] = set()

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep standard output clean for JSON, and show our warnings as plain sentences."""
        with ExitStack() as stack:
            if self.as_json:
                stack.enter_context(redirect_stdout(sys.stderr))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("always", UnveilWarning)
            default = warnings.showwarning

            def show(
                message: Warning | str,
                category: type[Warning],
                filename: str,
                lineno: int,
                file: TextIO | None = None,
                line: str | None = None,
            ) -> None:
                if issubclass(category, UnveilWarning):
                    self.notice(str(message))
                else:
                    default(message, category, filename, lineno, file, line)

            warnings.showwarning = show
            yield

    def say(self, text: str) -> None:
        """Print a line on standard error."""
        self._errors.print(text)

    def notice(self, text: str) -> None:
        """Print a notice on standard error, once however often it comes."""
        if text not in self._noticed:
            self._noticed.add(text)
            self.say(f"Note: {text}")

    def result(self, text: str) -> None:
        """Print a line of the result, for people: on standard output unless it is kept for JSON.

        Where both are the same screen, the line goes through the console that draws the progress bar, above it.
        """
        if self.as_json or (self._stdout.isatty() and self._errors.is_terminal):
            self.say(text)
        else:
            print(text, file=self._stdout, flush=True)

    def table(self, table: RenderableType) -> None:
        """Print a table of the result, for people."""
        from rich.console import Console

        (self._errors if self.as_json else Console(file=self._stdout)).print(table)

    def json(self, value: Mapping[str, Any]) -> None:
        """Print the one JSON object; numbers that JSON does not know become null."""
        print(json.dumps(_finite(value), indent=2, allow_nan=False), file=self._stdout, flush=True)

    @contextmanager
    def progress(self) -> Iterator[ProgressLine]:
        """Show a progress bar on standard error while the block runs, where that is a terminal."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as ProgressBar

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
        )
        with ProgressBar(
            *columns,
            console=self._errors,
            transient=True,
            disable=not self._errors.is_terminal,
            redirect_stdout=not self.as_json,
        ) as bar:
            yield ProgressLine(bar, self)


class ProgressLine:
    """One progress bar, fed with events; what is no progress is printed above it."""

    def __init__(self, bar: ProgressBar, terminal: Terminal) -> None:
        self._bar, self._terminal = bar, terminal
        self._task = bar.add_task("", total=None, unit="", visible=False)

    def about(self, what: str) -> Monitor:
        """Begin the bar anew for `what`, and return the monitor that feeds it."""
        self._bar.reset(self._task, description=what, total=None, visible=True, unit="")
        return self._show

    def _show(self, event: Event) -> None:
        match event:
            case Progress():
                self._bar.update(self._task, completed=event.done, total=event.total, unit=event.unit)
            case StepEnd():
                self._bar.update(self._task, completed=event.step, total=event.n_steps, unit="steps")
            case Notice():
                self._terminal.notice(event.message)
            case TrainingStart():
                self._terminal.say(f"Training on {event.device} in {event.precision}.")
                for reason in event.reasons:
                    self._terminal.say(reason)
            case EpochEnd():
                self._terminal.say(epoch_line(event))
            case _:
                pass


def epoch_line(event: EpochEnd) -> str:
    """Write an epoch as one line: losses, metric, and a star where it is kept, so far."""
    parts = [f"epoch {event.epoch:>{len(str(event.n_epochs))}}/{event.n_epochs}", f"loss {event.training_loss:.4f}"]
    if event.validation_loss is not None:
        parts.append(f"validation {event.validation_loss:.4f}")
    if event.metric is not None:
        parts.append(f"{event.metric_name} {event.metric:.3f}")
    parts.append(f"{event.seconds:.0f} s")
    return "  ".join(parts) + ("  *" if event.is_kept else "")


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not know (NaN, infinity) by None."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
