"""amfac-run with a detector, from a film to lines, on made networks whose answers are known by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

import amfac_edge
from amfac_edge.cli import first_detector
from amfac_edge.cli.run import main
from amfac_edge.errors import MachineError, ModelFileError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

FRAMES, FIRST, LAST = 40, 8, 29


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / "markers.onnx")
    return path


@pytest.fixture
def detector(cell_detector: ModuleType, tmp_path: Path) -> Path:
    path: Path = cell_detector.write_detector(tmp_path / "cells.onnx")
    return path


def _frame(shift: int) -> NDArray[np.uint8]:
    """64 x 96, a bright cell of somebody, whose place is that of a cell of the detector."""
    frame = np.full((64, 96, 3), 5, np.uint8)
    frame[16:32, shift : shift + 16] = (120, 230, 120)
    return frame


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Somebody is there from FIRST to before LAST, and nobody before and after."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (96, 64))
    for index in range(FRAMES):
        writer.write(_frame(32) if FIRST <= index < LAST else np.full((64, 96, 3), 5, np.uint8))
    writer.release()
    return path


def _run(*words: object) -> int:
    return main([str(word) for word in words])


def _lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], str]:
    out, err = capsys.readouterr()
    return [json.loads(text) for text in out.splitlines()], err


def _ids(lines: list[dict[str, Any]]) -> list[list[int]]:
    return [[person["id"] for person in line["people"]] for line in lines]


def test_a_film_with_a_detector_gives_lines_with_ids_and_a_film(
    engine: Path, detector: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save = tmp_path / "out.mp4"
    words = ("--engine", engine, "--source", film, "--detector", detector, "--every", 4, "--json", "--save", save)
    assert _run(*words) == 0
    lines, err = _lines(capsys)
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    ids = _ids(lines)
    first = next(index for index, each in enumerate(ids) if each)
    assert FIRST <= first <= FIRST + 4
    assert ids[first:LAST] == [[1]] * (LAST - first)
    assert ids[: FIRST - 1] == [[]] * (FIRST - 1)
    # The pose network of the tests is sure of every joint everywhere: the detector alone says that nobody is left.
    assert ids[LAST + 4 :] == [[]] * (FRAMES - LAST - 4)
    np.testing.assert_allclose(lines[first]["people"][0]["box"], [31.5, 15.5, 47.5, 31.5], atol=0.1)
    assert "detector asked in " in err
    assert save.stat().st_size > 0


def test_pictures_are_numbered_each_for_itself(
    engine: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, shift in enumerate((0, 48, 48)):
        cv2.imwrite(str(folder / f"{index}.png"), _frame(shift))
    assert _run("--engine", engine, "--source", folder, "--detector", detector, "--json") == 0
    assert _ids(_lines(capsys)[0]) == [[1], [1], [1]]


def test_who_is_left_out_is_told(
    engine: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = _frame(0)
    picture[32:48, 64:80, 1] = 150
    cv2.imwrite(str(tmp_path / "two.png"), picture)
    words = ("--engine", engine, "--source", tmp_path / "two.png", "--detector", detector, "--json")
    assert _run(*words) == 0
    assert len(_lines(capsys)[0][0]["people"]) == 2
    assert _run(*words, "--max-people", 1) == 0
    (line,), err = _lines(capsys)
    assert _ids([line]) == [[1]]
    (skipped,) = line["skipped"]
    assert skipped == {"box": [63.5, 31.5, 79.5, 47.5], "score": pytest.approx(150 / 255, abs=1e-5)}
    assert "1 times somebody was left out" in err


def test_the_score_from_which_on_people_are_followed(
    engine: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), _frame(0))
    words = ("--engine", engine, "--source", tmp_path / "one.png", "--detector", detector, "--json")
    for score, people in ((0.95, 0), (0.85, 1)):
        assert _run(*words, "--detector-score", score) == 0
        assert len(_lines(capsys)[0][0]["people"]) == people


def test_boxes_of_a_file_are_followed_where_that_is_asked_for(
    engine: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = tmp_path / "boxes.json"
    # Two people who change their places in the file.
    entries = [
        {"frame": frame, "bbox": [x, 16, 16, 16], "score": 0.3}
        for frame in range(FRAMES)
        for x in ((8, 60) if frame % 2 else (60, 8))
    ]
    boxes.write_text(json.dumps(entries))
    words = ("--engine", engine, "--source", film, "--boxes", boxes, "--json")
    assert _run(*words) == 0
    lines, _ = _lines(capsys)
    assert [person["box"][0] for person in lines[0]["people"]] == [60, 8]
    assert _run(*words, "--smooth") == 0
    lines, err = _lines(capsys)
    assert {person["id"]: person["box"][0] for person in lines[0]["people"]} == {
        person["id"]: person["box"][0] for person in lines[1]["people"]
    }
    assert "detector asked" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "3"], "--every 3 is about a detector, and there is none"),
        (["--detector-score", "0.5"], "--detector-score 0.5 is about a detector, and there is none"),
        (["--detector", "cells.onnx", "--every", "0"], "--every 0 is not 1 or more"),
        (["--detector", "cells.onnx", "--max-people", "0"], "--max-people 0 is not 1 or more"),
        (["--max-people", "0"], "--max-people 0 is not 1 or more"),
        (["--detector", "cells.onnx", "--deadline", "-1"], "--deadline -1 ms is no time"),
        (["--detector", "cells.onnx", "--detector-score", "7"], "--detector-score 7 is not within 0 and 1"),
        (["--detector", "cells.onnx", "--boxes", "full"], "not allowed with argument"),
        (["--detector", "markers.onnx"], "markers.onnx: this is a pose network, not a person detector"),
        (["--engine", "cells.onnx"], "cells.onnx: this is a person detector, not a pose network"),
        (["--source", "one.png", "--detector", "cells.onnx", "--every", "3"], "--every is about a video"),
        (["--source", "one.png", "--detector", "cells.onnx", "--smooth"], "--smooth is about a video"),
        (["--source", "one.png", "--detector", "cells.onnx", "--deadline", "9"], "--deadline is about a video"),
    ],
)
@pytest.mark.usefixtures("engine", "detector", "film")
def test_what_can_not_be_done_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("one.png", _frame(0))
    assert _run("--engine", "markers.onnx", "--source", "film.avi", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_detector_that_gives_no_numbers_ends_with_one_error(
    engine: Path, cell_detector: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = cell_detector.write_detector(tmp_path / "broken.onnx", broken=True)
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 96, 3), np.uint8))
    assert _run("--engine", engine, "--source", tmp_path / "black.png", "--detector", broken) == 2
    assert "gave boxes or scores that are not finite" in capsys.readouterr().err


def test_a_detector_as_its_authors_export_it_is_made_an_artefact_once(
    engine: Path,
    film: Path,
    made_detectors: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    raw = made_detectors.rtmdet(tmp_path / "made.onnx")
    words = ("--engine", engine, "--source", film, "--detector", raw, "--json")
    assert _run(*words) == 0
    lines, err = _lines(capsys)
    assert len(lines) == FRAMES
    assert "making the artefact that runs, once" in err
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was made before"))
    assert _run(*words) == 0
    again, err = _lines(capsys)
    assert again == lines
    assert "which was made before" in err
    # What another version made is not taken for this one's.
    monkeypatch.setattr(amfac_edge, "__version__", "99.0")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 2, "", "asked again"))
    assert _run(*words) == 2
    assert "amfac-export ended with code 2: asked again" in capsys.readouterr().err


def test_without_the_packages_of_an_export_it_says_where_to_make_it(
    made_detectors: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    raw = made_detectors.yolox(tmp_path / "made.onnx")
    answer = '{"error": "MissingExtraError", "problem": "x needs onnx", "cure": "pip install it", "exit_code": 3}'
    command = [sys.executable, "-c", f"print({answer!r}); raise SystemExit(3)"]
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda _, **options: run(command, **options))
    with pytest.raises(MachineError, match="x needs onnx") as caught:
        first_detector.detector_to_run(raw)
    assert caught.value.exit_code == 3
    assert "amfac-export made.onnx --target cpu" in caught.value.cure


def test_a_broken_detector_has_the_exports_own_error(
    made_detectors: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    raw = made_detectors.rtmdet(tmp_path / "made.onnx", broken="nan")
    with pytest.raises(ModelFileError, match=r"made\.onnx"):
        first_detector.detector_to_run(raw)
