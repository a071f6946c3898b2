"""The sample images that ship with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from unveil.image import Image
from unveil.io.images import read_image
from unveil.model.card import ModelCard


def sample_for(card: ModelCard) -> Image:
    """Return the sample that a model of this card is for: nuclei, a stack of them, or noise on them."""
    name = "volume" if card.n_dims == 3 else "nuclei" if card.task == "segmentation" else "noisy"
    with as_file(files("unveil") / "sample_data" / f"{name}.tif") as path:
        image = read_image(path)
    return image.like(image.data[...], image.axes, name=name, channel_names=image.channel_names)
