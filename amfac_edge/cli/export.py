"""amfac-export: a checkpoint, or anybody's SimCC or detector ONNX, becomes a checked artefact for its targets."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.artefact import INT8, OPSETS, BatchRange, DetectorFacts, chosen_precision, manifest_path
from amfac_edge.cameras import open_source
from amfac_edge.cli.build_options import add_build_options, build_options, build_words
from amfac_edge.cli.build_progress import BuildLine
from amfac_edge.cli.command import CommandParser, Steps, run_command
from amfac_edge.cli.export_auto import AUTO, Choice, Made, choices
from amfac_edge.cli.export_detector import (
    add_detector_options,
    check_detector_options,
    detector_parity,
    letterboxed,
)
from amfac_edge.cli.export_engines import add_board_options, board_of, engine_as_json, engine_lines
from amfac_edge.cli.export_int8 import add_int8_options, int8_lines, int8_request
from amfac_edge.cli.export_triton import (
    add_triton_option,
    check_triton_option,
    triton_as_json,
    triton_lines,
    triton_models,
)
from amfac_edge.errors import FrameError, GateError, InputError, typed
from amfac_edge.keypoints import crop_affines, warp_crops
from amfac_edge.machine.this_machine import targets_for

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from amfac_edge.artefact import Manifest
    from amfac_edge.compiler import BuiltPlan
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.declared.target import Target
    from amfac_edge.keypoints import Bgr
    from amfac_edge.pipeline import Exported, ExportRequest
    from amfac_edge.pipeline.engines import Engine
    from amfac_edge.serving import Board, TritonModel

__all__ = ["main"]

_MOST_PICTURES = 32
_EXAMPLES = """examples:
  amfac-export model.pth --target cpu
  amfac-export model.pth --target cpu,orin-nano --out artefacts
  amfac-export model.pth --target orin-nano --on user@board    (builds there, over ssh)
  amfac-export rtmpose-s.onnx --target cpu            (any network with simcc_x and simcc_y)
  amfac-export rtmdet_nano.onnx --target cpu          (person detectors: RTMDet, YOLOX)
  amfac-export author.pth --recipe mine.toml --key-map renames.toml --target cpu
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-export", lambda: _export(_parser().parse_args(argv)), argv)


def _parser() -> CommandParser:
    parser = CommandParser("amfac-export", __doc__, epilog=_EXAMPLES)
    parser.add_argument("input", metavar="INPUT", type=Path, help="checkpoint (.pth, .pt, .safetensors) or .onnx")
    parser.add_argument(
        "--target", required=True, metavar="T[,T...]", help="name, alias or TOML; auto for this machine"
    )
    parser.add_argument("--recipe", metavar="R", help="name or TOML, where the file doesn't tell its recipe")
    parser.add_argument("--key-map", type=Path, metavar="TOML", help="renames an author's checkpoint keys")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8", AUTO),
        help="default: fp32 for cpu, fp16 for GPUs; int8 needs --calib; auto: both, and the faster one where both run",
    )
    parser.add_argument(
        "--batch",
        metavar="N",
        help="persons in a call: N, MIN-MAX or MIN:OPT:MAX (default: the target's; a detector takes 1 picture)",
    )
    parser.add_argument(
        "--opset", type=int, choices=OPSETS, default=OPSETS[0], help="17 is for TensorRT 8.6 (JetPack 6.0)"
    )
    parser.add_argument(
        "--input",
        dest="input_kind",
        choices=("crops", "frame"),
        default="crops",
        help="what the artefact takes: crops (default), or a whole frame that it crops itself",
    )
    parser.add_argument("--raw-logits", action="store_true", help="also write the raw twin: image -> simcc_x, simcc_y")
    parser.add_argument("--parity-images", type=Path, metavar="DIR", help="real pictures for the parity check as well")
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder for the artefacts (default: here)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--one-plan", action="store_true", help="TensorRT-RTX: one plan for all the cards of --target, not one each"
    )
    add_detector_options(parser)
    add_int8_options(parser)
    add_build_options(parser)
    add_board_options(parser)
    add_triton_option(parser)
    return parser


