"""Find the reference of each image by their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from unveil.errors import FileError
from unveil.io.finding import find_images, stem

_REFERENCE_SUFFIX = re.compile(r"[_-](labels?|masks?|cp_masks|seg|segmentation|gt)$", re.IGNORECASE)
"""What a reference may add to the name of its image."""
_FRAME_NUMBER = re.compile(r"_\d+$")
_SHOWN = 5


def pair_files(images: Path, references: Path) -> list[tuple[Path, Path]]:
    """Pair the images in one folder with the references (labels, or clean images) in another, or in the same.

    A reference has the image's name (any image ending), or that name and ``_labels``, ``_mask`` …, or the name
    less its last ``_<number>``, unless an image has that one: several noisy frames of one clean image. The first rule
    that finds one counts.

    Raises
    ------
    FileError
        If an image has no reference or two, or a reference no image; all of them are named together.
    """
    image_files, reference_files = find_images([images]), find_images([references])
    if Path(images).resolve() == Path(references).resolve() and len(image_files) > 1:
        reference_files = [path for path in reference_files if _REFERENCE_SUFFIX.search(stem(path))]
        image_files = [path for path in image_files if path not in reference_files]
    if image_files == [Path(images)] and reference_files == [Path(references)]:  # two images, no folders
        return [(image_files[0], reference_files[0])]
    by_name, by_stripped = _index(reference_files, stem), _index(reference_files, name_of_image)
    names = {stem(image) for image in image_files}
    found = {image: _candidates(stem(image), names, by_name, by_stripped) for image in image_files}
    _check(found, reference_files, Path(images), Path(references))
    return [(image, candidates[0]) for image, candidates in found.items()]


def name_of_image(reference: Path) -> str:
    """Return what the image of `reference` is called: the same, without ``_labels``, ``_mask`` and the like."""
    return _REFERENCE_SUFFIX.sub("", stem(reference))


def _index(references: list[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    for path in references:
        index.setdefault(key(path), []).append(path)
    return index


def _candidates(
    name: str, names: set[str], by_name: dict[str, list[Path]], by_stripped: dict[str, list[Path]]
) -> list[Path]:
    without_number = _FRAME_NUMBER.sub("", name)
    for wanted in (name,) if without_number in names else (name, without_number):
        for index in (by_name, by_stripped):
            if wanted in index:
                return index[wanted]
    return []


def _check(found: dict[Path, list[Path]], references: list[Path], images_at: Path, references_at: Path) -> None:
    used = {candidate for candidates in found.values() for candidate in candidates}
    alone = [image for image, candidates in found.items() if not candidates]
    double = [image for image, candidates in found.items() if len(candidates) > 1]
    unused = [reference for reference in references if reference not in used]
    problems = []
    if alone:
        problems.append(f"{len(alone)} of {len(found)} images have no reference in {references_at} ({_some(alone)})")
    if unused:
        problems.append(f"{len(unused)} of {len(references)} references have no image in {images_at} ({_some(unused)})")
    if double:
        problems.append(f"{len(double)} images have two references ({_some(double)})")
    if problems:
        raise FileError(
            f"Images and references do not pair: {'; '.join(problems)}. They pair by file name, or by the name "
            f"without its last _<number> where no image has that name. Rename or remove those that are left over."
        )


def _some(paths: list[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_SHOWN])
    return f"{names}, …" if len(paths) > _SHOWN else names
