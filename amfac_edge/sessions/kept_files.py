"""Files of a cache whose damage must not reach a library: the first line is the rest's SHA-256."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.errors import InputError, OutputError
from amfac_edge.files import atomic_file, file_bytes, sha256_of, writable_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["keep_file", "kept_file"]

_SIZE_LIMIT = 1 << 30


def kept_file(path: Path) -> bytes | None:
    """What `keep_file` wrote; None where there is nothing, or something damaged."""
    try:
        digest, _, content = file_bytes(path, limit=_SIZE_LIMIT, what="file of a cache").partition(b"\n")
    except InputError:
        return None
    return content if digest.decode(errors="replace") == sha256_of(content) else None


def keep_file(path: Path, content: bytes) -> bool:
    """Write it, and its folder; False where that place can't be written to, since a cache is never worth an error."""
    try:
        writable_folder(path.parent)
        with atomic_file(path) as part:
            part.write_bytes(f"{sha256_of(content)}\n".encode() + content)
    except OutputError:
        return False
    return True
