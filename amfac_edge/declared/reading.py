"""One reader for every declaration: a parsed TOML or JSON table in, checked values out, all faults collected.

    with reading(data, where="engines/orin-nano-8.toml") as table:
        clock = table.table("gpu").number("clock_mhz", minimum=1)

Faults don't raise where they are found; they are raised together, as one `DeclaredError`, when the `with` block ends.
Until then a faulty field has a stand-in value of the right type, so that reading can go on.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from typing import TYPE_CHECKING, TypeVar

from amfac_edge.errors import AmfacError, DeclaredError, near_names
from amfac_edge.files import file_bytes, json_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

__all__ = ["Table", "read_toml", "reading"]

_SIZE_LIMIT = 4 << 20
_MAX_SHOWN = 60
_Scalar = TypeVar("_Scalar", str, int, float, bool)


def read_toml(path: Path) -> dict[str, object]:
    """Parse a TOML file of at most 4 MiB; one that is a JSON object is read as that.

    Raises:
        DeclaredError: it can't be read or parsed; the message has the line and column.
    """
    try:
        content = file_bytes(path, limit=_SIZE_LIMIT, what="TOML file")
    except AmfacError as error:
        raise DeclaredError(error.problem, cure=error.cure) from error
    # No TOML begins like this. A kit's declarations do: Python 3.10, which boards have, reads no TOML by itself.
    if content.startswith(b"{"):
        return _json_object(content, path)
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - not for a kit
    else:
        import tomli as tomllib  # noqa: PLC0415 - as above
    try:
        return tomllib.loads(content.decode())
    # A ValueError is of the parser, of the encoding, or of a whole number with thousands of digits.
    except (ValueError, RecursionError) as error:
        raise DeclaredError(f"{path}: not TOML: {error}", cure="Mend the file at that place.") from error


def _json_object(content: bytes, path: Path) -> dict[str, object]:
    try:
        value = json_value(content)
    except (ValueError, RecursionError) as error:
        raise DeclaredError(f"{path}: not JSON: {error}", cure="Mend the file at that place.") from error
    assert isinstance(value, dict)
    return value


@contextlib.contextmanager
def reading(data: object, *, where: str) -> Iterator[Table]:
    """Read `data`; raise every fault found, and every key that nobody asked for, when the block ends.

    Args:
        data: what a TOML or JSON parser returned.
        where: the file's name, for the messages.

    Raises:
        DeclaredError: one line a fault, each with the key path.
    """
    faults: list[str] = []
    table = Table(data, "", faults)
    yield table
    table.close()
    if faults:
        lines = "".join(f"\n  {fault}" for fault in faults)
        noun = "fault" if len(faults) == 1 else "faults"
        raise DeclaredError(f"{where}: {len(faults)} {noun}:{lines}", cure="Mend the lines named above.")


class Table:
    """One table of a declaration. Each reading method takes a key and, where the key may be absent, a `default`."""

    def __init__(self, data: object, path: str, faults: list[str]) -> None:
        self._path = path
        self._faults = faults
        self._asked: set[str] = set()
        self._children: list[Table] = []
        self._data: Mapping[str, object] = {}
        if isinstance(data, dict):
            self._data = data
        else:
            self.fault("", f"expected a table, got {_shown(data)}")

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def keys(self) -> list[str]:
        """The keys that are there, in the file's order."""
        return list(self._data)

    def fault(self, key: str, sentence: str) -> None:
        """Record a fault at `key`; for checks that take more than one field."""
        path = self._at(key) if key else self._path or "(the whole file)"
        self._faults.append(f"{path}: {sentence}")

    def text(self, key: str, *, default: str | None = None, choices: Collection[str] = ()) -> str:
        """A string, one of `choices` where some are given."""
        value = self._scalar(key, str, "a string", default, "")
        if choices and value and value not in choices:
            self.fault(key, f"{_shown(value)} is none of {', '.join(choices)}; {near_names(value, choices)}")
        return value

    def integer(self, key: str, *, default: int | None = None, minimum: int = 0, maximum: int = 1 << 31) -> int:
        """A whole number within [minimum, maximum]."""
        value = self._scalar(key, int, "a whole number", default, minimum)
        return int(self._within(key, value, minimum, maximum))

    def number(
        self, key: str, *, default: float | None = None, minimum: float = -math.inf, maximum: float = math.inf
    ) -> float:
        """A finite number within [minimum, maximum]."""
        stand_in = minimum if math.isfinite(minimum) else 0.0
        return float(self._within(key, self._scalar(key, float, "a number", default, stand_in), minimum, maximum))

    def optional_number(self, key: str, *, minimum: float = -math.inf) -> float | None:
        """A finite number, or None where the key is absent."""
        if key in self:
            return self.number(key, minimum=minimum)
        self._asked.add(key)
        return None

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """True or false."""
        return self._scalar(key, bool, "true or false", default, stand_in=False)

    def numbers(
        self, key: str, *, count: int | None = None, default: tuple[float, ...] | None = None
    ) -> tuple[float, ...]:
        """A list of finite numbers, exactly `count` of them where that is given."""
        return self._list(key, float, "numbers", count, default)

    def integers(
        self, key: str, *, count: int | None = None, default: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        """A list of whole numbers."""
        return self._list(key, int, "whole numbers", count, default)

    def flags(self, key: str, *, count: int | None = None, default: tuple[bool, ...] | None = None) -> tuple[bool, ...]:
        """A list of true and false."""
        return self._list(key, bool, "true or false", count, default)

    def texts(self, key: str, *, count: int | None = None, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings."""
        return self._list(key, str, "strings", count, default)

    def table(self, key: str, *, required: bool = True) -> Table:
        """A table below this one; an absent one reads as empty, and is a fault where it is `required`."""
        self._asked.add(key)
        if key not in self._data and required:
            self.fault(key, "this table is missing")
        child = Table(self._data.get(key, {}), self._at(key), self._faults)
        self._children.append(child)
        return child

    def tables(self, key: str) -> list[Table]:
        """An array of tables below this one; empty where the key is absent."""
        self._asked.add(key)
        value = self._data.get(key, [])
        if not isinstance(value, list):
            self.fault(key, f"expected an array of tables, got {_shown(value)}")
            return []
        children = [Table(item, f"{self._at(key)}[{index}]", self._faults) for index, item in enumerate(value)]
        self._children += children
        return children

    def raw(self, key: str) -> object:
        """The value of `key` as the parser returned it, None where it is absent; the caller checks it."""
        self._asked.add(key)
        return self._data.get(key)

    def rest(self) -> dict[str, object]:
        """Everything that nobody asked for so far: for files whose unknown keys are kept, not refused."""
        unknown = {key: value for key, value in self._data.items() if key not in self._asked}
        self._asked.update(unknown)
        return unknown

    def ignore(self, *keys: str) -> None:
        """Accept keys that this reader has no use for (those of a later schema of the same major, say)."""
        self._asked.update(keys)

    def close(self) -> None:
        """Report the keys that nobody asked for."""
        for key in self._data:
            if key not in self._asked:
                self.fault(key, f"unknown key; {near_names(key, self._asked)}")
        for child in self._children:
            child.close()

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _scalar(
        self, key: str, kind: type[_Scalar], wanted: str, default: _Scalar | None, stand_in: _Scalar
    ) -> _Scalar:
        self._asked.add(key)
        if key not in self._data:
            if default is None:
                self.fault(key, f"this key is missing; expected {wanted}")
                return stand_in
            return default
        value = _as_kind(self._data[key], kind)
        if value is None:
            self.fault(key, f"expected {wanted}, got {_shown(self._data[key])}")
            return stand_in
        return value

    def _list(
        self, key: str, kind: type[_Scalar], wanted: str, count: int | None, default: tuple[_Scalar, ...] | None
    ) -> tuple[_Scalar, ...]:
        self._asked.add(key)
        stand_in = default if default is not None else (kind(0),) * (count or 0)
        if key not in self._data:
            if default is None:
                self.fault(key, f"this key is missing; expected a list of {wanted}")
            return stand_in
        raw = self._data[key]
        values = [_as_kind(item, kind) for item in raw] if isinstance(raw, list) else [None]
        checked = tuple(value for value in values if value is not None)
        if len(checked) != len(values) or (count is not None and len(checked) != count):
            number = f"{count} " if count is not None else ""
            self.fault(key, f"expected a list of {number}{wanted}, got {_shown(raw)}")
            return stand_in
        return checked

    def _within(self, key: str, value: float, minimum: float, maximum: float) -> float:
        if not minimum <= value <= maximum:
            # A whole number of hundreds of digits has no float.
            shown = _shown(value) if isinstance(value, int) else f"{value:g}"
            low, high = (f"{each}" if isinstance(each, int) else f"{each:g}" for each in (minimum, maximum))
            self.fault(key, f"{shown} is not within {low} and {high}")
            return minimum if math.isfinite(minimum) else maximum
        return value


def _as_kind(value: object, kind: type[_Scalar]) -> _Scalar | None:
    """`value` as `kind`, or None; a whole number is a number too, true and false are neither."""
    if isinstance(value, bool) and kind is not bool:
        return None
    if kind is float:
        # A whole number of hundreds of digits has no float; Python compares it all the same.
        if not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            return None
        return kind(value)
    return value if isinstance(value, kind) else None


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except ValueError:  # TOML's hexadecimal numbers may be longer than Python writes
        text = "a number of thousands of digits"
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
