"""Whole builds by a stand-in of TensorRT proper in a child: memory that runs out, caches, layers, progress."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import TENSORRT, manifest_path, read_manifest
from amfac_edge.compiler import BuildOptions, BuiltPlan, plan_from_artefact, plans
from amfac_edge.compiler.layers import layers_path
from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError, MachineError
from amfac_edge.files import sha256_of
from amfac_edge.machine.processor import MemoryNow
from amfac_edge.machine.this_machine import read_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from amfac_edge.compiler import BuildProgress

NANO = load_target("orin-nano-8")
STAND_IN = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("fake_tensorrt", {fakes!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
globals().update(vars(module.bindings({version!r}, built=b"ftrt" + bytes(600), **json.loads({options!r}))))
"""
AMPLE = MemoryNow(7619, 6000, 4000)


@pytest.fixture
def build(tmp_path: Path, markers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., BuiltPlan]]:
    """Builds on an Orin Nano, with a stand-in that is made to order."""
    artefact: Path = markers.write_artefact(tmp_path / "marker.orin-nano-8.fp16.onnx", batch="1-4")
    beside = json.loads(manifest_path(artefact).read_text())
    beside["precision"] = "fp16"
    manifest_path(artefact).write_text(json.dumps(beside))
    (tmp_path / "library").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "library")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AMFAC_BOARD", "orin-nano-8")

    def run(
        options: BuildOptions | None = None,
        *,
        version: str = "10.3.0",
        memory: MemoryNow = AMPLE,
        progress: Callable[[BuildProgress], None] | None = None,
        **made_to: object,
    ) -> BuiltPlan:
        fakes = str(Path(__file__).with_name("fake_tensorrt.py"))
        source = STAND_IN.format(fakes=fakes, version=version, options=json.dumps(made_to))
        (tmp_path / "library" / "tensorrt.py").write_text(source)
        machine = dataclasses.replace(read_machine(), memory=memory)
        monkeypatch.setattr(plans, "read_machine", lambda: machine)
        return plan_from_artefact(
            artefact, [NANO], tmp_path / "out", flavour=TENSORRT, options=options or BuildOptions(), progress=progress
        )

    yield run
    sys.modules.pop("tensorrt", None)


def test_a_plan_says_how_it_was_built(build: Callable[..., BuiltPlan], tmp_path: Path) -> None:
    built = build(BuildOptions(optimization_level=4))
    assert built.path == tmp_path / "out" / "marker.orin-nano-8.fp16.plan"
    manifest = read_manifest(built.path)
    assert manifest.plan is not None
    settings = manifest.plan.settings
    assert (settings["workspace_mib"], settings["tactic_dram_mib"], settings["optimization_level"]) == (512, 2048, 4)
    assert settings["layer_information"] == "read from the plan: 3 layers"
    assert manifest.plan.layer_precision == {"convolution": "float16", "matrix_multiply": "float32"}
    assert json.loads(layers_path(built.path).read_text())["Layers"][0]["LayerType"] == "CaskConvolution"
    assert not manifest.plan.host_code
    assert built.notes == ()


def test_the_timing_cache_is_kept_and_is_a_link_of_the_chain(build: Callable[..., BuiltPlan], tmp_path: Path) -> None:
    built = build()
    (cache,) = (tmp_path / "cache" / "amfac-edge" / "timing").glob("*.cache")
    assert cache.name == "orin-nano-8.tensorrt-10.3.0.no_mode.fp16.cache"
    assert built.manifest.digests["timing_cache"] == sha256_of(cache)
    assert build().notes == ()
    cache.write_bytes(b"flipped")
    (note,) = build().notes
    assert "the timing cache is damaged" in note
    assert cache.read_bytes() == b"measured by 10.3.0: 1 ms"
    without = build(BuildOptions(timing_cache=False))
    assert "timing_cache" not in without.manifest.digests


