"""How well a result agrees with its reference: overlap and object scores, PSNR and SSIM.

A tally counts image by image, so that any number of images is scored with one of them in memory. Segmentation scores
are pooled (all pixels and all objects of all images count alike), denoising scores are means over images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.metrics import structural_similarity

from unveil.errors import ImageError
from unveil.operators.objects import numbered

AP_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""IoU from which an object counts as found."""
SSIM_SIGMA = 1.5
"""Standard deviation of the Gaussian window of SSIM, in pixels (Wang 2004)."""
SSIM_WINDOW = 11
"""Edge of that window, in pixels: images must be at least so large."""
_PIECE_PIXELS = 1 << 20
"""Pixels whose overlaps are counted at once."""


@dataclass(slots=True)
class ObjectTally:
    """Counts of pixels and objects, pooled over images.

    AP = TP / (TP + FP + FN), where an object is found if it can be matched one to one with an object of the reference
    at an IoU of at least the threshold (the definition of StarDist, arXiv 1806.03535).
    """

    n_images: int = 0
    intersection: int = 0
    n_predicted_px: int = 0
    n_reference_px: int = 0
    n_predicted: int = 0
    n_reference: int = 0
    n_matched: dict[float, int] = field(default_factory=lambda: dict.fromkeys(AP_THRESHOLDS, 0))

    def add(self, labels: NDArray[Any], reference: NDArray[Any], *, is_new_image: bool = True) -> None:
        """Count one plane or volume.

        Parameters
        ----------
        labels, reference
            Integers of equal shape, not negative: 0 is background, each object has its own number.
        is_new_image
            False for further planes of an image that is counted already.
        """
        self.n_images += is_new_image
        found, true, counts = _overlaps(labels.ravel(), reference.ravel())
        self.intersection += int(counts[(found > 0) & (true > 0)].sum())
        self.n_predicted_px += int(counts[found > 0].sum())
        self.n_reference_px += int(counts[true > 0].sum())
        iou = _object_iou(found, true, counts)
        self.n_predicted += iou.shape[0]
        self.n_reference += iou.shape[1]
        for threshold in AP_THRESHOLDS:
            self.n_matched[threshold] += _count_matches(iou, threshold)

    def merge(self, other: ObjectTally) -> None:
        """Add the counts of `other`."""
        self.n_images += other.n_images
        self.intersection += other.intersection
        self.n_predicted_px += other.n_predicted_px
        self.n_reference_px += other.n_reference_px
        self.n_predicted += other.n_predicted
        self.n_reference += other.n_reference
        for threshold in AP_THRESHOLDS:
            self.n_matched[threshold] += other.n_matched[threshold]

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the scores; each is 1 where there is nothing to find and nothing was found."""
        ap = {
            f"{threshold:.2f}": _share(n, self.n_predicted + self.n_reference - n)
            for threshold, n in self.n_matched.items()
        }
        return {
            "n_images": self.n_images,
            **_overlap_scores(self.intersection, self.n_predicted_px, self.n_reference_px),
            "ap": dict(ap),
            "ap_mean": float(np.mean(list(ap.values()))),
        }


@dataclass(slots=True)
class ClassTally:
    """Counts of pixels by class found (rows) and class of the reference (columns), pooled over images."""

    classes: Sequence[str]
    n_images: int = 0
    confusion: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((len(self.classes),) * 2, np.int64)

    def add(self, labels: NDArray[Any], reference: NDArray[Any], *, is_new_image: bool = True) -> None:
        """Count one plane or volume; both hold class numbers, integers of equal shape from 0 to n − 1.

        With `is_new_image` False it belongs to an image that is counted already.
        """
        n = len(self.classes)
        self.n_images += is_new_image
        pairs = labels.ravel().astype(np.int64) * n + reference.ravel().astype(np.int64)
        self.confusion += np.bincount(pairs, minlength=n * n).reshape(n, n)

    def merge(self, other: ClassTally) -> None:
        """Add the counts of `other`, of the same classes."""
        self.n_images += other.n_images
        self.confusion += other.confusion

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the scores: the foreground is every class but the first, and there are no objects to score."""
        found, true = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return {
            "n_images": self.n_images,
            **_overlap_scores(int(self.confusion[1:, 1:].sum()), int(found[1:].sum()), int(true[1:].sum())),
            "ap": None,
            "ap_mean": None,
            "iou_per_class": {
                name: _share(int(self.confusion[i, i]), int(found[i] + true[i] - self.confusion[i, i]))
                for i, name in enumerate(self.classes)
            },
        }


