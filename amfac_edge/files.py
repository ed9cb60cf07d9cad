"""Files that are whole or absent, and their digests.

Everything a command writes goes to a temporary file beside its target and is renamed when complete, so that an
interrupted or failed command leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import tempfile
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "atomic_file",
    "atomic_files",
    "cache_folder",
    "file_bytes",
    "json_bytes",
    "json_value",
    "no_empty_folders",
    "refuse_overwriting",
    "sha256_of",
    "writable_folder",
    "write_bytes",
]

_BLOCK = 1 << 20
# Bytes of a target's name, and letters of its suffix, in that of its temporary file.
_LONGEST_STEM, _LONGEST_SUFFIX = 200, 16
# The folders that writable_folder made within no_empty_folders.
_made: ContextVar[list[Path] | None] = ContextVar("_made", default=None)


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it onto `target` when the block ends well, else remove it.

    Raises:
        OutputError: the folder can't be written to, or the disk is full.
    """
    with atomic_files(target) as (temporary,):
        yield temporary


@contextlib.contextmanager
def atomic_files(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """The same for files that belong together: none of them is renamed before all of them are complete.

    They are renamed in the given order, so name a manifest before the file that it describes: a crash between the two
    leaves a digest that doesn't match, never a file without its manifest.
    """
    temporaries: list[Path] = []
    try:
        for target in targets:
            temporaries.append(_temporary_beside(target))  # noqa: PERF401 - where the second fails the first goes too
        try:
            yield tuple(temporaries)
            for temporary in temporaries:
                _flush_to_disk(temporary)
            for temporary, target in zip(temporaries, targets, strict=True):
                temporary.replace(target)
        except BrokenPipeError:  # the reader of our output went away: nothing is wrong with the file
            raise
        except OSError as error:
            raise _output_error(targets[0], error) from error
    finally:
        for temporary in temporaries:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target` atomically."""
    with atomic_file(target) as temporary:
        temporary.write_bytes(content)


def json_bytes(value: object) -> bytes:
    """`value` as readable JSON with a closing newline; NaN and infinity are refused, since JSON has none."""
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def json_value(content: bytes) -> object:
    """What JSON text says; NaN and infinite numbers are refused here too, though Python's own reader takes them.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(content, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
    return number


def writable_folder(folder: Path) -> Path:
    """Make `folder` if it is absent, and check that files can be made in it, before any work is spent on them."""
    if (made := _made.get()) is not None:
        made += [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _output_error(folder, error) from error
    try:
        handle, probe = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    except OSError as error:
        raise _output_error(folder, error) from error
    os.close(handle)
    with contextlib.suppress(OSError):  # whatever is wrong there, files can be made
        Path(probe).unlink()
    return folder


@contextlib.contextmanager
def no_empty_folders() -> Iterator[None]:
    """At the block's end, the folders that `writable_folder` made in it go again, as far as nothing came into them."""
    made: list[Path] = []
    token = _made.set(made)
    try:
        yield
    finally:
        _made.reset(token)
        for folder in sorted(made, key=lambda each: len(each.parts), reverse=True):
            with contextlib.suppress(OSError):  # most often: it isn't empty
                folder.rmdir()


def cache_folder(name: str) -> Path:
    """The folder `amfac-edge/<name>` in the user's cache; it may not be there yet.

    Raises:
        OutputError: the user has no home, as in a container that runs under a number.
    """
    stated = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The specification says that a relative path in it is to be ignored.
        cache = Path(stated) if Path(stated).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise OutputError(f"no place for a cache: {error}", cure="Set XDG_CACHE_HOME to a folder.") from error
    return cache / "amfac-edge" / name


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Check, before any work is spent, that no output would replace a file that is read, or another output.

    Raises:
        InputError: a path is of links that lead in a circle.
        OutputError: an output would; or is of such links.
    """
    read = {_place(path, InputError) for path in inputs}
    written: set[Path] = set()
    for output in outputs:
        place = _place(output, OutputError)
        if place in read:
            raise OutputError(f"{output}: would overwrite what is read from there", cure="Give it another name.")
        if place in written:
            raise OutputError(f"{output}: two outputs have this name", cure="Give each a name of its own.")
        written.add(place)


def _place(path: Path, kind: type[InputError]) -> Path:
    try:
        return path.resolve()
    except (RuntimeError, OSError) as error:  # before Python 3.13 a circle is a RuntimeError
        raise kind(f"{path}: links that lead in a circle", cure="Remove the link, or give another path.") from error


def file_bytes(path: Path, *, limit: int, what: str) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises:
        InputError: absent, not a plain file, unreadable or larger than `limit`; `what` names its kind in the message.
    """
    try:
        if not path.is_file():
            kind = "is not a file" if path.exists() else "does not exist"
            raise InputError(f"{path}: the {what} {kind}", cure="Give the path of an existing file.")
        size = path.stat().st_size
        if size > limit:
            raise InputError(
                f"{path}: {size:,} bytes are more than a {what} can have ({limit:,})",
                cure="Check that this is the right file.",
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: the {what} can't be read: {error.strerror or error}", cure="Check the path and its permissions."
        ) from error


def sha256_of(source: Path | bytes) -> str:
    """The SHA-256 of a file or of bytes, in hex."""
    digest = hashlib.sha256()
    if isinstance(source, bytes):
        digest.update(source)
        return digest.hexdigest()
    with source.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _temporary_beside(target: Path) -> Path:
    # A name may be as long as names can be: what is added to it must not make it longer.
    stem = os.fsdecode(os.fsencode(target.name)[:_LONGEST_STEM])
    # The target's suffix stays last: writers such as OpenCV's choose the format by it.
    suffix = target.suffix if len(target.suffix) <= _LONGEST_SUFFIX else ""
    path = target.with_name(f".{stem}.{secrets.token_hex(4)}.part{suffix}")
    try:
        with contextlib.suppress(FileNotFoundError):
            target.lstat()  # a name that is too long is told here, before any work
        # Unlike mkstemp's, with the rights that the user's umask gives to a finished file.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise _output_error(target, error) from error
    return path


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _output_error(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{target}: can't be written: {error.strerror or error}",
        cure="Choose another place, or free space and rights there.",
    )
