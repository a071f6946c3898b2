"""Where results are kept: in memory, or on the disk where memory has no room for them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QComboBox

from unveil.errors import InputError
from unveil.io.result_place import result_place
from unveil.model.card import ModelCard
from unveil.widgets.requests import Request

_SUFFIXES = {"segmentation": "segmentation", "denoising": "denoised"}
_AUTO, _MEMORY, _DISK = "automatic", "in memory", "on the disk"


class ResultChoice:
    """One choice, and what follows from it for a request."""

    def __init__(self) -> None:
        self.list = QComboBox()
        self.list.addItems([_AUTO, _MEMORY, _DISK])
        self.list.setToolTip(
            "Where results are kept: as arrays in memory, or as OME-Zarr on the disk, which grows while it is "
            "computed and can be gone on with; automatic takes the disk for results over a quarter of the free memory"
        )

    def target(self, request: Request, card: ModelCard | None, replaces: Path | None) -> Path | None:
        """Return the OME-Zarr folder that the results of `request` go to, or None where they stay in memory.

        What cannot be computed at all, which the run itself says, goes nowhere.

        Parameters
        ----------
        replaces
            An earlier result on the disk that this one replaces.
        """
        from unveil.tasks.result_memory import memory_for_results

        chosen = self.list.currentText()
        if chosen == _MEMORY or card is None:
            return None
        try:
            size = n_bytes(request, card)
        except InputError:
            return None
        if chosen == _AUTO and size <= memory_for_results():
            return None
        source = request.source
        return result_place(source.file, source.name, _SUFFIXES[card.task], replaces=replaces)


def n_bytes(request: Request, card: ModelCard) -> int:
    """Return how large the results of `request` are before they are compressed."""
    from unveil.tasks.result_memory import result_bytes

    return result_bytes(request.source.image(request.cut), card, request.options)


def sentence(request: Request, card: ModelCard | None) -> str:
    """Say where the results of `request` go if they go to the disk; nothing where they stay in memory."""
    if request.target is None or card is None:
        return ""
    return f"Results (up to {_in_words(n_bytes(request, card))}) are written to {request.target}."


def _in_words(n: int) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**29 else f"{max(n / 2**20, 0.1):.1f} MiB"
