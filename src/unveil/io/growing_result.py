"""Results larger than memory: OME-Zarr that is written while it is computed and goes on after it was killed.

::

    results/
    ├── cells_segmentation.ome.zarr              stands here when it is whole, an earlier one until then
    └── .cells_segmentation.ome.zarr.part/       while it grows
        ├── identity.json                        of what the result is: image, model, options, version
        ├── journal.txt                          the finished pieces
        ├── lock                                 held by the process at work, given back by the system when it dies
        ├── run                                  drawn by that process: who knows another one writes here no more
        ├── result/                              what will stand there: pixels at 0/, labels at labels/<name>/0/
        ├── scratch/                             arrays for the way
        └── replaced/                            an earlier result, in the moment in which the new one takes its place
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock
import numpy as np
import zarr
from pydantic import JsonValue

from unveil.errors import FileError
from unveil.events import Monitor, Progress, ignore
from unveil.image import Image
from unveil.io.journal import Journal
from unveil.io.ome_zarr_metadata import image_label, multiscale, omero
from unveil.io.pyramid import build_levels, chunk_shape, create_level, level_shapes, n_steps
from unveil.io.result_store import ResultStore, begin_run, unwritable
from unveil.io.writing import atomically, check_output_folder, folder_of, refuse_protected

PROVENANCE = "unveil"
"""The attribute that says how a result was made; without it, a folder is not ours to replace."""
_IDENTITY, _JOURNAL, _LOCK, _RESULT, _SCRATCH, _REPLACED = (
    "identity.json", "journal.txt", "lock", "result", "scratch", "replaced",
)  # fmt: skip
_PART = ".{}.part"
"""What the folder of a result is called while it grows."""
_HALF_WRITTEN = "*.partial"
"""What Zarr's store calls a chunk until it is whole."""


