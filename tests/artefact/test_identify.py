from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.artefact import manifest_path
from amfac_edge.artefact.identify import identify
from amfac_edge.errors import InputError, ModelFileError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def _zip(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x")  # without a date: the ids of tests are made of it
    return content.getvalue()


def _prefixed(header: bytes, plan: bytes = b"ftrt1234") -> bytes:
    return struct.pack("<I", len(header)) + header + plan


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(16)


@pytest.mark.parametrize(
    ("content", "kind", "title"),
    [
        (b"", "unknown", "an empty file"),
        (b"ftrt", "tensorrt-plan", "a TensorRT plan"),
        (b"vtrt", "tensorrt-rtx-plan", "a TensorRT-RTX plan"),
        (_zip("model/data.pkl", "model/data/0"), "pytorch-checkpoint", "a PyTorch checkpoint"),
        (_zip("model/data.pkl", "model/code/x.py"), "torchscript", "a TorchScript program"),
        (_zip("a.txt", "b.txt"), "unknown", "a zip archive of 2 files"),
        (_zip("model/data.pkl")[:40], "unknown", "cut short or damaged"),
        (b"\x80\x02\x8a\x0al\xfc\x9c", "pytorch-checkpoint", "a pickle, as PyTorch before 1.6"),
        (_prefixed(b'{"task": "pose"}'), "ultralytics-engine", "an engine of Ultralytics"),
        (_prefixed(b"3"), "ultralytics-engine", "an engine of Ultralytics"),
        (_prefixed(b"[" * 200_000), "ultralytics-engine", "behind 200,004 bytes of JSON"),
        (_prefixed(b'{"task": "pose"}', b"nope1234"), "unknown", "nothing that is known here"),
        (_safetensors(b'{"__metadata__": {}}'), "safetensors", "a safetensors checkpoint"),
        (_safetensors(b"{" * 100), "unknown", "nothing that is known here"),
        (struct.pack("<Q", 1 << 40) + b'{"a": 1}', "unknown", "nothing that is known here"),
        (b'{"schema": "amfac-receipt/1"}', "json", 'JSON of schema "amfac-receipt/1"'),
        (b'{"a": 1}', "json", "JSON"),
        (b"[1, 2]", "json", "JSON, not an object of ours"),
        (b"{" * 100, "unknown", "nothing that is known here"),
        (b"hello", "unknown", "it starts with the bytes 68 65 6c 6c 6f"),
        (b"\x00\x00\x00\x00", "unknown", "nothing that is known here"),
    ],
)
def test_the_content_says_what_a_file_is(tmp_path: Path, content: bytes, kind: str, title: str) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    facts = identify(path)
    assert facts.kind == kind
    assert title in facts.title
    json.dumps(facts.facts)


def test_an_rtx_plan_tells_its_release_and_cards(made_plans: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "m.rtx.plan"
    path.write_bytes(made_plans.rtx_plan(12))
    facts = identify(path).facts
    assert facts["tensorrt_rtx"] == "1.7.1.116"
    assert facts["compute_capabilities"] == ["8.6", "8.9"]
    assert facts["whole"] is True
    assert facts["engine_name"] == made_plans.NAME
    path.write_bytes(made_plans.rtx_plan(68)[:-1])
    facts = identify(path).facts
    assert facts["compute_capabilities"] == ["8.6", "unknown"]
    assert facts["whole"] is False


def test_a_plan_of_tensorrt_proper_says_what_it_does_not_tell(made_plans: ModuleType, tmp_path: Path) -> None:
    path = made_plans.write(tmp_path / "m.plan", "orin-nx-16", made_plans.facts("orin-nx-16"), made_plans.plan())
    facts = identify(path)
    assert facts.facts["tensorrt"] == "unknown: only the manifest says it"
    assert facts.manifest is not None
    assert facts.manifest.plan == made_plans.facts("orin-nx-16")


def test_safetensors_show_their_metadata(tmp_path: Path) -> None:
    header = {"__metadata__": {"recipe": "x"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    path = tmp_path / "m.safetensors"
    path.write_bytes(_safetensors(json.dumps(header).encode()))
    assert identify(path).facts == {"bytes": path.stat().st_size, "tensors": 1, "metadata": {"recipe": "x"}}


def test_an_engine_of_ultralytics_shows_its_header(tmp_path: Path) -> None:
    path = tmp_path / "yolo.engine"
    path.write_bytes(_prefixed(b'{"task": "pose"}'))
    assert identify(path).facts == {"bytes": 28, "plan_offset": 20, "header": {"task": "pose"}}


@pytest.mark.parametrize("beside", [True, False])
def test_an_artefact_is_known_with_and_without_its_manifest(
    markers: ModuleType,
    tmp_path: Path,
    beside: bool,  # noqa: FBT001
) -> None:
    facts = identify(markers.write_artefact(tmp_path / "m.onnx", manifest=beside))
    assert facts.kind == "onnx-artefact"
    assert facts.manifest is not None
    assert facts.manifest.recipe == markers.RECIPE
    assert facts.facts["manifest"] == ("m.onnx.json" if beside else None)
    assert facts.facts["inputs"] == {"crops": "uint8 [1, 64, 48, 3]"}


def test_a_manifest_that_does_not_match_is_said(markers: ModuleType, tmp_path: Path) -> None:
    path = markers.write_artefact(tmp_path / "m.onnx")
    manifest = manifest_path(path)
    manifest.write_text(manifest.read_text().replace("digests", "digest"))
    facts = identify(path)
    assert facts.kind == "onnx-artefact"
    assert "digests" in facts.facts["manifest_fault"]


def test_an_onnx_without_our_metadata_is_anybodys(markers: ModuleType, tmp_path: Path) -> None:
    facts = identify(markers.write_artefact(tmp_path / "m.onnx", manifest=False, metadata=False))
    assert (facts.kind, facts.manifest) == ("onnx", None)


def test_a_manifest_is_known_by_itself(markers: ModuleType, tmp_path: Path) -> None:
    path = markers.write_artefact(tmp_path / "m.onnx")
    facts = identify(manifest_path(path))
    assert (facts.kind, facts.title) == ("manifest", "the manifest of m.onnx")
    assert facts.facts == {"artefact_there": True}


def test_a_damaged_onnx_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(np.random.default_rng(1).bytes(500))
    with pytest.raises(ModelFileError, match=r"m\.onnx: not an ONNX file"):
        identify(path)


@pytest.mark.parametrize("name", ["pipe", "pipe.onnx", "pipe.json"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: is a pipe or a device"):
        identify(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read: No such file"):
        identify(tmp_path / "none")
    with pytest.raises(InputError, match="Is a directory"):
        identify(tmp_path)
