"""The door `verify`: what is promised of a model, checked on this computer and on this image."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import DenoisingOptions, EngineOptions, SegmentationOptions
from unveil.errors import InputError
from unveil.events import Event, Monitor, Progress, warn_only
from unveil.image import Frame, Image, frames, whole
from unveil.inference.engines import NOISE_TOLERANCE, PROBABILITY_TOLERANCE
from unveil.inference.hands import one_by_one
from unveil.inference.labelling import label_frame
from unveil.inference.tiling import Tiling
from unveil.model.card import ModelCard
from unveil.model.lipschitz import model_bound
from unveil.model.model import CHECK_TOLERANCE, Model, compute, digest
from unveil.operators.finite import usable
from unveil.operators.lipschitz import at_most
from unveil.tasks.certificate import check_certificate
from unveil.tasks.denoise import denoise
from unveil.tasks.frame_canvas import FrameCanvas
from unveil.tasks.matching import card_of
from unveil.tasks.results import RunReport, SegmentationSink, segmentation_shapes
from unveil.tasks.running import versions
from unveil.tasks.seen_frame import frame_for, normalized
from unveil.tasks.segment import segment
from unveil.tasks.verification import Check, Setting, Verification
from unveil.words import count

TILE_TOLERANCE = 1e-5
"""Largest difference between tiles and the whole in exact precision: in probability, or of the result's range
(decision 0002)."""
_DEFAULTS = EngineOptions()
_MOST_PX = {2: (512, 512), 3: (48, 160, 160)}
"""So much of an image is looked at, so that the whole fits into memory at once."""
_TILES_PER_SIDE = (2, 3)
_BLOCKS_PER_SIDE = 3
_ROUNDING = 1e-9
"""Of the largest value."""
_SHOWN_DIGITS = 4
Maps = NDArray[np.float32]


def verify(
    model: Model, image: Image, *, options: EngineOptions | Mapping[str, Any] = _DEFAULTS, monitor: Monitor = warn_only
) -> Verification:
    """Check what is promised of `model`, on this computer and on the middle of `image`.

    The weights are those that the card records; the check output is reproduced; tiles equal the whole; the engine that
    a run chooses here equals the bare network in float32 PyTorch on the whole; labels made block by block equal those
    of the whole; the certified bound is the one that the card claims. The network runs on the image as it is, neither
    resized nor denoised before, on at most 512² pixels of the plane, or 48 × 160² of the volume, in the middle.

    Parameters
    ----------
    model
        As `load_model` gives it, or `unveil.io.model_file.read_model`, which does not refuse a damaged one.
    options
        The engine to check.
    monitor
        Called at least once per check and tile; it may raise `Cancelled`, which ends the work.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image is constant or does not fit the model, or a device is asked for that is not there.
    EngineError
        If an engine fails.
    """
    options = EngineOptions.from_values(options)
    card, started = card_of(model), time.monotonic()
    part = _part(frame_for(image, card, options.channel), image)
    found = digest(model.tensors())
    checks = [_check_weights(card, found), _check_output(model)]
    results = _Results(model, part, options, _Progress(monitor))
    if checks[0].passed:
        makers = (_check_tiles, _check_engine, _check_labels)
        checks += [maker(results) for maker in makers]
        checks.append(_check_certificate(model))
    setting = Setting(
        model=card.name,
        model_sha256=found,
        image=image.name,
        image_sha256=_digest_of(np.asarray(part.image.data)),
        part=part.words,
        computer=platform.platform(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - started,
        **results.computed_by(),
    )
    return Verification(setting, tuple(checks), card.scores)


def _check_certificate(model: Model) -> Check:
    name, compared = "certificate", "The certified Lipschitz bound, computed again, with what the card claims"
    checked = check_certificate(model)
    if checked is not None:
        bound = None if checked.bound is None else at_most(checked.bound, _SHOWN_DIGITS)
        return Check(name, compared, bound, checked.promised, "", checked.holds, f"{checked.words}.")
    try:
        bound = at_most(model_bound(model), _SHOWN_DIGITS)
    except InputError:
        return Check(name, compared, None, None, "", None, "No bound is known for filters, and the card claims none.")
    words = f"The output moves by at most {bound:g} times the change of the normalized image. The card claims no bound."
    return Check(name, compared, bound, None, "", None, words)


def _check_weights(card: ModelCard, found: str) -> Check:
    same = found == card.weights_sha256
    words = "They are the same." if same else f"The card records {card.weights_sha256 or 'none'}; found {found}."
    if not same:
        words += " What was not made with these weights was not checked further."
    return Check("weights", "The digest of all weights with the one in the card", None, None, "", same, words)


def _check_output(model: Model) -> Check:
    deviation = model.check_deviation()
    same = bool(deviation <= CHECK_TOLERANCE)
    return Check(
        "check output",
        "What the network makes of the check input, in float32 PyTorch, with what it made when the model was made",
        deviation,
        CHECK_TOLERANCE,
        "",
        same,
        f"The largest difference is {deviation:.2g}.",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What is looked at of an image: one plane or volume of bounded size."""

    image: Image
    frame: Frame
    words: str


