"""Real plans of real shapes by TensorRT-RTX: every published AMFACPose, an EBA-PRNetCC, both cards, FP32 and FP16."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX, read_manifest, read_plan_header
from amfac_edge.compiler import has_builder
from amfac_edge.declared.target import load_target
from amfac_edge.networks.fresh import fresh_checkpoint
from amfac_edge.pipeline import ExportRequest, export_artefacts, read_source
from amfac_edge.pipeline.engines import Order, build_engine

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.pipeline import Source

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx"),
]
CARDS = [load_target("rtx-3060"), load_target("rtx-4090")]
MODELS = (
    "amfacpose-r18-256x256",
    "amfacpose-r18-384x288",
    "amfacpose-r34-256x256",
    "amfacpose-r34-384x288",
    "eba-prnetcc-r18-256x256",
)


def plans(source: Source, out: Path, precision: str) -> tuple[list[Path], int]:
    """The plans for both cards, checked for what they say of themselves, and the size of the graph."""
    request = ExportRequest(out=out, precision=precision)
    exported = export_artefacts(source, CARDS, request, stage=lambda _: None)
    paths = []
    for one, card in zip(exported, CARDS, strict=True):
        engine = build_engine(one.path, card, Order(beside=one.beside))
        assert engine.plan is not None
        path = engine.plan.path
        header, manifest = read_plan_header(path), read_manifest(path)
        assert card.gpu is not None
        assert (header.flavour, header.fault) == (RTX, None)
        assert header.compute_capabilities == (card.gpu.compute_capability,)
        assert (manifest.precision, manifest.target) == (precision, card.name)
        assert manifest.digests["onnx"] == one.manifest.digests["artefact"]
        paths.append(path)
    return paths, exported[0].path.stat().st_size


@pytest.mark.parametrize("model", MODELS)
def test_a_published_shape_builds_for_both_cards_in_both_precisions(model: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / f"{model}.pth"
    fresh_checkpoint(model, 0, checkpoint)
    source = read_source(checkpoint)
    full, full_graph = plans(source, tmp_path, "fp32")
    half, half_graph = plans(source, tmp_path, "fp16")
    # The weights are what shrinks; a plan that kept them in float32 would be as large as the other one.
    saved = full_graph - half_graph
    assert saved > 0.45 * full_graph
    for one, other in zip(full, half, strict=True):
        assert one.stat().st_size - other.stat().st_size > 0.8 * saved
