r"""A TOML file that renames an author's keys to ours, so that a foreign checkpoint needs a file, not code.

    drop = ['^loss\.']                         # regular expressions: entries that the network has no use for

    [keys]                                      # exact names, old = new
    "fc.weight" = "head_x.hidden.weight"

    [[rename]]                                  # regular expressions, applied in the order of the file
    pattern = '^layer(\d)\.'
    replacement = 'stages.\1.'

A name under `[keys]` is done with; the other names go through every `[[rename]]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.declared.reading import Table, read_toml, reading
from amfac_edge.errors import CheckpointError, near_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["KeyMap", "load_key_map", "rename_entries"]


@dataclass(frozen=True)
class KeyMap:
    """What a key map says; the patterns are compiled.

    Attributes:
        path: of the TOML file, for messages.
        drop: an entry that one of them is found in is left out.
        keys: exact new names by old ones.
        renames: (pattern, replacement), each applied to the result of the one before.
    """

    path: Path
    drop: tuple[re.Pattern[str], ...]
    keys: Mapping[str, str]
    renames: tuple[tuple[re.Pattern[str], str], ...]


def load_key_map(path: Path) -> KeyMap:
    """Read a key map.

    Raises:
        DeclaredError: not TOML, or faulty; all faults with their key paths.
    """
    with reading(read_toml(path), where=str(path)) as table:
        drop = tuple(_pattern(table, "drop", text) for text in table.texts("drop", default=()))
        exact = table.table("keys", required=False)
        keys = {old: _new_name(exact, old) for old in exact.keys()}  # noqa: SIM118 - a Table isn't a dict
        renames = tuple(_rename(row) for row in table.tables("rename"))
    return KeyMap(path, drop, keys, renames)


def rename_entries(entries: Mapping[str, object], key_map: KeyMap, *, where: str) -> dict[str, object]:
    """The entries of the checkpoint `where` under their new names.

    Raises:
        CheckpointError: a name or pattern of the map is in no entry, or two entries would get one name.
    """
    used: set[str] = set()
    renamed: dict[str, object] = {}
    sources: dict[str, str] = {}
    for old, value in entries.items():
        new = _renamed(old, key_map, used)
        if new is None:
            continue
        if new in renamed:
            raise CheckpointError(
                f"{where}: {sources[new]} and {old} would both become {new}",
                cure=f"Make the patterns of {key_map.path} tell them apart.",
            )
        renamed[new], sources[new] = value, old
    _refuse_unused(entries, key_map, used, where)
    return renamed


def _renamed(old: str, key_map: KeyMap, used: set[str]) -> str | None:
    """The new name, None for an entry that is dropped; what took part is added to `used`."""
    dropping = [pattern.pattern for pattern in key_map.drop if pattern.search(old)]
    if dropping:
        used.update(dropping)
        return None
    if old in key_map.keys:
        used.add(old)
        return key_map.keys[old]
    name = old
    for pattern, replacement in key_map.renames:
        name, count = pattern.subn(replacement, name)
        if count:
            used.add(pattern.pattern)
    return name


def _refuse_unused(entries: Mapping[str, object], key_map: KeyMap, used: set[str], where: str) -> None:
    patterns = [*key_map.drop, *(pattern for pattern, _ in key_map.renames)]
    unused = [f"{old} ({near_names(old, entries)})" for old in key_map.keys if old not in used]
    unused += [f"pattern {pattern.pattern}" for pattern in patterns if pattern.pattern not in used]
    if unused:
        raise CheckpointError(
            f"{key_map.path}: found in no key of {where}: " + ", ".join(unused),
            cure="Mend or remove these lines of the key map; amfac-info --json FILE lists the checkpoint's keys.",
        )


def _rename(row: Table) -> tuple[re.Pattern[str], str]:
    pattern = _pattern(row, "pattern", row.text("pattern"))
    replacement = row.text("replacement")
    try:
        # The template is parsed even where the pattern is not found, so an unknown group shows here.
        pattern.sub(replacement, "")
    except (re.error, IndexError) as error:
        row.fault("replacement", f"{replacement!r} does not go with {pattern.pattern!r}: {error}")
    return pattern, replacement


def _pattern(table: Table, key: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        table.fault(key, f"{text!r} is not a regular expression: {error}")
        return re.compile("")


def _new_name(keys: Table, old: str) -> str:
    if isinstance(keys.raw(old), dict):
        keys.fault(old, 'a name with dots must stand in quotes, "a.b" = "c.d"')
        return ""
    return keys.text(old)
