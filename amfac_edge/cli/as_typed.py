"""Commands in a text as they are typed here: those of an unpacked kit are its scripts."""

from __future__ import annotations

import re
from pathlib import Path

import amfac_edge
from amfac_edge.errors import MachineError, typed

__all__ = ["as_typed", "not_in_a_kit"]

_COMMAND = re.compile(r"\bamfac-(\w+)\b")


def as_typed(text: str) -> str:
    """`text` with "amfac-doctor" and the like as the scripts of the kit that this package lies in, if it does."""
    from amfac_edge.serving.kits import KIT_FILE  # noqa: PLC0415 - most commands end without a word of this

    kit = Path(amfac_edge.__file__).resolve().parents[1]
    if not (kit / KIT_FILE).is_file():
        return text
    folder = Path() if kit == Path.cwd() else kit

    def script(command: re.Match[str]) -> str:
        path = folder / f"{command[1]}.py"
        return f"python3 {typed(path)}" if path.is_file() else command[0]

    return _COMMAND.sub(script, text)


def not_in_a_kit(use: str, absent: ModuleNotFoundError) -> Exception:
    """What is raised where a kit lacks a module of this package: kits hold what boards need."""
    if not (absent.name or "").startswith("amfac_edge."):
        return absent
    return MachineError(f"{use} is not in a kit", cure="Install the package for it, from its checkout: pip install .")