def test_a_cache_that_cannot_be_kept_is_no_reason_to_fail(build: Callable[..., BuiltPlan], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the folder's place")
    built = build()
    assert built.path.is_file()
    assert "the next build measures everything once more" in built.notes[-1]


@pytest.mark.parametrize("killed", [True, False])
def test_memory_that_runs_out_is_tried_with_less(build: Callable[..., BuiltPlan], killed: bool) -> None:  # noqa: FBT001
    said: list[BuildProgress] = []
    built = build(BuildOptions(workspace_mib=2048), enough_mib=512, killed=killed, progress=said.append)
    assert built.manifest.plan is not None
    assert built.manifest.plan.settings["workspace_mib"] == 512
    assert [note.partition(" was too much")[0] for note in built.notes] == [
        "a workspace of 2048 MiB",
        "a workspace of 1024 MiB",
    ]
    assert any(report.stage.startswith("again with a workspace of 512 MiB") for report in said)


def test_memory_that_runs_out_every_time_tells_all_that_was_tried(
    build: Callable[..., BuiltPlan], tmp_path: Path
) -> None:
    with pytest.raises(MachineError, match="for want of memory") as raised:
        build(enough_mib=1)
    assert "a workspace of 512 MiB was too much" in raised.value.problem
    assert "a workspace of 256 MiB was too much" in raised.value.problem
    assert "sudo init 3" in raised.value.cure
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("memory", [MemoryNow(7619, 2000, 8000), MemoryNow(7619, 3000, 100)])
def test_a_board_that_is_short_of_memory_does_not_begin(build: Callable[..., BuiltPlan], memory: MemoryNow) -> None:
    with pytest.raises(MachineError, match=r"a build may take 3,584 MiB here \(workspace 512, tactics 2,048") as raised:
        build(memory=memory)
    for word in ("sudo init 3", "nvzramconfig", "swap file", "--workspace 256", "--no-memory-check"):
        assert word in raised.value.cure
    assert build(BuildOptions(memory_check=False), memory=memory).path.is_file()


def test_silent_float32_is_loud(build: Callable[..., BuiltPlan]) -> None:
    layers = {"Layers": [{"LayerType": "CaskConvolution", "Weights": {"Type": "Float"}}]}
    assert build(layers=layers).notes[0].startswith("WARNING: half precision was asked for and this plan computes in ")


def test_layers_that_nobody_can_read_are_no_reason_to_fail(build: Callable[..., BuiltPlan], tmp_path: Path) -> None:
    build()
    built = build(opens=False)
    assert "the plan's layers were not read: " in built.notes[0]
    assert built.manifest.plan is not None
    assert built.manifest.plan.layer_precision == {}
    # Those of the plan before are not this one's.
    assert not layers_path(tmp_path / "out" / "marker.orin-nano-8.fp16.plan").exists()
    assert "tells nothing of its layers" in build(layers=["a name", "another"]).notes[0]


def test_a_version_compatible_plan_says_that_it_brings_code(build: Callable[..., BuiltPlan]) -> None:
    built = build(BuildOptions(version_compatible=True), version="8.6.1")
    assert built.manifest.plan is not None
    assert built.manifest.plan.host_code
    assert built.manifest.plan.settings["version_compatible"] is True
    with pytest.raises(InputError, match="TensorRT-RTX builds no version-compatible plan"):
        plan_from_artefact(
            built.path, [load_target("rtx-4090")], built.path.parent, options=BuildOptions(version_compatible=True)
        )


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_who_waits_is_told_how_far_it_is(build: Callable[..., BuiltPlan], version: str) -> None:
    said: list[BuildProgress] = []
    build(version=version, phases=[["Building engine", 6]], progress=said.append)
    stages = list(dict.fromkeys(report.stage for report in said))
    assert stages[-4:] == ["parsing", "building", "writing", "reading the layers"]
    phases = {report.phase for report in said}
    assert phases == ({""} if version == "8.6.1" else {"", "Building engine"})
    assert all(later.elapsed_s >= report.elapsed_s for report, later in itertools.pairwise(said))


def test_an_interruption_ends_the_build(build: Callable[..., BuiltPlan], tmp_path: Path) -> None:
    def interrupted(_: Any) -> None:  # noqa: ANN401
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(progress=interrupted)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"optimization_level": 6}, "optimisation level 6 is not 0 to 5"),
        ({"workspace_mib": 0}, "workspace_mib 0 is below 1"),
        ({"memory_mib": -1}, "memory_mib -1 is below 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        BuildOptions(**options)
