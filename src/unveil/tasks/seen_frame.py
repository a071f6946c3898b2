"""One frame of an image as a network sees it in a run: finite, resized, normalized."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import NDArray

from unveil.errors import ImageError
from unveil.image import Frame, Image, middle_frame, whole
from unveil.inference.reading import ArrayFrame, FilledFrame, NormalizedFrame, Readable, Survey, blocks, kept, survey
from unveil.model.card import ModelCard
from unveil.operators.normalization import fit
from unveil.operators.receptive_field import extension
from unveil.tasks.matching import channel_sets, check_match
from unveil.tasks.rescaling import resized, resized_shape


def frame_for(image: Image, card: ModelCard, channel: int | str | None) -> Frame:
    """Return the frame in the middle of `image`, which stands for all, with the channels that a run takes together.

    Of the channels that a denoiser takes one by one, the first is taken.

    Raises
    ------
    ImageError, MismatchError
        If `image` is none, or does not fit the model.
    """
    check_match(image, card, card.task)
    return middle_frame(image, card.n_dims, channel_sets(image, card, channel)[0])


def normalized(frame: Readable, card: ModelCard, scale: tuple[float, ...] = (), *, name: str) -> NormalizedFrame:
    """Normalize `frame` as the model's card says, resized by `scale` before.

    Parameters
    ----------
    scale
        Factors per spatial axis; empty for none.
    name
        What a message calls the image.

    Raises
    ------
    ImageError
        If the frame is constant: nothing can be told from it.
    """
    frame = kept(frame)
    found = survey(blocks(frame))
    if found.is_constant:
        raise ImageError(f"Image '{name}' is constant, or holds no finite pixel. Choose an image that shows something.")
    if scale:
        small = resized_frame(FilledFrame(frame, found), resized_shape(frame.shape[1:], scale))
        return normalized(small, card, name=name)
    return as_seen(frame, found, card)


def as_seen(
    frame: Readable, found: Survey, card: ModelCard, pieces: Callable[[], Iterable[NDArray[Any]]] | None = None
) -> NormalizedFrame:
    """Normalize `frame`, of which `found` was found, as the model's card says.

    Parameters
    ----------
    pieces
        Gives what `blocks` makes of the frame, anew at each call; `blocks` itself if not given.
    """
    intensities = fit(card.normalization, pieces or (lambda: blocks(frame)))
    return NormalizedFrame(FilledFrame(frame, found), intensities, extension(card.architecture))


def resized_frame(frame: Readable, shape: tuple[int, ...]) -> ArrayFrame:
    """Resize all of `frame`, whose pixels are finite, to the spatial `shape`."""
    return ArrayFrame(resized(frame.read(whole(frame.shape[1:])), shape))


def blank_error(name: str) -> ImageError:
    """Say that no pixel of the image called `name` can be used."""
    return ImageError(
        f"Image '{name}' holds no finite pixel: all are NaN or infinite. Check how it was computed or saved."
    )
