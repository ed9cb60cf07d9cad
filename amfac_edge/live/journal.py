"""Text that grows line by line in `<path>.part`, survives its writer's death, and becomes `<path>` when all is there.

Beside it `<path>.part.json` says what the lines are of, so that nothing else is ever appended to them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from amfac_edge.errors import InputError, OutputError, typed
from amfac_edge.files import file_bytes, json_bytes, json_value, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["LineJournal", "is_complete"]

_SIZE_LIMIT = 1 << 20
_LONGEST_SHOWN = 60


class LineJournal:
    """The lines of one output, in a `with` block; a second process that opens the same is refused.

    A killed writer leaves whole lines and perhaps a torn one, which opening drops.

    Args:
        path: of the finished file.
        facts: what the lines depend on, as JSON; whoever goes on must give the same.
        resume: go on behind the lines that lie there.

    Raises:
        InputError: without `resume`, lines of an unfinished run lie there; with it, they are of something else.
        OutputError: the place can't be written to, or another process is at it.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        try:
            self._stream: BinaryIO = self.part.open("a+b")
        except OSError as error:
            raise self._fault(error) from error
        # What lies there is another process's until it is locked.
        self._lock()
        try:
            self._begin(facts, resume=resume)
        except BaseException:
            self._stream.close()
            raise

    def lines(self) -> Iterator[bytes]:
        """The lines that lie there, each with its line end."""
        self._stream.seek(0)
        yield from self._stream

    def keep(self, count: int) -> None:
        """Drop all lines behind the first `count`."""
        self._stream.seek(0)
        size = sum(len(line) for _, line in zip(range(count), self._stream, strict=False))
        self._stream.truncate(size)
        self._stream.seek(size)

    def add(self, line: str) -> None:
        """Append a line, at once: what was added is there though the process be killed."""
        try:
            self._stream.write(line.encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise self._fault(error) from error

    def finish(self) -> None:
        """Everything is there: the part becomes the file, and its facts lie beside it."""
        try:
            os.fsync(self._stream.fileno())
            _facts_path(self.part).replace(_facts_path(self.path))
            self.part.replace(self.path)
        except OSError as error:
            raise self._fault(error) from error

    def discard(self) -> None:
        """Nobody needs the lines any more."""
        for path in (self.part, _facts_path(self.part)):
            path.unlink(missing_ok=True)

    def __enter__(self) -> LineJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        with contextlib.suppress(OSError):  # a full disk was told when the line was added
            self._stream.close()

    def _lock(self) -> None:
        busy = OutputError(
            f"{self.part}: another process is writing it", cure="Wait for it, or end it; then run this one again."
        )
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who finished in between has renamed what was opened here.
            same = self.part.exists() and os.path.samestat(os.fstat(self._stream.fileno()), self.part.stat())
        except OSError as error:
            self._stream.close()
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                raise busy from error
            raise self._fault(error) from error
        if not same:
            self._stream.close()
            raise busy

    def _begin(self, facts: Mapping[str, Any], *, resume: bool) -> None:
        begun = os.fstat(self._stream.fileno()).st_size > 0
        if begun and not resume:
            raise InputError(
                f"{self.part}: an unfinished run lies here",
                cure=f"Go on with it by --resume, or remove it to begin anew: rm {typed(self.part)}",
            )
        if begun:
            _check_facts(self.part, facts)
            self._drop_torn_line()
            return
        try:
            write_bytes(_facts_path(self.part), json_bytes(dict(facts)))
        except BaseException:
            self.part.unlink(missing_ok=True)
            raise

    def _drop_torn_line(self) -> None:
        whole = sum(len(line) for line in self.lines() if line.endswith(b"\n"))
        self._stream.truncate(whole)
        self._stream.seek(whole)

    def _fault(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.part}: can't be written: {error.strerror or error}",
            cure="Free space or give rights there; the same command with --resume goes on.",
        )


def is_complete(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether the file of a journal is finished already, and no newer run of it has begun.

    Raises:
        InputError: it is finished, and of something else than `facts` say.
    """
    if not path.is_file() or path.with_name(path.name + ".part").exists():
        return False
    _check_facts(path, facts)
    return True


def _check_facts(lines: Path, facts: Mapping[str, Any]) -> None:
    path = _facts_path(lines)
    cure = f"Give what it was begun with, or another name; to begin anew: rm {typed(lines)}"
    try:
        found = json_value(file_bytes(path, limit=_SIZE_LIMIT, what="description of the lines"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", cure=cure) from error
    except InputError as error:
        raise InputError(f"{lines}: nothing says what its lines are of: {error.problem}", cure=cure) from error
    known = found if isinstance(found, dict) else {}
    for key in [*facts, *(known.keys() - facts.keys())]:
        if known.get(key) != facts.get(key):
            raise InputError(
                f"{lines}: its {key} is {_shown(known.get(key))}, and now {_shown(facts.get(key))} is asked for",
                cure=cure,
            )


def _facts_path(lines: Path) -> Path:
    return lines.with_name(lines.name + ".json")


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
