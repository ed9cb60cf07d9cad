"""amfac-doctor FILE says whether a file loads here, as a table or as JSON, and ends with 0, 2 or 3."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import Host, HostGpu, manifest_path
from amfac_edge.cli import doctor, doctor_file

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

CARD = Host(
    "linux",
    "x86_64",
    "rtx-4090",
    (HostGpu("8.9", "NVIDIA GeForce RTX 4090"),),
    {"tensorrt-rtx": "1.7.1.116"},
)


@pytest.fixture
def path(made_plans: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan that fits the card, which is what this machine is taken for."""
    monkeypatch.setattr(doctor_file, "this_host", lambda: CARD)
    written: Path = made_plans.write(tmp_path / "m.rtx.plan", "rtx-4090", made_plans.rtx_facts(), made_plans.rtx_plan())
    return written


def test_a_plan_that_fits(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(
        "m.rtx.plan: a TensorRT-RTX plan\n  amfacpose-r18-256x256, fp16, batch 1-4, made for rtx-4090\n"
    )
    assert "\nWill it load here?\n" in out
    assert "  ok       library             TensorRT-RTX 1.7.1.116\n" in out
    assert "  ok       compute capability  8.9 (expected 8.6 or 8.9)\n" in out
    assert out.endswith("\nIt fits this machine.\n")
    assert f"Next: amfac-info {path}" in err


def test_code_in_a_plan_is_allowed_by_a_word(
    made_plans: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = dataclasses.replace(CARD, libraries={"tensorrt": "10.16.1"})
    monkeypatch.setattr(doctor_file, "this_host", lambda: card)
    facts = made_plans.facts("rtx-4090", tensorrt_version="8.6.1", host_code=True)
    path = made_plans.write(tmp_path / "m.plan", "rtx-4090", facts, made_plans.plan())
    assert doctor.main([str(path)]) == 2
    assert "It will not load here: host code." in capsys.readouterr().out
    assert doctor.main([str(path), "--allow-host-code"]) == 0
    assert "  ok       host code " in capsys.readouterr().out


def test_a_plan_for_several_cards_names_them(
    path: Path, made_plans: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    both = dataclasses.replace(made_plans.rtx_facts(), settings={"targets": ["rtx-3060", "rtx-4090"]})
    made_plans.write(path, "rtx-3060", both, made_plans.rtx_plan())
    assert doctor.main([str(path)]) == 0
    assert "made for rtx-3060, rtx-4090\n" in capsys.readouterr().out


def test_a_plan_of_another_release(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = dataclasses.replace(CARD, libraries={"tensorrt-rtx": "1.8.0.1"})
    monkeypatch.setattr(doctor_file, "this_host", lambda: newer)
    assert doctor.main([str(path)]) == 3
    out, err = capsys.readouterr()
    assert "  refused  library             expected TensorRT-RTX 1.7.1.116; found TensorRT-RTX 1.8.0.1\n" in out
    assert out.endswith("It will not load here: library.\n")
    assert err == '\nTo mend it: pip install "tensorrt-rtx==1.7.1.116"\n'


def test_a_damaged_plan_is_the_files_fault(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    assert doctor.main([str(path), "--json"]) == 2
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "amfac-doctor-file/1"
    assert (answer["loads"], answer["exit_code"], answer["target"]) == (False, 2, "rtx-4090")
    assert [check["subject"] for check in answer["checks"] if check["outcome"] == "refused"] == ["length", "SHA-256"]


def test_a_plan_without_its_manifest(path: Path, made_plans: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    manifest_path(path).unlink()
    assert doctor.main([str(path)]) == 0
    out = capsys.readouterr().out
    assert f'it calls itself "{made_plans.NAME}"' in out
    assert "\nNothing speaks against it, but this is not known: manifest, system.\n" in out


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x10\0\0\0" + b'{"task": "pose"}' + b"ftrt", "an engine of Ultralytics"),
        (b"[" * 200_000, "a JSON text"),
        (b"\x1b[31mred", "nothing that is known here"),
    ],
)
def test_anything_else_is_named(path: Path, capsys: pytest.CaptureFixture[str], content: bytes, title: str) -> None:
    path.write_bytes(content)
    assert doctor.main([str(path)]) == 2
    out = capsys.readouterr().out
    assert title in out
    assert "\x1b" not in out


def test_a_board_kit_is_told_how_to_build(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = path.with_name("model.orin-nano-8.fp16.kit.tar.gz")
    kit.write_bytes(b"\x1f\x8b\x08")
    assert doctor.main([str(kit)]) == 2
    told = capsys.readouterr()
    command = "tar xzf NAME.kit.tar.gz && python3 NAME/build.py"
    assert command in told.out
    assert f"To mend it: {command}" in told.err
    assert ".json" not in told.out


def test_no_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([str(path.with_name("none"))]) == 2
    assert "can't be read: No such file" in capsys.readouterr().err
