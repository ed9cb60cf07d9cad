"""Built, tried, then written: both forms of FP16 on TensorRT 10.3, through stand-ins for TensorRT and trtexec."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.artefact import TENSORRT, Host, manifest_path, read_manifest
from amfac_edge.artefact.trial import Trial, trial_bytes
from amfac_edge.compiler import BuildOptions, forms
from amfac_edge.compiler.forms import FLAG_FORM_FILE, TRIAL_FILE, plan_for_this_machine
from amfac_edge.declared.target import load_target
from amfac_edge.errors import GateError, MachineError

if TYPE_CHECKING:
    from types import ModuleType

    from amfac_edge.compiler import BuiltPlan

NANO = load_target("orin-nano")
HERE = Path(__file__).parent
PRETEND_TENSORRT = f"""
import importlib.util, os
spec = importlib.util.spec_from_file_location("fake_tensorrt", {str(HERE / "fake_tensorrt.py")!r})
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
head = ("MATRIX_MULTIPLY", "FLOAT", "Gemm_4", "")
module = fakes.bindings("10.3.0", types=(*fakes.TYPES, head))
def build(self, network, config):
    typed = module.record.told["network_flags"] != 0
    told = set(module.record.told["flags"])
    assert told - {{"VERSION_COMPATIBLE"}} == (set() if typed else {{"FP16", "OBEY_PRECISION_CONSTRAINTS"}})
    assert ("held" in module.record.told) is not typed
    if os.environ.get("PRETEND_FAILS") in ("both", "typed" if typed else "flag"):
        said = "Error Code 10: Internal Error (Could not find any implementation for node Mish)"
        self._logger.log(fakes.Severity.ERROR, said)
        return None
    head = b"ftrt" + (b"lean runtime" if "VERSION_COMPATIBLE" in told else b"")
    return head.ljust(64, b"\\0") + module.record.told["content"]
