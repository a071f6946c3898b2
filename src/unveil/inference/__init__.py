"""From a model and an image to output maps, tile by tile."""
