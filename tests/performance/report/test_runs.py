"""What is said of a receipt, and what of its loose tables is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.performance.report.runs import Power, number, runs_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from amfac_edge.performance import Receipt
    from amfac_edge.performance.report import Run

ENERGY = {"source": "INA3221", "rails": ["A", "B"], "active_w": 9.0, "idle_w": 4.0, "joules_per_frame": 0.05}


def of(receipt: Receipt) -> Run:
    return runs_of([("a.json", receipt)])[0]


def words(receipt: Receipt) -> list[str]:
    return [remark.word for remark in of(receipt).remarks]


def test_the_parts_add_up_to_the_frame(run: Run) -> None:
    assert list(run.stages_ms) == ["crop", "network", "decode", "rest"]
    assert sum(run.stages_ms.values()) == pytest.approx(run.statistics["frame"].mean)


def test_a_run_without_frames_has_no_parts(make: Callable[..., Receipt]) -> None:
    run = of(make(series={"engine": [1.0, 2.0], "network": [1.0]}))
    assert run.stages_ms == {}
    assert run.whole.boundary == "engine"
    assert of(make(series={"other": [1.0], "eager_frame": [2.0]})).whole.boundary == "eager_frame"
    assert of(make(series={"other": [1.0]})).whole.boundary == "other"


def test_a_quiet_machine_and_a_trained_network_need_no_remark(make: Callable[..., Receipt]) -> None:
    assert words(make()) == []


def test_what_makes_a_figure_worth_less_is_remarked(make: Callable[..., Receipt]) -> None:
    findings = {"busy": 1.5, "waited": 0.4, "throttling": ["thermal events: 3"]}
    slower = [1.0] * 30 + [2.0] * 60
    found = make(findings=findings, trained=False, series={"frame": slower})
    assert words(found) == ["shared machine", "waited", "throttled", "not steady", "untrained weights"]
    assert of(found).remarks[0].sentence == "shared machine: others used 150% of a core meanwhile"
    assert words(make(findings={}, trained=None)) == ["load unknown", "trained or not is unknown"]


def test_power_of_whole_entries_alone(make: Callable[..., Receipt]) -> None:
    energy: dict[str, Any] = {
        "frame": ENERGY,
        "a": {**ENERGY, "idle_w": "4"},
        "b": 7,
        "c": {},
        "d": {**ENERGY, "rails": 1},
    }
    found = of(make(findings={"energy": energy})).power
    assert found[0] == Power("frame", "INA3221", "A + B", 9.0, 4.0, 0.05)
    assert [power.boundary for power in found] == ["frame", "d"]
    assert of(make(findings={"energy": [ENERGY]})).power == []


@pytest.mark.parametrize("value", [None, True, "1", [1], float("nan"), float("inf"), 10**400, -(10**400)])
def test_what_is_no_number(value: object) -> None:
    assert number(value) is None
    assert number(3) == 3.0


def test_peers_are_told_apart(make: Callable[..., Receipt]) -> None:
    assert of(make()).name == "1  amfacpose-r18-256x256 fp32"
    assert of(make(switches={"candidate": "rtmlib"})).name == "1  rtmlib, 2t: amfacpose-r18-256x256"
    assert of(make(switches={"candidate": [1]})).name == "1  amfacpose-r18-256x256 fp32"


def test_what_is_no_table() -> None:
    assert table_of({"a": 3}, "a") == table_of({}, "a") == {}
    assert table_of({"a": {"b": 1}}, "a") == {"b": 1}
