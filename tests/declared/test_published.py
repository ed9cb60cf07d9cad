"""The papers' tables load, and their figures agree where they can; faulty tables are refused line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.library import declared_folder
from amfac_edge.declared.published import load_published, published_names
from amfac_edge.declared.target import target_names
from amfac_edge.errors import DeclaredError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = {
    "amfacpose-table1-coco": 22,
    "amfacpose-table2-complexity": 22,
    "amfacpose-table3-crowdpose": 12,
    "amfacpose-table4-devices": 20,
    "amfacpose-table5-rtx3060": 8,
    "amfacpose-table6-ablation": 6,
    "eba-prnetcc-table1-coco": 5,
    "eba-prnetcc-table2-complexity": 7,
    "eba-prnetcc-table3-head": 2,
    "eba-prnetcc-table4-backbone": 2,
    "rtmpose-tensorrt": 10,
}


def test_every_table_is_counted() -> None:
    assert published_names() == sorted(ROWS)


@pytest.mark.parametrize("name", published_names())
def test_a_table_loads_whole(name: str) -> None:
    table = load_published(name)
    assert len(table.rows) == ROWS[name]
    assert all(tuple(row.values) == table.columns for row in table.rows)
    assert all((row.number("ap") or row.number("fps") or row.number("ms") or 0) > 0 for row in table.rows)


def test_an_empty_cell_is_none() -> None:
    assert load_published("eba-prnetcc-table1-coco").row("TFPose ResNet-50+Transformer 384x288").number("ar") is None
    assert (
        load_published("amfacpose-table4-devices").row("AMFACPose ResNet18 256x256 rtx-4090").number("power_w") is None
    )


def test_tables_1_and_2_print_the_same_ap() -> None:
    for paper in ("amfacpose", "eba-prnetcc"):
        complexity = load_published(f"{paper}-table2-complexity")
        for row in load_published(f"{paper}-table1-coco").rows:
            assert complexity.row(row.label).number("ap") == row.number("ap")


def test_frames_a_second_are_one_over_the_latency_but_for_one_cell() -> None:
    wrong = []
    for row in load_published("amfacpose-table4-devices").rows:
        milliseconds, fps = row.number("ms"), row.number("fps")
        assert milliseconds is not None
        assert fps is not None
        if abs(1000 / milliseconds / fps - 1) > 0.0031:
            wrong.append(row.label)
    assert wrong == ["AMFACPose ResNet18 384x288 orin-nx-8"]


def test_devices_of_table_4_are_targets() -> None:
    devices = {row.values["device"] for row in load_published("amfacpose-table4-devices").rows}
    assert devices <= set(target_names())
    assert len(devices) == 5


def test_an_unknown_table_and_an_unknown_row_show_near_names() -> None:
    with pytest.raises(DeclaredError, match="unknown published table") as raised:
        load_published("amfacpose-table4-device")
    assert "amfacpose-table4-devices" in raised.value.cure
    with pytest.raises(DeclaredError, match="no row") as raised:
        load_published("amfacpose-table6-ablation").row("afpn+dgbc")
    assert "afpn+dgcb" in raised.value.cure


def test_every_fault_of_a_table_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("model,ap,ap\nA,7O.1,1\nB,70\nA,nan,2\n")
    with pytest.raises(DeclaredError) as raised:
        load_published(path)
    problem = raised.value.problem
    assert str(path) in problem
    assert 'line 1: the column "ap" comes twice' in problem
    assert 'line 2: ap: expected a number, got "7O.1"' in problem
    assert "line 3: 2 cells under 3 columns" in problem
    assert 'line 4: ap: expected a number, got "nan"' in problem


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "to name the rows"),
        (b"ap,ar\n1,2\n", "to name the rows"),
        (b"model,ap\nA,1\nA,2\n", '"A" names more than one row'),
        (b"model,input_height,ap\nA,256,1\n", "go together"),
        (b"model,input_height,input_width\nA,256,\n", 'line 2: input_width: expected a number, got ""'),
        (b"model,ap\n\xff\xfe,1\n", "not CSV text"),
        (b"model,ap\n" + b"A" * 200_000 + b",1\n", "not CSV text"),
        (b"," * (2 << 20), "more than a CSV file can have"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DeclaredError) as raised:
        load_published(path)
    assert fault in raised.value.problem
    assert "table.csv" in raised.value.problem


def test_the_tables_lie_where_the_reader_looks() -> None:
    assert {path.stem for path in (declared_folder("bench") / "published").iterdir()} == set(ROWS)
