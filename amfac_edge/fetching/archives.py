"""One file out of a zip archive of unknown origin.

It runs in a child process with a limit of memory: the table of contents of a hostile archive alone can be gigabytes.
"""

from __future__ import annotations

import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import ModelFileError, OutputError

__all__ = ["extract_member", "is_archive", "unpack"]

_BLOCK = 1 << 20
_MEMORY = 1 << 30
_TIMEOUT_S = 600.0
_CURE = "Check where the archive is from; nothing of it was kept."
# What zipfile raises for archives that are cut, encrypted, or packed in a way that it doesn't know.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def extract_member(archive: Path, member: str, target: Path, *, limit: int) -> None:
    """Write the archive's one file of the name `member`, in whatever folder of it, to `target`.

    Nothing is written but `target`: the names in the archive are compared, never used as paths.

    Raises:
        ModelFileError: no such file or several, more than `limit` bytes, or an archive that can't be read.
        OutputError: `target` can't be written to.
    """
    try:
        call_in_child(
            f"{__name__}:unpack",
            timeout_s=_TIMEOUT_S,
            memory_bytes=_MEMORY,
            archive=str(archive),
            member=member,
            target=str(target),
            limit=limit,
        )
    except ChildFailure as failure:
        raise ModelFileError(f"{archive}: the archive can't be read: {failure.reason}", cure=_CURE) from failure


def unpack(archive: str, member: str, target: str, limit: int) -> None:
    """What `extract_member` does in its child process."""
    try:
        with zipfile.ZipFile(archive) as opened:
            info = _the_one(opened, archive, member)
            if info.file_size > limit:
                raise _too_large(archive, info, limit)
            left = limit
            with opened.open(info) as packed, Path(target).open("wb") as stream:
                while block := packed.read(_BLOCK):
                    left -= len(block)
                    if left < 0:  # the size in its header was a lie
                        raise _too_large(archive, info, limit)
                    stream.write(block)
    except _UNREADABLE as error:
        raise ModelFileError(f"{archive}: the archive can't be read: {error}", cure=_CURE) from error
    except OSError as error:
        raise OutputError(
            f"{target}: can't be written: {error.strerror}", cure="Free space and rights there."
        ) from error


def _the_one(opened: zipfile.ZipFile, archive: str, member: str) -> zipfile.ZipInfo:
    found = []
    for info in opened.infolist():
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts:
            raise ModelFileError(f"{archive}: {info.filename!r} in it leads out of its folder", cure=_CURE)
        if path.name == member and not info.is_dir():
            found.append(info)
    if len(found) != 1:
        raise ModelFileError(f"{archive}: {len(found)} files in it are named {member!r}, not one", cure=_CURE)
    return found[0]


def _too_large(archive: str, info: zipfile.ZipInfo, limit: int) -> ModelFileError:
    return ModelFileError(f"{archive}: {info.filename!r} in it has more than {limit:,} bytes", cure=_CURE)