module.Builder.build_serialized_network = build
globals().update(vars(module))
"""


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    """A typed artefact, its trial, and its other form, as they lie in a kit."""
    kit = tmp_path / "kit"
    kit.mkdir()
    path: Path = markers.write_artefact(kit / "marker.orin-nano-8.fp16.onnx", batch="1-2")
    read = read_manifest(path)
    written = dataclasses.replace(read, precision="fp16", extra={**read.extra, "half": {"islands": ["Gemm_4"]}})
    manifest_path(path).write_bytes(written.as_bytes())
    markers.write_artefact(kit / FLAG_FORM_FILE, batch="1-2", trained=True)
    places = [markers.spread_places(seed) for seed in range(5)]
    crops = np.stack([markers.painted_crop(place) for place in places])
    joints = np.array(places, np.float32)
    everywhere = np.ones(joints.shape[:2], bool)
    trial = Trial(crops, joints, np.ones(joints.shape[:2], np.float32), everywhere, 1.0, 0.01)
    (kit / TRIAL_FILE).write_bytes(trial_bytes(trial))
    return path


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with TensorRT 10.3 and trtexec."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "tensorrt.py").write_text(PRETEND_TENSORRT)
    monkeypatch.syspath_prepend(modules)
    program = tmp_path / "trtexec"
    stand_in = HERE.parent / "sessions" / "pretend_trtexec.py"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(forms, "find_trtexec", lambda: program)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    has("10.3.0", monkeypatch)


def has(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host("linux", "aarch64", NANO.name, libraries={TENSORRT: version})
    monkeypatch.setattr(forms, "this_host", lambda: host)


def build(artefact: Path, **options: bool) -> BuiltPlan:
    out = artefact.parent.parent / "out"
    return plan_for_this_machine(artefact, NANO, out, beside=artefact.parent, options=BuildOptions(**options))


def test_the_faster_of_two_right_forms_is_kept(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The stand-in goes by the plan's name, which comes from the graph's.
    monkeypatch.setenv("PRETEND_MS", "flag-form=0.8,fp16=1.9")
    built = build(artefact)
    assert built.path.name == "marker.orin-nano-8.fp16.plan"
    manifest = read_manifest(built.path)
    assert manifest.plan is not None
    assert manifest.precision == "fp16"
    settings = manifest.plan.settings
    assert (settings["form"], settings["strongly_typed"]) == ("flag", False)
    # The other form's islands, which this one's own manifest doesn't list.
    assert settings["kept_float32"] == 1
    assert settings["trial"]["compute_ms"] == 0.8
    assert (settings["trial"]["moved"], settings["trial"]["joints"]) == (0, 5 * 17)
    assert [(one["form"], one["compute_ms"]) for one in settings["other_forms"]] == [("typed", 1.9)]
    flagged = artefact.with_name(FLAG_FORM_FILE)
    assert manifest.digests["onnx"] == read_manifest(flagged).digests["artefact"]
    assert built.path.read_bytes()[64:] == flagged.read_bytes()
    assert sorted(path.name for path in built.path.parent.iterdir()) == [
        "marker.orin-nano-8.fp16.plan",
        "marker.orin-nano-8.fp16.plan.json",
        "marker.orin-nano-8.fp16.plan.layers.json",
    ]
    monkeypatch.setenv("PRETEND_MS", "flag-form=2.8,fp16=1.9")
    again = read_manifest(build(artefact).path)
    assert again.plan is not None
    assert (again.plan.settings["form"], again.plan.settings["strongly_typed"]) == ("typed", True)
    assert again.digests["onnx"] == read_manifest(artefact).digests["artefact"]


def test_version_compatible_plans_are_tried_like_others(artefact: Path) -> None:
    built = build(artefact, version_compatible=True)
    assert built.manifest.plan is not None
    assert built.manifest.plan.host_code
    assert built.manifest.plan.settings["trial"]["moved"] == 0
    assert [one["tried"] for one in built.manifest.plan.settings["other_forms"]] == [True]


def test_a_fast_one_that_is_wrong_is_not(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_MS", "flag-form=0.8,fp16=1.9")
    monkeypatch.setenv("PRETEND_WRONG", "flag-form")
    built = build(artefact)
    assert built.manifest.plan is not None
    assert built.manifest.plan.settings["form"] == "typed"
    assert built.manifest.plan.settings["other_forms"][0]["moved"] == 85
    assert any("85 of 85 joints moved" in note for note in built.notes)


def test_where_both_are_wrong_nothing_is_written(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_WRONG", "marker")
    flagged = artefact.with_name(FLAG_FORM_FILE)
    flagged.unlink()
    with pytest.raises(GateError, match=r"marker\.orin-nano-8\.fp16\.plan: what was built doesn't find .* 85 of 85"):
        build(artefact)
    assert list((artefact.parent.parent / "out").iterdir()) == []
    built = build(artefact, trial=False)
    assert built.manifest.plan is not None
    assert built.manifest.plan.settings["trial"] == {"form": "typed", "tried": False, "reason": "it was not tried"}


def test_one_form_that_cant_be_built(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_FAILS", "typed")
    built = build(artefact)
    assert built.manifest.plan is not None
    assert built.manifest.plan.settings["form"] == "flag"
    assert any("the typed form was not built: " in note and "Mish" in note for note in built.notes)
    monkeypatch.setenv("PRETEND_FAILS", "both")
    with pytest.raises(MachineError, match="Mish"):
        build(artefact)


def test_without_trtexec_the_flag_is_what_nvidia_advises(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "find_trtexec", lambda: None)
    built = build(artefact)
    assert built.manifest.plan is not None
    assert built.manifest.plan.settings["form"] == "flag"
    assert any("nobody has seen it run: there is no trtexec here" in note for note in built.notes)


@pytest.mark.parametrize("version", ["8.6.2", "10.12.0", "10.16.2", "11.4.1", ""])
def test_other_releases_get_the_typed_form_alone(artefact: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has(version, monkeypatch)
    built = build(artefact)
    assert built.manifest.plan is not None
    assert (built.manifest.plan.settings["form"], built.manifest.plan.settings["other_forms"]) == ("typed", [])


# What CUDA's driver is asked, answered as an Orin NX of one power mode might.
DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 0; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Orin", length); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 16 ? 6 : attribute == 75 ? MAJOR : attribute == 76 ? MINOR : -1;
    return 0;
}
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
"""


def driver_says(capability: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here, which makes a stand-in for CUDA's driver")
    major, minor = capability.split(".")
    source = tmp_path / "driver.c"
    source.write_text(DRIVER)
    words = ["-shared", "-fPIC", f"-DMAJOR={major}", f"-DMINOR={minor}", "-o", str(tmp_path / "libcuda.so.1")]
    subprocess.run([compiler, *words, str(source)], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))


def test_the_manifest_says_what_the_driver_does(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver_says("8.7", tmp_path, monkeypatch)
    plan = build(artefact).manifest.plan
    assert plan is not None
    assert (plan.gpu_name, plan.sm_count, plan.cuda, plan.compute_capabilities) == ("Orin", 6, "12.6", ("8.7",))


def test_another_gpu_is_no_target(artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver_says("8.9", tmp_path, monkeypatch)
    with pytest.raises(MachineError, match=r"device 0 is Orin, of compute capability 8\.9: a plan for 8\.7"):
        build(artefact)
    plan = build(artefact, any_gpu=True).manifest.plan
    assert plan is not None
    assert plan.compute_capabilities == ("8.9",)
