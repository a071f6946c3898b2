"""`unveil stability`: how far a model's output moves on an image, if the image changes a little."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unveil.cli.flowing import flowing
from unveil.cli.plan import check_tiff_output
from unveil.cli.terminal import Terminal
from unveil.config.options import StabilityOptions


@flowing
def stability(
    image: Path,
    /,
    *,
    model: Annotated[str, Parameter(alias="-m")] = "nuclei",
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    axes: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    options: Annotated[StabilityOptions, Parameter(name="*")] = StabilityOptions(),  # noqa: B008
) -> None:
    """Say how far a model's output moves on an image, if the image changes a little.

    Parameters
    ----------
    image
        A TIFF file of any kind, or an OME-Zarr folder.
    model
        Name of a model, or a model file.
    output
        TIFF file for the sensitivity map of the region that was looked at.
    axes
        Axes of the image, one letter per dimension (TCZYX), where the file does not say or is wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    from rich.table import Table

    from unveil.io.card_file import read_card
    from unveil.io.images import read_image
    from unveil.io.library import find_model
    from unveil.io.model_file import load_model
    from unveil.io.writing import check_output_file, write_image
    from unveil.tasks.matching import check_fit
    from unveil.tasks.stability import stability

    terminal = Terminal(as_json=as_json)
    with terminal.session():
        path = find_model(model)
        if output is not None:
            check_tiff_output(output, "The sensitivity map is", inputs=(image, path))
        opened = read_image(image, axes=axes)
        check_fit(opened, read_card(path), options.channel)
        if output is not None:
            check_output_file(output)
        with terminal.progress() as bar:
            found = stability(opened, load_model(path), options=options, monitor=bar.about(image.name))
        if output is not None and found.sensitivity is not None:
            write_image(output, found.sensitivity)
        if as_json:
            terminal.json({"input": str(image), "output": None if output is None else str(output), **found.as_dict()})
            return
        terminal.result(found.sentence)
        table = Table(show_header=False)
        for name, words in found.details.items():
            table.add_row(name, words)
        terminal.table(table)
