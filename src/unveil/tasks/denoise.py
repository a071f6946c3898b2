"""The door `denoise`: an image and a model in, the same image with less noise out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.axes import without
from unveil.config.options import DenoisingOptions
from unveil.errors import ImageError
from unveil.events import Monitor, warn_only
from unveil.image import Frame, Image, frames, n_frames
from unveil.inference.tiling import Window
from unveil.model.model import Model
from unveil.tasks.filters import with_chosen_size
from unveil.tasks.matching import card_of, channel_sets, check_match
from unveil.tasks.rescaling import scale_factors
from unveil.tasks.results import Denoised, WritableArray
from unveil.tasks.running import running

_DEFAULTS = DenoisingOptions()


def denoise(
    image: Image,
    model: Model,
    *,
    options: DenoisingOptions = _DEFAULTS,
    into: WritableArray | None = None,
    monitor: Monitor = warn_only,
) -> Denoised:
    """Denoise every plane (2D models) or volume (3D models) of `image`.

    A model of one channel denoises each channel of the image by itself, unless one is chosen. The image is resized
    only where `options` give a factor, since noise changes with every resizing.

    Parameters
    ----------
    into
        Float array to write to, for results larger than memory, of the image's shape (less C where one channel is
        chosen); a new NumPy array of float32 if not given.
    monitor
        Called at least once per tile; it may raise `Cancelled`, which ends the work.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image cannot be used, does not fit the model, or an option names what is not there; nothing is
        written then.
    EngineError
        If the engine fails, or memory does not suffice for the smallest tile.
    """
    check_match(image, card_of(model), "denoising")
    model = with_chosen_size(model, options)
    card = model.card
    sets = channel_sets(image, card, options.channel)
    scale = scale_factors(image, card, "off" if options.rescale == "auto" else options.rescale)
    axes = image.axes if options.channel is None else without(image.axes, "C")
    result = _target(image, axes, into)
    count = n_frames(image, card.n_dims) * len(sets)
    with running(image, model, options, scale=scale, n_frames=count, monitor=monitor) as run:
        for channels in sets:
            for frame in frames(image, card.n_dims, channels):
                target = _FrameTarget(result, axes, frame)
                found = run.predict(frame, target.write)
                if found.is_constant:
                    target.write_constant(found.mean)
        report = run.finish()
    names = image.channel_names if "C" in axes else ()
    return Denoised(image.like(result, axes, channel_names=names), report)


class _FrameTarget:
    """Where one frame lies in the result."""

    def __init__(self, result: WritableArray, axes: str, frame: Frame) -> None:
        self._result, self._axes, self._frame = result, axes, frame

    def write(self, window: Window, grey: NDArray[np.float32]) -> None:
        """Put the channels ``(C, *window)`` of this frame."""
        for channel, plane in zip(self._frame.channels, grey, strict=True):
            key: tuple[Any, ...] = tuple(
                channel if axis == "C" else part
                for axis, part in zip(self._axes, self._frame.result_key(self._axes, window), strict=True)
            )
            self._result[key] = plane

    def write_constant(self, values: NDArray[np.float64]) -> None:
        """Put one value per channel."""
        sizes = self._frame.shape[1:]
        planes = np.broadcast_to(values.astype(np.float32).reshape(-1, *[1] * len(sizes)), self._frame.shape)
        self.write(tuple(slice(0, size) for size in sizes), np.ascontiguousarray(planes))


def _target(image: Image, axes: str, into: WritableArray | None) -> WritableArray:
    """Return the array to write to, checked."""
    shape = tuple(image.size(axis) for axis in axes)
    if into is None:
        return np.zeros(shape, np.float32)
    if tuple(into.shape) != shape or np.dtype(into.dtype).kind != "f":
        raise ImageError(
            f"The array to write to has shape {tuple(into.shape)} and dtype {into.dtype}; "
            f"the result needs {shape} and a float dtype. Make one that has."
        )
    return into
