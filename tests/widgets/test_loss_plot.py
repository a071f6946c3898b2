"""The live curves: what they hold, when they are drawn, and that the mouse goes through them."""

from __future__ import annotations

import gc
import weakref
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPicture, QWheelEvent
from qtpy.QtWidgets import QApplication, QLabel

from unveil.widgets.loss_plot import LossPlot, log_ticks, smooth, thin, visible_range

LONGER_THAN_THE_PAUSE_MS = 400
losses_with_gaps = st.lists(st.floats(1e-6, 1e6) | st.just(float("nan")), max_size=400).map(np.array)


@pytest.fixture
def plot(qtbot):
    widget = LossPlot()
    qtbot.addWidget(widget)
    widget.resize(300, 220)
    widget.clear("IoU")
    return widget


@pytest.fixture
def shown_plot(qtbot, plot):
    """A plot on the screen that has nothing left to draw."""
    plot.show()
    qtbot.waitExposed(plot)
    qtbot.wait(LONGER_THAN_THE_PAUSE_MS)
    return plot


def drawn(plot, name):
    """Return the steps and values that a curve was given."""
    given_data = plot.curves[name].getOriginalDataset()
    return tuple([] if values is None else values.tolist() for values in given_data)


def texts_of(axis):
    """Return box, alignment and words of each number at an axis."""
    picture = QPicture()
    painter = QPainter(picture)
    _, _, texts = axis.generateDrawSpecs(painter)
    painter.end()
    return texts


def test_curves_hold_what_was_given(plot):
    plot.add_steps([1, 2], [0.5, 0.25])
    plot.add_steps([3], [0.125])
    plot.add_epoch(2, validation_loss=0.3, metric=0.7, is_kept=True)
    plot.add_epoch(3, validation_loss=0.2, metric=0.8, is_kept=True)
    plot.redraw()
    assert drawn(plot, "steps") == ([1, 2, 3], [0.5, 0.25, 0.125])
    assert drawn(plot, "validation") == ([2, 3], [0.3, 0.2])
    assert drawn(plot, "metric") == ([2, 3], [0.7, 0.8])


def test_many_appended_one_by_one_are_thinned_to_the_width(shown_plot):
    for step in range(1, 3001):
        shown_plot.add_steps([step], [1 / step])
    shown_plot.redraw()
    steps, losses = drawn(shown_plot, "steps")
    assert (steps[0], losses[0]) == (1, 1)
    assert (steps[-1], losses[-1]) == (3000, 1 / 3000)
    assert len(steps) <= 2 * shown_plot.loss_chart.view.width()


def test_steps_and_losses_must_match(plot):
    with pytest.raises(ValueError, match="inhomogeneous"):
        plot.add_steps([1, 2], [0.5])


def test_what_is_not_finite_leaves_a_gap(shown_plot):
    shown_plot.add_steps([1, 2, 3, 4, 5], [0.5, float("nan"), 0.4, float("inf"), 0.3])
    shown_plot.add_epoch(3, validation_loss=float("nan"), metric=float("inf"), is_kept=True)
    shown_plot.redraw()
    shown_plot.grab()
    _, losses = drawn(shown_plot, "steps")
    np.testing.assert_array_equal(losses, [0.5, np.nan, 0.4, np.nan, 0.3])
    assert shown_plot.curves["steps"].opts["connect"] == "finite"
    low, high = shown_plot.loss_chart.view.viewRange()[1]
    assert low < np.log10(0.3) < np.log10(0.5) < high < 0
    assert drawn(shown_plot, "kept") == ([], [])


@pytest.mark.parametrize("losses", [[], [float("nan")] * 3, [0.0, 0.0], [-1.0, 2.0], [1e-300, 1e300]])
def test_odd_losses_can_be_painted(shown_plot, losses):
    shown_plot.add_steps(range(len(losses)), losses)
    shown_plot.redraw()
    shown_plot.grab()
    assert np.isfinite(shown_plot.loss_chart.view.viewRange()).all()


@pytest.mark.parametrize(("losses", "is_log"), [([1, 0.1], True), ([1, 0], False), ([1, -0.1], False)])
def test_the_loss_is_logarithmic_where_it_can_be(plot, losses, is_log):
    plot.add_steps([1, 2], losses)
    plot.redraw()
    assert plot.loss_chart.axis.logMode is is_log
    assert plot.curves["steps"].opts["logMode"] == [False, is_log]
    plot.add_epoch(2, validation_loss=-1, metric=None, is_kept=False)
    plot.redraw()
    assert not plot.loss_chart.axis.logMode


def test_both_charts_show_the_same_steps(plot):
    plot.add_steps([5], [0.5])
    plot.add_epoch(90, validation_loss=None, metric=0.5, is_kept=True)
    plot.redraw()
    first, last = plot.loss_chart.view.viewRange()[0]
    assert first < 5 < 90 < last
    assert plot.metric_chart.view.viewRange()[0] == [first, last]


