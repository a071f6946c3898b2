"""Live curves of a training: its loss, and below it how well the network does on images held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qtpy import API_NAME
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QColor, QFont, QFontInfo, QFontMetrics, QPalette
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

# left alone, pyqtgraph chooses among the bindings by itself, and two in one process do not work
os.environ.setdefault("PYQTGRAPH_QT_LIB", API_NAME)
import pyqtgraph as pg

Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Ascending optimizer steps and the value at each, two float64 arrays of one shape (N,); a value of NaN is a gap."""

_PAUSE_MS = 200
_HEIGHT_PX = 220
_MARK_PX = 5
_STAR_PX = 14
_WINDOW_BINS = 9
"""Neighbouring runs of points that are averaged around each."""


class LossPlot(QWidget):
    """Training and validation loss, and the metric with a star at the epoch that is kept, over the optimizer steps.

    It is drawn at most five times a second and only while it can be seen. It takes no mouse events: the wheel scrolls
    the panel around it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.legend = QLabel(wordWrap=True)
        self.loss_chart, self.metric_chart = _Chart("loss"), _Chart()
        self.curves = {
            "steps": self.loss_chart.add_curve(),
            "smoothed": self.loss_chart.add_curve(),
            "validation": self.loss_chart.add_curve(),
            "metric": self.metric_chart.add_curve(),
            "kept": self.metric_chart.add_curve("star", _STAR_PX),
        }
        self.curves["steps"].setOpacity(0.4)
        self._x_axis = _axis("bottom", self.loss_chart.view, tick_px=4)
        # the axis's own label would lose its lower half
        self._x_label = QLabel(alignment=Qt.AlignmentFlag.AlignHCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self.legend, _stack(self.loss_chart, self.metric_chart, self._x_axis), self._x_label):
            layout.addWidget(widget)
        self.setFixedHeight(_HEIGHT_PX)
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE_MS)
        self._timer.timeout.connect(self.redraw)
        self.clear("")
        self._take_style()

    def clear(self, metric_name: str, *, along: str = "optimizer step") -> None:
        """Begin a new training, judged by a metric in its own unit: ``IoU``, ``PSNR (dB)``; `along` is what counts."""
        self._x_label.setText(along)
        self._training, self._validation, self._metric, self._kept = (_Samples() for _ in range(4))
        self.metric_chart.axis.setLabel(metric_name)
        self._redraw_later()

    def add_steps(self, steps: Sequence[int], losses: Sequence[float]) -> None:
        """Append the training loss after each of some optimizer steps, in ascending order."""
        self._training.extend(steps, losses)
        self._redraw_later()

    def add_epoch(self, step: int, *, validation_loss: float | None, metric: float | None, is_kept: bool) -> None:
        """Append what was measured after the epoch that ended with `step`; None is what was not measured."""
        if validation_loss is not None:
            self._validation.extend([step], [validation_loss])
        if metric is not None:
            self._metric.extend([step], [metric])
            if is_kept and np.isfinite(metric):
                self._kept = _Samples()
                self._kept.extend([step], [metric])
        self._redraw_later()

    def redraw(self) -> None:
        """Draw now what would otherwise wait for the timer."""
        self._timer.stop()
        n_bins = max(100, round(self.loss_chart.view.width()))  # one per pixel; it has no width before it is shown
        self._set_ranges()
        for name, curve in {
            "steps": thin(self._training.curve, n_bins),
            "smoothed": smooth(self._training.curve),
            "validation": thin(self._validation.curve, n_bins),
            "metric": thin(self._metric.curve, n_bins),
            "kept": self._kept.curve,
        }.items():
            # pyqtgraph warns of a curve that is nothing but gaps
            self.curves[name].setData(*(curve if np.isfinite(curve[1]).any() else ([], [])))
        for name, samples in (("validation", self._validation), ("metric", self._metric)):
            # marks that touch would hide the line that joins them
            self.curves[name].setSymbol("o" if len(samples) * 1.5 * _MARK_PX < n_bins else None)
        self.metric_chart.show(len(self._metric) > 0)
        self.legend.setText(self._legend_text())

    def close_for_good(self) -> None:
        """Wait for nothing any more."""
        self._timer.stop()

    def event(self, event: Any) -> bool:
        """Follow napari's theme; draw only while somebody looks, and anew for another width."""
        is_handled = bool(super().event(event))
        match event.type():
            case QEvent.Type.PaletteChange | QEvent.Type.StyleChange | QEvent.Type.FontChange:
                self._take_style()
            case QEvent.Type.Show | QEvent.Type.Resize:
                self._redraw_later()
            case QEvent.Type.Hide:
                self._timer.stop()
        return is_handled

    def _redraw_later(self) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def _set_ranges(self) -> None:
        losses = np.concatenate([self._training.curve[1], self._validation.curve[1]])
        is_log = bool(0 < np.nanmin(losses, initial=np.inf) < np.inf)
        for name in ("steps", "smoothed", "validation"):
            self.curves[name].setLogMode(False, is_log)
        steps = np.concatenate([samples.curve[0] for samples in (self._training, self._validation, self._metric)])
        first, last = (steps.min(), steps.max()) if len(steps) else (0, 1)
        for chart, values in ((self.loss_chart, losses), (self.metric_chart, self._metric.curve[1])):
            # both are told: a link between views reckons in pixels and is a little off
            chart.view.setXRange(first, max(last, first + 1), padding=0.03)
            chart.set_y_range(values, is_log=is_log and chart is self.loss_chart)

    def _legend_text(self) -> str:
        text, training, validation = _colours(self.palette())
        entries = [(training, "━", "training")]
        if len(self._validation):
            entries.append((validation, "●", "validation"))
        entries += [(text, "★", f"kept, {self.metric_chart.axis.labelText} {kept:.3g}") for kept in self._kept.curve[1]]
        marks = [f'<span style="color: {colour.name()}">{mark}</span>&nbsp;{name}' for colour, mark, name in entries]
        return " &nbsp; ".join(marks)

    def _take_style(self) -> None:
        """Take colours and letters from the surroundings."""
        text, training, validation = _colours(self.palette())
        font = QFont(self.font())
        font.setPixelSize(max(9, round(0.9 * QFontInfo(font).pixelSize())))
        for label in (self.legend, self._x_label):
            # napari's style sheet would overrule setFont
            label.setStyleSheet(f"font-size: {font.pixelSize()}px")
        for axis in (self.loss_chart.axis, self.metric_chart.axis, self._x_axis):
            axis.setStyle(tickFont=font, maxTickLevel=0)
            axis.label.setFont(font)
            axis.setPen(QColor(*text.getRgb()[:3], 100))
            axis.setTextPen(text)
        letters = QFontMetrics(font)
        for chart in (self.loss_chart, self.metric_chart):
            # one width for both, so that a step stands at one place
            chart.axis.setWidth(letters.horizontalAdvance("0.0001") + letters.height() + 4)
        self.curves["steps"].setPen(training, width=1)
        self.curves["smoothed"].setPen(training, width=2)
        for name, colour in {"validation": validation, "metric": validation, "kept": text}.items():
            self.curves[name].setPen(colour, width=1.5)
            self.curves[name].setSymbolBrush(colour)
        self._redraw_later()


