"""How a training went, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unveil.words import count

if TYPE_CHECKING:
    from unveil.model.card import TrainingRecord

_ENDINGS = {
    "schedule": "",
    "user": ", ended early",
    "patience": ", ended as it got no better",
    "time": ", ended when the time was up",
}


def outcome(record: TrainingRecord | None) -> str:
    """Say on what a model was trained, how long, how well it did and why it ended."""
    kept = record.kept if record is not None else None
    if record is None or kept is None:
        return "ended before the first epoch"
    words = f"{count(len(record.history), 'epoch')} on {count(record.n_images, 'image')} in {record.seconds:.0f} s"
    if kept.metric is not None:
        words += f", {record.metric_name} {kept.metric:.3f} on what was held out"
        if record.n_validation_images:
            words += f" of {count(record.n_validation_images, 'image')}"
    return words + _ENDINGS[record.ended_by]
