"""The example apps run as they are written, in a process of their own, on videos in the place of cameras."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 64))
    frame = np.full((64, 96, 3), 5, np.uint8)
    frame[16:32, 32:48] = (120, 230, 120)  # somebody, to the made detector
    for _ in range(3):
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="module")
def engine(markers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = markers.write_artefact(tmp_path_factory.mktemp("engine") / "engine.onnx")
    return path


@pytest.fixture(scope="module")
def detector(cell_detector: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = cell_detector.write_detector(tmp_path_factory.mktemp("detector") / "detector.onnx")
    return path


def _run(example: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    done = _ended(example, *words, **environment)
    assert done.returncode == 0, done.stderr
    return done


def _ended(example: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / example), *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_lines_on_standard_output(engine: Path, film: Path, detector: Path) -> None:
    lines = [json.loads(line) for line in _run("camera_lines.py", engine, film).stdout.splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert all(np.shape(line["people"][0]["keypoints"]) == (17, 3) for line in lines)
    found = [
        json.loads(line) for line in _run("camera_lines.py", engine, film, "--detector", detector).stdout.splitlines()
    ]
    assert [[person["id"] for person in line["people"]] for line in found] == [[1], [1], [1]]


def test_several_cameras_share_an_engine(engine: Path, film: Path, detector: Path) -> None:
    done = _run("several_cameras.py", engine, detector, film, film, film)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted((line["camera"], line["frame"]) for line in lines) == [(c, f) for c in range(3) for f in range(3)]
    by_camera = [[line["people"] for line in lines if line["camera"] == camera] for camera in range(3)]
    assert by_camera[0] == by_camera[1] == by_camera[2]
    assert [len(people) for people in by_camera[0]] == [1, 1, 1]
    assert "9 frames with people in " in done.stderr


def test_a_camera_that_ends_with_an_error_leaves_the_others_and_is_told(
    engine: Path, film: Path, detector: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    done = _ended("several_cameras.py", engine, detector, tmp_path, film)
    assert [json.loads(line)["camera"] for line in done.stdout.splitlines()] == [1, 1, 1]
    assert done.returncode == 2
    assert f"camera 0: {tmp_path}: none of its 1 pictures can be read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_one_interrupt_ends_several_cameras_in_an_outage(
    made_rtsp: Any,  # noqa: ANN401 - a module
    engine: Path,
    detector: Path,
    tmp_path: Path,
) -> None:
    with made_rtsp.RtspCamera(tmp_path) as camera:
        app = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "several_cameras.py"), engine, detector, camera.url, camera.url],
            env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with app:
            try:
                assert app.stdout is not None
                assert app.stderr is not None
                assert json.loads(app.stdout.readline())["camera"] in {0, 1}
                threading.Thread(target=app.stdout.read, daemon=True).start()
                camera.kill_server()
                lost = [app.stderr.readline(), app.stderr.readline()]
                app.send_signal(signal.SIGINT)
                # It would wait for ever for the cameras.
                assert app.wait(60) == 0
                rest = app.stderr.read()
            finally:
                app.kill()
    assert all("connecting again" in line for line in lost)
    assert re.search(r"\d+ frames with people in \d+ batches\n$", rest)
    assert "Traceback" not in rest


@pytest.mark.parametrize("example", ["camera.py", "camera_lines.py", "several_cameras.py"])
@pytest.mark.parametrize(("words", "told"), [(1, "usage: "), (3, "absent.onnx")])
def test_what_is_missing_is_told_in_a_line(
    example: str,
    words: int,
    told: str,
    engine: Path,
    detector: Path,
    tmp_path: Path,
) -> None:
    absent = tmp_path / "absent.onnx"
    options = ["--detector", detector] if example == "camera_lines.py" else [detector]
    given = [absent, *options, "film.avi"] if words > 1 else [engine]
    if example == "camera.py":
        given = given[:1] + given[:0:-1]
    done = _ended(example, *given)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_camera_app_shows_a_window(engine: Path, film: Path) -> None:
    server = shutil.which("xvfb-run")
    if server is None or "GUI:                           NONE" in cv2.getBuildInformation():
        pytest.skip("no xvfb-run here (apt install xvfb), or an OpenCV without windows")
    done = subprocess.run(
        [server, "-a", sys.executable, str(EXAMPLES / "camera.py"), str(engine), str(film)],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------------------------------- MQTT


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("broker.local", ("broker.local", None)),
        ("broker.local:1884", ("broker.local", 1884)),
        ("[::1]:1884", ("::1", 1884)),
        ("broker:port", None),
        ("broker:70000", None),
        ("mqtt://broker", None),
        (":1883", None),
        ("warden:hush@broker:1883", None),
    ],
)
def test_the_address_of_a_broker(text: str, meant: tuple[str, int | None] | None) -> None:
    spec = importlib.util.spec_from_file_location("camera_lines", EXAMPLES / "camera_lines.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if meant is None:
        with pytest.raises((ValueError, argparse.ArgumentTypeError), match=r".+") as raised:
            module.broker(text)
        assert "hush" not in str(raised.value)
    else:
        assert module.broker(text) == meant


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """The port of a real broker on loopback, which wants a password."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    passwords = shutil.which("mosquitto_passwd")
    if program is None or passwords is None or importlib.util.find_spec("paho") is None:
        pytest.skip('no broker or no client here: apt install mosquitto, pip install "amfac-edge[mqtt]"')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    secrets = tmp_path / "passwords"
    subprocess.run([passwords, "-c", "-b", str(secrets), "hall", "the word"], check=True, capture_output=True)
    secrets.chmod(0o644)
    tmp_path.chmod(0o755)
    (tmp_path / "broker.conf").write_text(f"listener {port} 127.0.0.1\nuser root\npassword_file {secrets}\n")
    process = subprocess.Popen(
        [program, "-c", str(tmp_path / "broker.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def test_lines_go_to_a_broker(broker: int, engine: Path, tmp_path: Path) -> None:
    from paho.mqtt import client as mqtt  # noqa: PLC0415 - the broker's fixture skips where it is missing
    from paho.mqtt import enums  # noqa: PLC0415

    long_film = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(long_film), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 64))
    for _ in range(2000):
        writer.write(np.zeros((64, 96, 3), np.uint8))
    writer.release()
    came: list[dict[str, object]] = []
    listening = threading.Event()
    client = mqtt.Client(enums.CallbackAPIVersion.VERSION2)
    client.username_pw_set("hall", "the word")
    client.on_message = lambda _client, _data, message: came.append(json.loads(message.payload))
    client.on_subscribe = lambda *_: listening.set()
    client.connect("127.0.0.1", broker)
    client.subscribe("hall/poses")
    client.loop_start()
    try:
        assert listening.wait(20)
        words = [engine, long_film, "--mqtt", f"127.0.0.1:{broker}", "--topic", "hall/poses"]
        assert _run("camera_lines.py", *words, MQTT_USER="hall", MQTT_PASSWORD="the word").stdout == ""  # noqa: S106 - of this broker
        ends = time.monotonic() + 20
        while not came and time.monotonic() < ends:
            time.sleep(0.05)
    finally:
        client.disconnect()
        client.loop_stop()
    # What came before the connection stood was dropped; what came after it is in order.
    frames = [line["frame"] for line in came]
    assert frames
    assert frames == sorted(set(frames))  # type: ignore[type-var]
    assert set(came[0]) >= {"frame", "name", "time", "people"}


def test_a_broker_that_is_away_delays_nothing(engine: Path, film: Path) -> None:
    if importlib.util.find_spec("paho") is None:
        pytest.skip('pip install "amfac-edge[mqtt]"')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert _run("camera_lines.py", engine, film, "--mqtt", f"127.0.0.1:{port}").stdout == ""


# ---------------------------------------------------------------------------------------------------------- systemd


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here")
    text = (EXAMPLES / "amfac-run.service").read_text()
    # It must find the program; everything else stays as it is.
    unit = tmp_path / "amfac-run.service"
    unit.write_text(text.replace("/opt/amfac/bin/amfac-run", "/bin/true"))
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(text.replace("WatchdogSec=60", "WatchdogSec=often"))
    wrong = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "Failed to parse sec value" in wrong.stderr


def test_the_command_of_the_unit_is_one() -> None:
    from amfac_edge.cli.run import _parser  # noqa: PLC0415 - of this test alone

    text = (EXAMPLES / "amfac-run.service").read_text().replace("\\\n", " ")
    (command,) = [line.partition("=")[2] for line in text.splitlines() if line.startswith("ExecStart=")]
    arguments = _parser().parse_args(command.split()[1:])
    assert arguments.page == "0.0.0.0:8080"
    assert arguments.page_token