def _export(arguments: argparse.Namespace) -> int:
    # What can be refused cheaply is refused before torch is loaded.
    targets = targets_for(arguments.target)
    batch = BatchRange.parse(arguments.batch) if arguments.batch else None
    automatic = arguments.precision == AUTO
    precision = None if automatic else arguments.precision
    for target in targets:
        chosen_precision(precision, target)
    build_options(arguments)
    words = build_words(arguments)
    if words and all(target.kind == "cpu" for target in targets):
        raise InputError(
            f"{' '.join(words)} is of a TensorRT plan, and --target {arguments.target} has none",
            cure="Leave it out, or name a board or a card.",
        )
    if arguments.one_plan and sum(target.kind == "rtx" for target in targets) < 2:  # noqa: PLR2004 - to share it
        raise InputError(
            f"--one-plan shares a plan between RTX cards, and --target {arguments.target} names fewer than two",
            cure="Name them: --target rtx-3060,rtx-4090.",
        )
    check_triton_option(arguments)
    board = board_of(arguments, targets)
    from amfac_edge.pipeline import ExportRequest, is_detector, stage_count  # noqa: PLC0415 - loads torch

    detector = is_detector(arguments.input)
    check_detector_options(arguments, is_detector=detector)
    request = ExportRequest(
        out=arguments.out,
        precision=precision,
        batch=batch or (BatchRange(1, 1, 1) if detector else None),
        opset=arguments.opset,
        raw_logits=arguments.raw_logits,
        input_kind=arguments.input_kind,
        int8=int8_request(arguments, is_detector=detector),
        say=lambda line: _say(f"      {line}"),
    )
    # Of `auto`: INT8 beside the target's own precision, where a set was named.
    more = dataclasses.replace(request, precision=INT8) if automatic and request.int8 else None
    gpus = sum(target.kind != "cpu" for target in targets)
    steps = Steps(1 + sum(stage_count(targets, each) + gpus for each in (request, more) if each))
    steps(f"reading {arguments.input}")
    model = _detector(arguments) if detector else _network(arguments)
    for remark in model.remarks:
        _say(f"      {remark}")
    work = partial(_made, model, targets, board=board, arguments=arguments, steps=steps)
    made = work(request)
    if automatic and more is None and not detector:
        _say("INT8 is left out: it is calibrated with people, and no set of them was named (--calib SET)")
    if more is not None:
        try:
            made += work(more)
        except GateError as error:
            _say(f"INT8 is left out: {error}")
    served = [triton_models(one.exported, one.engine, arguments.triton) for one in made] if arguments.triton else []
    _tell(made, choices(made, stage=_say) if automatic else None, served, as_json=arguments.json)
    return 0


def _tell(
    made: Sequence[Made], chosen: Sequence[Choice] | None, served: Sequence[Sequence[TritonModel]], *, as_json: bool
) -> None:
    if as_json:
        rows = [_as_json(one.exported) | engine_as_json(one.engine) for one in made]
        if served:
            rows = [row | triton_as_json(models) for row, models in zip(rows, served, strict=True)]
        report = {"artefacts": rows}
        print(json.dumps(report | ({} if chosen is None else {"choices": [each.as_json() for each in chosen]})))
    for one in made:
        _report(one.exported, one.target, one.engine)
    for one, models in zip(made, served, strict=False):
        for line in triton_lines(one.exported, one.engine, models):
            _say(line)
    for line in (line for each in chosen or () for line in each.lines()):
        _say(line)


def _made(
    model: _Model,
    targets: Sequence[Target],
    request: ExportRequest,
    *,
    board: Board | None,
    arguments: argparse.Namespace,
    steps: Steps,
) -> list[Made]:
    """The artefacts of one precision, each with its engine."""
    if arguments.parity_images:
        request = dataclasses.replace(request, crops=model.crops(_pictures(arguments.parity_images)))
    made: list[Made] = []
    cards = [target for target in targets if target.kind == "rtx"] if arguments.one_plan else []
    for one, target in zip(model.export(targets, request, stage=steps), targets, strict=True):
        if target.kind == "cpu":
            made.append(Made(one, target, None))
            continue
        steps(f"{target.name}: the engine")
        # The plan that was built for all the cards with the first of them.
        built = (each.engine.plan for each in made if each.engine is not None)
        shared = next((plan for plan in built if plan is not None), None) if target in cards else None
        engine = _engine(one, target, board, arguments, cards=cards if target in cards else (), shared=shared)
        made.append(Made(one, target, engine))
    return made


def _engine(
    exported: Exported,
    target: Target,
    board: Board | None,
    arguments: argparse.Namespace,
    *,
    cards: Sequence[Target],
    shared: BuiltPlan | None,
) -> Engine:
    from amfac_edge.pipeline.engines import Order, build_engine, build_engine_on_board  # noqa: PLC0415 - loads torch

    artefact, beside = exported.path, exported.beside
    words = build_words(arguments)
    with BuildLine() as line:
        if board is not None:
            return build_engine_on_board(
                artefact,
                target,
                board,
                (*words, *(["--bench"] if arguments.bench else [])),
                beside=beside,
                say=line.say,
            )
        order = Order(build_options(arguments), words, beside, cards, shared)
        return build_engine(artefact, target, order, progress=line, say=line.say)


