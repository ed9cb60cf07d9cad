"""Lines of a report for people: headings, wrapped texts, colours where they are wanted."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

__all__ = ["coloured", "section", "wrapped"]

_WIDEST = 110


def section(title: str) -> tuple[str, str]:
    """An empty line and a heading."""
    return "", coloured(title, "1")


def wrapped(head: str, text: str) -> list[str]:
    """`text` behind `head`, wrapped to the terminal with an indent as wide as `head`."""
    columns = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 0)).columns)
    lines = textwrap.wrap(text, max(30, columns - len(head)), break_long_words=False, break_on_hyphens=False) or [""]
    return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]


def coloured(text: str, code: str) -> str:
    """`text` in a terminal's colour; plain in a pipe, and where NO_COLOR is set."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
