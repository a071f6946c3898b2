"""Read images and what belongs to them, paired by name: what a training or an evaluation is given as folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unveil.data.annotation import Annotation
from unveil.events import Monitor, ignore, told
from unveil.image import Image
from unveil.io.annotations import read_annotations
from unveil.io.images import find_images, pair_files, read_image


def read_pairs(
    images: Path,
    references: Path,
    read_reference: Callable[..., Image] = read_image,
    *,
    axes: str | None = None,
    monitor: Monitor = ignore,
) -> tuple[list[Image], list[Image]]:
    """Read the images of one folder, and the references (labels, or clean images) of another, in the same order.

    Parameters
    ----------
    axes
        Of all of them, where the files do not say or are wrong.
    monitor
        Told file by file how far this is.

    Raises
    ------
    InputError
        If a file cannot be read, or has no partner.
    """
    image_files, reference_files = zip(*pair_files(images, references), strict=True)
    return (
        [read_image(file, axes=axes) for file in told(image_files, monitor, "files")],
        [read_reference(file, axes=axes) for file in told(reference_files, monitor, "files")],
    )


def read_noisy_and_clean(
    noisy: Path | None, clean: Path | None, *, axes: str | None = None, monitor: Monitor = ignore
) -> tuple[list[Image] | None, list[Image] | None]:
    """Read noisy and clean images as `read_pairs` does; None for the kind that is not given."""
    if noisy is not None and clean is not None:
        return read_pairs(noisy, clean, axes=axes, monitor=monitor)
    files = find_images(folder for folder in (noisy, clean) if folder is not None)
    only = [read_image(file, axes=axes) for file in told(files, monitor, "files")]
    return (None, only) if noisy is None else (only, None)


def read_labelled(
    images: Path,
    labels: Path,
    *,
    masks: Path | None = None,
    background: int | None = None,
    axes: str | None = None,
    monitor: Monitor = ignore,
) -> tuple[list[Image], list[Annotation]]:
    """Read images as `read_pairs` does, and annotations as `read_annotations`."""
    image_files, label_files = zip(*pair_files(images, labels), strict=True)
    inputs = [read_image(file, axes=axes) for file in told(image_files, monitor, "files")]
    return inputs, read_annotations(
        label_files, images=image_files, masks=masks, background=background, axes=axes, monitor=monitor
    )
