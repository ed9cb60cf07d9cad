"""Where declared files lie: `export/`, `engines/`, `calib/` and `bench/`, of a checkout or of the installed package."""

from __future__ import annotations

from pathlib import Path

from amfac_edge.errors import DeclaredError, near_names

__all__ = ["declared_folder", "declared_names", "declared_path"]

_PACKAGE = Path(__file__).resolve().parent.parent


def declared_folder(room: str) -> Path:
    """The folder of `room` ("export", "export/fetch", "calib", ...): the installed one if any, else the checkout's."""
    installed = _PACKAGE / "_declared" / room
    return installed if installed.is_dir() else _PACKAGE.parent / room


def declared_names(room: str) -> list[str]:
    """The names that `room` declares, sorted."""
    return sorted(path.stem for path in declared_folder(room).glob("*.toml"))


def declared_path(room: str, name: str, *, noun: str) -> Path:
    """The TOML of `name`, which is a declared name or a path to a TOML of the user's own.

    Raises:
        DeclaredError: neither; the message has the near names.
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise DeclaredError(f"{name}: no such {noun} file", cure="Give an existing TOML file, or a declared name.")
        return path
    path = declared_folder(room) / f"{name}.toml"
    if path.is_file():
        return path
    raise DeclaredError(f'unknown {noun} "{name}"', cure=near_names(name, declared_names(room)))
