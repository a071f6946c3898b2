"""Choose a model: shipped, your own, or any file; its card in a few words."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from unveil.errors import ModelFileError
from unveil.io.library import ModelEntry
from unveil.model.card import ModelCard, Task
from unveil.widgets.docks import docked
from unveil.widgets.job import Job
from unveil.widgets.layer_list import Names
from unveil.widgets.layers import format_pixel_size
from unveil.widgets.notify import tell_failure, warn
from unveil.widgets.session_models import session_models
from unveil.words import count

if TYPE_CHECKING:
    from unveil.tasks.certificate import CertificateCheck

_MAX_SENTENCE = 140
_NETWORKS = {"unet": "U-Net", "dncnn": "DnCNN", "dncnn-stable": "Stable DnCNN"}


class ModelPicker(QWidget):
    """A list of models for `task`, a button for files elsewhere, and `summary`, what the chosen model is.

    Without a task, models for all of them are offered.
    """

    changed = Signal()

    def __init__(self, task: Task | None) -> None:
        super().__init__()
        self.task = task
        self._entries: list[ModelEntry] = []
        self._checks: dict[tuple[Path, int], str] = {}
        self.list = Names()
        self.list.setToolTip("Models that ship with Unveil, your own, and files opened in this session")
        self.browse = QPushButton("Open…")
        self.browse.setToolTip("Open a model file (.safetensors); you can also drop one on the viewer")
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.summary.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()
        self.refresh()
        self.list.currentIndexChanged.connect(self._draw)
        self.browse.clicked.connect(self._browse)
        session_models.opened.connect(self._take)
        # where the window goes with all in it, nobody closes the panel
        self.destroyed.connect(partial(session_models.opened.disconnect, self._take, missing_ok=True))

    @property
    def entry(self) -> ModelEntry | None:
        """The chosen model, if it can be used."""
        index = self.list.currentIndex()
        entry = self._entries[index] if 0 <= index < len(self._entries) else None
        return entry if entry is not None and entry.card is not None else None

    @property
    def card(self) -> ModelCard | None:
        """The card of the chosen model."""
        return self.entry.card if self.entry is not None else None

    def choose(self, path: Path) -> None:
        """Choose the model at `path`, if it is listed."""
        paths = [entry.path.resolve() for entry in self._entries]
        if path.resolve() in paths:
            self.list.setCurrentIndex(paths.index(path.resolve()))

    def refresh(self) -> None:
        """Read the library again and keep the choice."""
        chosen = self.entry
        with QSignalBlocker(self.list):
            self._entries = session_models.entries(self.task)
            self.list.clear()
            for row, entry in enumerate(self._entries):
                self.list.addItem(entry.name if entry.card is not None else f"{entry.name} (cannot be used)")
                self.list.setItemData(row, entry.problem or str(entry.path), Qt.ItemDataRole.ToolTipRole)
                self.list.model().item(row).setEnabled(entry.card is not None)
            if chosen is not None:
                self.choose(chosen.path)
        self._draw()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Look again when the panel comes to the front: a model may have been trained or saved since."""
        super().showEvent(event)
        self.refresh()

    def close_for_good(self) -> None:
        """Listen no more; the panel is gone."""
        session_models.opened.disconnect(self._take, missing_ok=True)

    def _lay_out(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.list, stretch=1)
        row.addWidget(self.browse)

    def _draw(self) -> None:
        card = self.card
        if card is None:
            which = f"model for {self.task}" if self.task is not None else "model"
            self.summary.setText(f"No {which} is here yet: press Open…, or drop a file on the window.")
            self.summary.setToolTip("")
        else:
            self.summary.setText("\n".join([summarize(card), *self._certificate()]))
            self.summary.setToolTip(describe(card))
        self.changed.emit()

    def _certificate(self) -> list[str]:
        """Return what is known of the chosen model's certificate; it is recomputed in a thread before it counts."""
        entry = self.entry
        if entry is None or entry.card is None or entry.card.certificate is None or not entry.path.exists():
            return []
        path, card = entry.path, entry.card
        key = path, path.stat().st_mtime_ns
        if key not in self._checks:
            self._checks[key] = "Certificate: being recomputed from the weights…"
            job = Job(lambda _: _check(path), f"Checking {card.name}", self, in_activity_dock=False)
            job.succeeded.connect(partial(self._checked, key, card.name))
            job.failed.connect(partial(self._unchecked, key))
            job.start()
        return [self._checks[key]]

    def _checked(self, key: tuple[Path, int], name: str, check: CertificateCheck) -> None:
        if not check.holds:
            warn(f"The certificate of '{name}' is {check.words}. Do not rely on it.")
        self._checks[key] = f"{'✓' if check.holds else '⚠'} {check.words[0].upper()}{check.words[1:]}"
        self._draw()

    def _unchecked(self, key: tuple[Path, int], error: Exception) -> None:
        self._checks[key] = "⚠ The certificate could not be checked"
        tell_failure(error)
        self._draw()

    def _take(self, entry: ModelEntry) -> None:
        self.refresh()

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", "Models (*.safetensors)")
        if path:
            self.open(Path(path))

    def open(self, path: Path) -> None:
        """Open a model file; one that is broken, or made for another task, is refused with a notification."""
        try:
            entry = session_models.open(path)
            if entry.card is not None and self.task not in (None, entry.card.task):
                raise ModelFileError(
                    f"Model '{entry.name}' is made for {entry.card.task}, not for {self.task}. "
                    f"Use it in the other panel, or choose another model."
                )
        except ModelFileError as error:
            tell_failure(error)
        else:
            self.choose(entry.path)


