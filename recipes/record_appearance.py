"""Write into the card of a model what its training images look like, so that unlike images are told.

    python recipes/record_appearance.py MODEL DATA [--output FILE]

DATA is the folder that taught, with `images/` and, for the sizes of objects, `masks/`: for `nuclei` the `train` of
`nuclei.py`. To the images of a denoiser that was taught with synthetic noise such noise is added. The weights stay as
they are. It must be all that taught: `fluorescence-denoiser` also knows simulated images, and would warn of what it
can do. Eight minutes for 326 images on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from unveil import DenoisingTraining, load_model, save_model
from unveil.config.training import NoiseConfig
from unveil.events import Event, Progress
from unveil.io.images import find_images, read_image, read_labels
from unveil.model.card import ModelCard
from unveil.tasks.recording import with_appearance


def main(path: Path, data: Path, output: Path) -> None:
    """Look at the images of `data` and write the model of `path` to `output`."""
    model = load_model(path)
    images = [read_image(file) for file in find_images([data / "images"])]
    masks = find_images([data / "masks"]) if (data / "masks").is_dir() and model.card.objects else []
    sizes = [
        int(size) for mask in masks for size in np.bincount(np.asarray(read_labels(mask).data).ravel())[1:] if size
    ]
    model = with_appearance(
        model, images, object_sizes=sizes, noise=_noise_of(model.card), thorough=True, monitor=_tell
    )
    save_model(model, output)
    appearance = load_model(output).card.appearance
    assert appearance is not None, f"{len(images)} images are too few"
    print(f"{output}: {appearance.n_images} images, threshold {appearance.threshold}, objects {appearance.object_px}")


def _noise_of(card: ModelCard) -> NoiseConfig | None:
    """Return the noise that a denoiser was taught with; None for other models."""
    if card.task != "denoising" or card.training is None:
        return None
    return DenoisingTraining.model_validate(card.training.config).noise


def _tell(event: Event) -> None:
    if isinstance(event, Progress) and event.done % 20 == 0:
        print(f"{event.done} of {event.total} {event.unit}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model file, such as src/unveil/zoo/nuclei.safetensors")
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, help="by default the model file itself")
    given = parser.parse_args()
    main(given.model, given.data, given.output or given.model)
