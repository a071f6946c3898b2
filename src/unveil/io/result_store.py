"""Where the arrays of a growing result are written: on the disk when a write returns, and by one run alone."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

from zarr.core.buffer import Buffer
from zarr.core.sync import sync
from zarr.storage import LocalStore

from unveil.errors import FileError
from unveil.io.writing import flush, reason

_RUN = "run"


class ResultStore(LocalStore):
    """A local store whose writes return when the disk has them, and which says in our words that it is full."""

    def __init__(self, root: Path | str, *, target: Path | None = None, run: str = "", read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._target = target or self.root
        self._run = run
        self._under_way: set[asyncio.Future[None]] = set()
        self._ended = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave the writes under way here, when the workers of a cluster are sent their own store."""
        return {**vars(self), "_under_way": set()}

    def end(self) -> None:
        """Refuse further writes and wait for those under way: where one fails, Zarr goes on with its neighbours."""
        sync(self._end())

    async def set(self, key: str, value: Buffer) -> None:
        """Write `value`; other runs may go on with the result or have finished it: then it is refused."""
        write = asyncio.ensure_future(self._write(key, value))
        self._under_way.add(write)
        write.add_done_callback(self._under_way.discard)
        await write

    async def _end(self) -> None:
        self._ended = True
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _write(self, key: str, value: Buffer) -> None:
        try:
            if self._ended or not await asyncio.to_thread(self._is_of_this_run):
                raise FileError(f"{self._target} cannot be written: this run has ended. Open it anew.")
            await super().set(key, value)
            await asyncio.to_thread(flush, self.root / key)
        except OSError as error:
            raise unwritable(self._target, error) from error

    def _is_of_this_run(self) -> bool:
        """Say whether the result is still that of the run that opened it: a cluster's worker may be far behind."""
        try:
            return (self.root / _RUN).read_text(encoding="utf-8") == self._run
        except FileNotFoundError:
            return False


def begin_run(part: Path) -> str:
    """Note that what was begun before writes here no more, and return what writers must know from now on."""
    run = secrets.token_hex(8)
    (part / _RUN).write_text(run, encoding="utf-8")
    return run


def unwritable(path: Path, error: OSError) -> FileError:
    """Say in our words why the result that will stand at `path` cannot be written."""
    return FileError(f"{path} cannot be written: {reason(error)}")
