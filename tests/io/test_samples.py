from __future__ import annotations

from typing import Any

import numpy as np

from unveil.io.samples import sample_for


def test_each_kind_of_model_has_a_sample_that_it_takes(make_tiny_model: Any) -> None:
    from unveil.tasks.matching import check_fit

    for task, n_dims, name in (("segmentation", 2, "nuclei"), ("denoising", 2, "noisy"), ("segmentation", 3, "volume")):
        card = make_tiny_model(task, n_dims=n_dims).card
        image = sample_for(card)
        assert image.name == name
        assert isinstance(image.data, np.ndarray)
        assert image.pixel_size_um
        check_fit(image, card, None)
