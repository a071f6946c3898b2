"""Write into a model's card how far off it is on images with a known truth, from which `segment` makes intervals.

python recipes/record_intervals.py MODEL DATA

MODEL is a model file, which is replaced; DATA holds `images/` and `masks/`, none of which taught the model (for the
shipped `nuclei`: src/unveil/zoo/nuclei.safetensors dsb2018_fluo/val).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from unveil import load_model, save_model
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.tasks.interval_record import record_intervals


def main(path: Path, data: Path) -> None:
    """Record, and say what an image may expect."""
    model, pairs = load_model(path), pair_files(data / "images", data / "masks")
    images, labels = [read_image(image) for image, _ in pairs], [read_labels(mask) for _, mask in pairs]
    words = (
        f"{len(images)} images of {data.parent.name}/{data.name}, which chose epoch, temperature and object rule too"
    )
    recorded = record_intervals(model, images, labels, data=words)
    save_model(recorded, path)
    print(f"{path}: {recorded.card.conformal}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    main(given.model, given.data)
