"""What a child says of its progress is believed as far as it makes sense, and can't steer a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.compiler.progress import BuildProgress, Listener, progress_monitor

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["stage", "phase", "step"]), inner),
    max_leaves=6,
)


def heard(*values: object) -> list[tuple[str, str, int, int]]:
    said: list[BuildProgress] = []
    listener = Listener(said.append)
    for value in values:
        listener(value)
    return [(each.stage, each.phase, each.step, each.steps) for each in said]


def test_stages_phases_and_silence() -> None:
    assert heard({"stage": "building"}, {"phase": "Timing", "step": 1, "steps": 4}, None, {"stage": "writing"}) == [
        ("building", "", 0, 0),
        ("building", "Timing", 1, 4),
        ("building", "Timing", 1, 4),
        ("writing", "", 0, 0),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"phase": "x", "step": 5, "steps": 4}, ("starting", "x", 0, 0)),
        ({"phase": "x", "step": "1", "steps": None}, ("starting", "x", 0, 0)),
        ({"phase": ["x"]}, ("starting", "", 0, 0)),
        ({"stage": "\x1b[2J" + "x" * 500}, ("[2J" + "x" * 76, "", 0, 0)),
        ("words", ("starting", "", 0, 0)),
    ],
)
def test_what_makes_no_sense(value: object, shown: tuple[str, str, int, int]) -> None:
    assert heard(value) == [shown]


@given(JSON)
def test_anything_may_be_said(value: Any) -> None:  # noqa: ANN401
    (shown,) = heard(value)
    assert shown[0].isprintable()
    assert shown[1].isprintable()


def test_a_library_without_a_monitor_has_none() -> None:
    assert progress_monitor(object()) is None
