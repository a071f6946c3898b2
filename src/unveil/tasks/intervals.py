"""How far the expected overlap and the number of objects may be off, by the record of a model's card."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from unveil.config.options import SegmentationOptions
from unveil.model.card import ModelCard
from unveil.operators.conformal import conformal_quantile, count_interval, overlap_interval
from unveil.tasks.results import RunReport

_OWN = ("threshold", "separation", "min_size")
"""Options that change the labels: where one is set, the record was made with other labels."""


def with_intervals(report: RunReport, card: ModelCard) -> RunReport:
    """Return `report` with the intervals that the card's record gives; without one, as it is."""
    record = card.conformal
    if record is None:
        return report
    overlap, count = None, None
    if report.expected_iou is not None and (quantile := conformal_quantile(record.iou)) < inf:
        overlap = overlap_interval(report.expected_iou, quantile)
    if report.n_objects is not None and (quantile := conformal_quantile(record.n_objects)) < inf:
        low, high = count_interval(report.n_objects, quantile)
        count = low, int(high)
    return replace(report, iou_interval=overlap, n_objects_interval=count)


def is_as_recorded(options: SegmentationOptions, report: RunReport, n_frames: int) -> bool:
    """Say whether a run was made as those that `record_intervals` compares with the truth.

    One plane or volume, not resized, by the model alone and its own rule of objects; intervals of other runs would
    promise what nobody has measured.
    """
    is_plain = not (report.options["accurate"] or report.ensemble or report.scale) and options.denoise_first == "auto"
    return n_frames == 1 and is_plain and all(getattr(options, name) is None for name in _OWN)