def test_the_metric_is_hidden_while_there_is_none(shown_plot):
    shown_plot.add_steps([1, 2], [0.5, 0.4])
    shown_plot.add_epoch(2, validation_loss=0.5, metric=None, is_kept=True)
    shown_plot.redraw()
    QApplication.processEvents()
    assert not shown_plot.metric_chart.view.isVisible()
    height_alone = shown_plot.loss_chart.view.height()
    assert "★" not in shown_plot.legend.text()
    shown_plot.add_epoch(3, validation_loss=0.5, metric=0.5, is_kept=True)
    shown_plot.redraw()
    QApplication.processEvents()
    assert shown_plot.metric_chart.view.isVisible()
    assert shown_plot.metric_chart.axis.width() == shown_plot.loss_chart.axis.width() > 0
    assert shown_plot.loss_chart.view.height() < 0.7 * height_alone


def test_the_star_marks_what_is_kept(plot):
    for step, (metric, is_kept) in enumerate([(0.5, True), (0.8125, True), (0.7, False)]):
        plot.add_epoch(step, validation_loss=1.0, metric=metric, is_kept=is_kept)
    plot.redraw()
    assert drawn(plot, "kept") == ([1], [0.8125])
    assert plot.curves["kept"].opts["symbol"] == "star"
    assert "kept, IoU 0.812" in plot.legend.text()
    assert plot.metric_chart.axis.labelText == "IoU"


def test_marks_give_way_to_the_line_when_they_would_touch(shown_plot):
    for step in range(1000):
        shown_plot.add_epoch(step, validation_loss=1.0, metric=0.5, is_kept=False)
        if step in (9, 999):
            shown_plot.redraw()
            assert shown_plot.curves["metric"].opts["symbol"] == ("o" if step == 9 else None)


def test_clear_begins_anew(plot):
    plot.add_steps([1, 2], [0.5, 0.25])
    plot.add_epoch(2, validation_loss=0.3, metric=0.7, is_kept=True)
    plot.redraw()
    plot.clear("PSNR (dB)")
    plot.redraw()
    assert all(drawn(plot, name) == ([], []) for name in plot.curves)
    assert not plot.metric_chart.view.isVisible()
    assert plot.metric_chart.axis.labelText == "PSNR (dB)"
    assert "validation" not in plot.legend.text()
    plot.add_steps([1], [2.0])
    plot.redraw()
    assert drawn(plot, "steps") == ([1], [2.0])


def test_many_changes_are_drawn_at_once_and_later(qtbot, shown_plot):
    n_drawn = []
    shown_plot.curves["steps"].sigPlotChanged.connect(n_drawn.append)
    for step in range(100):
        shown_plot.add_steps([step], [1.0])
    assert drawn(shown_plot, "steps") == ([], [])
    qtbot.waitUntil(lambda: len(drawn(shown_plot, "steps")[0]) == 100)
    n_drawn.clear()
    qtbot.wait(LONGER_THAN_THE_PAUSE_MS)
    assert n_drawn == []


def test_nothing_is_drawn_while_hidden(qtbot, shown_plot):
    shown_plot.add_steps([1], [1.0])
    shown_plot.hide()
    shown_plot.add_steps([2], [1.0])
    qtbot.wait(LONGER_THAN_THE_PAUSE_MS)
    assert drawn(shown_plot, "steps") == ([], [])
    shown_plot.show()
    qtbot.waitUntil(lambda: len(drawn(shown_plot, "steps")[0]) == 2)


def test_nothing_is_drawn_after_the_end(qtbot, shown_plot):
    shown_plot.add_steps([1], [1.0])
    shown_plot.close_for_good()
    qtbot.wait(LONGER_THAN_THE_PAUSE_MS)
    assert drawn(shown_plot, "steps") == ([], [])


def test_the_mouse_is_left_to_the_panel(shown_plot):
    """Qt hands an event that is not accepted on to the parent: the wheel to the scroll area."""
    middle = QPointF(150, 110)
    keys, button = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.NoButton
    turn = QWheelEvent(middle, middle, QPoint(), QPoint(0, -120), button, keys, Qt.ScrollPhase.NoScrollPhase, False)
    reach = [shown_plot.childAt(x, y) for x in range(5, 300, 20) for y in range(5, 220, 20)]
    below_cursor = {widget or shown_plot for widget in reach}
    assert {type(widget) for widget in below_cursor} == {LossPlot, QLabel}
    for widget in below_cursor:
        QApplication.sendEvent(widget, turn)
        assert not turn.isAccepted()
        assert widget.focusPolicy() == Qt.FocusPolicy.NoFocus


def test_colours_follow_the_theme(qtbot, viewer):
    plot = LossPlot()
    viewer.window.add_dock_widget(plot)
    plot.add_steps([1, 2], [1.0, 0.5])
    lightness = {}
    for theme in ("dark", "light"):
        viewer.theme = theme
        plot.redraw()
        text = plot.loss_chart.axis.textPen().color()
        corner = QColor(plot.grab().toImage().pixel(2, 110))
        assert abs(text.lightness() - corner.lightness()) > 100
        lightness[theme] = text.lightness()
    assert lightness["dark"] > lightness["light"]


