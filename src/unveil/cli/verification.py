"""`unveil verify`: what is promised of models, checked on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from unveil.cli import failures
from unveil.cli.flowing import flowing
from unveil.cli.terminal import Terminal
from unveil.config.options import EngineOptions

if TYPE_CHECKING:
    from rich.table import Table

    from unveil.tasks.verification import Verification


@flowing
def verify(
    model: str | None = None,
    image: Path | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    axes: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    options: Annotated[EngineOptions, Parameter(name="*", group=Group("What to check"))] = EngineOptions(),  # noqa: B008
) -> int:
    """Check on this computer what is promised of a model; exits with 1 if anything fails.

    Parameters
    ----------
    model
        Name of a model, or a model file; all models that ship with Unveil if not given.
    image
        A TIFF file of any kind, or an OME-Zarr folder; a sample that ships with Unveil if not given.
    output
        File for the report to send along: Markdown (.md) or JSON (.json).
    axes
        Axes of the image, one letter per dimension (TCZYX), where the file does not say or is wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    from unveil.io.images import read_image
    from unveil.io.library import find_model, list_models
    from unveil.io.model_file import read_model
    from unveil.io.samples import sample_for
    from unveil.io.writing import check_output_file
    from unveil.tasks.verification import as_json as report_of
    from unveil.tasks.verification import check_report_path, write_report
    from unveil.tasks.verify import verify

    terminal = Terminal(as_json=as_json)
    with terminal.session():
        if output is not None:
            check_report_path(output)
        shipped = [entry.path for entry in list_models() if entry.origin == "shipped"]
        paths = shipped if model is None else [find_model(model)]
        opened = None if image is None else read_image(image, axes=axes)
        if output is not None:
            check_output_file(output)
        done = []
        with terminal.progress() as bar:
            for path in paths:
                read = read_model(path)
                sample = sample_for(read.card) if opened is None else opened
                done.append(verify(read, sample, options=options, monitor=bar.about(path.stem)))
                terminal.table(_table(done[-1]))
                terminal.result(done[-1].sentence)
        if output is not None:
            write_report(output, done)
        if as_json:
            terminal.json(report_of(done))
        return failures.DONE if all(verification.passed for verification in done) else failures.UNEXPECTED


def _table(verification: Verification) -> Table:
    from rich.markup import escape
    from rich.table import Column, Table

    found = Column("what was found", overflow="fold")
    table = Table("check", "outcome", found, title=escape(f"{verification.setting.model}"))
    for check in verification.checks:
        table.add_row(check.name, check.verdict, escape(check.words))
    return table
