"""The one reader of declarations: checked values out, every fault at once, each with file and key path."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.declared.library import declared_names, declared_path
from amfac_edge.declared.reading import read_toml, reading
from amfac_edge.errors import DeclaredError

if TYPE_CHECKING:
    from pathlib import Path

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


def test_values_come_out_as_their_kinds() -> None:
    data = {
        "text": "a",
        "whole": 3,
        "number": 2,
        "flag": True,
        "list": [1, 2.5],
        "below": {"deep": 1},
        "rows": [{"n": 1}],
    }
    with reading(data, where="file") as table:
        assert table.text("text", choices=["a", "b"]) == "a"
        assert table.integer("whole", minimum=3, maximum=3) == 3
        number = table.number("number")
        assert (number, type(number)) == (2.0, float)
        assert table.flag("flag") is True
        assert table.numbers("list", count=2) == (1.0, 2.5)
        assert table.table("below").integer("deep") == 1
        assert [row.integer("n") for row in table.tables("rows")] == [1]
        assert table.text("absent", default="x") == "x"
        assert table.optional_number("absent") is None
        assert table.tables("absent") == []


def read_all(data: object) -> None:
    with reading(data, where="engines/mine.toml") as table:
        table.number("clock")
        gpu = table.table("gpu")
        gpu.integer("sms")
        gpu.integer("cores", minimum=1)
        for row in table.tables("rows"):
            row.integer("n")
        table.integers("sizes", count=2)
        table.text("title")


def test_all_faults_come_at_once_with_file_and_key_path() -> None:
    data = {
        "clock": "fast",
        "gpu": {"sms": True, "cores": 0},
        "rows": [{"n": 1}, {"n": "1"}],
        "sizes": [1, "2"],
        "extra": 1,
    }
    with pytest.raises(DeclaredError) as raised:
        read_all(data)
    assert raised.value.problem.splitlines() == [
        "engines/mine.toml: 7 faults:",
        '  clock: expected a number, got "fast"',
        "  gpu.sms: expected a whole number, got true",
        "  gpu.cores: 0 is not within 1 and 2147483648",
        '  rows[1].n: expected a whole number, got "1"',
        '  sizes: expected a list of 2 whole numbers, got [1, "2"]',
        "  title: this key is missing; expected a string",
        "  extra: unknown key; known: clock, gpu, rows, sizes, title",
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_a_number_is_finite(value: float) -> None:
    with pytest.raises(DeclaredError, match="expected a number"), reading({"x": value}, where="file") as table:
        table.number("x")


def test_a_whole_number_of_any_length_is_told() -> None:
    for value, shown in ((10**400, "10{59}…"), (16**9_000, "a number of thousands of digits")):
        message = f"x: {shown} is not within 1 and 10"
        with pytest.raises(DeclaredError, match=message), reading({"x": value}, where="f") as table:
            table.integer("x", minimum=1, maximum=10)


def test_a_choice_shows_the_near_ones() -> None:
    with pytest.raises(DeclaredError, match=r"did you mean fp16"), reading({"p": "fp61"}, where="file") as table:
        table.text("p", choices=["fp32", "fp16"])


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("clock", "gpu", "rows", "sizes", "title", "x"), JSON)) | JSON)
def test_no_data_brings_the_reader_down(data: object) -> None:
    try:
        read_all(data)
    except DeclaredError as error:
        refused = error.problem
    else:
        refused = "engines/mine.toml: "
    assert refused.startswith("engines/mine.toml: ")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a = ", "not TOML"),
        (b"a = 1\na = 2", "not TOML"),
        (b"\xff", "not TOML"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"a = " + b"9" * 5_000, "not TOML"),
    ],
)
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(DeclaredError, match=fault) as raised:
        read_toml(path)
    assert str(path) in raised.value.problem


def test_absent_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclaredError, match="does not exist"):
        read_toml(tmp_path / "absent.toml")
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (5 << 20))
    with pytest.raises(DeclaredError, match="more than a TOML file can have"):
        read_toml(huge)


def test_a_name_or_a_path_finds_its_file(tmp_path: Path) -> None:
    assert "cpu" in declared_names("engines")
    assert declared_path("engines", "cpu", noun="target").name == "cpu.toml"
    own = tmp_path / "own.toml"
    own.touch()
    assert declared_path("engines", str(own), noun="target") == own
    with pytest.raises(DeclaredError, match='unknown target "cpuu"'):
        declared_path("engines", "cpuu", noun="target")
