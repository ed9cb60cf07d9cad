"""How far a build is, on a terminal and in a log; and which options of a build are given on to a kit."""

from __future__ import annotations

import argparse
import io

import pytest

from amfac_edge.cli.build_options import add_build_options, build_options, build_words
from amfac_edge.cli.build_progress import BuildLine
from amfac_edge.compiler import BuildOptions, BuildProgress
from amfac_edge.errors import InputError

REPORTS = (
    BuildProgress("parsing", 0.1),
    BuildProgress("building", 0.5),
    BuildProgress("building", 12.0, "Timing graph nodes", 3, 40),
    BuildProgress("building", 31.0, "Timing graph nodes", 9, 40),
    BuildProgress("building", 59.0, "Timing graph nodes", 30, 40),
    BuildProgress("building", 75.0),
    BuildProgress("writing", 76.0),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_for_each_stage_and_a_sign_of_life() -> None:
    stream = io.StringIO()
    with BuildLine(stream) as line:
        for report in REPORTS:
            line(report)
    assert stream.getvalue().splitlines() == [
        "      0:00 parsing",
        "      0:00 building",
        "      0:31 building, timing graph nodes 9/40",
        "      1:15 building",
        "      1:16 writing",
    ]


def test_a_terminal_gets_one_line_that_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    with BuildLine(stream) as line:
        for report in REPORTS:
            line(report)
    text = stream.getvalue()
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")
    assert "\r      0:12 building, timing g\x1b[K" in text


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_build_options(parser)
    return parser.parse_args(words)


def test_nothing_given_leaves_all_to_target_and_library() -> None:
    assert build_options(parsed()) == BuildOptions()
    assert build_words(parsed()) == ()


def test_what_is_given_reaches_build_and_kit() -> None:
    words = (
        "--workspace", "300", "--optimization-level", "0", "--version-compatible", "--no-timing-cache",
        "--no-memory-check", "--memory-limit", "0", "--build-timeout", "60.0",
    )  # fmt: skip
    arguments = parsed(*words)
    assert build_options(arguments) == BuildOptions(
        workspace_mib=300,
        optimization_level=0,
        version_compatible=True,
        timing_cache=False,
        memory_check=False,
        memory_mib=0,
        timeout_s=60.0,
    )
    assert build_words(arguments) == words


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="optimisation level 9 is not 0 to 5"):
        build_options(parsed("--optimization-level", "9"))
    for seconds in ("0", "-1", "nan"):
        with pytest.raises(InputError, match="a build can't end within"):
            build_options(parsed("--build-timeout", seconds))