class GrowingResult:
    """An OME-Zarr image, and its labels, that is being written; it stands under its name only when it is whole.

    ::

        with GrowingResult.open(path, identity) as result:
            labels = result.labels("cells", image, "YX", image.shape)
            for piece in pieces:
                if piece.name not in result.journal:
                    labels[piece.window] = compute(piece)
                    result.journal.add(piece.name)
            result.finish(provenance)

    A piece writes whole chunks (`array.chunks`), the same pixels each time, and is noted after it wrote them: then it
    does not matter what a killed process left of a chunk, since it is replaced before it is read. A write returns
    when the disk has the chunks. Several threads may write, each its own chunks.

    When the context ends before `finish`, by an exception or not, what is there stays and can be gone on with.

    Attributes
    ----------
    path
        Where the result will stand.
    resumed
        Whether a killed or failed run is gone on with.
    journal
        The pieces that are finished.
    """

    def __init__(self, path: Path, part: Path, lock: filelock.BaseFileLock, *, resumed: bool) -> None:
        self.path = path
        self.resumed = resumed
        self.journal = Journal(part / _JOURNAL)
        self._part = part
        self._lock = lock
        self._store = ResultStore(part, target=path, run=begin_run(part))
        self._images: dict[str, Image] = {}  # by their folder
        self._labels: dict[str, Image] = {}

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, JsonValue]) -> Self:
        """Begin the result that will stand at `path`, or go on with it.

        Parameters
        ----------
        path
            Folder, such as ``results/cells_segmentation.ome.zarr``. A link stays one: its target is replaced.
        identity
            What the pixels depend on: digests of image and model, options, the version of Unveil. A run of the same
            identity is gone on with, what is left of another one is removed.

        Raises
        ------
        FileError
            If `path` is a file or a folder that Unveil did not write, another process is writing this result, or
            the folder cannot be written to.
        """
        path = Path(os.path.realpath(path))
        part = path.with_name(_PART.format(path.name))
        try:
            check_replaceable(path)
            lock = _locked(part, path)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            _put_back(path, part)
            return cls(path, part, lock, resumed=_goes_on(part, identity))
        except OSError as error:
            lock.release()
            raise unwritable(path, error) from error
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._store.end()
        self._lock.release()

    def image(
        self,
        image_like: Image,
        axes: str,
        shape: Sequence[int],
        dtype: Any,
        *,
        channel_names: Sequence[str] = (),
        n_dims: int = 2,
        folder: str = "",
    ) -> zarr.Array[Any]:
        """Return the finest level of the result's image, or of a further one, to be written.

        Parameters
        ----------
        image_like
            Image in whose space the result lies: name and pixel size come from it.
        axes, shape
            Of the result.
        n_dims
            Whether planes (2) or volumes (3) are computed at once: chunks are made for it.
        folder
            Where a further image will lie in the result, and what it is called; the result's own image has none.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        array = self._array(f"{_RESULT}/{folder}", "0", shape, dtype, n_dims)
        self._images[folder] = image_like.like(array, axes, name=folder, channel_names=tuple(channel_names))
        return array

    def labels(
        self, name: str, image_like: Image, axes: str, shape: Sequence[int], *, n_dims: int = 2
    ) -> zarr.Array[Any]:
        """Return the finest level of the labels `name`, int32, to be written; for the rest see `image`."""
        array = self._array(f"{_RESULT}/labels/{name}", "0", shape, np.int32, n_dims)
        self._labels[name] = image_like.like(array, axes, name=name)
        return array

    def scratch(self, name: str, shape: Sequence[int], dtype: Any, *, n_dims: int = 2) -> zarr.Array[Any]:
        """Return an array ``(..., Y, X)`` that is kept between runs and gone when the result is whole."""
        return self._array(_SCRATCH, name, shape, dtype, n_dims)

    def finish(self, provenance: Mapping[str, JsonValue], monitor: Monitor = ignore) -> None:
        """Add the coarser levels and what OME-Zarr says of an image, and move the result to its place.

        The arrays handed out are of no use afterwards. An earlier result at `path` is removed only now. What this
        builds is built anew after a kill.

        Parameters
        ----------
        provenance
            How the result was made; it becomes the attribute ``unveil``.
        monitor
            Hears of each block of the coarser levels, and may raise `Cancelled`.

        Raises
        ------
        FileError
            If it cannot be written; what is there can be gone on with.
        """
        self._build(monitor)
        self._describe(provenance)
        try:
            self._take_place()
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._remove_part()

    def discard(self) -> None:
        """Remove all that was written: this result is not to go on."""
        self._store.end()
        (self._part / _IDENTITY).unlink(missing_ok=True)  # first, so that a half-removed result is never gone on with
        self._remove_part()

    def _array(self, group: str, name: str, shape: Sequence[int], dtype: Any, n_dims: int) -> zarr.Array[Any]:
        node = self._group(group)
        shape = tuple(shape)
        if name not in node:
            return create_level(node, name, shape, np.dtype(dtype), chunk_shape(shape, n_dims))
        array = node[name]
        assert isinstance(array, zarr.Array)
        assert (array.shape, array.dtype) == (shape, np.dtype(dtype)), "results of one identity have one shape"
        array.update_attributes({})  # its two files of metadata, between which the kill may have come
        return array

    def _group(self, path: str) -> zarr.Group:
        return zarr.open_group(self._store, path=path.rstrip("/"), mode="a", zarr_format=2)

    def _members(self) -> list[tuple[zarr.Group, Image, bool]]:
        """Return group, finest level and whether these are labels, for the images and all labels."""
        images = [(self._group(f"{_RESULT}/{folder}"), one, False) for folder, one in self._images.items()]
        return images + [(self._group(f"{_RESULT}/labels/{name}"), one, True) for name, one in self._labels.items()]

    def _build(self, monitor: Monitor) -> None:
        members = self._members()
        total, done = sum(n_steps(group) for group, _, _ in members), 0
        for group, _, as_labels in members:
            for _ in build_levels(group, as_labels=as_labels):
                done += 1
                monitor(Progress(done, total, "blocks of the overview"))

    def _describe(self, provenance: Mapping[str, JsonValue]) -> None:
        for group, image, as_labels in self._members():
            n_levels = len(level_shapes(image.shape))
            attributes: dict[str, Any] = {"multiscales": [multiscale(image, n_levels, as_labels=as_labels)]}
            if as_labels:
                attributes["image-label"] = image_label(has_image="" in self._images)
            elif image.channel_names:
                attributes["omero"] = omero(image, np.asarray(group[str(n_levels - 1)]))
            group.update_attributes(attributes)
        if self._labels:
            self._group(f"{_RESULT}/labels").update_attributes({"labels": sorted(self._labels)})
        self._group(_RESULT).update_attributes({**self._stand_in(), PROVENANCE: dict(provenance)})

    def _stand_in(self) -> dict[str, Any]:
        """Without an image, show the first labels at the top too: most viewers open what is described there alone."""
        if "" in self._images or not self._labels:
            return {}
        name, image = next(iter(self._labels.items()))
        described = multiscale(image, len(level_shapes(image.shape)), as_labels=True, folder=f"labels/{name}/")
        return {"multiscales": [described], "image-label": image_label(has_image=False)}

    def _take_place(self) -> None:
        replaced = self._part / _REPLACED
        if self.path.exists():
            self.path.rename(replaced)
        try:
            (self._part / _RESULT).rename(self.path)
        except OSError:
            _put_back(self.path, self._part)
            raise

    def _remove_part(self) -> None:
        """Remove the hidden folder, the lock in it at last: whoever begins in it from then on keeps what is theirs."""
        with contextlib.suppress(OSError):
            _clear(self._part)
            if os.name == "nt":  # a file that is open cannot be removed there; filelock removes it when it lets go
                self._lock.release()
            (self._part / _LOCK).unlink(missing_ok=True)
            self._part.rmdir()
        self._lock.release()


def is_result(folder: Path) -> bool:
    """Say whether Unveil wrote the OME-Zarr image in `folder`."""
    try:
        return PROVENANCE in json.loads((folder / ".zattrs").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def is_growing(name: str) -> bool:
    """Say whether a folder called `name` is one in which a result grows."""
    before, after = _PART.split("{}")
    return name.startswith(before) and name.endswith(after)


def check_replaceable(path: Path) -> None:
    """Check that an OME-Zarr result may be written to `path`, or replace what stands there: cheap, before long work.

    Raises
    ------
    FileError
        If its folder cannot be written to, or what stands there is a file, not ours, or write-protected.
    """
    check_output_folder(folder_of(path))
    if path.exists() and not path.is_dir():
        raise FileError(f"{path} is a file, and an OME-Zarr result is a folder. Give another name.")
    if path.is_dir() and any(path.iterdir()) and not is_result(path):
        raise FileError(f"{path} is a folder that Unveil did not write; it is not replaced. Give another name.")
    refuse_protected(path)


def _locked(part: Path, path: Path, *, attempts: int = 5) -> filelock.BaseFileLock:
    """Make the folder `part` where it is missing, and lock it."""
    lock = filelock.FileLock(part / _LOCK, blocking=False, thread_local=False)
    try:
        part.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (FileNotFoundError, FileExistsError):  # perhaps another process ended its work, and removed the folder
        if attempts == 1:
            raise
        return _locked(part, path, attempts=attempts - 1)
    except filelock.Timeout as refused:
        raise FileError(
            f"{path} is being written by another process. Wait until it is done, or give another name."
        ) from refused
    return lock


def _clear(part: Path) -> None:
    """Remove all but the lock."""
    for path in part.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _put_back(path: Path, part: Path) -> None:
    """Put the earlier result back where a killed run moved it aside; where a newer one stands, remove it."""
    replaced = part / _REPLACED
    if not replaced.exists():
        return
    if path.exists():
        shutil.rmtree(replaced)
    else:
        replaced.rename(path)


def _goes_on(part: Path, identity: Mapping[str, JsonValue]) -> bool:
    """Make `part` ready and say whether it holds the beginning of the same result; anything else is removed."""
    wanted = json.dumps(identity, sort_keys=True, indent=1)
    noted = part / _IDENTITY
    if noted.exists() and noted.read_text(encoding="utf-8") == wanted and (part / _RESULT).exists():
        for path in part.rglob(_HALF_WRITTEN):
            path.unlink(missing_ok=True)  # a cluster's worker may still end what nobody waits for
        return True
    noted.unlink(missing_ok=True)  # first, so that a half-removed result is never gone on with
    _clear(part)
    (part / _RESULT).mkdir()
    with atomically(noted) as file:
        file.write_text(wanted, encoding="utf-8")
    return False
