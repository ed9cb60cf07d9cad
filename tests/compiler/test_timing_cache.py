"""A timing cache lies where its machine, release and mode say, and is used only whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.compiler.timing_cache import cache_file, keep_timing_cache, read_timing_cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "amfac-edge" / "timing"


def test_each_mode_has_its_own(folder: Path) -> None:
    fifteen, maxn = (cache_file("orin-nx-16", "10.3.0", (mode, "fp16")) for mode in ("15W", "MAXN SUPER"))
    assert fifteen == folder / "orin-nx-16.tensorrt-10.3.0.15w.fp16.cache"
    assert maxn == folder / "orin-nx-16.tensorrt-10.3.0.maxn_super.fp16.cache"


@pytest.mark.parametrize("mode", ["../../etc/passwd", "", "a/b", "..", "\0", "MAXN\n"])
def test_a_mode_names_no_other_folder(folder: Path, mode: str) -> None:
    assert cache_file("orin-nano-8", "10.3.0", (mode, "fp16")).parent == folder


def test_what_is_kept_is_read_again() -> None:
    path = cache_file("orin-nano-8", "10.3.0", ("15W", "fp16"))
    assert read_timing_cache(path) == (b"", None)
    keep_timing_cache(path, b"measured")
    assert read_timing_cache(path) == (b"measured", None)
    assert path.with_name(path.name + ".sha256").read_text().endswith(f"  {path.name}\n")


@pytest.mark.parametrize("fault", ["content", "digest", "no digest", "folder"])
def test_what_is_not_whole_is_left_aside(fault: str) -> None:
    path = cache_file("orin-nano-8", "10.3.0", ("15W", "fp16"))
    keep_timing_cache(path, b"measured")
    beside = path.with_name(path.name + ".sha256")
    if fault == "content":
        path.write_bytes(b"measurec")
    elif fault == "digest":
        beside.write_bytes(b"\xff")
    elif fault == "no digest":
        beside.unlink()
    else:
        path.unlink()
        path.mkdir()
    content, said = read_timing_cache(path)
    assert content == b""
    assert said is not None
    assert "a fresh one was begun" in said