@dataclass(slots=True)
class DenoisingTally:
    """Sums of PSNR (dB) and SSIM over images, before and after denoising."""

    n_images: int = 0
    sums: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("psnr_noisy", "psnr", "ssim_noisy", "ssim"), 0.0)
    )

    def add(
        self, noisy: NDArray[Any], result: NDArray[Any], clean: NDArray[Any], *, fit_gain_first: bool = False
    ) -> None:
        """Score one image, shape ``(..., Y, X)`` of any real dtype, all three alike.

        With `fit_gain_first`, gain and offset of `noisy` and of `result` are fitted to `clean` before.

        Raises
        ------
        ImageError
            If the image is too small for SSIM, or the clean image has no range.
        """
        if fit_gain_first:
            noisy, result = fit_gain(noisy, clean), fit_gain(result, clean)
        scores = {
            "psnr_noisy": psnr(noisy, clean),
            "psnr": psnr(result, clean),
            "ssim_noisy": ssim(noisy, clean),
            "ssim": ssim(result, clean),
        }
        self.n_images += 1
        self.sums = {name: self.sums[name] + score for name, score in scores.items()}

    def merge(self, other: DenoisingTally) -> None:
        """Add the sums of `other`."""
        self.n_images += other.n_images
        self.sums = {name: total + other.sums[name] for name, total in self.sums.items()}

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the means over images; None where an image equals its clean one and its PSNR is infinite."""
        means = {name: total / max(self.n_images, 1) for name, total in self.sums.items()}
        return {"n_images": self.n_images, **{name: m if np.isfinite(m) else None for name, m in means.items()}}


def peak(clean: NDArray[Any]) -> float:
    """Return the peak for PSNR and SSIM: 255 for uint8, the range of `clean` otherwise.

    Raises
    ------
    ImageError
        If the range is 0.
    """
    if clean.dtype == np.uint8:
        return 255.0
    value = float(clean.max()) - float(clean.min())
    if value == 0:
        raise ImageError(
            f"The clean image is constant ({clean.flat[0]}), so that PSNR and SSIM have no peak to refer to. "
            f"Leave it out, or give it as uint8, where the peak is 255."
        )
    return value


def psnr(image: NDArray[Any], clean: NDArray[Any]) -> float:
    """Return 10 log10(peak² / mean squared difference) in dB; infinite where the two are equal."""
    error = np.mean((image.astype(np.float64) - clean.astype(np.float64)) ** 2)
    return float(10 * np.log10(peak(clean) ** 2 / error)) if error > 0 else float("inf")


def ssim(image: NDArray[Any], clean: NDArray[Any]) -> float:
    """Return the structural similarity (Wang 2004) with a Gaussian window, mean over the planes ``(Y, X)``.

    Raises
    ------
    ImageError
        If Y or X is smaller than the window.
    """
    if min(clean.shape[-2:]) < SSIM_WINDOW:
        raise ImageError(
            f"The image is {clean.shape[-2]}×{clean.shape[-1]} pixels; SSIM needs at least "
            f"{SSIM_WINDOW}×{SSIM_WINDOW}. Give a larger image."
        )
    data_range, planes = peak(clean), (-1, *clean.shape[-2:])
    values = [
        structural_similarity(  # type: ignore[no-untyped-call]
            one, other, data_range=data_range, gaussian_weights=True, sigma=SSIM_SIGMA, use_sample_covariance=False
        )
        for one, other in zip(
            image.reshape(planes).astype(np.float64), clean.reshape(planes).astype(np.float64), strict=True
        )
    ]
    return float(np.mean(values))


def fit_gain(image: NDArray[Any], clean: NDArray[Any]) -> NDArray[np.float64]:
    """Return gain · `image` + offset that comes nearest to `clean` in least squares."""
    x, y = image.astype(np.float64), clean.astype(np.float64)
    centred = x - x.mean()
    power = np.mean(centred**2)
    gain = np.mean(centred * (y - y.mean())) / power if power > 0 else 0.0
    fitted: NDArray[np.float64] = gain * centred + y.mean()
    return fitted


def _overlap_scores(intersection: int, n_predicted_px: int, n_reference_px: int) -> dict[str, JsonValue]:
    total = n_predicted_px + n_reference_px
    return {"iou": _share(intersection, total - intersection), "dice": _share(2 * intersection, total)}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _overlaps(labels: NDArray[Any], reference: NDArray[Any]) -> tuple[NDArray[np.int64], ...]:
    """Return each pair of numbers that lie on each other, piece by piece of the image, and on how many pixels.

    Runs of equal pixels are counted in pieces that a processor's cache holds: the time grows with the pixels, and no
    faster.
    """
    pieces = [np.empty((3, 0), np.int64)]
    for start in range(0, labels.size, _PIECE_PIXELS):
        found, true = (one[start : start + _PIECE_PIXELS] for one in (labels, reference))
        starts = np.concatenate([[0], np.flatnonzero((found[1:] != found[:-1]) | (true[1:] != true[:-1])) + 1])
        lengths = np.diff(starts, append=found.size)
        ids, reference_ids, overlap = _summed(found[starts].astype(np.int64), true[starts].astype(np.int64), lengths)
        pairs = overlap.tocoo()
        pieces.append(np.stack([ids[pairs.row], reference_ids[pairs.col], pairs.data]))
    found, true, counts = np.concatenate(pieces, axis=1)
    return found, true, counts


def _object_iou(found: NDArray[np.int64], true: NDArray[np.int64], counts: NDArray[np.int64]) -> csr_array:
    """Return the IoU of each object (rows) with each object of the reference (columns) that it overlaps."""
    ids, reference_ids, overlap = _summed(found, true, counts)
    area, reference_area = overlap.sum(axis=1), overlap.sum(axis=0)
    pairs = overlap.tocoo()
    union = area[pairs.row] + reference_area[pairs.col] - pairs.data
    # background, id 0, is no object: its row and column come first where they exist
    first_row, first_column = (int(not one[:1].any() and one.size > 0) for one in (ids, reference_ids))
    iou = csr_array((pairs.data / union, (pairs.row, pairs.col)), shape=overlap.shape)
    return iou[first_row:, first_column:]


def _summed(
    found: NDArray[np.int64], true: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], csr_array]:
    """Return the different numbers of both, ascending, and the sum of `counts` for each pair of them."""
    ids, row = numbered(found)
    reference_ids, column = numbered(true)
    shape = (ids.size, reference_ids.size)
    return ids, reference_ids, coo_array((counts, (row, column)), shape=shape).tocsr()


def _count_matches(iou: csr_array, threshold: float) -> int:
    """Count the most pairs, one to one, of an IoU of at least `threshold`."""
    if not iou.nnz:
        return 0
    enough = iou >= threshold
    return int(np.count_nonzero(maximum_bipartite_matching(enough.tocsr(), perm_type="column") >= 0))
