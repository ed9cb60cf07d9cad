from __future__ import annotations

import contextlib
import socket
from contextlib import closing
from typing import TYPE_CHECKING

from amfac_edge.live import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from amfac_edge.live import PosedFrame


def _heard(listener: socket.socket) -> list[bytes]:
    heard: list[bytes] = []
    listener.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(listener.recv(100))
    return heard


def test_an_at_sign_within_a_path_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, posed_frame: Callable[..., PosedFrame]
) -> None:
    (tmp_path / "user@1000").mkdir()
    path = tmp_path / "user@1000" / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(path))
        Heartbeat().add(posed_frame())
        assert len(_heard(listener)) == 1


def test_systemd_is_told_of_the_first_frame_and_then_now_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, posed_frame: Callable[..., PosedFrame]
) -> None:
    now = 100.0
    monkeypatch.setattr("amfac_edge.live.heartbeat.time.monotonic", lambda: now)
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(path))
        heartbeat = Heartbeat()
        assert _heard(listener) == []
        for _ in range(3):
            heartbeat.add(posed_frame())
        assert _heard(listener) == [b"READY=1\nWATCHDOG=1"]
        now = 101.5
        heartbeat.add(posed_frame())
        heartbeat.add(posed_frame())
        assert _heard(listener) == [b"WATCHDOG=1"]
    now = 110.0
    heartbeat.add(posed_frame())  # nobody listens any more: no error


def test_an_abstract_name_and_none_at_all(
    monkeypatch: pytest.MonkeyPatch, posed_frame: Callable[..., PosedFrame]
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@amfac-heartbeat-test")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind("\0amfac-heartbeat-test")
        Heartbeat().add(posed_frame())
        assert len(_heard(listener)) == 1
        monkeypatch.delenv("NOTIFY_SOCKET")
        Heartbeat().add(posed_frame())
        assert _heard(listener) == []
