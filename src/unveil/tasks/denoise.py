"""The door `denoise`: an image and a model in, the same image with less noise out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import DenoisingOptions
from unveil.errors import ImageError
from unveil.events import Monitor, warn_only
from unveil.image import Frame, Image, frames, n_frames, whole
from unveil.inference.tiling import Window
from unveil.model.model import Model
from unveil.tasks.assessment import Assessment, spread_over
from unveil.tasks.filters import with_chosen_size
from unveil.tasks.matching import card_of, channel_sets, check_match
from unveil.tasks.rescaling import scale_factors
from unveil.tasks.residual import residual_of
from unveil.tasks.results import Denoised, Journal, WritableArray, denoised_axes
from unveil.tasks.running import running

_DEFAULTS = DenoisingOptions()


def denoise(
    image: Image,
    model: Model,
    *,
    options: DenoisingOptions | Mapping[str, Any] = _DEFAULTS,
    into: WritableArray | None = None,
    journal: Journal | None = None,
    cluster: str | None = None,
    monitor: Monitor = warn_only,
) -> Denoised:
    """Denoise every plane (2D models) or volume (3D models) of `image`.

    A model of one channel denoises each channel of the image by itself, unless one is chosen. The image is resized
    only where `options` give a factor, since noise changes with every resizing.

    Parameters
    ----------
    image
        Intensities of any integer or float dtype, ``([T,] [C,] [Z,] Y, X)``.
    model
        A denoising model, as `load_model` or `train` returns it.
    options
        Where and how to compute.
    into
        Float array to write to, for results larger than memory, of the image's shape (less C where one channel is
        chosen); a new NumPy array of float32 if not given.
    journal
        Which tiles the array holds from a run of the same image, model and options that was ended: they are not
        computed again. Those that are computed now are added.
    cluster
        Address of a dask.distributed scheduler, such as ``tcp://host:8786``: its workers compute, read what `image`
        holds and write to `into`, zarr arrays in a folder that all of them see.
    monitor
        Called at least once per tile; it may raise `Cancelled`, which ends the work.

    Returns
    -------
    denoised
        The image in float32 and its own grey values, what was removed where asked for, and the report of the run.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image cannot be used, does not fit the model, or an option names what is not there; nothing is
        written then.
    EngineError
        If the engine fails, or memory does not suffice for the smallest tile.
    Cancelled
        From the monitor.
    """
    options = DenoisingOptions.from_values(options)
    check_match(image, card_of(model), "denoising")
    model = with_chosen_size(model, options)
    card = model.card
    sets = channel_sets(image, card, options.channel)
    scale = scale_factors(image, card, options.rescale)
    axes = denoised_axes(image, options.channel)
    result = _target(image, axes, into)
    count = n_frames(image, card.n_dims) * len(sets)
    assessment, assessed = Assessment(), set() if options.skip_assessment else spread_over(count)
    with running(
        image,
        [model],
        options,
        scale=scale,
        n_frames=count,
        journal=journal,
        cluster=cluster,
        arrays=[result],
        monitor=monitor,
    ) as run:
        if not options.skip_check:
            run.compare(sets)
        for number, frame in enumerate(frame for each in sets for frame in frames(image, card.n_dims, each)):
            target = _FrameTarget(result, axes, frame, assessment)
            found = run.predict(frame, target.write, target.see)
            if found.is_constant:
                target.write_constant(found.mean)
            elif number in assessed:
                for probe in run.probes(target.read):
                    assessment.add(probe.noisy, probe.denoised, probe.answer)
        report = run.finish(assessed=assessment.results(image))
    names = image.channel_names if "C" in axes else ()
    denoised = image.like(result, axes, channel_names=names)
    channel = image.channel_index(options.channel) or 0
    residual = residual_of(image, denoised, channel) if options.residual else None
    return Denoised(denoised, report, residual, assessment.autocorrelation)


class _FrameTarget:
    """Where one frame lies in the result."""

    def __init__(self, result: WritableArray, axes: str, frame: Frame, assessment: Assessment) -> None:
        self._result, self._axes, self._frame, self._assessment = result, axes, frame, assessment

    def write(self, window: Window, grey: NDArray[np.float32]) -> None:
        """Put the channels ``(C, *window)`` of this frame."""
        self._assessment.see(grey)
        for channel, plane in zip(self._frame.channels, grey, strict=True):
            self._result[self._key(channel, window)] = plane

    def see(self, window: Window) -> None:
        """Take what was put before into the range of the denoised image."""
        self._assessment.see(self.read(window))

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return the channels ``(C, *window)`` that were put."""
        return np.stack([np.asarray(self._result[self._key(channel, window)]) for channel in self._frame.channels])

    def write_constant(self, values: NDArray[np.float64]) -> None:
        """Put one value per channel."""
        sizes = self._frame.shape[1:]
        planes = np.broadcast_to(values.astype(np.float32).reshape(-1, *[1] * len(sizes)), self._frame.shape)
        self.write(whole(sizes), np.ascontiguousarray(planes))

    def _key(self, channel: int, window: Window) -> tuple[Any, ...]:
        return tuple(
            channel if axis == "C" else part
            for axis, part in zip(self._axes, self._frame.result_key(self._axes, window), strict=True)
        )


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
