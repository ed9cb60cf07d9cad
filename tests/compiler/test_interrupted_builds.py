"""A build that is killed, or finds the disk full, leaves the plan that lay there and its manifest as they were."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX, manifest_path, read_artefact
from amfac_edge.compiler import has_builder, plan_from_artefact
from amfac_edge.declared.target import load_target

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

pytestmark = pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")

BUILD = """
import resource, sys
from pathlib import Path
from amfac_edge.compiler import plan_from_artefact
from amfac_edge.declared.target import load_target
from amfac_edge.errors import AmfacError

artefact, out, largest = sys.argv[1:]
if int(largest):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))
try:
    plan_from_artefact(
        Path(artefact), [load_target("rtx-3060")], Path(out), progress=lambda report: print(report.stage, flush=True)
    )
except AmfacError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    path: Path = markers.write_artefact(tmp_path / "marker.rtx-3060.fp32.onnx", batch="1-4")
    return path


@pytest.fixture
def before(artefact: Path, tmp_path: Path) -> dict[str, bytes]:
    """The files of an earlier build in the folder out."""
    plan_from_artefact(artefact, [load_target("rtx-3060")], tmp_path / "out")
    return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


def build(artefact: Path, out: Path, largest: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(artefact), str(out), str(largest)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("stage", ["parsing", "building", "writing"])
def test_a_kill_leaves_the_old_pair(artefact: Path, tmp_path: Path, before: dict[str, bytes], stage: str) -> None:
    out = tmp_path / "out"
    with build(artefact, out) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == stage:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert {name: (out / name).read_bytes() for name in before} == before
    (plan,) = out.glob("*.rtx.plan")
    read_artefact(plan)
    # What the killed one left, if anything, is in nobody's way.
    plan_from_artefact(artefact, [load_target("rtx-3060")], out)


def test_a_full_disk_leaves_the_old_pair(artefact: Path, tmp_path: Path, before: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    (plan,) = out.glob("*.rtx.plan")
    # A file may grow to no more than half of the plan, as on a disk that fills: the graph that is built is smaller.
    largest = plan.stat().st_size // 2
    assert artefact.stat().st_size < largest
    with build(artefact, out, largest) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert "File too large" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert manifest_path(plan).name in before
