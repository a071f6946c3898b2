"""What to do with a model that was just trained: use it, correct it, go on, look at its card, repeat it elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from unveil.io.runs import Run
from unveil.model.card import ModelCard
from unveil.widgets.model_picker import describe
from unveil.widgets.notify import tell
from unveil.widgets.press_button import PressButton
from unveil.widgets.reproduction import command_of, python_of
from unveil.widgets.run_bar import format_seconds
from unveil.widgets.train_work import Trained
from unveil.words import count, listed

_MOST_NAMED = 20
_ENDINGS = {
    "schedule": "ran to its end",
    "user": "stopped by the user, the best model kept",
    "patience": "ended by itself as it got no better",
    "time": "ended when the time was up",
}


class AfterTraining(QWidget):
    """Buttons about the last trained model; hidden until there is one."""

    use = Signal(object)
    """Use the model (`Trained`) on an image now."""
    correct = Signal()
    """Make the predicted labels an annotation."""
    train_on = Signal(object)
    """Train again, from this model (`Trained`)."""

    def __init__(self) -> None:
        super().__init__()
        self._trained: Trained | None = None
        self.line = QLabel()
        self.line.setWordWrap(True)
        self.use_button = QPushButton("Segment with it")
        self.correct_button = PressButton("Correct this one")
        self.correct_button.setToolTip("Copy the predicted labels into an annotation, correct it, and train again")
        self.train_on_button = QPushButton("Train further")
        self.train_on_button.setToolTip("Train again from this model, with what is annotated now")
        self.card_button = QPushButton("Show card")
        self.python_button = QPushButton("Copy as Python")
        self.command_button = QPushButton("Copy as command")
        self._lay_out()
        self._connect()
        self.setVisible(False)

    @property
    def trained(self) -> Trained | None:
        """The model that the buttons are about."""
        return self._trained

    def show_model(self, trained: Trained) -> None:
        """Offer what can be done with `trained`."""
        self._trained = trained
        is_segmentation = trained.card.task == "segmentation"
        self.use_button.setText("Segment with it" if is_segmentation else "Denoise with it")
        self.correct_button.setVisible(is_segmentation)
        self.line.setText(outcome(trained.card))
        self.setVisible(True)

    def _connect(self) -> None:
        self.use_button.clicked.connect(lambda: self.use.emit(self._trained))
        self.correct_button.clicked.connect(self.correct)
        self.train_on_button.clicked.connect(lambda: self.train_on.emit(self._trained))
        self.card_button.clicked.connect(self.show_card)
        self.python_button.clicked.connect(lambda: self._copy(python_of, "Python lines that repeat this training"))
        self.command_button.clicked.connect(lambda: self._copy(command_of, "The command that repeats this training"))

    def show_card(self) -> None:
        """Open the card of the model, with its curves."""
        if self._trained is not None:
            dialog = CardDialog(self._trained.card, self)
            dialog.open()

    def _copy(self, write: Callable[[Run, str], str], what: str) -> None:
        trained = self._trained
        if trained is not None:
            QGuiApplication.clipboard().setText(write(trained.run, trained.card.name))
            tell(f"{what} can be pasted now.")

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.line, 0, 0, 1, 2)
        buttons = (
            *(self.use_button, self.correct_button, self.train_on_button),
            *(self.card_button, self.python_button, self.command_button),
        )
        for number, button in enumerate(buttons):
            grid.addWidget(button, 1 + number // 2, number % 2)


class CardDialog(QDialog):
    """A model's card in words, and the curves of its training."""

    def __init__(self, card: ModelCard, parent: QWidget) -> None:
        from unveil.widgets.loss_plot import LossPlot  # pyqtgraph takes its time

        super().__init__(parent)
        self.setWindowTitle(f"Model {card.name}")
        self.text = QLabel(f"{describe(card)}\n{_record(card)}".strip())
        self.text.setWordWrap(True)
        self.plot = LossPlot()
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(self.plot)
        self.finished.connect(self._close)
        self._draw(card)

    def _draw(self, card: ModelCard) -> None:
        record = card.training
        self.plot.setVisible(record is not None)
        if record is None:
            return
        self.plot.clear(metric_title(record.metric_name), along="epoch")
        self.plot.add_steps([e.epoch for e in record.history], [e.training_loss for e in record.history])
        for epoch in record.history:
            self.plot.add_epoch(
                epoch.epoch,
                validation_loss=epoch.validation_loss,
                metric=epoch.metric,
                is_kept=epoch is record.kept,
            )

    def _close(self) -> None:
        self.plot.close_for_good()
        self.deleteLater()


def metric_title(name: str) -> str:
    """Return a metric's name with its unit."""
    return "PSNR (dB)" if name == "PSNR" else name


def outcome(card: ModelCard) -> str:
    """Say in a line how a training went."""
    record = card.training
    kept = record.kept if record is not None else None
    if record is None or kept is None:
        return f"Model '{card.name}' is ready; no epoch was finished."
    unit = " dB" if record.metric_name == "PSNR" else ""
    score = f", {record.metric_name} {kept.metric:.3g}{unit} on what was held out" if kept.metric is not None else ""
    epochs = count(len(record.history), "epoch")
    return f"Model '{card.name}' is ready: {epochs} in {format_seconds(record.seconds)}{score}."


def _record(card: ModelCard) -> str:
    record = card.training
    if record is None:
        return ""
    names = listed(record.validation_images, _MOST_NAMED)
    judges = f"Judged by: {names}\n" if names else ""
    images = count(record.n_images, "image")
    return (
        f"Training: {images} to learn from, {record.n_validation_images} to validate, "
        f"{format_seconds(record.seconds)}, {_ENDINGS[record.ended_by]}, {record.timestamp}\n{judges}"
        f"Data digest: {record.data_sha256[:12]}"
    )
