"""amfac-bench report as its user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import pytest

from amfac_edge.cli.bench import main

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

FEW = ["--iterations", "70", "--frame", "320x240", "--threads", "1", "--idle", "0"]


@pytest.fixture
def receipt(markers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    engine: Path = markers.write_artefact(tmp_path / "engine.onnx", trained=False)
    assert main([str(engine), *FEW, "--out", str(tmp_path / "receipts")]) == 0
    capsys.readouterr()
    (path,) = (tmp_path / "receipts").iterdir()
    return path


def test_a_page_and_a_picture(receipt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "out.html"
    assert main(["report", str(receipt), str(receipt), "--out", str(page)]) == 0
    assert capsys.readouterr().out.split() == [str(page), str(tmp_path / "out.png")]
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert receipt.name in text
    assert "untrained weights" in text
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture is not None
    assert picture.shape[1] > 800
    assert main(["report", str(receipt), "--out", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["receipts"] == 1
    # A folder stands for the receipts in it.
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "a.receipt.json").write_bytes(receipt.read_bytes())
    (folder / "b.json").write_text("{}")
    assert main(["report", str(folder), "--out", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["receipts"] == 1


def test_receipts_that_cant_be_believed(receipt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = receipt.read_bytes()
    page = tmp_path / "out.html"
    bad = tmp_path / "bad.json"
    for changed, message in (
        (content[:900], "bad.json: no whole JSON"),
        (content.replace(b'"fp32"', b'"int8"'), "bad.json: its digest is not that of its content"),
        (content.replace(b"amfac-receipt/1", b"amfac-receipt/2"), 'schema "amfac-receipt/2" is not amfac-receipt/1'),
        (b"<script>", "bad.json: no whole JSON"),
    ):
        bad.write_bytes(changed)
        assert main(["report", str(receipt), str(bad), "--out", str(page)]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("error:") == 1
        assert not page.exists()


def test_wrong_words(receipt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--out", str(tmp_path / "a.pdf")], "a.pdf: the report is HTML"),
        (["--evaluation", "e.json"], "--evaluation without --against"),
        (["--against", "table2", "--evaluation", str(receipt)], "no result of amfac-eval"),
        ([str(tmp_path / "none.json"), "--out", str(tmp_path / "a.html")], "none.json: the receipt does not exist"),
        (["--out", str(tmp_path / "none" / "a.html")], "a.html: can't be written"),
    ):
        assert main(["report", str(receipt), *words]) == 2, words
        assert message in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty"), "--out", str(tmp_path / "b.html")]) == 2
    assert "empty: no receipt lies in this folder (*.receipt.json)" in capsys.readouterr().err
    page = tmp_path / "a.html"
    page.write_bytes(receipt.read_bytes())
    assert main(["report", str(page), "--out", str(page)]) == 2
    assert "would overwrite what is read from there" in capsys.readouterr().err
