"""What TensorRT measured while it built is kept for the next build: one file a machine, TensorRT, power mode and form.

Tactics are chosen by timing, so a cache that was measured at 15 W must not serve MAXN. Beside each `.cache`, which
trtexec's `--timingCacheFile` takes too, lies its SHA-256: TensorRT's reader never sees a damaged one. TensorRT itself
refuses one of another GPU or release. TensorRT-RTX measures nothing when it builds, and has none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import InputError
from amfac_edge.files import atomic_files, cache_folder, file_bytes, sha256_of, writable_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["cache_file", "cache_name", "keep_timing_cache", "read_timing_cache", "use_timing_cache"]

_SIZE_LIMIT = 256 << 20


def cache_file(machine: str, version: str, mode: Sequence[str]) -> Path:
    """Where the cache lies.

    Args:
        machine: the target's name, or what else says which machine builds.
        version: of TensorRT.
        mode: what else its measurements hold for: power mode, form of the precision.

    Raises:
        OutputError: there is no place for caches.
    """
    return cache_folder("timing") / f"{cache_name(machine, f'tensorrt-{version}', *mode)}.cache"


def cache_name(*words: str) -> str:
    """The name in a cache of what `words` tell apart; none of them leads to another folder."""
    return ".".join(re.sub(r"[^a-z0-9.+-]+", "_", word.lower()).strip("._") or "none" for word in words)


def read_timing_cache(path: Path) -> tuple[bytes, str | None]:
    """The content of a cache, empty where there is none; and what is wrong with one that can't be used."""
    try:
        if not path.exists():
            return b"", None
        content = file_bytes(path, limit=_SIZE_LIMIT, what="timing cache")
        recorded = file_bytes(_digest_of(path), limit=1024, what="timing cache's digest").decode(
            "ascii", errors="replace"
        )
    except (InputError, OSError) as error:
        return b"", f"{error.problem if isinstance(error, InputError) else error}; a fresh one was begun"
    if recorded.split()[:1] != [sha256_of(content)]:
        return b"", f"{path}: the timing cache is damaged, or not of this tool; a fresh one was begun"
    return content, None


def use_timing_cache(config: Any, content: bytes) -> bool:  # noqa: ANN401 - TensorRT's own
    """Give a builder's configuration the cache `content`, or a fresh one where TensorRT refuses it; whether it took it.

    Raises nothing: a cache is never worth a build.
    """
    timing_cache = config.create_timing_cache(content)
    if timing_cache is not None and config.set_timing_cache(timing_cache, False):  # noqa: FBT003 - positional in 8.6
        return True
    timing_cache = config.create_timing_cache(b"")
    if timing_cache is not None:
        config.set_timing_cache(timing_cache, False)  # noqa: FBT003 - as above
    return False


def keep_timing_cache(path: Path, content: bytes) -> None:
    """Write a cache with its digest, for the next build.

    Raises:
        OutputError: the folder can't be written to.
    """
    writable_folder(path.parent)
    with atomic_files(path, _digest_of(path)) as (part, digest_part):
        part.write_bytes(content)
        digest_part.write_text(f"{sha256_of(content)}  {path.name}\n")


def _digest_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
