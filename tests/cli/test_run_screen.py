"""amfac-run with a page and a window, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.cli.run import main

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "0.0.0.0"])  # noqa: S104 - nothing is bound to it
TREE = Path(__file__).parents[2]
TOKEN = "Zk3-" * 6


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / "engine.onnx", trained=False)
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (96, 64))
    for _ in range(20_000):
        writer.write(np.full((64, 96, 3), 60, np.uint8))
    writer.release()
    return path


def _main(*words: object) -> int:
    return main([str(word) for word in words])


def test_the_page_is_there_while_it_runs_and_ctrl_c_ends_both(engine: Path, film: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    words = [engine, "--source", film, "--page", "0", "--page-token", token, "--save", tmp_path / "out.avi"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from amfac_edge.cli.run import main; sys.exit(main())",
            "--engine",
            *map(str, words),
            "--draw-stats",
        ],
        env={**os.environ, "PYTHONPATH": str(TREE)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = ""
        for line in process.stderr:
            if found := re.match(r"page: (http://127\.0\.0\.1:\d+/)", line):
                url = found[1]
                break
        assert str(token) in line
        said = line
        request = urllib.request.Request(url + "stats.json")  # noqa: S310 - our own
        request.add_header("Authorization", f"Bearer {TOKEN}")
        ends = time.monotonic() + 30
        while True:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                stats = json.load(answer)
            if stats["run"]:
                break
            assert time.monotonic() < ends
            time.sleep(0.2)
        assert stats["people"] == 1
        assert stats["size"] == [96, 64]
        assert stats["run"]["rss_mb"] > 0
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()
    assert TOKEN not in said
    assert (tmp_path / "out.avi").stat().st_size > 1000


def test_wider_without_a_token_is_refused_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("--engine", "none.onnx", "--source", "none.avi", "--page", "0.0.0.0:8080") == 2
    err = capsys.readouterr().err
    assert "no token was given" in err
    assert "--page-token FILE" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--page", "http://x"], 'the address "http://x"|is no address'),
        (["--page-token", "x"], "--page-token is about a page"),
        (["--draw-stats"], "--draw-stats is about what --save writes"),
        (["--page", "8080", "--page-token", "nothing"], "nothing: the page token does not exist"),
        (["--page", "8080", "--lines", "x.jsonl"], "--page and the options for archives"),
        (["--show", "--shard", "0/2"], "--show and the options for archives"),
    ],
)
def test_what_can_not_be_meant(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("--engine", "none.onnx", "--source", "none.avi", *words) == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_window_without_a_screen_is_one_error(
    engine: Path, film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert _main("--engine", engine, "--source", film, "--show") == 3
    assert "there is no screen here" in capsys.readouterr().err


def test_figures_are_drawn_where_asked(engine: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.full((240, 320, 3), 200, np.uint8))
    for name, words in (("plain.png", []), ("figures.png", ["--draw-stats"])):
        assert _main("--engine", engine, "--source", picture, "--save", tmp_path / name, *words) == 0
    plain, figures = (cv2.imread(str(tmp_path / name)) for name in ("plain.png", "figures.png"))
    assert plain is not None
    assert figures is not None
    # The strip at the bottom says more words.
    assert (plain != figures).any()
    assert (plain[:180] == figures[:180]).all()
