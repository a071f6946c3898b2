"""Threshold, separation and smallest object: changed after the run, seen at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QLocale, QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider

from unveil.config.options import SegmentationOptions
from unveil.model.card import ModelCard
from unveil.widgets.decimal_key import DecimalKey

_PAUSE_MS = 150
"""A slider at rest for so long is meant."""
_MIN_RANGE = 100
"""The size slider reaches at least so many pixels."""


class RefineForm(QWidget):
    """Sliders over the model's own values; what was not moved stays the model's."""

    changed = Signal()
    """The sliders rest at new values."""

    def __init__(self) -> None:
        super().__init__()
        self._own: dict[str, float] = {}
        self._weights = ""
        self.sliders = {
            "threshold": _fraction_slider(0.01, 0.99),
            "separation": _fraction_slider(0.0, 0.99),
            "min_size": _size_slider(),
        }
        self.reset = QPushButton("Back to the model's values")
        self.reset.setToolTip("Put the sliders back to where they stood when the model was made")
        self.line = QLabel()
        self.line.setWordWrap(True)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self.changed)
        self._form = QFormLayout()
        for name, label in {"threshold": "Threshold", "separation": "Separation", "min_size": "Min. size"}.items():
            slider = self.sliders[name]
            slider.setToolTip(SegmentationOptions.model_fields[name].description)
            slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the one inside has the focus, and shows it
            slider.valueChanged.connect(lambda *_: self._timer.start())
            self._form.addRow(label, slider)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._form)
        layout.addWidget(self.reset)
        layout.addWidget(self.line)
        self.line.hide()
        self.reset.clicked.connect(self.set_own)

    def set_card(self, card: ModelCard | None, scale: tuple[float, ...] = ()) -> None:
        """Show the sliders that mean something for the model, at its own values.

        Those that were moved stay where they are as long as it is the same model.

        Parameters
        ----------
        scale
            By which the image was resized for the model: sizes are in the image's pixels.
        """
        own: dict[str, float] = {}
        if card is not None and card.objects is not None:
            rule = card.objects.on_grid(scale)
            own = {"threshold": rule.threshold, "separation": rule.separation, "min_size": rule.min_size}
        elif card is not None and len(card.classes) == 2:
            own = {"threshold": card.threshold}
        weights = card.weights_sha256 if card is not None else ""
        if (own, weights) != (self._own, self._weights):
            moved = {name: self.sliders[name].value() for name in self.values() if weights == self._weights}
            self._own, self._weights = own, weights
            for name, slider in self.sliders.items():
                slider.setVisible(name in own)
                self._form.labelForField(slider).setVisible(name in own)
            self._write(moved)
        self.setVisible(bool(own))

    def set_sizes(self, sizes: NDArray[Any]) -> None:
        """Let the size slider reach the objects' usual sizes, in pixels."""
        slider = self.sliders["min_size"]
        usual = int(np.percentile(sizes, 90)) if len(sizes) else 0
        with QSignalBlocker(slider):
            slider.setMaximum(max(_MIN_RANGE, usual, slider.value()))

    def set_own(self) -> None:
        """Return to the model's own values."""
        if self.values():
            self._write({})
            self.changed.emit()

    def values_for(self, card: ModelCard | None) -> dict[str, Any]:
        """Return `values` if the sliders belong to the model of `card`, nothing otherwise."""
        return self.values() if card is not None and card.weights_sha256 == self._weights else {}

    def values(self) -> dict[str, Any]:
        """Return the options whose sliders stand elsewhere than the model's own values."""
        found: dict[str, Any] = {}
        for name, own in self._own.items():
            value = self.sliders[name].value()
            if abs(value - own) > 1e-6:
                found[name] = int(value) if name == "min_size" else round(float(value), 3)
        return found

    def lock(self, reason: str) -> None:
        """Allow no change, forget one that is to be told, and say why; an empty reason allows changes again."""
        if reason:
            self._timer.stop()
        for slider in self.sliders.values():
            slider.setEnabled(not reason)
        self.reset.setEnabled(not reason)
        self.tell(reason)

    def tell(self, words: str) -> None:
        """Show `words` below the sliders, which can still be moved; nothing takes them away."""
        self.line.setText(words)
        self.line.setVisible(bool(words))

    def _write(self, moved: Mapping[str, float]) -> None:
        for name, value in {**self._own, **moved}.items():
            with QSignalBlocker(self.sliders[name]):
                if name == "min_size":
                    self.sliders[name].setMaximum(max(_MIN_RANGE, int(value)))
                self.sliders[name].setValue(int(value) if name == "min_size" else value)
        self._timer.stop()


def _fraction_slider(low: float, high: float) -> Any:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setDecimals(2)
    slider.setSingleStep(0.01)  # type: ignore[arg-type]  # superqt declares an int
    for label in slider.findChildren(QLineEdit):  # superqt reads a point alone, whatever the language
        label.setLocale(QLocale.c())
        label.validator().setLocale(QLocale.c())
        DecimalKey(label)
    return slider


def _size_slider() -> Any:
    slider = QLabeledSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, _MIN_RANGE)
    return slider
