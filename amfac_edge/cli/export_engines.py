"""What amfac-export says of engines: the plan that was built, the kit that builds one, and the exact next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.artefact import RTX, TENSORRT_8_OPSET, manifest_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amfac_edge.artefact import Manifest
    from amfac_edge.compiler import BuiltPlan
    from amfac_edge.declared.target import Target
    from amfac_edge.pipeline import Exported
    from amfac_edge.pipeline.engines import Engine

__all__ = ["engine_as_json", "engine_lines"]


def engine_as_json(engine: Engine | None) -> dict[str, object]:
    """What became of the artefact for a GPU; nothing for the CPU."""
    if engine is None:
        return {}
    plan = engine.plan
    return {
        "plan": str(plan.path) if plan else None,
        "plan_sha256": plan.manifest.digests["artefact"] if plan else None,
        "kit": str(engine.kit) if engine.kit else None,
    }


def engine_lines(exported: Exported, target: Target, engine: Engine) -> Iterator[str]:
    """What was built, and what to do next, in lines."""
    if engine.plan is not None:
        yield from _plan_lines(engine.plan, target)
    elif target.kind == "rtx":
        yield "  no plan: where TensorRT-RTX is installed, one is built here, without a GPU:"
        yield '    pip install "amfac-edge[rtx]"'
    if engine.kit is not None:
        yield from _kit_lines(exported, target, engine)


def _plan_lines(plan: BuiltPlan, target: Target) -> Iterator[str]:
    facts = plan.manifest.plan
    assert facts is not None
    size = plan.path.stat().st_size / 1e6
    yield f"  {plan.path}  ({size:.1f} MB, {facts.flavour} {facts.tensorrt_version}, {manifest_path(plan.path).name})"
    for note in plan.notes:
        yield f"    {note}"
    if facts.flavour == RTX:
        capabilities = ", ".join(facts.compute_capabilities)
        yield f"    built without a GPU for compute capability {capabilities}; nobody has seen it run."
        yield f"    It loads in TensorRT-RTX {facts.tensorrt_version} alone, not in trtexec or Triton."
        yield f"    On the {target.title}:"
    yield f"    amfac-doctor {plan.path}"


def _kit_lines(exported: Exported, target: Target, engine: Engine) -> Iterator[str]:
    assert engine.kit is not None
    folder = engine.kit.name.removesuffix(".kit.tar.gz")
    tensorrt = "8.6 to 10.x" if exported.manifest.extra["opset"] <= TENSORRT_8_OPSET else "10.3 or newer"
    yield f"  {engine.kit}: a kit in place of a plan of TensorRT proper, which only the {target.title} can build."
    yield "    Right by construction: nobody has seen it run there. There, with its own TensorRT and NumPy:"
    yield f"      tar xzf {engine.kit.name} && python3 {folder}/build.py"
    yield f"    or, without this package, with TensorRT {tensorrt}:"
    plan = folder.replace(".fp32", ".fp16", 1)
    yield f"      trtexec --onnx={exported.path.name} --saveEngine={plan}.plan{_trtexec_options(exported.manifest)}"


def _trtexec_options(manifest: Manifest) -> str:
    """Precision and optimisation profile in trtexec's words."""
    half = " --fp16" if manifest.precision == "fp32" else ""
    batch, crop = manifest.batch, manifest.recipe.crop
    if batch.is_fixed:
        return half
    sizes = {"min": batch.minimum, "opt": batch.optimum, "max": batch.maximum}
    return half + "".join(f" --{name}Shapes=crops:{size}x{crop.height}x{crop.width}x3" for name, size in sizes.items())
