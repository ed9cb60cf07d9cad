"""amfac-calibrate: ranges that exports find again, who is in a set, its digest pinned, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from amfac_edge.artefact import OPSETS, BatchRange
from amfac_edge.cli.calibrate import main
from amfac_edge.declared.calibration_set import load_calibration_set
from amfac_edge.networks.fresh import fresh_checkpoint
from amfac_edge.pipeline import read_source

if TYPE_CHECKING:
    from pathlib import Path

cv2 = pytest.importorskip("cv2")

SET = """# Ours.
schema = "amfac-calibration/1"
title = "A few"
count = 16
held_out = 16
seed = 3

[source]
images = "album"   # beside this file
"""


@pytest.fixture(scope="session")
def model(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A network's words on a command line; as ONNX, since torch's exporter takes seconds each time."""
    folder = tmp_path_factory.mktemp("network")
    fresh_checkpoint(tiny_recipe, 0, folder / "tiny.pth")
    raw = read_source(folder / "tiny.pth").model.raw_graph(BatchRange.parse("1-4"), OPSETS[0])
    onnx.save(raw, folder / "tiny.onnx")
    return [str(folder / "tiny.onnx"), "--recipe", str(tiny_recipe)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "amfac-edge" / "calibration"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(32):
        noise = np.random.default_rng(number).integers(0, 256, size=(60, 50, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.png"), noise)
    path = tmp_path / "mine.toml"
    path.write_text(SET)
    return path


def json_of(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_ranges_are_taken_once(
    model: list[str], mine: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*model, "--calib", mine, "--target", "cpu", "--out", tmp_path / "ranges.json")
    first = json_of(capsys, *words)
    assert (first["set"], first["people"], first["held_out"], first["crops"]) == ("mine", 16, 16, "64x48")
    (made,) = first["calibrations"]
    assert not made["from_cache"]
    assert [str(path) for path in cache.iterdir()] == [made["cache"]]
    assert made["key"]["crops_sha256"] == first["crops_sha256"]
    assert min(made["ranges"]["largest"].values()) > 0
    assert json.loads((tmp_path / "ranges.json").read_text()) == {"calibrations": [made]}
    (again,) = json_of(capsys, *words)["calibrations"]
    assert again == made | {"from_cache": True}
    (fresh,) = json_of(capsys, *words, "--no-cache", "--calib-method", "minmax")["calibrations"]
    assert (fresh["cache"], fresh["from_cache"], fresh["ranges"]["method"]) == (None, False, "minmax")
    assert len(list(cache.iterdir())) == 1


def test_what_people_read(model: list[str], mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*model, "--calib", str(mine), "--target", "cpu,orin-nano,rtx-4090"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("mine: A few\n  16 people calibrate, 16 others judge; 0 could not be used\n")
    assert "their boxes' longer sides: 60 to 60 pixels, median 60" in out
    assert out.count("tensors (percentile): ranges from ") == 2
    assert out.count("kept in ") == 2
    # Both GPUs take the same graph.
    assert err.count("the graph for ") == 2
    assert main([*words, "--target", "cpu"]) == 0
    assert "calibration from cache: " in capsys.readouterr().err


def test_who_is_in_a_set(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_recipe: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["--check", str(mine), "--recipe", str(tiny_recipe), "--sheet", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert "crops of 64x48 (tiny), sha256 " in out
    assert "not pinned" in out
    drawn = cv2.imread(str(sheet))
    assert drawn.shape[0] > 2 * 64
    assert drawn.std() > 20
    answer = json_of(capsys, "--check", "generated-people")
    assert (answer["crops"], answer["people"], answer["calibrations"]) == ("256x256", 128, [])


def test_a_digest_is_pinned_and_held(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_recipe: Path
) -> None:
    check = ["--check", str(mine), "--recipe", str(tiny_recipe)]
    digest = json_of(capsys, *check, "--pin")["crops_sha256"]
    assert mine.read_text() == f'{SET}\n[digest]\n"64x48" = "{digest}"\n'
    assert json_of(capsys, *check)["pinned"] is True
    assert main(["--check", str(mine), "--pin"]) == 0
    assert "256x256" in load_calibration_set(str(mine)).digests
    assert load_calibration_set(str(mine)).digests["64x48"] == digest
    victim = tmp_path / "album" / "000.png"
    for path in victim.parent.iterdir():
        path.write_bytes(victim.read_bytes())
    capsys.readouterr()
    assert main(check) == 2
    error = capsys.readouterr().err
    assert "its 16 crops of 64x48 have the digest" in error
    assert digest in error
    assert f"amfac-calibrate --check {mine} --recipe tiny --pin" in error
    other = json_of(capsys, *check, "--pin")["crops_sha256"]
    assert other != digest
    assert mine.read_text().count("64x48") == 1
    assert json_of(capsys, *check)["pinned"] is True


def test_a_digest_that_is_written_otherwise_is_left_alone(
    mine: Path, capsys: pytest.CaptureFixture[str], tiny_recipe: Path
) -> None:
    text = SET.replace("\n[source]", f'\ndigest = {{ "64x48" = "{"0" * 64}" }}\n[source]')
    mine.write_text(text)
    assert main(["--check", str(mine), "--recipe", str(tiny_recipe), "--pin"]) == 2
    assert 'Write it yourself, below [digest]: "64x48" = ' in capsys.readouterr().err
    assert mine.read_text() == text


def test_what_is_refused(model: list[str], mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(mine)
    for words, message in (
        ([], "no calibration set was named"),
        (model, "or a TOML of your own pictures: docs/quantization.md has one to copy"),
        ([*model, "--calib", "generated-peeple"], "did you mean generated-people"),
        ([*model, "--calib", table, "--check", table], "name two sets"),
        (["--check", table, "--out", "x.json"], "no ranges are taken"),
        (["--calib", "generated-people", "--pin"], "it belongs to this package"),
        (["--check", table, "--sheet", "x.txt"], "x.txt"),
        (["--check", table, "--sheet", str(tmp_path / "album")], "album"),
        ([*model, "--calib", table, "--out", model[0]], "would overwrite what is read from there"),
        ([*model, "--calib", table, "--target", "orin"], "orin"),
        ([str(tmp_path / "none.pth"), "--calib", table], "none.pth"),
        (["--check", "coco-val2017"], "--calib-data DIR"),
    ):
        assert main(words) == 2, words
        assert message in capsys.readouterr().err, words