@dataclass(frozen=True)
class _Model:
    """What was read: its remarks, how pictures become what it takes, and its export."""

    remarks: tuple[str, ...]
    crops: Callable[[list[Bgr]], list[NDArray[np.uint8]]]
    export: Callable[..., list[Exported]]


def _network(arguments: argparse.Namespace) -> _Model:
    from amfac_edge.pipeline import export_artefacts, read_source  # noqa: PLC0415 - loads torch

    source = read_source(arguments.input, recipe=arguments.recipe, key_map=arguments.key_map)
    return _Model(source.remarks, lambda frames: _crops(frames, source.recipe), partial(export_artefacts, source))


def _detector(arguments: argparse.Namespace) -> _Model:
    from amfac_edge.pipeline import export_detector, read_detector  # noqa: PLC0415 - loads torch

    source = read_detector(arguments.input, size=arguments.size)
    return _Model(
        source.network.remarks, lambda frames: letterboxed(frames, source.facts), partial(export_detector, source)
    )


def _pictures(folder: Path) -> list[Bgr]:
    """Pictures of `folder` for the parity check."""
    frames = [frame.image for _, frame in zip(range(_MOST_PICTURES), open_source(str(folder)), strict=False)]
    if not frames:
        raise FrameError(f"{folder}: no pictures for the parity check", cure="Give a folder of .jpg or .png files.")
    return frames


def _crops(frames: list[Bgr], recipe: Recipe) -> list[NDArray[np.uint8]]:
    """Each picture cropped as a whole to (H,W,3) uint8 BGR."""
    crops = np.empty((len(frames), recipe.crop.height, recipe.crop.width, 3), np.uint8)
    for frame, crop in zip(frames, crops, strict=True):
        height, width = frame.shape[:2]
        box = np.array([[0, 0, width - 1, height - 1]], np.float64)
        warp_crops(frame, crop_affines(box, recipe.crop), crop[None])
    return list(crops)


def _as_json(exported: Exported) -> dict[str, object]:
    manifest = exported.manifest
    return {
        "path": str(exported.path),
        "manifest": str(manifest_path(exported.path)),
        "raw_path": str(exported.raw_path) if exported.raw_path else None,
        "target": manifest.target,
        "precision": manifest.precision,
        "batch": str(manifest.batch),
        "input_kind": manifest.input_kind,
        **_model_as_json(manifest),
        "sha256": manifest.digests["artefact"],
        "trained": manifest.trained,
        "parity": dict(manifest.parity),
        "simplification": exported.simplification.as_json(),
    }


def _model_as_json(manifest: Manifest) -> dict[str, object]:
    if isinstance(manifest.model, DetectorFacts):
        return {"detector": manifest.model.as_json()}
    return {"recipe": manifest.recipe.name}


def _report(exported: Exported, target: Target, engine: Engine | None) -> None:
    manifest, path = exported.manifest, exported.path
    size = path.stat().st_size / 1e6
    macs = sum(layer.macs for layer in manifest.layers) / 1e9
    _say(f"\n{path}  ({size:.1f} MB, {macs:.2f} GMACs, manifest {manifest_path(path).name})")
    if not exported.simplification.applied:
        _say(f"  not simplified: {exported.simplification.reason}")
    is_detector = isinstance(manifest.model, DetectorFacts)
    _say(detector_parity(manifest.parity) if is_detector else _parity(manifest.parity))
    for line in int8_lines(manifest.extra["int8"]) if "int8" in manifest.extra else ():
        _say(line)
    if "sampling" in manifest.parity:
        _say(_sampling(manifest.parity["sampling"]))
    if manifest.trained is False:
        _say("  untrained weights: the joints that it finds mean nothing")
    for line in _next_commands(exported) if engine is None else engine_lines(exported, target, engine):
        _say(line)


def _parity(parity: Mapping[str, Any]) -> str:
    return (
        f"  parity on {parity['crops']} crops: logits within {parity['logit_error']:.1e} of their spread (budget "
        f"{parity['logit_budget']:g}), {parity['moved']} of {parity['joints']} joints moved"
    )


def _sampling(found: Mapping[str, Any]) -> str:
    return (
        f"  crops cut out in the graph: within {found['level_error']:.2f} of 255 of the exact ones (budget "
        f"{found['level_budget']:.2f}), {found['joints_as_exact_crops']} of {found['joints']} joints as in those"
    )


def _next_commands(exported: Exported) -> list[str]:
    path = typed(exported.path)
    if isinstance(exported.manifest.model, DetectorFacts):
        return ["  next:", f"    amfac-info {path}"]
    return [
        "  next:",
        f"    amfac-run --engine {path} --source photo.jpg --save joints.jpg",
        f"    amfac-bench {path}",
        f"    amfac-info {path}",
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