class _Chart:
    """Curves and the axis at their left; the ranges are set from outside, never by the mouse."""

    def __init__(self, label: str = "") -> None:
        self.view = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.view.disableAutoRange()
        self.axis = _axis("left", self.view, tick_px=0)
        self.axis.setLabel(label)
        self.axis.setGrid(40)

    def add_curve(self, symbol: str | None = None, size_px: int = _MARK_PX) -> Any:
        curve = pg.PlotDataItem(connect="finite", antialias=True, symbol=symbol, symbolPen=None, symbolSize=size_px)
        self.view.addItem(curve)
        return curve

    def show(self, is_shown: bool) -> None:
        for item in (self.view, self.axis):
            # setVisible would leave the axis without a width
            (item.show if is_shown else item.hide)()

    def set_y_range(self, values: NDArray[np.float64], *, is_log: bool) -> None:
        self.axis.setLogMode(is_log)
        low, high = visible_range(values, is_log=is_log)
        self.view.setYRange(low, high, padding=0.12)
        bottom, top = self.view.viewRange()[1]
        letter_px = QFontMetrics(self.axis.label.font()).height()
        gap = (top - bottom) * letter_px / max(self.view.height(), letter_px)
        self.axis.setTicks([log_ticks(low, high, gap=gap)] if is_log else None)


class _Samples:
    """Values in the order they came, in an array that doubles when it is full."""

    def __init__(self) -> None:
        self._data = np.empty((2, 1024))
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def curve(self) -> Curve:
        return self._data[0, : self._n], self._data[1, : self._n]

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        new = np.array([steps, values], dtype=np.float64)
        end = self._n + new.shape[1]
        if end > self._data.shape[1]:
            self._data = np.concatenate([self._data, np.empty((2, end))], axis=1)
        self._data[:, self._n : end] = np.where(np.isfinite(new), new, np.nan)
        self._n = end


