"""amfac-calibrate: how far the tensors of a network go over a calibration set, kept for exports; or who is in a set."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact import OPSETS, BatchRange
from amfac_edge.cli.command import CommandParser, ProgressBar, run_command, say_left_out
from amfac_edge.cli.export_int8 import channel_order_line
from amfac_edge.declared.calibration_set import calibration_set_names, crop_form, load_calibration_set, pin_digest
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.drawing import contact_sheet, require_picture_name, with_caption, write_picture
from amfac_edge.errors import InputError
from amfac_edge.files import json_bytes, refuse_overwriting, write_bytes
from amfac_edge.machine.this_machine import targets_for
from amfac_edge.quantization.people import calibration_crops, calibration_people, digest_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.pipeline import Source
    from amfac_edge.quantization.kept_ranges import KeptRanges
    from amfac_edge.quantization.people import Calibration

__all__ = ["main"]

_METHODS = ("percentile", "minmax", "entropy")
_RECIPE = "amfacpose-r18-256x256"
_TALLEST = 160
_EXAMPLES = """examples:
  amfac-calibrate model.pth --calib generated-people
  amfac-calibrate model.pth --calib mine.toml --calib-method entropy --target cpu,orin-nano --out ranges.json
  amfac-calibrate --check mine.toml --recipe amfacpose-r18-128x128 --sheet people.png
  amfac-calibrate --check lspet --calib-data lspet/ --sheet people.png
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-calibrate", lambda: _calibrate(_parser().parse_args(argv)), argv)


def _parser() -> CommandParser:
    parser = CommandParser("amfac-calibrate", __doc__, epilog=_EXAMPLES)
    add = parser.add_argument
    add("input", nargs="?", type=Path, metavar="INPUT", help="checkpoint (.pth, .pt, .safetensors) or .onnx")
    add("--calib", metavar="SET", help="name or TOML of the calibration set")
    add("--check", metavar="SET", help="only show who is in this set, and take no ranges")
    add("--calib-data", type=Path, metavar="DIR", help="folder that the set's paths are relative to (the TOML's own)")
    add(
        "--calib-method", choices=_METHODS, default=_METHODS[0], help="how a range is taken (default: percentile 99.99)"
    )
    add(
        "--target", default="orin-nano", metavar="T[,T...]", help="whose graph (default: orin-nano; all GPUs take the "
        "same one)"
    )  # fmt: skip
    add("--recipe", metavar="R", help=f"name or TOML, where INPUT doesn't tell its recipe; of --check ({_RECIPE})")
    add("--key-map", type=Path, metavar="TOML", help="renames an author's checkpoint keys")
    add("--sheet", type=Path, metavar="PICTURE", help="draw the crops that calibrate")
    add("--pin", action="store_true", help="write the digest of these crops into the set's TOML")
    add("--no-cache", action="store_true", help="take the ranges anew, and keep them for nobody")
    add("--out", type=Path, metavar="JSON", help="also write the ranges there")
    add("--json", action="store_true", help="one JSON object on standard output")
    return parser


def _calibrate(arguments: argparse.Namespace) -> int:
    declared = _declared(arguments)
    _check_outputs(arguments, declared)
    targets = targets_for(arguments.target)
    source = _source(arguments) if arguments.input is not None else None
    recipe = source.recipe if source else load_recipe(arguments.recipe or _RECIPE)
    if arguments.pin:
        # What is about to be replaced is no reason to stop.
        declared = dataclasses.replace(declared, digests={})
    chosen = calibration_people(declared, recipe)
    crops = calibration_crops(chosen, recipe)
    digest = digest_of(crops)
    if arguments.sheet:
        # First of all: it shows why the network refuses them.
        write_picture(arguments.sheet, _sheet(chosen, recipe, crops, digest))
    say_left_out(chosen.people.faults)
    report = _about(chosen, recipe, digest) | {"channel_order": _channel_order(source, chosen, crops)}
    if arguments.pin:
        pin_digest(declared.table, crop_form(recipe.crop), digest)
    if not arguments.json:
        print("\n".join(_lines(arguments, chosen, report)))
    found: list[KeptRanges] = []
    if source is not None and arguments.check is None:
        forms = dict.fromkeys((target.default_batch, target.kind == "cpu") for target in targets)
        found = [_ranges(arguments, source, crops, batch, for_cpu=for_cpu) for batch, for_cpu in forms]
    if arguments.out:
        write_bytes(arguments.out, json_bytes({"calibrations": [_ranges_as_json(each) for each in found]}))
    if arguments.json:
        print(json.dumps(report | {"calibrations": [_ranges_as_json(each) for each in found]}))
    return 0


def _declared(arguments: argparse.Namespace) -> CalibrationSet:
    """The set, after a look at whether the options go together."""
    if (arguments.calib is None) == (arguments.check is None):
        said = "no calibration set was named" if arguments.calib is None else "--calib and --check name two sets"
        raise InputError(
            f"{said}: INT8 is calibrated with pictures of people, never with noise",
            cure=f"Give one of {', '.join(calibration_set_names())}, or a TOML of your own pictures: "
            "docs/quantization.md has one to copy.",
        )
    only_checked = arguments.input is None or arguments.check is not None
    if only_checked and arguments.out:
        raise InputError(f"--out {arguments.out}: no ranges are taken", cure="Give INPUT and --calib SET.")
    name: str = arguments.calib or arguments.check or ""
    if arguments.pin and not name.endswith(".toml"):
        raise InputError(f"--pin {name}: it belongs to this package", cure="Copy it to a TOML of your own.")
    return load_calibration_set(name, data=arguments.calib_data)


