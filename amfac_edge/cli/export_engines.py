"""What amfac-export says of engines: the plan that was built, the kit that builds one, and the exact next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.artefact import FP32, RTX, TENSORRT_8_OPSET, manifest_path
from amfac_edge.cli.given_words import given_words
from amfac_edge.compiler import profile_of
from amfac_edge.errors import InputError, typed
from amfac_edge.serving import Board, check_board

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from amfac_edge.artefact import Manifest
    from amfac_edge.compiler import BuildOptions, BuiltPlan
    from amfac_edge.declared.target import Target
    from amfac_edge.pipeline import Exported
    from amfac_edge.pipeline.engines import Engine

__all__ = ["add_board_options", "board_of", "engine_as_json", "engine_lines", "kit_words"]


def add_board_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that `board_of` reads."""
    group = parser.add_argument_group("building on the board, over ssh")
    group.add_argument("--on", metavar="USER@HOST[:PORT]", help="build there what would be a kit, and bring the plan")
    group.add_argument("--remote-python", default="python3", metavar="PATH", help="the Python there (python3)")
    group.add_argument("--bench", action="store_true", help="with --on: amfac-bench measures the plan there as well")


def board_of(arguments: argparse.Namespace, targets: Sequence[Target]) -> Board | None:
    """The board that was asked for, after a look whether a build could begin there; None where none was.

    Raises:
        InputError: it is no place that ssh reaches, or not exactly one of the targets is a board or a card.
        MachineError: it isn't reached, or has no Python for a build.
    """
    if arguments.on is None:
        if arguments.bench:
            raise InputError(
                "--bench measures the plan on the board of --on, and none is named",
                cure="Add --on USER@HOST, or run amfac-bench PLAN where the plan belongs.",
            )
        if words := given_words(add_board_options, arguments):
            raise InputError(
                f"{' '.join(words)} is of the board of --on, and none is named",
                cure="Add --on USER@HOST, or leave it out.",
            )
        return None
    board = Board.parse(arguments.on, python=arguments.remote_python)
    names = [target.name for target in targets if target.kind != "cpu"]
    if len(names) != 1:
        raise InputError(
            f"--on {board} builds for one board or card; --target names {', '.join(names) or 'none'}",
            cure="Name the one that the board is; run the command again for another board.",
        )
    check_board(board)
    return board


def engine_as_json(engine: Engine | None) -> dict[str, object]:
    """What became of the artefact for a GPU; nothing for the CPU."""
    if engine is None:
        return {}
    plan = engine.plan
    return {
        "plan": str(plan.path) if plan else None,
        "plan_sha256": plan.manifest.digests["artefact"] if plan else None,
        "kit": str(engine.kit) if engine.kit else None,
        "board": str(engine.board) if engine.board else None,
        "beside": [str(path) for path in engine.beside],
    }


def engine_lines(exported: Exported, target: Target, engine: Engine) -> Iterator[str]:
    """What was built, and what to do next, in lines."""
    if engine.plan is not None:
        yield from _plan_lines(engine.plan, target)
        yield from _board_lines(engine.plan, engine)
    elif engine.remark:
        yield f"  no plan: {engine.remark}"
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
    yield f"    amfac-doctor {typed(plan.path)}"


def _board_lines(plan: BuiltPlan, engine: Engine) -> Iterator[str]:
    if engine.board is None:
        return
    facts = plan.manifest.plan
    on = ", ".join(each for each in ((facts.gpu_name, facts.power_mode) if facts else ()) if each)
    yield f"    built on {engine.board}{f' ({on})' if on else ''}"
    for path in engine.beside:
        yield f"    {path}"


def kit_words(kit: Path) -> str:
    """What builds the plan of a kit, where it lies."""
    return f"tar xzf {typed(kit.name)} && python3 {typed(kit.name.removesuffix('.kit.tar.gz') + '/build.py')}"


def _kit_lines(exported: Exported, target: Target, engine: Engine) -> Iterator[str]:
    assert engine.kit is not None
    folder = engine.kit.name.removesuffix(".kit.tar.gz")
    tensorrt = "8.6 to 10.x" if exported.manifest.extra["opset"] <= TENSORRT_8_OPSET else "10.3 or newer"
    yield f"  {engine.kit}: a kit in place of a plan of TensorRT proper, which only the {target.title} can build."
    yield "    Right by construction: nobody has seen it run there. There, with its own TensorRT and NumPy:"
    yield f"      {kit_words(engine.kit)}"
    yield f"    or, without this package, with TensorRT {tensorrt}:"
    options = _trtexec_options(exported.manifest, target, engine.options)
    yield f"      trtexec --onnx={typed(exported.path.name)} --saveEngine={typed(f'{folder}.plan')}{options}"


def _trtexec_options(manifest: Manifest, target: Target, options: BuildOptions) -> str:
    """Precision, limits and optimisation profile in trtexec's words: what the kit's build is told."""
    words = []
    if manifest.precision != FP32:
        words.append("--fp16" if manifest.extra["opset"] <= TENSORRT_8_OPSET else "--stronglyTyped")
    words.append("--noTF32")
    if workspace := options.workspace_mib or target.builder.workspace_mib:
        words.append(f"--memPoolSize=workspace:{workspace}")
    if options.optimization_level is not None:
        words.append(f"--builderOptimizationLevel={options.optimization_level}")
    if options.version_compatible:
        words.append("--versionCompatible")
    shapes = profile_of(manifest)
    for place, word in enumerate(("min", "opt", "max") if shapes else ()):
        each = ",".join(f"{name}:{'x'.join(map(str, sides[place]))}" for name, sides in shapes.items())
        words.append(f"--{word}Shapes={each}")
    return "".join(f" {word}" for word in words)
