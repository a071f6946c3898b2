"""The samples follow from their seeds, and simulate what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unveil.sample_data import make_samples
from unveil.sample_data.make_samples import Microscope, Sample, blur

FOLDER = Path(make_samples.__file__).parent


@pytest.mark.parametrize(
    ("make", "noisy", "other"),
    [
        (make_samples.nuclei, "nuclei", ("nuclei_labels", "labels")),
        (make_samples.filaments, "noisy", ("clean", "clean")),
        (make_samples.volume, "volume", ("volume_labels", "labels")),
    ],
)
def test_the_shipped_files_follow_from_their_seeds(
    make: Callable[[], Sample], noisy: str, other: tuple[str, str]
) -> None:
    sample = make()
    for stem, made in ((noisy, sample.noisy), (other[0], getattr(sample, other[1]))):
        shipped = tifffile.imread(FOLDER / f"{stem}.tif")
        assert shipped.shape == made.shape
        assert shipped.dtype == made.dtype
        # Processors differ in the last digit, which changes a rounding here and there.
        assert np.mean(shipped != made) < 1e-4


def test_another_seed_gives_another_sample() -> None:
    first, second = (make_samples.nuclei((64, 64), n_objects=6, seed=seed) for seed in (1, 2))
    assert not np.array_equal(first.labels, second.labels)


@pytest.mark.parametrize("name", ["nuclei_labels", "volume_labels"])
def test_objects_are_numbered_from_1_and_some_touch(name: str) -> None:
    labels = tifffile.imread(FOLDER / f"{name}.tif")
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    left, right = labels[..., :-1], labels[..., 1:]
    assert np.any((left > 0) & (right > 0) & (left != right))


def test_noise_has_the_variance_of_photons_and_read_out() -> None:
    sample = make_samples.filaments((256, 256), n_objects=0)
    camera = make_samples.Camera(photons=0, background_photons=3)
    electrons = camera.quantum_efficiency * camera.background_photons
    expected = camera.grey_per_electron**2 * (electrons + camera.read_noise_e**2)
    assert sample.noisy.astype(float).var() == pytest.approx(expected, rel=0.05)
    assert sample.noisy.mean() == pytest.approx(camera.offset_grey + camera.grey_per_electron * electrons, abs=0.1)


def test_a_larger_aperture_blurs_less_and_keeps_the_light() -> None:
    point = np.zeros((65, 65))
    point[32, 32] = 1
    wide, narrow = (blur(point, Microscope(pixel_um=0.1, numerical_aperture=na)) for na in (0.4, 1.2))
    assert narrow.max() > 3 * wide.max()
    assert wide.sum() == pytest.approx(1, abs=0.05)
    assert np.unravel_index(narrow.argmax(), narrow.shape) == (32, 32)


def test_a_confocal_microscope_sections() -> None:
    plane = np.zeros((9, 32, 32))
    plane[4] = 1
    confocal, widefield = (
        blur(plane, Microscope(pixel_um=0.2, numerical_aperture=1.1, is_confocal=c))[:, 16, 16] for c in (True, False)
    )
    assert confocal[8] < 0.1 * confocal[4]
    assert widefield[8] > 0.9 * widefield[4]