def _check_outputs(arguments: argparse.Namespace, declared: CalibrationSet) -> None:
    if arguments.sheet:
        require_picture_name(arguments.sheet)
    inputs = (arguments.input, arguments.key_map, declared.table, declared.source.path, declared.source.boxes)
    outputs = (arguments.sheet, arguments.out)
    refuse_overwriting([path for path in outputs if path], [path for path in inputs if path])


def _source(arguments: argparse.Namespace) -> Source:
    from amfac_edge.pipeline import read_source  # noqa: PLC0415 - loads torch

    source = read_source(arguments.input, recipe=arguments.recipe, key_map=arguments.key_map)
    for remark in source.remarks:
        _say(remark)
    return source


def _channel_order(source: Source | None, chosen: Calibration, crops: NDArray[np.uint8]) -> dict[str, Any] | None:
    if source is None:
        return None
    from amfac_edge.pipeline.channel_order import check_channel_order  # noqa: PLC0415 - loads torch

    order = check_channel_order(source, chosen, crops, say=_say)
    return None if order is None else order.as_json()


def _ranges(
    arguments: argparse.Namespace, source: Source, crops: NDArray[np.uint8], batch: str, *, for_cpu: bool
) -> KeptRanges:
    from amfac_edge.pipeline.int8_ranges import int8_ranges, raw_graph  # noqa: PLC0415 - loads torch

    _say(f"the graph for {'the CPU' if for_cpu else 'GPUs'}, batch {batch}")
    raw, _ = raw_graph(source, BatchRange.parse(batch), OPSETS[0], for_cpu=for_cpu)
    with ProgressBar("calibrating", len(crops)) as bar:
        found = int8_ranges(
            source,
            raw,
            crops,
            method=arguments.calib_method,
            use_cache=not arguments.no_cache,
            say=_say,
            progress=lambda _: bar.advance(),
        )
    if not arguments.json:
        print("\n".join(_range_lines(found)))
    return found


def _about(chosen: Calibration, recipe: Recipe, digest: str) -> dict[str, Any]:
    declared, form = chosen.declared, crop_form(recipe.crop)
    return {
        "set": declared.name,
        "title": declared.title,
        "table": str(declared.table),
        "people": len(chosen.people),
        "held_out": len(chosen.held_out),
        "left_out": chosen.left_out,
        "faults": len(chosen.people.faults),
        "recipe": recipe.name,
        "crops": form,
        "crops_sha256": digest,
        "pinned": declared.digests.get(form) == digest,
    }


def _lines(arguments: argparse.Namespace, chosen: Calibration, report: dict[str, Any]) -> Iterator[str]:
    yield f"{report['set']}: {report['title']}"
    yield (
        f"  {report['people']} people calibrate, {report['held_out']} others judge; {report['left_out']} could not be "
        f"used"
    )
    sides = np.sort((chosen.people.boxes[:, 2:] - chosen.people.boxes[:, :2]).max(axis=1))
    yield f"  their boxes' longer sides: {sides[0]:.0f} to {sides[-1]:.0f} pixels, median {np.median(sides):.0f}"
    pinned = "pinned now" if arguments.pin else "as pinned" if report["pinned"] else "not pinned"
    yield f"  crops of {report['crops']} ({report['recipe']}), sha256 {report['crops_sha256']}, {pinned}"
    if report["channel_order"] is not None:
        yield channel_order_line(report["channel_order"])
    if arguments.sheet:
        yield f"  drawn in {arguments.sheet}"


def _range_lines(found: KeptRanges) -> Iterator[str]:
    largest = found.ranges.largest
    name = max(largest, key=lambda each: largest[each])
    middle = float(np.median(list(largest.values())))
    yield (
        f"  {len(largest)} tensors ({found.ranges.method}): ranges from {min(largest.values()):.3g} to "
        f"{largest[name]:.3g} ({name}), median {middle:.3g}"
    )
    where = "not kept" if found.path is None else f"{'from' if found.from_cache else 'kept in'} {found.path}"
    yield f"  {where}"


def _ranges_as_json(found: KeptRanges) -> dict[str, Any]:
    path = None if found.path is None else str(found.path)
    return {"cache": path, "from_cache": found.from_cache, "key": dict(found.key), "ranges": found.ranges.as_json()}


def _sheet(chosen: Calibration, recipe: Recipe, crops: NDArray[np.uint8], digest: str) -> NDArray[np.uint8]:
    """The crops in rows on a picture about twice as wide as it is high."""
    tall = min(recipe.crop.height, _TALLEST)
    cell = (tall, max(1, round(tall * recipe.crop.width / recipe.crop.height)))
    columns = max(4, round(math.sqrt(2 * len(crops) * cell[0] / cell[1])))
    names = [chosen.people.images[number].file_name for number in chosen.people.image_ids.tolist()]
    titles = [Path(name).name.encode("ascii", "replace").decode() for name in names]
    caption = (
        f"{chosen.name}: the {len(crops)} crops that calibrate, as {recipe.name} takes them; sha256 {digest[:16]}; "
        f"{len(chosen.held_out)} others judge"
    )
    return with_caption(contact_sheet(list(crops), columns, cell, titles), caption)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
