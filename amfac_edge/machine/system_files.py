"""The files in which a system speaks of itself (`/proc`, `/sys`, `/etc`): small, and any of them may be absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["number_in", "text_of"]


def text_of(root: Path, path: str) -> str:
    """The text of `root/path` without its NUL bytes and outer blanks; empty where it is absent or can't be read.

    The NULs that separate the strings of a device-tree property become line ends.
    """
    try:
        content = (root / path).read_bytes()
    except OSError:
        return ""
    return content.decode(errors="replace").replace("\0", "\n").strip()


def number_in(root: Path, path: str) -> float | None:
    """The number that `root/path` consists of; None where there is none."""
    try:
        return float(text_of(root, path))
    except ValueError:
        return None
