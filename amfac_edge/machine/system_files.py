"""The files in which a system speaks of itself (`/proc`, `/sys`, `/etc`): small, and any of them may be absent."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["number_in", "program_on", "text_of"]


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


def program_on(root: Path, environ: Mapping[str, str], name: str) -> str | None:
    """The path of a program that the machine whose file system begins at `root` has; None where it has none."""
    folders = [str(root / folder.lstrip("/")) for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    return shutil.which(name, path=os.pathsep.join(folders))
