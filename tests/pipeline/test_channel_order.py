"""Calibrating crops whose red and blue are exchanged: seen by the network that they are for, and refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from amfac_edge.cli.calibrate import main as calibrate
from amfac_edge.cli.export import main as export
from amfac_edge.declared.calibration_set import load_calibration_set
from amfac_edge.errors import GateError
from amfac_edge.pipeline import Source, read_source
from amfac_edge.pipeline.channel_order import ChannelOrder, channel_order, check_channel_order
from amfac_edge.quantization.people import Calibration, calibration_crops, calibration_people

WEIGHTS = Path(__file__).parents[2] / "export" / "checkpoints" / "amfacpose-r18-128x128-crowdpose.safetensors"
SET = """
schema = "amfac-calibration/1"
title = "A few"
count = 32
held_out = 16
seed = 1
[source]
"""


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source(WEIGHTS)


@pytest.fixture(scope="module")
def chosen(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    table = tmp_path_factory.mktemp("set") / "drawn.toml"
    table.write_text(SET + "generated = true")
    return calibration_people(load_calibration_set(str(table)), source.recipe)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_trained_network_tells(source: Source, chosen: Calibration, *, labelled: bool) -> None:
    crops = calibration_crops(chosen, source.recipe)
    if not labelled:
        nothing = np.zeros_like(chosen.people.keypoints)
        people = dataclasses.replace(chosen.people, keypoints=nothing, keypoint_counts=nothing[:, 0, 0].astype(int))
        chosen = dataclasses.replace(chosen, people=people)
    right = channel_order(source, chosen, crops)
    assert right is not None
    assert right.told
    assert check_channel_order(source, chosen, crops) == right
    swapped = np.ascontiguousarray(crops[..., ::-1])
    wrong = channel_order(source, chosen, swapped)
    assert wrong is not None
    assert (wrong.scores, wrong.preference) == (right.scores[::-1], -right.preference)
    assert (wrong.pck is not None) == labelled
    with pytest.raises(GateError, match=r"drawn: amfacpose-\S+ is surer of its people with red and blue exchanged"):
        check_channel_order(source, chosen, swapped)


def test_what_it_can_not_tell_is_let_pass(source: Source, chosen: Calibration) -> None:
    crops = calibration_crops(chosen, source.recipe)
    grey = channel_order(source, chosen, np.repeat(crops[..., :1], 3, axis=-1))
    assert grey is not None
    assert (grey.told, grey.holds, grey.preference) == (False, True, 0.0)
    assert channel_order(dataclasses.replace(source, trained=False), chosen, crops) is None


@pytest.mark.parametrize(
    ("scores", "preference", "pck", "holds"),
    [
        ((0.2, 0.3), -5.0, None, False),
        ((0.2, 0.3), -5.0, (0.4, 0.5), False),
        ((0.2, 0.3), -5.0, (0.5, 0.4), True),
        ((0.2, 0.3), -3.0, None, True),
        ((0.2, 0.21), -20.0, None, True),
        ((0.3, 0.2), 5.0, (0.4, 0.5), True),
    ],
)
def test_surer_by_much_beyond_chance_and_against_no_labels(
    scores: tuple[float, float], preference: float, pck: tuple[float, float] | None, *, holds: bool
) -> None:
    assert ChannelOrder(32, scores, preference, pck).holds == holds


def test_such_a_set_is_refused_by_both_commands(
    chosen: Calibration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2 = pytest.importorskip("cv2")
    for folder, order in (("right", slice(None)), ("wrong", slice(None, None, -1))):
        (tmp_path / folder).mkdir()
        for number, people in enumerate((chosen.people, chosen.held_out)):
            for index, image in enumerate(people.image_ids.tolist()):
                picture = people.read_image(image)
                left, top, right, bottom = np.rint(people.boxes[index]).clip(0).astype(int)
                part = picture[top:bottom, left:right]
                cv2.imwrite(str(tmp_path / folder / f"{number}-{index}.png"), part[..., order])
        (tmp_path / f"{folder}.toml").write_text(SET + f'images = "{folder}"')
    words = [str(WEIGHTS), "--calib", str(tmp_path / "wrong.toml")]
    sheet, kept = tmp_path / "people.png", tmp_path / "ranges.json"
    assert calibrate([*words, "--sheet", str(sheet), "--out", str(kept), "--no-cache"]) == 1
    assert "with red and blue exchanged" in capsys.readouterr().err
    assert sheet.exists()
    assert not kept.exists()
    out = tmp_path / "out"
    assert export([*words, "--precision", "int8", "--target", "cpu", "--out", str(out), "--no-calib-cache"]) == 1
    assert "with red and blue exchanged" in capsys.readouterr().err
    assert not out.exists()
    assert calibrate([str(WEIGHTS), "--check", str(tmp_path / "right.toml"), "--pin"]) == 0
    assert "red and blue are in their places: mean score " in capsys.readouterr().out
    before = (tmp_path / "wrong.toml").read_text()
    assert calibrate([str(WEIGHTS), "--check", str(tmp_path / "wrong.toml"), "--pin"]) == 1
    assert (tmp_path / "wrong.toml").read_text() == before
