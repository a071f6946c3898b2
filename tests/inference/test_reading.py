"""Frames as networks want them: reflected, filled and normalized alike in every window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unveil.config.normalization import FixedNormalization, PercentileNormalization, StandardNormalization
from unveil.image import Frame, Image, frames
from unveil.inference import reading
from unveil.inference.reading import ArrayFrame, FilledFrame, NormalizedFrame, Readable, blocks, kept, survey
from unveil.inference.tiling import Window
from unveil.operators.normalization import fit


def filled(frame: Readable) -> FilledFrame:
    return FilledFrame(frame, survey(blocks(frame)))


def normalized(frame: Readable, normalization: Any) -> NormalizedFrame:
    return NormalizedFrame(filled(frame), fit(normalization, lambda: blocks(frame)), "reflect")


def whole(shape: tuple[int, ...]) -> Window:
    return tuple(slice(0, size) for size in shape)


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.data())
def test_window_beyond_the_frame_is_cut_from_the_extended_frame(height: int, width: int, data: st.DataObject) -> None:
    grey = np.arange(height * width, dtype=np.float32).reshape(1, height, width)
    frame = ArrayFrame(grey)
    extended = np.pad(grey, ((0, 0), (0, 16), (0, 16)), mode="reflect")
    starts = [data.draw(st.integers(0, 12)) for _ in range(2)]
    window = tuple(slice(start, start + data.draw(st.integers(1, 4))) for start in starts)
    normalization = FixedNormalization(mean=(0.0,), std=(1.0,))
    read = normalized(frame, normalization).read(window)
    np.testing.assert_array_equal(read, extended[(slice(None), *window)])


@pytest.mark.parametrize("normalization", [PercentileNormalization(), StandardNormalization()])
@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_every_window_is_normalized_alike(rng: np.random.Generator, normalization: Any, dtype: Any) -> None:
    frame = ArrayFrame((rng.random((2, 30, 40)) * 1000).astype(dtype))
    prepared = normalized(frame, normalization)
    everything = prepared.read(whole((30, 40)))
    part = (slice(7, 19), slice(3, 40))
    np.testing.assert_array_equal(prepared.read(part), everything[(slice(None), *part)])
    assert everything.dtype == np.float32


def test_reading_touches_the_window_alone() -> None:
    class Watched:
        shape, dtype = (1000, 1000), np.dtype(np.uint8)
        asked: list[tuple[slice, ...]]

        def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.uint8]:
            self.asked.append(key)
            return np.ones([s.stop - s.start for s in key], np.uint8)

    data = Watched()
    data.asked = []
    frame = next(frames(Image(data, "YX"), 2, (0,)))
    prepared = normalized(frame, FixedNormalization(mean=(0.0,), std=(1.0,)))
    data.asked.clear()
    prepared.read((slice(992, 1008), slice(8, 16)))
    assert data.asked == [(slice(984 + 7, 1000), slice(8, 16))]


def test_survey_of_good_pixels(rng: np.random.Generator) -> None:
    grey = rng.integers(0, 4000, (3, 20, 30)).astype(np.uint16)
    found = survey(blocks(ArrayFrame(grey)))
    np.testing.assert_allclose(found.mean, grey.mean(axis=(1, 2)))
    assert (found.n_filled, found.is_constant, found.is_blank) == (0, False, False)


def test_survey_looks_at_every_block(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK_PIXELS", 64)
    grey = rng.random((1, 33, 47))
    grey[0, 32, 46] = np.inf
    found = survey(blocks(ArrayFrame(grey)))
    assert found.n_filled == 1
    np.testing.assert_allclose(found.mean, grey[np.isfinite(grey)].mean(), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e20])
def test_unusable_pixels_are_filled_with_the_mean(bad: float) -> None:
    grey = np.array([[[1.0, 3.0], [bad, 2.0]]])
    frame = ArrayFrame(grey)
    found = survey(blocks(frame))
    assert found.n_filled == 1
    np.testing.assert_array_equal(filled(frame).read(whole((2, 2))), [[[1, 3], [2, 2]]])
    np.testing.assert_array_equal(grey, [[[1.0, 3.0], [bad, 2.0]]])  # the user's pixels stay as they were


def test_channels_are_filled_each_with_its_own_mean() -> None:
    grey = np.array([[[1.0, np.nan]], [[np.nan, 5.0]]])
    frame = ArrayFrame(grey)
    np.testing.assert_array_equal(filled(frame).read(whole((1, 2))), [[[1, 1]], [[5, 5]]])


@pytest.mark.parametrize(
    ("grey", "is_constant", "is_blank"),
    [
        (np.full((1, 4, 4), 7, np.int16), True, False),
        (np.array([[[2.0, np.nan]]]), True, False),
        (np.full((2, 4, 4), np.nan), True, True),
        (np.stack([np.zeros((2, 2)), np.eye(2)]), False, False),
    ],
)
def test_constant_and_blank_frames_are_seen(grey: NDArray[Any], is_constant: bool, is_blank: bool) -> None:
    found = survey(blocks(ArrayFrame(grey)))
    assert (found.is_constant, found.is_blank) == (is_constant, is_blank)


def test_frames_of_images_are_readable(make_blobs: Any) -> None:
    image = make_blobs((3, 2, 24, 32), "TCYX")
    frame: Frame = list(frames(image, 2, (1,)))[2]
    prepared = normalized(frame, FixedNormalization(mean=(0.0,), std=(1.0,)))
    np.testing.assert_array_equal(prepared.read(whole((24, 32)))[0], image.data[2, 1])


def test_small_frames_are_read_once(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    frame = next(frames(Image(rng.random((9, 11)), "YX"), 2, (0,)))
    assert isinstance(kept(frame), ArrayFrame)
    np.testing.assert_array_equal(kept(frame).read(whole((9, 11))), frame.read(whole((9, 11))))
    monkeypatch.setattr(reading, "_KEPT_PIXELS", 98)
    assert kept(frame) is frame


def test_blocks_hold_each_pixel_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK_PIXELS", 27)
    grey = np.arange(2 * 5 * 7 * 8, dtype=np.uint16).reshape(2, 5, 7, 8)
    seen = np.concatenate([block.reshape(2, -1) for block in blocks(ArrayFrame(grey))], axis=1)
    np.testing.assert_array_equal(np.sort(seen, axis=1), grey.reshape(2, -1))