def test_the_numbers_stay_those_of_the_metric_when_the_font_changes(shown_plot):
    shown_plot.add_steps([1, 900], [0.65, 0.95])
    shown_plot.add_epoch(1, validation_loss=0.5, metric=0.1, is_kept=True)
    shown_plot.add_epoch(900, validation_loss=0.5, metric=0.8, is_kept=True)
    shown_plot.redraw()
    QApplication.processEvents()
    QApplication.sendEvent(shown_plot, QEvent(QEvent.Type.FontChange))
    shown_plot.redraw()
    assert max(float(words) for _, _, words in texts_of(shown_plot.metric_chart.axis)) <= 1


def test_a_closed_plot_is_forgotten(qtbot):
    plot = LossPlot()
    plot.show()
    qtbot.waitExposed(plot)
    plot.add_steps([1], [1.0])
    plot.close_for_good()
    plot.close()
    plot.deleteLater()
    forgotten = weakref.ref(plot)
    del plot
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    QApplication.processEvents()
    gc.collect()
    assert forgotten() is None


@given(losses_with_gaps, st.integers(1, 50))
def test_thinning_keeps_extremes_and_order(losses, n_bins):
    steps = np.arange(len(losses), dtype=float)
    kept_steps, kept = thin((steps, losses), n_bins)
    assert len(kept) <= 2 * n_bins
    assert (np.diff(kept_steps) > 0).all()
    np.testing.assert_array_equal(kept, losses[kept_steps.astype(int)])
    known = losses[np.isfinite(losses)]
    if len(known):
        assert (np.nanmin(kept), np.nanmax(kept)) == (known.min(), known.max())


def test_thinning_keeps_a_long_gap():
    losses = np.ones(1000)
    losses[400:600] = np.nan
    steps, kept = thin((np.arange(1000.0), losses), 100)
    assert np.isnan(kept[(steps > 410) & (steps < 590)]).all()
    assert np.isfinite(kept[(steps < 400) | (steps >= 600)]).all()


@given(losses_with_gaps, st.integers(1, 50))
def test_smoothing_stays_between_the_extremes(losses, n_bins):
    steps = np.arange(len(losses), dtype=float)
    middle_steps, means = smooth((steps, losses), n_bins=n_bins)
    assert len(middle_steps) == len(means) <= n_bins
    known = means[np.isfinite(means)]
    assert bool(len(known)) == bool(np.isfinite(losses).any())
    if len(known):
        assert np.nanmin(losses) * (1 - 1e-9) <= known.min() <= known.max() <= np.nanmax(losses) * (1 + 1e-9)


def test_smoothing_lessens_noise_without_delay(rng):
    losses = np.linspace(2, 1, 1000) + rng.normal(0, 0.1, 1000)
    steps, means = smooth((np.arange(1000.0), losses))
    inner = slice(10, -10)
    error = means - np.linspace(2, 1, 1000)[steps.astype(int)]
    assert np.abs(error[inner]).max() < 0.1
    assert abs(error[inner].mean()) < 0.01


@pytest.mark.parametrize("n_losses", [1, 3, 8, 16])
def test_few_losses_are_no_flat_line(n_losses):
    steps, losses = np.arange(float(n_losses)), np.linspace(2, 1, n_losses)
    _, means = smooth((steps, losses))
    inner = slice(2, -2) if n_losses > 4 else slice(None)
    np.testing.assert_allclose(means[inner], losses[inner])


@given(losses_with_gaps, st.booleans())
def test_the_range_shows_all(losses, is_log):
    low, high = visible_range(losses, is_log=is_log)
    assert low < high
    known = np.log10(losses[np.isfinite(losses)]) if is_log else losses[np.isfinite(losses)]
    assert ((known >= low - 1e-9) & (known <= high + 1e-9)).all()


@given(st.floats(-12, 12), st.floats(0.1, 12))
def test_logarithmic_ticks_are_few_and_within(low, span):
    ticks = log_ticks(low, low + span)
    assert 2 <= len(ticks) <= 5
    assert all(low <= place <= low + span for place, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)
    assert all(abs(np.log10(float(text)) - place) < 1e-9 for place, text in ticks)


@given(st.floats(-12, 12), st.floats(0.1, 12), st.floats(0, 1))
def test_logarithmic_ticks_keep_their_distance(low, span, part):
    places = [place for place, _ in log_ticks(low, low + span, gap=part * span)]
    assert places
    assert (np.diff(places) >= part * span).all()


def test_numbers_on_a_low_chart_do_not_overlap(shown_plot):
    shown_plot.setFixedHeight(180)
    shown_plot.add_steps([1, 2], [0.65, 0.95])
    shown_plot.add_epoch(2, validation_loss=0.5, metric=0.5, is_kept=True)
    shown_plot.redraw()
    QApplication.processEvents()
    shown_plot.redraw()
    boxes = [box for box, _, _ in texts_of(shown_plot.loss_chart.axis)]
    assert len(boxes) > 1
    assert not any(one.intersects(other) for one, other in combinations(boxes, 2))
