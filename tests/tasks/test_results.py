"""Results: where they are written and what their report says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import zarr

from unveil.config.options import SegmentationOptions
from unveil.errors import ImageError
from unveil.events import ignore
from unveil.image import Image
from unveil.tasks.results import SegmentationSink
from unveil.tasks.segment import segment

EXACT = SegmentationOptions(precision="exact", engine="torch", device="cpu")


def test_results_go_into_the_arrays_given(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((2, 40, 50), "TYX"), make_tiny_model()
    sink = SegmentationSink.create(image, model.card, lambda shape, dtype: zarr.zeros(shape, dtype=dtype))
    options = EXACT.model_copy(update={"tile": 16})
    result = segment(image, model, options=options, into=sink, monitor=ignore)
    in_memory = segment(image, model, options=options, monitor=ignore)
    assert result.labels.data is sink.labels
    np.testing.assert_array_equal(np.asarray(sink.probabilities[:]), in_memory.probabilities.data)
    np.testing.assert_array_equal(np.asarray(sink.labels[:]), in_memory.labels.data)


def test_arrays_that_do_not_fit_are_refused_together(brightness_model: Any) -> None:
    sink = SegmentationSink(np.zeros((3, 3), np.int32), np.zeros((16, 16)), None)
    with pytest.raises(ImageError) as caught:
        segment(Image(np.eye(16)), brightness_model(), into=sink)
    for problem in ("distance is missing", "labels have shape (3, 3)", "probabilities have shape (16, 16)"):
        assert problem in str(caught.value)


def test_report_tells_what_was_done(squares: Any, brightness_model: Any) -> None:
    options = SegmentationOptions(device="cpu", engine="openvino", precision="exact", tile=10, threshold=0.25)
    model = brightness_model()
    report = segment(Image(squares((40, 50), (4, 6))), model, options=options).report
    assert (report.model, report.model_sha256) == ("brightness", model.card.weights_sha256)
    assert (report.device, report.engine, report.precision) == ("cpu", "openvino", "float32")
    assert report.tile == (10, 10)
    assert report.options["threshold"] == 0.25
    assert report.seconds > 0
    assert {"unveil", "torch", "openvino", "python"} <= set(report.versions)
    assert json.loads(json.dumps(report.provenance())) == report.provenance()
