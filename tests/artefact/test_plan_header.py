"""A file's first bytes tell a plan from everything else, and never more than they know."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amfac_edge.artefact.plan_header import plan_header_of, read_plan_header
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType


def _prefixed(text: bytes, plan: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text + plan


@pytest.mark.parametrize("bit", range(6))
def test_an_rtx_plan_says_release_capability_and_length(made_plans: ModuleType, bit: int) -> None:
    header = plan_header_of(made_plans.rtx_plan(1 << bit))
    assert (header.kind, header.flavour, header.version) == ("plan", "tensorrt-rtx", "1.7.1.116")
    assert header.compute_capabilities == (made_plans.RTX_CAPABILITIES[1 << bit],)
    assert header.engine_name == made_plans.NAME
    assert header.fault is None
    assert not header.unknown_capabilities


def test_a_gpu_of_a_later_release_is_said_to_be_unknown(made_plans: ModuleType) -> None:
    header = plan_header_of(made_plans.rtx_plan(0b100_0100))
    assert header.compute_capabilities == ("8.6",)
    assert header.unknown_capabilities


def test_a_plan_of_tensorrt_proper_says_only_its_name(made_plans: ModuleType) -> None:
    header = plan_header_of(made_plans.plan())
    assert (header.flavour, header.version, header.compute_capabilities) == ("tensorrt", None, ())
    assert header.engine_name == made_plans.NAME
    assert header.fault is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"amfac/1 RTMPose-s_v1.2+mine 00112233aabbccdd", True),
        (b"amfac/1 two words 00112233aabbccdd", False),
        (b"amfac/2 x 00112233aabbccdd", False),
        (b"amfac/1 x 00112233AABBCCDD", False),
        (b"amfac/1 " + b"x" * 201 + b" 00112233aabbccdd", False),
        (b"amfac/1 x\x1b[31m 00112233aabbccdd", False),
    ],
)
def test_an_engine_name_is_ours_or_none(name: bytes, found: bool) -> None:  # noqa: FBT001
    header = plan_header_of(b"ftrt" + bytes(100) + name + bytes(100))
    assert header.engine_name == (name.decode() if found else None)


@pytest.mark.parametrize("keep", [4, 28, 36, 63, 64, 400])
def test_a_plan_cut_short_has_a_fault(made_plans: ModuleType, keep: int) -> None:
    fault = plan_header_of(made_plans.rtx_plan()[:keep]).fault
    assert fault is not None
    assert str(keep) in fault


@pytest.mark.parametrize(
    ("content", "kind", "title"),
    [
        (b"", "empty", "an empty file"),
        (b"\x08\x08\x12\x07pytorch", "onnx", "an ONNX file"),
        (b"PK\x03\x04....", "zip", "a zip archive"),
        (b"\x1f\x8b\x08", "gzip", "a board kit is one"),
        (b"\x7fELF\x02", "program", "a program or library"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "text", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "text", "a web page"),
        (b'{"schema": "amfac-manifest/1"}', "json", "a JSON text"),
        (b"[" * 200_000, "json", "a JSON text"),
        ("Übersicht".encode(), "text", "a text"),
        (b"\x00\x01\x02\x03\x04", "unknown", "it starts with the bytes 00 01 02 03 04"),
        (b"trtf", "text", "a text"),
    ],
)
def test_what_is_no_plan_is_named(content: bytes, kind: str, title: str) -> None:
    header = plan_header_of(content)
    assert (header.kind, header.flavour) == (kind, None)
    assert title in header.title


@pytest.mark.parametrize("text", [b'{"task": "pose"}', b"3", b"[" * 200_000, b"\xff\xfe"])
def test_an_engine_of_ultralytics_is_named_whatever_its_json_is(made_plans: ModuleType, text: bytes) -> None:
    header = plan_header_of(_prefixed(text, made_plans.plan()))
    assert (header.kind, header.flavour, header.plan_offset) == ("ultralytics", "tensorrt", 4 + len(text))
    assert header.foreign == ({"task": "pose"} if text.startswith(b"{") else {})


def test_a_length_without_a_plan_behind_it_is_nothing(made_plans: ModuleType) -> None:
    assert plan_header_of(_prefixed(b"{}", b"nope")).kind == "unknown"
    # Longer than what is read of a file: no reader of ours ever goes there.
    assert plan_header_of(_prefixed(b" " * (1 << 20), made_plans.plan())).kind == "unknown"


def _bytes_read() -> int:
    """By this process, from whatever."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_of_ten_sparse_gigabytes_little_is_read(made_plans: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "m.plan"
    path.write_bytes(made_plans.rtx_plan())
    with path.open("r+b") as stream:
        stream.truncate(10 << 30)
    before = _bytes_read()
    header = read_plan_header(path)
    assert _bytes_read() - before < 32 << 20
    assert header.size == 10 << 30
    assert header.fault is not None
    assert "10,737,418,240 bytes" in header.fault


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read: No such file"):
        read_plan_header(tmp_path / "none.plan")


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([b"", b"ftrt", b"vtrt", b"\x10\0\0\0", b"\x08\x08\x12", b"{"]))
def test_no_bytes_are_too_much(content: bytes, start: bytes) -> None:
    header = plan_header_of(start + content)
    json.dumps([header.kind, header.title, header.fault, dict(header.foreign)])
