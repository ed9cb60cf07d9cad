"""What an artefact for a GPU becomes: a plan where one can be built, a kit where not, both for RTX cards elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import RTX, TENSORRT, Host, HostGpu
from amfac_edge.compiler import BuildOptions, has_builder
from amfac_edge.declared.target import load_target
from amfac_edge.pipeline import engines
from amfac_edge.pipeline.engines import Order, build_engine

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    path: Path = markers.write_artefact(tmp_path / "marker.rtx-4090.fp32.onnx", batch="1-4")
    return path


def having(monkeypatch: pytest.MonkeyPatch, *flavours: str) -> None:
    monkeypatch.setattr(engines, "has_builder", lambda flavour: flavour in flavours)


def test_without_a_builder_there_is_a_kit(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch)
    engine = build_engine(artefact, load_target("rtx-4090"))
    assert engine.plan is None
    assert engine.kit == artefact.with_name("marker.rtx-4090.fp32.kit.tar.gz")
    assert engine.kit.is_file()


def test_a_board_elsewhere_gets_a_kit_whatever_is_installed(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, RTX, TENSORRT)
    engine = build_engine(artefact, load_target("orin-nano"))
    assert (engine.plan, engine.kit is not None) == (None, True)


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
def test_a_card_elsewhere_gets_both(artefact: Path) -> None:
    engine = build_engine(artefact, load_target("rtx-4090"))
    assert engine.kit is not None
    assert engine.plan is not None
    assert engine.plan.path == artefact.with_name("marker.rtx-4090.fp32.rtx.plan")


def test_a_version_compatible_plan_is_the_kits_to_build(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, RTX)
    words = ("--version-compatible",)
    engine = build_engine(artefact, load_target("rtx-4090"), Order(BuildOptions(version_compatible=True), words))
    assert engine.plan is None
    assert engine.kit is not None
    assert engine.remark.startswith("TensorRT-RTX builds no version-compatible plan")


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
def test_cards_may_share_a_plan(artefact: Path) -> None:
    cards = [load_target("rtx-3060"), load_target("rtx-4090")]
    first = build_engine(artefact, cards[1], Order(cards=cards))
    assert first.plan is not None
    assert first.plan.manifest.plan is not None
    assert first.plan.manifest.plan.compute_capabilities == ("8.6", "8.9")
    second = build_engine(artefact, cards[0], Order(shared=first.plan))
    assert second.plan is first.plan
    assert second.kit is not None


def test_on_the_target_itself_its_own_tensorrt_builds(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = load_target("rtx-4090")
    told: dict[str, Any] = {}

    def plan(path: Path, target: Any, out: Path, *, beside: Path, **options: Any) -> str:  # noqa: ANN401
        found = {each.name: each.read_bytes() for each in beside.iterdir()}
        told.update(options, path=path, target=target, out=out, beside=found)
        return "a plan"

    having(monkeypatch, RTX, TENSORRT)
    host = Host("linux", "x86_64", "rtx-4090", (HostGpu("8.9", "NVIDIA GeForce RTX 4090"),), {})
    monkeypatch.setattr(engines, "this_host", lambda: host)
    monkeypatch.setattr(engines, "plan_for_this_machine", plan)
    engine = build_engine(artefact, target, Order(BuildOptions(workspace_mib=77), beside={"trial.npz": b"a trial"}))
    assert str(engine.plan) == "a plan"
    assert engine.kit is None
    assert told["target"] == target
    assert told["options"].workspace_mib == 77
    assert told["beside"] == {"trial.npz": b"a trial"}
