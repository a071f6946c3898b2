"""`unveil check`: images in, whether a model is for them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unveil.cli import failures
from unveil.cli.flowing import flowing
from unveil.cli.terminal import Terminal
from unveil.config.options import ViewOptions

if TYPE_CHECKING:
    from unveil.tasks.suitability import Suitability


@flowing
def check(
    images: list[Path],
    /,
    *,
    model: Annotated[str, Parameter(alias="-m")] = "nuclei",
    axes: str | None = None,
    options: Annotated[ViewOptions, Parameter(name="*")] = ViewOptions(),  # noqa: B008
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Say whether images are like those that a model learned from, and if not, why and what to do.

    Parameters
    ----------
    images
        TIFF files of any kind, OME-Zarr folders, or folders of images.
    model
        Name of a model, or a model file.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    from unveil.io.images import find_images, read_image
    from unveil.io.model_file import load_model
    from unveil.tasks.suitability import compare

    terminal = Terminal(as_json=as_json)
    with terminal.session():
        files, loaded = find_images(images), load_model(model)
        done: list[dict[str, Any]] = []
        failed: list[dict[str, str]] = []
        code = failures.DONE
        for file in files:
            try:
                found = compare(read_image(file, axes=axes), loaded, options=options)
            except Exception as failure:
                failed.append({"input": str(file), "error": failures.describe(failure)})
                code = failures.worse(code, failures.report(failure, about=str(file)))
                continue
            done.append(_as_json(file, found))
            terminal.result(_as_line(file, found))
        if as_json:
            terminal.json({"model": loaded.card.name, "images": done, **({"failed": failed} if failed else {})})
    return code


def _as_json(file: Path, found: Suitability) -> dict[str, Any]:
    return {
        "input": str(file),
        "verdict": found.verdict,
        "score": found.score,
        "reasons": list(found.reasons),
        "suggested_rescale": found.suggested_rescale,
    }


def _as_line(file: Path, found: Suitability) -> str:
    if found.score is None:
        return f"{file}: not compared: {'; '.join(found.reasons)}"
    score = f"{found.score:.2f} (unlike above 1)"
    if found.verdict == "like":
        return f"{file}: like the training images, {score}"
    return " ".join([f"{file}: unlike the training images, {score}: {'; '.join(found.reasons)}.", found.remedy]).strip()
