"""amfac-fetch as it is typed: what it prints where, how it ends, and what it leaves when it is stopped."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from amfac_edge.cli.fetch import main
from amfac_edge.declared.public_model import public_model_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import SimpleNamespace

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
MODEL = bytes(range(256)) * 1500
DIGEST = hashlib.sha256(MODEL).hexdigest()
COMMAND = [sys.executable, "-c", "import sys; from amfac_edge.cli.fetch import main; sys.exit(main())"]


@pytest.fixture
def toml(entry: Callable[..., Path], publisher: SimpleNamespace) -> str:
    """An entry whose file the publisher has."""
    publisher.files["/net.onnx"] = MODEL
    return str(entry())


def test_the_path_is_printed_and_what_comes_next_is_said(
    toml: str, publisher: SimpleNamespace, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([toml]) == 0
    path = cache / "net" / "net.onnx"
    out, err = capsys.readouterr()
    assert out == f"{path}\n"
    assert publisher.address in err
    assert "0.4 MB" in err
    assert "licence   Apache-2.0 (https://example.org/LICENSE)" in err
    assert f"fetched; SHA-256 {DIGEST}\nnext: amfac-export {path} --recipe rtmpose-256x192 --target cpu\n" in err
    assert main([toml]) == 0
    assert "it was here already" in capsys.readouterr().err


def test_json_is_one_object(toml: str, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([toml, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "amfac-fetched/1"
    (model,) = answer["models"]
    path = str(cache / "net" / "net.onnx")
    assert (model["path"], model["sha256"], model["size"], model["came_from"]) == (path, DIGEST, len(MODEL), "network")
    assert (model["licence"], model["verified"]["file"], model["state"]) == ("Apache-2.0", False, "no")


def test_the_list_says_what_was_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(rows) == ["name", *public_model_names()]
    assert "the file alone, 2026-11-21" in rows["rtmdet-nano-person"]
    assert "no, refused without --sha256" in rows["rtmpose-m-384x288"]
    assert main(["--list", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [model["name"] for model in models] == public_model_names()
    assert all({"url", "licence", "model", "verified", "state"} <= model.keys() for model in models)


def test_a_detector_is_exported_without_a_recipe(
    entry: Callable[..., Path], publisher: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher.files["/net.onnx"] = MODEL
    path = entry()
    path.write_text(path.read_text().replace("pose", "detector", 1).replace('recipe = "rtmdetector-256x192"\n', ""))
    path.write_text(path.read_text().replace('recipe = "rtmpose-256x192"\n', ""))
    assert main([str(path)]) == 0
    err = capsys.readouterr().err
    assert re.search(r"next: amfac-export \S+\.onnx --target cpu\n", err)


def test_refusals_end_with_2_and_trouble_with_3(
    entry: Callable[..., Path], publisher: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher.files["/net.onnx"] = MODEL
    assert main([str(entry(model=None))]) == 2
    assert "digest missing" in capsys.readouterr().err
    assert main([str(entry(model=None)), "--sha256", DIGEST]) == 0
    assert main([str(entry("/absent.onnx", model='sha256 = "' + "0" * 64 + '"')), "--json"]) == 2
    captured = capsys.readouterr()
    assert "the server answers 404 (Not Found)" in captured.err
    assert json.loads(captured.out.splitlines()[-1])["exit_code"] == 2
    assert main([]) == 2
    assert "no model is named" in capsys.readouterr().err
    assert main(["rtmpose-q"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["yolox-nano", "yolox-tiny", "--sha256", DIGEST]) == 2
    assert "one file and one digest" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_download_is_kept_and_gone_on_with(
    toml: str, publisher: SimpleNamespace, cache: Path, number: signal.Signals, code: int
) -> None:
    publisher.stalls = 100_000
    running = subprocess.Popen([*COMMAND, toml], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = cache / "net" / "net.onnx.part"
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (code, "")
    assert f"what has come is kept ({part}); the same command goes on from there" in err
    assert "Traceback" not in err
    assert "were removed" not in err
    kept = part.stat().st_size
    publisher.stalls = 0
    assert main([toml]) == 0
    assert publisher.asked == ["", f"bytes={kept}-"]
    assert not part.exists()


def test_a_terminal_sees_a_bar_in_bytes(toml: str) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen([*COMMAND, toml], stdout=subprocess.PIPE, stderr=follower) as running:
        os.close(follower)
        shown = b""
        try:
            while block := os.read(leader, 1 << 16):
                shown += block
        except OSError:  # the other side was closed
            pass
        assert running.wait(60) == 0
    os.close(leader)
    assert b"net, bytes [############################] 384000/384000" in shown
