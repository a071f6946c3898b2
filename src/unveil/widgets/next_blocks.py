"""The button "Annotate here next": blocks ranked by what annotating them would teach, drawn on the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from unveil.data.annotation import Annotation
from unveil.errors import ConfigError
from unveil.events import Monitor
from unveil.widgets.job_button import Assignment, JobButton
from unveil.widgets.layer_annotation import judged_so_far
from unveil.widgets.layers import Source, source_of
from unveil.widgets.notify import tell
from unveil.widgets.press_button import PressButton
from unveil.widgets.suggested_layer import SuggestedLayers
from unveil.widgets.training_layers import Sparse
from unveil.words import count

if TYPE_CHECKING:
    from unveil.tasks.suggest import SuggestedBlock
    from unveil.widgets.train_form import TrainForm


@dataclass(frozen=True, slots=True, eq=False)
class SuggestionRequest:
    """What is looked through, as the panel stood when the button was pressed.

    Attributes
    ----------
    ids
        Of the layers, one per source.
    annotations
        What was judged so far, one per source; None where nothing was.
    """

    sources: tuple[Source, ...]
    ids: tuple[Any, ...]
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

    def __init__(self, viewer: Any, form: TrainForm, trained: Callable[[], Path | None]) -> None:
        super().__init__()
        self._form, self._trained = form, trained
        self.layers = SuggestedLayers(viewer)
        self.button = JobButton("Annotate here next", self._prepare, self)
        self.button.bar.button.setToolTip(
            "Draw the blocks that would teach the model most: with objects on background, then also where it expects\n"
            "to be wrong, and that look like many others.\n"
            "It asks the model that was trained last, or the one that a training starts from."
        )
        self.done_button = PressButton("Selected blocks are annotated")
        self.done_button.setToolTip(
            "When everything inside is painted: select the blocks in the layer, then press.\n"
            "They move to a layer 'annotated blocks' of their image, and a training learns from what is inside them."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button.bar)
        layout.addWidget(self.done_button)
        self.done_button.clicked.connect(self.take_selected)
        self.draw()

    def take_selected(self) -> None:
        """Let the selected blocks count as annotated, and nothing outside of them but what is painted sparsely."""
        is_sparse = isinstance(self._form.extent.extent(), Sparse)
        annotated = self.layers.take_selected()
        if annotated is None:
            tell("No block is selected: choose the layer 'annotate next', select blocks, then press again.")
            return
        self._form.extent.choose(Sparse(annotated) if is_sparse else annotated)
        self._form.pairs.keep()
        self.draw()

    def draw(self) -> None:
        """Show what can be pressed."""
        self.setVisible(self._form.task.is_segmentation and self._form.n_dims == 2)
        self.done_button.setVisible(any(layer.nshapes for layer in self.layers.layers()))

    def close_for_good(self) -> None:
        """End the job; the panel is gone."""
        self.button.close_for_good()

    def _prepare(self) -> Assignment:
        request = self._request()
        return Assignment(request, "Looking for blocks to annotate", partial(self._show, request))

    def _request(self) -> SuggestionRequest:
        pairs = [(pair.image, pair) for pair in self._form.pairs.pairs() if pair.image is not None and pair.axes_meant]
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
            tuple(source_of(image, pair.axes_meant) for image, pair in pairs),
            tuple(image.unique_id for image, _ in pairs),
            tuple(judged_so_far(image, pair.target, pair.axes_meant, extent) for image, pair in pairs),
            model,
        )

    def _show(self, request: SuggestionRequest, blocks: list[SuggestedBlock]) -> str:
        self.layers.show(blocks, request.sources, request.ids)
        self.draw()
        if not blocks:
            return "Every block is annotated. If only a part is, choose 'only inside shapes' under 'Annotated'."
        return f"{count(len(blocks), 'block')}, the first one first: {blocks[0].reason}."