def pickers_for(entry: ModelEntry, viewer: Any) -> list[ModelPicker]:
    """Return the lists in the docks of `viewer` that offer `entry`."""
    pickers = [picker for panel in docked(viewer) for picker in panel.findChildren(ModelPicker)]
    return [picker for picker in pickers if entry.card is not None and picker.task in (None, entry.card.task)]


def _check(path: Path) -> CertificateCheck | None:
    from unveil.tasks.certificate import check_certificate

    return check_certificate(path)


def summarize(card: ModelCard) -> str:
    """Return what a biologist wants to know before choosing: what for, of what scale, how good."""
    kind = "Filter" if card.is_filter else _NETWORKS[card.architecture.kind]
    channels = count(card.in_channels, "channel")
    facts = [f"{kind} {card.n_dims}D", channels]
    if card.pixel_size_um:
        facts.append(f"{format_pixel_size(card.pixel_size_um)}/px")
    lines = [" · ".join(facts)]
    if card.description or card.training_data:
        lines.append(_first_sentence(card.description or card.training_data))
    lines += [f"{_score(scores.values)} on {_first_sentence(scores.data)}" for scores in card.scores[:1]]
    return "\n".join(lines)


def describe(card: ModelCard) -> str:
    """Return the card as a tooltip."""
    lines = [card.name, card.description, _titled("Trained on", card.training_data), _titled("Licence", card.license)]
    lines += [f"{_score(scores.values)} on {scores.data}" for scores in card.scores]
    lines += [_titled("Classes", ", ".join(card.classes)), _titled("Weights", card.weights_sha256[:12])]
    return "\n".join(line for line in lines if line)


def _titled(title: str, text: str) -> str:
    return f"{title}: {text}" if text else ""


def _first_sentence(text: str) -> str:
    sentence = text.strip().split(". ")[0].rstrip(".")
    return sentence if len(sentence) <= _MAX_SENTENCE else sentence[: _MAX_SENTENCE - 1].rstrip() + "…"


def _score(values: Any) -> str:
    """Return the one or two scores that say most."""
    found = []
    if isinstance(values.get("iou"), int | float):
        found.append(f"IoU {values['iou']:.2f}")
    average_precision = values.get("ap")
    if isinstance(average_precision, dict) and isinstance(average_precision.get("0.50"), int | float):
        found.append(f"AP {average_precision['0.50']:.2f}")
    if isinstance(values.get("psnr"), int | float) and isinstance(values.get("psnr_noisy"), int | float):
        found.append(f"PSNR +{values['psnr'] - values['psnr_noisy']:.1f} dB")
    return ", ".join(found) or "Measured"