def thin(curve: Curve, n_bins: int) -> Curve:
    """Keep the smallest and the largest value of each of at most `n_bins` runs of points, and so every extreme."""
    steps, values = curve
    if len(values) <= 2 * n_bins:
        return curve
    length = -(-len(values) // n_bins)
    padded = np.pad(values, (0, -len(values) % length), constant_values=np.nan).reshape(-1, length)
    lowest = np.where(np.isnan(padded), np.inf, padded).argmin(axis=1)
    highest = np.where(np.isnan(padded), -np.inf, padded).argmax(axis=1)
    kept = np.unique(np.stack([lowest, highest]) + length * np.arange(len(padded)))
    return steps[kept], values[kept]


def smooth(curve: Curve, *, n_bins: int = 256) -> Curve:
    """Average neighbouring runs of points around each of at most `n_bins` runs.

    A run's length doubles when there are too many, and so a growing curve keeps its shape. Where there are few, the
    window is a quarter of them: an average of all would be a flat line.
    """
    steps, values = curve
    if not len(values):
        return curve
    length = 1
    while len(values) > n_bins * length:
        length *= 2
    padded = np.pad(values, (0, -len(values) % length), constant_values=np.nan).reshape(-1, length)
    window_bins = min(_WINDOW_BINS, len(padded) // 4 | 1)
    is_known = np.isfinite(padded)
    n_known = is_known.sum(axis=1)
    around = slice(window_bins // 2, window_bins // 2 + len(padded))
    kernel = np.ones(window_bins)
    sums = np.convolve(np.where(is_known, padded, 0).sum(axis=1), kernel)[around]
    means = np.full(len(padded), np.nan)
    np.divide(sums, np.convolve(n_known, kernel)[around], out=means, where=n_known > 0)
    return steps[::length], means


def visible_range(values: NDArray[np.float64], *, is_log: bool) -> tuple[float, float]:
    """Return a range that shows all values, as log10 where `is_log`, but does not blow up tiny differences."""
    known = values[np.isfinite(values)]
    if not np.any(known):
        return 0.0, 1.0
    ends = np.array([known.min(), known.max()])
    low, high = np.log10(ends) if is_log else ends
    least = 0.1 if is_log else 0.05 * max(abs(low), abs(high))
    missing = max(0.0, least - (high - low))
    return float(low - missing / 2), float(high + missing / 2)


def log_ticks(low: float, high: float, *, gap: float = 0.0) -> list[tuple[float, str]]:
    """Return about three to five round numbers between two log10 values: where they stand, and as text.

    Those that stand closer than `gap`, or than suits five, above another are left out.
    """
    decades = 10.0 ** np.arange(np.floor(low), np.ceil(high) + 1)
    for digits in ([1], [1, 3], [1, 2, 5], np.arange(1, 10), np.arange(1, 10, 0.1)):
        numbers = np.outer(decades, digits).ravel()
        numbers = numbers[(np.log10(numbers) >= low) & (np.log10(numbers) <= high)]
        if len(numbers) >= 3:
            break
    gap, ticks = max(gap, (high - low) / 4.5), list[tuple[float, str]]()
    for number in numbers:
        place = float(np.log10(number))
        if not ticks or place - ticks[-1][0] >= gap:
            ticks.append((place, f"{number:.2g}"))
    return ticks


def _colours(palette: QPalette) -> tuple[QColor, QColor, QColor]:
    """Return the colours of text, training and validation, which colour-blind people tell apart (Okabe and Ito)."""
    text = palette.color(QPalette.ColorRole.WindowText)
    training, validation = ("#56b4e9", "#e69f00") if text.lightness() > 127 else ("#0072b2", "#d55e00")
    return text, QColor(training), QColor(validation)


def _axis(side: str, view: Any, *, tick_px: int) -> Any:
    """Return an axis whose numbers are the values; asked later, it would count its present ones in thousandths."""
    axis = pg.AxisItem(side, linkView=view, maxTickLength=tick_px)
    axis.enableAutoSIPrefix(False)
    return axis


def _stack(upper: _Chart, lower: _Chart, x_axis: Any) -> Any:
    """Put two charts above their common axis, in a widget that leaves mouse and keyboard to the panel."""
    graphics = pg.GraphicsLayoutWidget()
    graphics.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    graphics.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    graphics.setBackground(None)
    graphics.setCacheMode(pg.GraphicsView.CacheModeFlag.CacheNone)  # the background would outlive a change of theme
    graphics.ci.layout.setContentsMargins(0, 0, 0, 0)
    graphics.ci.layout.setSpacing(4)
    for row, chart in enumerate((upper, lower)):
        graphics.addItem(chart.axis, row=row, col=0)
        graphics.addItem(chart.view, row=row, col=1)
    graphics.addItem(x_axis, row=2, col=1)
    return graphics
