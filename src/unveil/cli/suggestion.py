"""`unveil suggest`: images and a model in, the blocks worth annotating next out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unveil.cli import failures
from unveil.cli.flowing import flowing
from unveil.cli.prediction import COMPUTING, check_task
from unveil.cli.terminal import Terminal
from unveil.config.options import RunOptions
from unveil.errors import ConfigError
from unveil.words import count

if TYPE_CHECKING:
    from unveil.tasks.suggest import SuggestedBlock


@flowing
def suggest(
    images: list[Path],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    model: Annotated[str, Parameter(alias="-m")] = "simulated-cells",
    mask: Path | None = None,
    number: Annotated[int, Parameter(alias="-n")] = 10,
    block: int = 96,
    axes: str | None = None,
    options: Annotated[RunOptions, Parameter(name="*", group=COMPUTING)] = RunOptions(),  # noqa: B008
) -> int:
    """Rank blocks of images by what annotating them would teach a model, written as CSV.

    Parameters
    ----------
    images
        TIFF files of any kind, OME-Zarr folders, or folders of images.
    output
        Table to write, ending in .csv: image, t and z where there are several planes, y, x, height, width, score,
        reason; the best block first.
    model
        Name of a model, or a model file: the one that was trained last, or that a training would start from.
    mask
        Folder of masks of the images' names: pixels other than 0 were annotated, and are not suggested again. An image
        without a mask was not annotated.
    number
        How many blocks at most.
    block
        Edge of a block in pixels.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    """
    terminal = Terminal()
    with terminal.session():
        if output.suffix.lower() != ".csv":
            raise ConfigError(f"The output is {output}; a table is expected. Give a file that ends in .csv.")
        check_task(model, "segmentation")
        from unveil.io.annotations import read_masks
        from unveil.io.images import find_images, read_image
        from unveil.io.model_file import load_model
        from unveil.io.writing import check_output_file, write_table
        from unveil.tasks.suggest import suggest_blocks

        files = find_images(images)
        inputs = [read_image(file, axes=axes) for file in files]
        judged = read_masks(files, mask, axes=axes) if mask is not None else None
        loaded = load_model(model)
        check_output_file(output)
        with terminal.progress() as bar:
            found = suggest_blocks(
                inputs,
                loaded,
                judged,
                n=number,
                block_px=block,
                options=options,
                monitor=bar.about("looking for blocks"),
            )
        write_table(output, _columns(files, found))
        terminal.result(f"{count(len(found), 'block')} to annotate next: {output}")
    return failures.DONE


def _columns(files: Sequence[Path], found: Sequence[SuggestedBlock]) -> dict[str, Any]:
    across = [axis for axis in "TZ" if any(axis in block.index for block in found)]
    rows, columns = ([block.window[axis] for block in found] for axis in (0, 1))
    return {
        "image": [str(files[block.image]) for block in found],
        **{axis.lower(): [block.index.get(axis, 0) for block in found] for axis in across},
        "y": [part.start for part in rows],
        "x": [part.start for part in columns],
        "height": [part.stop - part.start for part in rows],
        "width": [part.stop - part.start for part in columns],
        "score": [block.score for block in found],
        "reason": [block.reason for block in found],
    }
