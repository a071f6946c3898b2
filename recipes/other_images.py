"""Train models for other images than fluorescence nuclei: electron micrographs, cells without a stain, tissue, noise.

    python recipes/other_images.py DATA OUTPUT [NAME ...] [--device auto] [--seconds SECONDS]

Each NAME, by default all, is trained from its folder in DATA and written to the folder OUTPUT; none of them ships.
What is called the test is for `benchmarks/accuracy/other_images.py` alone.

em-membranes
    em_isbi2012: sections 0–15 teach and 16–18 judge; sections 19–23, the folder's val, are the test.
em-membranes-3d
    em_drosophila_vnc: the columns up to 703 teach, and a block of them that the training chooses judges; the columns
    from 768 are the test.
phase-cells
    phase_usiigaci: its own parts train, val and test, at half the size.
stained-tissue, dark-nuclei
    dsb2018_other, stained_rgb and brightfield_gray: of every four images, by name, two teach, one judges and one is the
    test. The folder has no parts; no two of its images are of one field.
noisy-cells, denoised-cells
    noisy_cells_n2f: field 0 teaches and field 1 is the test, at a quarter of the size. Nothing judges, since the planes
    of a field show the same cells. For the second, `fluorescence-denoiser` cleans every image beforehand.

SECONDS end a training that has not taken all its steps by then. Patches and batches are chosen for the device. One core
of an AMD EPYC takes 4 to 11 minutes for each, 22 for the volume.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from skimage.transform import resize

from unveil import Annotation, Image, SegmentationTraining, UNetConfig, denoise, load_model, save_model, train
from unveil.events import EpochEnd, Event, Notice, ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.tasks.calibration import calibrate
from unveil.tasks.object_rule import fit_object_rule
from unveil.tasks.rescaling import resized, resized_shape

Pair = tuple[Image, Image]


@dataclass(frozen=True, slots=True)
class Parts:
    """Images and labels that teach, that judge while a model is trained, and that only score it."""

    teaching: list[Pair]
    judging: list[Pair]
    test: list[Pair]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of images: where they come from, and how a network learns them.

    Attributes
    ----------
    parts
        Finds the images in the folder of all data.
    starts_from
        Model to start from, None for random weights.
    scale
        Images are resized by this factor: cells are to fit into what the network sees, 46 pixels to each side.
    """

    parts: Callable[[Path], Parts]
    config: SegmentationTraining
    card: dict[str, Any]
    starts_from: str | None = "simulated-cells"
    scale: float = 1.0


def main(data: Path, output: Path, names: list[str], changes: dict[str, Any]) -> None:
    """Train each of `names`, with `changes` to its settings."""
    output.mkdir(parents=True, exist_ok=True)
    for name in names:
        kind = KINDS[name]
        parts = kind.parts(data)
        teaching, judging = ([resized_pair(pair, kind.scale) for pair in p] for p in (parts.teaching, parts.judging))
        validation = ([image for image, _ in judging], [Annotation(labels) for _, labels in judging])
        model = train(
            [image for image, _ in teaching],
            [Annotation(labels) for _, labels in teaching],
            kind.config.model_copy(update={"name": name, **changes}),
            start=load_model(kind.starts_from) if kind.starts_from else None,
            validation=validation if judging else None,
            monitor=tell,
        )
        if judging:
            images, labels = zip(*judging, strict=True)
            model = calibrate(model, images, labels)
            model = fit_object_rule(model, images, labels) if model.card.objects else model
        save_model(replace(model, card=model.card.model_copy(update=kind.card)), output / f"{name}.safetensors")
        print(f"{output / name}: {model.card.training and model.card.training.kept}", flush=True)


def resized_pair(pair: Pair, scale: float) -> Pair:
    """Resize an image as `segment` does, and its labels to their nearest pixels."""
    if scale == 1:
        return pair
    image, labels = (np.asarray(part.data) for part in pair)
    shape = resized_shape(labels.shape, (scale, scale))
    nearest = resize(labels, shape, order=0, mode="edge", anti_aliasing=False, preserve_range=True)
    return Image(resized(image[None], shape)[0], name=pair[0].name), Image(nearest.astype(labels.dtype))


def sections(data: Path) -> Parts:
    """Divide the sections of ISBI 2012 into blocks; membranes, black there, become 1."""
    first, last = ([_membranes(pair) for pair in _pairs(data / "em_isbi2012" / part, "labels")] for part in _EM_PARTS)
    return Parts(first[:16], first[16:], last)


def volume(data: Path) -> Parts:
    """Cut the sections of the Drosophila nerve cord into a left and a right block, with a gap between them."""
    folder = data / "em_drosophila_vnc"
    raw, membranes = (np.asarray(read_image(folder / f"{name}.tif").data) for name in ("raw", "membranes"))
    left, right = (
        (Image(raw[..., columns], "ZYX", name="raw"), Image(membranes[..., columns], "ZYX", name="membranes"))
        for columns in (slice(0, 704), slice(768, None))
    )
    return Parts([left], [], [right])


def phase_contrast(data: Path) -> Parts:
    """Take the parts of the folder as they are."""
    return Parts(*(_pairs(data / "phase_usiigaci" / part) for part in ("train", "val", "test")))