class _Progress:
    """Hands on how many tiles are done, and keeps notices to itself: each check says what it found."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._monitor(event)


class _Results:
    """Results of one model on one part of an image, computed in several ways.

    Maps are ``(K, *spatial)``: probabilities of the foreground and the distance, features, or the denoised image in
    grey values.
    """

    def __init__(self, model: Model, part: _Part, options: EngineOptions, monitor: Monitor) -> None:
        self.model, self.card, self.part, self._options = model, model.card, part, options
        self._monitor = monitor
        self._chosen: tuple[Maps, RunReport] | None = None

    @property
    def chosen(self) -> tuple[Maps, RunReport]:
        """By the engine that a run takes here."""
        if self._chosen is None:
            self._chosen = self._run({})
        return self._chosen

    def computed_by(self) -> dict[str, Any]:
        """Return device, engine, precision and versions, as far as anything was computed."""
        if self._chosen is None:
            return {"device": "", "engine": "", "precision": "", "versions": versions("torch")}
        report = self._chosen[1]
        return {name: getattr(report, name) for name in ("device", "engine", "precision", "versions")}

    def tiled(self, tile: int) -> Maps:
        """Return maps in exact precision, from tiles of `tile` pixels."""
        return self._run({"precision": "exact", "tile": tile})[0]

    def bare(self) -> Maps:
        """Return maps of the network itself, in float32 PyTorch on the processor, on the whole at once."""
        seen = normalized(self.part.frame, self.card, name=self.part.image.name)
        sizes = seen.shape[1:]
        extended = Tiling(sizes, self.card.size_step, self.card.size_step, self.card.halo).extended
        window = seen.read(whole(extended))
        everything = compute(self.model.inference_module(), window[np.newaxis])[0]
        maps: Maps = everything[(slice(None), *whole(sizes))]
        if self.card.task == "denoising":
            return seen.intensities.restore(maps)
        return maps if self.card.gives_features else maps[1:]

    def difference(self, one: Maps, other: Maps) -> NDArray[np.float64]:
        """Return the differences in probability, or as a part of the range of `other`."""
        difference = one.astype(np.float64) - other
        if self._is_probability:
            return difference
        return difference / _above_rounding(float(other.max()) - float(other.min()), other)

    @property
    def unit(self) -> str:
        """Of a difference."""
        return "in probability" if self._is_probability else "of the range"

    @property
    def _is_probability(self) -> bool:
        return self.card.task == "segmentation" and not self.card.gives_features

    def _run(self, changes: dict[str, Any]) -> tuple[Maps, RunReport]:
        chosen = self._options.model_dump(exclude={"channel"}) | {"rescale": "off"} | changes
        if self.card.task == "denoising":
            result = denoise(
                self.part.image,
                self.model,
                options=DenoisingOptions(**chosen, skip_assessment=True),
                monitor=self._monitor,
            )
            return self._by_channel(result.image), result.report
        options = SegmentationOptions(**chosen, denoise_first="off")
        found = segment(self.part.image, self.model, options=options, monitor=self._monitor)
        maps = [self._by_channel(found.probabilities if found.features is None else found.features)]
        if found.distance is not None:
            maps.append(np.asarray(found.distance.data)[np.newaxis])
        return np.concatenate(maps), found.report

    def _by_channel(self, image: Image) -> Maps:
        data: Maps = np.asarray(image.data)
        if "C" not in image.axes:
            return data[np.newaxis]
        by_channel: Maps = np.moveaxis(data, image.axes.index("C"), 0)
        return by_channel


def _check_tiles(results: _Results) -> Check:
    card, sizes = results.card, results.part.frame.shape[1:]
    sides = [-(-max(sizes) // n) for n in _TILES_PER_SIDE]
    tilings = [Tiling.of(sizes, side, card.size_step, card.halo) for side in sides]
    compared = "Maps computed in tiles with those computed as a whole, in float32"
    if all(tiling.window == tiling.extended for tiling in tilings):
        words = "The image is too small: each tile's halo takes in the whole. Choose a larger image."
        return Check("tiles", compared, None, TILE_TOLERANCE, results.unit, None, words)
    whole = results.tiled(max(sizes))
    largest = max(float(np.abs(results.difference(results.tiled(side), whole)).max()) for side in sides)
    said = " and ".join(f"{len(tiling)} tiles of {tiling.tile[-1]} pixels" for tiling in tilings)
    equal = "bit for bit the same" if largest == 0 else f"at most {largest:.2g} away"
    words = f"{said} are {equal}."
    return Check("tiles", compared, largest, TILE_TOLERANCE, results.unit, largest <= TILE_TOLERANCE, words)


def _check_engine(results: _Results) -> Check:
    maps, report = results.chosen
    bare = results.bare()
    measured, allowed, unit = _deviation(results, maps, bare, report.precision)
    used = f"{report.engine} on {report.device} in {report.precision}"
    same = bool(measured <= allowed)  # not a number fails too
    compared = "Maps of the engine that a run takes here with those of the bare network in float32 PyTorch, as a whole"
    words = f"A run takes {used}: {measured:.2g} {unit} away, {allowed:g} is allowed."
    if not same and report.precision != "float32":
        words += " Compute images like this one with precision exact (--precision exact)."
    return Check("engine", compared, measured, allowed, unit, same, words)


def _deviation(results: _Results, maps: Maps, bare: Maps, precision: str) -> tuple[float, float, str]:
    """Return what `unveil.inference.engines` promises of a precision: measured, allowed, unit.

    float32 differs a little between libraries, by `CHECK_TOLERANCE` at a pixel at most; half precision by the root mean
    square that counts as negligible there.
    """
    difference = results.difference(maps, bare)
    if precision == "float32":
        return float(np.abs(difference).max()), CHECK_TOLERANCE, f"{results.unit} (largest)"
    if results.card.task == "segmentation":
        return _rms(difference), PROBABILITY_TOLERANCE, f"{results.unit} (RMS)"
    frame = results.part.frame
    noisy = usable(frame.read(whole(frame.shape[1:]))).astype(np.float64)
    removed = _above_rounding(_rms((noisy - bare)[np.isfinite(noisy)]), bare)
    return _rms(maps.astype(np.float64) - bare) / removed, NOISE_TOLERANCE, "of what was removed (RMS)"


def _check_labels(results: _Results) -> Check:
    compared, rule = "Labels made block by block with those made as a whole", results.card.objects
    if rule is None:
        words = "This model makes no objects: each pixel of its result is made by itself."
        return Check("labels", compared, None, 0, "pixels", None, words)
    sizes = results.part.frame.shape[1:]
    side, context = max(sizes), (rule.context_px(len(sizes)),) * len(sizes)
    blocks = Tiling.of(sizes, max(1, -(-side // _BLOCKS_PER_SIDE)), (1,) * len(sizes), context)
    whole, by_block = (
        _labels(results, Tiling.of(sizes, size, (1,) * len(sizes), context)) for size in (side, blocks.tile[-1])
    )
    n_unlike = int(np.count_nonzero(whole != by_block))
    words = (
        f"{count(int(whole.max()), 'object')} from {len(blocks)} blocks: {n_unlike} of {whole.size:,} pixels differ."
    )
    return Check("labels", compared, n_unlike, 0, "pixels", n_unlike == 0, words)


def _labels(results: _Results, blocks: Tiling) -> NDArray[np.int32]:
    """Make labels of the maps, in `blocks`."""
    card, image = results.card, results.part.image
    maps, _ = results.chosen
    shapes = segmentation_shapes(image, card)
    sink = SegmentationSink(
        labels=np.zeros(shapes["labels"], np.int32),
        probabilities=maps[:-1].reshape(shapes["probabilities"]),
        distance=maps[-1].reshape(shapes["distance"]),
    )
    assert card.objects is not None
    label_frame(FrameCanvas(sink, image, results.part.frame, card), card.objects, blocks, 0, one_by_one)
    return np.asarray(sink.labels)


def _part(frame: Frame, image: Image) -> _Part:
    """Cut the middle out of `frame`, at most of the size that fits into memory."""
    sizes = frame.shape[1:]
    window = tuple(_middle(size, most) for size, most in zip(sizes, _MOST_PX[frame.n_dims], strict=True))
    pixels = frame.read(window)
    axes = "ZYX"[-frame.n_dims :]
    several = len(pixels) > 1
    cut = image.like(pixels if several else pixels[0], "C" + axes if several else axes)
    place = "".join(f", {axis} {index}" for axis, index in frame.index.items())
    words = f"pixels {' × '.join(f'{part.start} to {part.stop}' for part in window)}{place}"
    return _Part(cut, next(frames(cut, frame.n_dims, tuple(range(len(pixels))))), words)


def _middle(size: int, most: int) -> slice:
    start = max(0, (size - most) // 2)
    return slice(start, start + min(size, most))


def _digest_of(pixels: NDArray[Any]) -> str:
    sha = hashlib.sha256(f"{pixels.dtype};{pixels.shape};".encode())
    sha.update(np.ascontiguousarray(pixels).tobytes())
    return sha.hexdigest()


def _above_rounding(size: float, values: Maps) -> float:
    """Return `size`, or the rounding of `values` where that is larger; never 0, so that it can be divided by."""
    return max(size, _ROUNDING * float(np.abs(values).max()), float(np.finfo(np.float64).tiny))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
