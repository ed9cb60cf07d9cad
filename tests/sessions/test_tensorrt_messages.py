"""Every recorded text of TensorRT becomes a problem and a cure; one that nobody knows is passed on whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.sessions.tensorrt_messages import error_from_log, notes_from_log

RECORD = json.loads((Path(__file__).parents[1] / "facts" / "tensorrt_messages.json").read_text())
ERRORS = [row for source in RECORD.values() for row in source["errors"]]
NO_DRIVER = next(row["text"] for row in ERRORS if "cudaError 35" in row["text"])


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row["text"][-80:])
def test_a_recorded_text_has_a_problem_and_a_cure(row: dict[str, str]) -> None:
    # Where the driver is missing, its own line stands before or after every other.
    noise = ["Some other line.", row["text"], NO_DRIVER]
    for lines in ([row["text"]], noise, noise[::-1]):
        error = error_from_log(lines, where="m.plan")
        assert type(error).__name__ == row["error"]
        assert error.problem.startswith("m.plan: ")
        assert row["problem"] in error.problem
        assert row["cure"] in error.cure


def test_an_unknown_text_is_passed_on_whole() -> None:
    lines = [
        "Error Code 99: the moon is in the wrong place",
        "x" * 3000,
        "Error Code 99: the moon is in the wrong place",
    ]
    error = error_from_log(lines, where="m.plan")
    assert error.problem == f"m.plan: TensorRT says: {lines[0]}; {lines[1]}"
    assert "amfac-doctor FILE" in error.cure


@pytest.mark.parametrize("lines", [[], [""], ["\n", " "]])
def test_a_silent_failure_is_an_error_too(lines: list[str]) -> None:
    assert error_from_log(lines, where="m.plan").problem == "m.plan: TensorRT gave no result, and no reason"


@pytest.mark.parametrize("row", RECORD["read"]["notes"], ids=lambda row: row["note"])
def test_harmless_lines_become_notes(row: dict[str, str]) -> None:
    (said,) = notes_from_log([row["text"]])
    assert row["note"] in said
    assert notes_from_log([row["text"], "other", row["text"]]) == (f"{said} (2 times)",)


def test_other_lines_are_no_notes() -> None:
    assert notes_from_log(["[MemUsageChange] Init CUDA: CPU +1, GPU +0", ""]) == ()


@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_becomes_an_error(lines: list[str]) -> None:
    error = error_from_log(lines, where="m.plan")
    assert error.problem.isprintable()
    assert error.cure
    notes_from_log(lines)


def test_braces_of_a_node_name_are_only_text() -> None:
    error = error_from_log(["Could not find any implementation for node {0}{a.__class__}\x1b[31m."], where="m.plan")
    assert error.problem.endswith("for the node {0}{a.__class__} [31m")
