"""What a network in training makes of an image, shown while it learns."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.errors import ImageError
from unveil.image import Image, frames, whole
from unveil.operators.finite import usable
from unveil.operators.normalization import fit_array
from unveil.training.lesson import Lesson
from unveil.training.validation import Apply, maps_of
from unveil.words import count


def preview_maps(network: Apply, image: Image, lesson: Lesson) -> NDArray[np.float32]:
    """Return class probabilities ``(n_classes, *spatial)``, or the denoised channels in grey values ``(C, *spatial)``.

    Parameters
    ----------
    image
        One plane, or one volume for a network of volumes; pixels that are not finite or too large count as the lowest.

    Raises
    ------
    ImageError
        If a segmentation network takes another number of channels.
    """
    n_dims, task = lesson.architecture.n_dims, lesson.card_fields["task"]
    n_channels, n_expected = image.size("C"), lesson.architecture.in_channels
    if task == "segmentation" and n_channels != n_expected:
        raise ImageError(
            f"The image to preview has {count(n_channels, 'channel')}; the network in training takes {n_expected}. "
            f"Show an image like those that it learns from."
        )
    channels = tuple(range(n_channels))
    groups = [channels] if task == "segmentation" else [(channel,) for channel in channels]
    maps = []
    for group in groups:
        frame = next(frames(image, n_dims, group))
        grey = frame.read(whole(frame.shape[1:]))
        is_finite = ~np.isnan(usable(grey))
        if not is_finite.all():
            grey = np.where(is_finite, grey, grey[is_finite].min() if is_finite.any() else 0)
        intensities = fit_array(lesson.normalization, grey)
        output = maps_of(network, intensities.apply(grey), lesson.architecture)
        maps.append(output if task == "segmentation" else intensities.restore(output))
    if task == "segmentation":
        n_classes = len(lesson.card_fields["classes"])
        scores = torch.from_numpy(maps[0][:n_classes]) / lesson.learnt_at
        probabilities: NDArray[np.float32] = torch.softmax(scores, dim=0).numpy()
        return probabilities
    return np.concatenate(maps)
