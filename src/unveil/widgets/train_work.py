"""One training as a job's work: from what the panel asks for to a model in the library. No Qt, no live layers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.config.training import DenoisingTraining, SegmentationTraining, TrainingSettings
from unveil.data.annotation import Annotation, judged_numbers, renumbered
from unveil.data.classes import check_number_of_classes, class_names, painted_number
from unveil.events import Cancelled, Monitor, Notice, ignore
from unveil.image import Image
from unveil.io.card_file import ENDING, read_card
from unveil.io.runs import Run, create_run
from unveil.io.settings import write_settings
from unveil.io.user_folders import own_models_folder
from unveil.io.writing import atomically
from unveil.model.card import ModelCard
from unveil.widgets.folder_pairs import FolderPairs
from unveil.widgets.layers import Source
from unveil.widgets.training_layers import Extent, background_of

if TYPE_CHECKING:
    from unveil.tasks.isolated import IsolatedTraining


_NO_PART_OF_A_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""What Windows takes for a device, whatever its ending."""
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRequest:
    """One training, as the panel stood when the button was pressed.

    Attributes
    ----------
    images, targets
        As the task `train` takes them.
    parent
        Model file to start from, or None.
    taught
        The layers of the first images, those that are not of the folder, as they were.
    shown
        The layer to show the network's output on, and the axes along which only the plane in view is meant.
    folder
        Image files to learn from too.
    class_numbers
        Where the labels of layers are classes, the numbers as they were painted; in `targets` they count from 1.
    """

    images: Sequence[Image] | None
    targets: Sequence[Annotation] | Sequence[Image] | None
    settings: TrainingSettings
    parent: Path | None = None
    taught: Sequence[Source] = ()
    shown: tuple[Source, str] | None = None
    notices: tuple[str, ...] = ()
    folder: FolderPairs | None = None
    class_numbers: tuple[int, ...] = ()

    def without_validation(self) -> TrainingRequest:
        """Return the same training with nothing held out."""
        return replace(self, settings=self.settings.model_copy(update={"validation_fraction": 0.0}))


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes
    ----------
    model
        The model's file in the library of own models.
    """

    model: Path
    card: ModelCard
    run: Run


class TrainingWork:
    """Writes the run, trains in a process of its own, and puts the model into the library.

    Parameters
    ----------
    order
        A new training, or the folder of one that was interrupted.
    """

    def __init__(self, order: TrainingRequest | Run) -> None:
        self._order = order
        self._training: IsolatedTraining | None = None
        self._is_cancelled = self._is_given_up = False

    def __call__(self, monitor: Monitor) -> Trained:
        """Train; called in the job's thread."""
        from unveil.tasks.isolated import IsolatedTraining

        run, preview = self._run(monitor)
        self._training = training = IsolatedTraining(run)
        try:
            if self._is_cancelled:
                raise Cancelled
            if preview is not None:
                training.show(preview)
            return _put_away(run, training.train(monitor))
        except Cancelled:
            if self._is_given_up:
                run.discard()
            raise

    def pause(self) -> None:
        """Hold the training after the step at work."""
        if self._training is not None:
            self._training.pause()

    def go_on(self) -> None:
        """Let a held training go on."""
        if self._training is not None:
            self._training.go_on()

    def stop(self) -> None:
        """End the training and keep the best model."""
        if self._training is not None:
            self._training.stop()

    def show(self, image: Image) -> None:
        """Let previews be of `image`: one plane or volume."""
        if self._training is not None:
            self._training.show(image)

    def give_up(self) -> None:
        """Keep nothing of the training once it is interrupted."""
        self._is_given_up = True

    def interrupt(self) -> None:
        """End the training at once; unless it was given up, it can go on from its last validation."""
        self._is_cancelled = True
        if self._training is not None:
            self._training.cancel()

    def _run(self, monitor: Monitor) -> tuple[Run, Image | None]:
        order = self._order
        if isinstance(order, Run):
            return order, None
        for notice in order.notices:
            monitor(Notice(notice))
        preview = order.shown[0].image(order.shown[1]) if order.shown is not None else None
        images, targets, settings = with_folder(order, monitor)
        return create_run(images, targets, settings, parent=order.parent, monitor=monitor), preview


def with_folder(
    order: TrainingRequest, monitor: Monitor = ignore
) -> tuple[Sequence[Image] | None, Sequence[Annotation] | Sequence[Image] | None, TrainingSettings]:
    """Put the images of the folder to those of the layers; classes are counted over both."""
    images, targets, settings, folder = order.images, order.targets, order.settings, order.folder
    if folder is None:
        return images, targets, settings
    more_images, more_targets = folder.read(monitor)
    if isinstance(settings, SegmentationTraining) and not settings.objects:
        numbers, targets, more_targets = _in_one_numbering(order, folder.extent, targets or (), more_targets or ())
        if numbers:
            settings = settings.model_copy(update={"classes": class_names(numbers)})
    images = None if more_images is None else [*(images or ()), *more_images]
    targets = None if more_targets is None else [*(targets or ()), *more_targets]
    return images, targets, settings


def _in_one_numbering(
    order: TrainingRequest, extent: Extent, ours: Sequence[Any], more: Sequence[Any]
) -> tuple[list[int], list[Annotation], list[Annotation]]:
    """Return the numbers painted in layers or files, and the annotations of both with each number's place from 1."""
    found = sorted({number for annotation in more for number in judged_numbers(annotation)} - {0})
    painted = [painted_number(number, background_of(extent)) for number in found]
    numbers = sorted({*order.class_numbers, *painted})
    check_number_of_classes(len(numbers))
    places = {number: place for place, number in enumerate(numbers, start=1)}
    n_ours = len(order.class_numbers)
    return (
        numbers,
        [renumbered(one, range(1, n_ours + 1), [places[number] for number in order.class_numbers]) for one in ours],
        [renumbered(one, found, [places[number] for number in painted]) for one in more],
    )


def free_name(wanted: str) -> str:
    """Return `wanted` as a file may be called everywhere, with ``-2`` and so on where a model is called so already.

    Windows and macOS do not tell upper from lower case.
    """
    from unveil.io.library import list_models

    wanted = _NO_PART_OF_A_NAME.sub("-", wanted)[:_LONGEST_NAME].strip("-. ") or "model"
    if _DEVICE.match(wanted):
        wanted = f"model-{wanted}"
    taken = {entry.name.casefold() for entry in list_models()}
    names = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name.casefold() not in taken)


def _put_away(run: Run, model: Path) -> Trained:
    """Move the finished model into the library, and write the settings down as they were resolved."""
    card = read_card(model)
    assert card.training is not None
    kind = SegmentationTraining if card.task == "segmentation" else DenoisingTraining
    write_settings(run.resolved_settings_file, kind.model_validate(card.training.config))
    target = own_models_folder() / f"{free_name(card.name)}{ENDING}"
    with atomically(target) as part:
        shutil.copyfile(model, part)
    model.unlink()
    run.discard()
    return Trained(target, card, run)
