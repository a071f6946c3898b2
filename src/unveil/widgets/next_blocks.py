"""The button "Annotate here next": blocks ranked by what annotating them would teach, drawn on the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, InputError
from unveil.events import Monitor, Progress
from unveil.widgets.job import Job
from unveil.widgets.layer_annotation import judged_so_far
from unveil.widgets.layers import Source, source_of
from unveil.widgets.notify import tell, tell_failure
from unveil.widgets.run_bar import PanelState, RunBar
from unveil.widgets.suggested_layer import SuggestedLayers
from unveil.widgets.training_layers import Rectangles

if TYPE_CHECKING:
    from unveil.tasks.suggest import SuggestedBlock
    from unveil.widgets.train_form import TrainForm


@dataclass(frozen=True, slots=True, eq=False)
class SuggestionRequest:
    """What is looked through, as the panel stood when the button was pressed.

    Attributes
    ----------
    annotations
        What was judged so far, one per source; None where nothing was.
    """

    sources: tuple[Source, ...]
    annotations: tuple[Annotation | None, ...]
    model: Path

    def __call__(self, monitor: Monitor) -> list[SuggestedBlock]:
        """Rank blocks; called in the job's thread."""
        from unveil.io.model_file import load_model
        from unveil.tasks.suggest import suggest_blocks

        images = [source.image() for source in self.sources]
        return suggest_blocks(images, load_model(self.model), self.annotations, monitor=monitor)


class NextBlocks(QWidget):
    """A button that ranks blocks and draws them, and one that says which of them were annotated.

    Parameters
    ----------
    form
        Which layers are annotated, and how far.
    trained
        Returns the model that was trained last, or None.
    """

    ended = Signal()

    def __init__(self, viewer: Any, form: TrainForm, trained: Callable[[], Path | None]) -> None:
        super().__init__()
        self._form, self._trained = form, trained
        self._job: Job | None = None
        self._words = ""
        self.layers = SuggestedLayers(viewer)
        self.bar = RunBar("Annotate here next")
        self.bar.button.setToolTip(
            "Draw the blocks that would teach the model most: where it expects to be wrong, and for many others.\n"
            "It asks the model that was trained last, or the one that a training starts from."
        )
        self.done_button = QPushButton("Selected blocks are annotated")
        self.done_button.setToolTip(
            "When everything inside is painted: select the blocks in the layer, then press.\n"
            "They move to the layer 'annotated blocks', and a training learns from what is inside them."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar)
        layout.addWidget(self.done_button)
        self.bar.run.connect(self.start)
        self.bar.cancel.connect(self.cancel)
        self.done_button.clicked.connect(self.take_selected)
        self.draw()

    def start(self) -> None:
        """Rank the blocks of the images in the form."""
        if self._job is not None:
            return
        try:
            request = self._request()
        except InputError as error:
            tell_failure(error)
            return
        self._job = job = Job(request, "Looking for blocks to annotate", self)
        job.progressed.connect(partial(self._on_progress, job))
        job.noticed.connect(tell)
        job.succeeded.connect(partial(self._on_success, job, request.sources))
        job.failed.connect(tell_failure)
        job.finished.connect(partial(self._on_finish, job))
        self._words = ""
        self.draw()
        job.start()

    def cancel(self) -> None:
        """Stop looking; the blocks of the last time stay."""
        if self._job is not None:
            self._job.cancel()
            self.bar.draw(PanelState.CANCELLING, "Cancelling…")

    def take_selected(self) -> None:
        """Let the selected blocks count as annotated, and nothing outside of them."""
        into = self.layers.take_selected()
        if into is None:
            tell("No block is selected: choose the layer 'annotate next', select blocks, then press again.")
            return
        self._form.extent.choose(Rectangles(into))
        self.draw()

    def draw(self) -> None:
        """Show what can be pressed."""
        self.setVisible(self._form.task.is_segmentation and self._form.n_dims == 2)
        if self._job is None:
            self.bar.draw(PanelState.READY, self._words)
        elif self.bar.state is not PanelState.CANCELLING:
            self.bar.draw(PanelState.RUNNING, self.bar.line.text())
        self.done_button.setVisible(any(layer.nshapes for layer in self.layers.layers()))

    def close_for_good(self) -> None:
        """End the job; the panel is gone."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def _request(self) -> SuggestionRequest:
        pairs = [pair for pair in self._form.pairs.pairs() if pair.image is not None and pair.axes_meant]
        if not pairs:
            raise ConfigError("There is no image to choose blocks of. Open one, and choose it above.")
        model = self._trained() or self._form.model_to_start_from()
        if model is None:
            raise ConfigError(
                "There is no model to ask: a training would start from scratch. Train once, or choose a model under "
                "'Start from'."
            )
        extent = self._form.extent.extent()
        return SuggestionRequest(
            tuple(source_of(pair.image, pair.axes_meant) for pair in pairs if pair.image is not None),
            tuple(judged_so_far(pair.image, pair.target, pair.axes_meant, extent) for pair in pairs),
            model,
        )

    def _on_progress(self, job: Job, progress: Progress) -> None:
        if job is self._job:
            self.bar.show_progress(progress)

    def _on_success(self, job: Job, sources: tuple[Source, ...], blocks: list[SuggestedBlock]) -> None:
        if job is not self._job:
            return
        self.layers.show(blocks, sources)
        self._words = (
            f"{len(blocks)} blocks, the first one first: {blocks[0].reason}."
            if blocks
            else "Every block is annotated. If only a part is, choose 'only inside shapes' under 'Annotated'."
        )

    def _on_finish(self, job: Job) -> None:
        job.deleteLater()
        if job is not self._job:
            return
        self._job = None
        self.draw()
        self.ended.emit()
