"""Write the classical filters as models, so that they stand in the Denoise and Segment lists.

    python recipes/classical_filters.py [OUTPUT]

There is nothing to train; each file holds a card, and a picture of noise with what the filter makes of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from unveil import Model, ModelCard, build_network, save_model
from unveil.config.architecture import FilterConfig
from unveil.config.normalization import FixedNormalization, NoiseNormalization

AS_IT_IS = FixedNormalization(mean=(0,), std=(1,))
COMMON = {"authors": ("The Unveil developers",), "license": "CC0-1.0"}

CARDS = (
    ModelCard.describe(
        FilterConfig(kind="gaussian", size_px=1),
        name="gaussian-filter",
        task="denoising",
        normalization=AS_IT_IS,
        description="Classical: a weighted mean of the neighbours. Blurs edges as it removes noise.",
        **COMMON,
    ),
    ModelCard.describe(
        FilterConfig(kind="median", size_px=1),
        name="median-filter",
        task="denoising",
        normalization=AS_IT_IS,
        description="Classical: the median over a disc. Removes single bright pixels and keeps edges.",
        **COMMON,
    ),
    ModelCard.describe(
        FilterConfig(kind="clipped_high_pass", size_px=1.5, strength=3),
        name="clipped-high-pass",
        task="denoising",
        normalization=NoiseNormalization(),
        description=(
            "Classical: takes away what is small at high frequencies, and little of the edges. "
            "The handcrafted ancestor of residual networks."
        ),
        **COMMON,
    ),
    ModelCard.describe(
        FilterConfig(kind="texture", size_px=4),
        name="two-textures",
        task="segmentation",
        classes=("weaker texture", "stronger texture"),
        normalization=AS_IT_IS,
        description=(
            "Classical: tells two textures apart by the local strength of eight 3 × 3 cosine filters. "
            "Shows these features too; needs no training."
        ),
        **COMMON,
    ),
)


def main(output: Path) -> None:
    """Write all of `CARDS`."""
    for card in CARDS:
        noise = np.random.default_rng(0).normal(0, 1, (1, 1, 64, 64)).astype(np.float32)
        model = Model.make(card, build_network(card.architecture), noise)
        save_model(model, output / f"{card.name}.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", default=Path("src/unveil/zoo"))
    main(parser.parse_args().output)
