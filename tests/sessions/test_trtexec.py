"""Running a plan by trtexec, through a stand-in that takes its options and writes its files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.errors import MachineError
from amfac_edge.sessions import trtexec
from amfac_edge.sessions.trtexec import find_trtexec, run_with_trtexec

if TYPE_CHECKING:
    from types import ModuleType

LEAVES = 'for word; do case $word in --export*) echo "{}" > "${{word#*=}}";; esac; done'
STAND_IN = Path(__file__).with_name("pretend_trtexec.py")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "trtexec"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    path.chmod(0o755)
    return path


def says(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "broken"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def crops(markers: ModuleType) -> np.ndarray:
    return np.stack([markers.painted_crop(markers.spread_places(seed)) for seed in range(3)])


def plan_of(tmp_path: Path, markers: ModuleType, batch: str) -> Path:
    artefact = markers.write_artefact(tmp_path / "marker.onnx", batch=batch)
    path = tmp_path / "marker.plan"
    path.write_bytes(b"ftrt".ljust(64, b"\0") + artefact.read_bytes())
    return path


@pytest.mark.parametrize("batch", ["1-4", "3"])
def test_joints_come_back(program: Path, tmp_path: Path, markers: ModuleType, crops: np.ndarray, batch: str) -> None:
    plan = plan_of(tmp_path, markers, batch)
    found = run_with_trtexec(program, plan, {"crops": crops}, dynamic=["crops"] if "-" in batch else [])
    expected = [markers.spread_places(seed) for seed in range(3)]
    np.testing.assert_allclose(found.outputs["keypoints"], expected, atol=0.5)
    assert found.outputs["scores"].shape == (3, markers.JOINTS)
    assert found.compute_ms == (1.0,) * 50
    once = run_with_trtexec(program, plan, {"crops": crops}, dynamic=["crops"] if "-" in batch else [], duration_s=0)
    assert len(once.compute_ms) == 1


def test_a_version_compatible_plan_is_let_in_where_it_is_said_to_be_one(
    program: Path, tmp_path: Path, markers: ModuleType, crops: np.ndarray
) -> None:
    content = (
        b"ftrtlean runtime".ljust(64, b"\0") + markers.write_artefact(tmp_path / "marker.onnx", batch="3").read_bytes()
    )
    plan = tmp_path / "marker.plan"
    plan.write_bytes(content)
    with pytest.raises(MachineError, match="engine host code is not allowed"):
        run_with_trtexec(program, plan, {"crops": crops}, dynamic=[])
    found = run_with_trtexec(program, plan, {"crops": crops}, dynamic=[], host_code=True, duration_s=0)
    assert found.outputs["keypoints"].shape == (3, markers.JOINTS, 2)


def test_what_trtexec_says_is_the_reason(program: Path, tmp_path: Path, crops: np.ndarray) -> None:
    plan = tmp_path / "no.plan"
    plan.write_bytes(b"something else")
    with pytest.raises(MachineError, match=r"exit code 1: \[E\] .*magicTag"):
        run_with_trtexec(program, plan, {"crops": crops}, dynamic=["crops"])


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", r"exit code 3: nothing"),
        (
            'for word; do case $word in --export*) echo "[nan" > "${word#*=}";; esac; done',
            r"outputs\.json that is no JSON",
        ),
        ('for word; do case $word in --export*) echo "{}" > "${word#*=}";; esac; done', r"a form that isn't known"),
        (
            'for word; do case $word in --export*) echo "[{}]" > "${word#*=}";; esac; done',
            r"outputs that can't be read",
        ),
    ],
)
def test_what_it_leaves_is_read_with_care(tmp_path: Path, crops: np.ndarray, script: str, message: str) -> None:
    with pytest.raises(MachineError, match=message):
        run_with_trtexec(says(tmp_path, script), tmp_path / "a.plan", {"crops": crops}, dynamic=["crops"])


def test_one_that_hangs_is_ended(tmp_path: Path, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trtexec, "_SECONDS", 0.2)
    with pytest.raises(MachineError, match=r"no end after 0\.2 s"):
        run_with_trtexec(says(tmp_path, "exec sleep 60"), tmp_path / "a.plan", {"crops": crops}, dynamic=["crops"])


def test_it_is_found_on_the_path_or_where_jetpack_has_it(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(trtexec, "_PLACES", ())
    assert find_trtexec() is None
    monkeypatch.setattr(trtexec, "_PLACES", (str(program),))
    assert find_trtexec() == program
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_trtexec() == program