def by_name(folder: str) -> Callable[[Path], Parts]:
    """Deal images out by name: of every four two teach, the third judges, the fourth is for the test."""

    def parts(data: Path) -> Parts:
        pairs = _pairs(data / "dsb2018_other" / folder)
        teaching = [pair for number, pair in enumerate(pairs) if number % 4 < 2]
        return Parts(teaching, pairs[2::4], pairs[3::4])

    return parts


def noisy(data: Path) -> Parts:
    """Divide by field, the last number of a name."""
    pairs = _pairs(data / "noisy_cells_n2f")
    field_0, field_1 = ([pair for pair in pairs if pair[0].name.endswith(end)] for end in ("_0", "_1"))
    return Parts(field_0, [], field_1)


def denoised(data: Path) -> Parts:
    """Return the noisy images as the shipped denoiser leaves them."""
    denoiser, parts = load_model("fluorescence-denoiser"), noisy(data)

    def clean(pairs: list[Pair]) -> list[Pair]:
        return [(denoise(image, denoiser, monitor=ignore).image, labels) for image, labels in pairs]

    return Parts(clean(parts.teaching), [], clean(parts.test))


def _membranes(pair: Pair) -> Pair:
    image, labels = pair
    return image, labels.like((np.asarray(labels.data) == 0).astype(np.uint8), labels.axes)


def _pairs(folder: Path, references: str = "masks") -> list[Pair]:
    files = pair_files(folder / "images", folder / references)
    return [(read_image(image), read_labels(mask)) for image, mask in files]


_EM_PARTS = ("train", "val")
_MEMBRANES = SegmentationTraining(
    objects=False, classes=("inside", "membrane"), epochs=10, steps_per_epoch=300, patience=0
)
_CELLS = SegmentationTraining(
    classes=("background", "cell"), epochs=10, steps_per_epoch=200, learning_rate=1e-3, patience=0
)
_NOISY_CELLS = _CELLS.model_copy(update={"steps_per_epoch": 100, "validation_fraction": 0.0})
_NOISY_CARD = {
    "description": "Nuclei and whole cells in very noisy fluorescence images, at a quarter of their size.",
    "license": "Apache-2.0",
    "training_data": "Field 0 of the images of Noise2Fast's figure 5 (Apache-2.0). Before them, simulated cells.",
    "cite": ("Lequyer et al. 2022, Nature Machine Intelligence 4, 953 (data)",),
}
_DSB_CARD = {"license": "CC0-1.0", "cite": ("Caicedo et al. 2019, Nature Methods 16, 1247 (data)",)}

KINDS = {
    "em-membranes": Kind(
        sections,
        _MEMBRANES,
        {
            "description": "Membranes in electron micrographs of a nerve cord, section by section.",
            "license": "LicenseRef-research-use-only",
            "training_data": "Sections 0–15 of the training stack of ISBI 2012; for research use only.",
            "cite": ("Cardona et al. 2010, PLoS Biology 8, e1000502 (data)",),
        },
        starts_from=None,
    ),
    "em-membranes-3d": Kind(
        volume,
        _MEMBRANES.model_copy(
            update={"architecture": UNetConfig(n_dims=3, poolings=(1, 3, 3)), "patch_z": 12, "steps_per_epoch": 200}
        ),
        {
            "description": "Membranes, glia and the space between cells in a volume of serial electron micrographs.",
            "license": "CC-BY-NC-SA-3.0",
            "training_data": "Columns 0–703 of twelve sections of the Drosophila larva's nerve cord (CC BY-NC-SA 3.0).",
            "cite": ("Gerhard et al. 2013, figshare 856713 (data)",),
        },
        starts_from=None,
    ),
    "phase-cells": Kind(
        phase_contrast,
        _CELLS,
        {
            "description": "Cells in phase contrast, at half the size of the images.",
            "license": "MIT",
            "training_data": "Five images of Usiigaci (MIT), two more to judge. Before them, simulated cells.",
            "cite": ("Tsai et al. 2019, SoftwareX 9, 230 (data)",),
        },
        scale=0.5,
    ),
    "stained-tissue": Kind(
        by_name("stained_rgb"),
        _CELLS,
        {
            "description": "Nuclei in stained tissue, in colour.",
            "training_data": "Eight images of the Data Science Bowl 2018 (CC0), four more to judge.",
            **_DSB_CARD,
        },
    ),
    "dark-nuclei": Kind(
        by_name("brightfield_gray"),
        _CELLS,
        {
            "description": "Dark nuclei on bright ground, cytology.",
            "training_data": "Four images of the Data Science Bowl 2018 (CC0), two more to judge.",
            **_DSB_CARD,
        },
    ),
    "noisy-cells": Kind(noisy, _NOISY_CELLS, _NOISY_CARD, scale=0.25),
    "denoised-cells": Kind(denoised, _NOISY_CELLS, _NOISY_CARD, scale=0.25),
}


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to train")
    parser.add_argument("--seconds", type=float, help="time of each training, where it is less than its steps take")
    given = parser.parse_args()
    main(given.data, given.output, given.names or list(KINDS), {"device": given.device, "time_budget_s": given.seconds})
