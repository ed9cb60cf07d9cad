"""amfac-info: which recipes and targets there are, what one of them says, and what a file is."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact.identify import identify
from amfac_edge.cli.as_typed import as_typed
from amfac_edge.cli.command import CommandParser, run_command
from amfac_edge.declared.reading import read_toml
from amfac_edge.declared.recipe import load_recipe, recipe_names
from amfac_edge.declared.target import load_target, target_names
from amfac_edge.errors import InputError, install_command, near_names, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from amfac_edge.artefact import Manifest
    from amfac_edge.artefact.identify import FileFacts
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.declared.target import Target

__all__ = ["main"]

_EXAMPLES = """examples:
  amfac-info                               all recipes and targets
  amfac-info amfacpose-r18-256x256         one recipe, with everything that it leaves to defaults
  amfac-info orin-nano                     one target, with its power modes
  amfac-info model.onnx                    what a file is: artefact, ONNX, plan, checkpoint, manifest
"""
_SHOWN_KEYS = 12
_LONGEST = 200
_FINDS_JOINTS = ("crops", "frame")
_CHECKPOINTS = frozenset({"pytorch-checkpoint", "safetensors"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-info", lambda: _info(argv), argv)


def _info(argv: Sequence[str] | None) -> int:
    parser = CommandParser("amfac-info", __doc__, epilog=_EXAMPLES)
    parser.add_argument("what", nargs="?", metavar="NAME|FILE", help="recipes, targets, one of their names, or a file")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args(argv)
    value, next_commands = _answer(arguments.what)
    if arguments.json:
        print(json.dumps(value, indent=2))
    else:
        print("\n".join(_lines(_shortened(value))))
    print(as_typed("\n".join(["next:", *(f"  {command}" for command in next_commands)])), file=sys.stderr)
    return 0


def _answer(what: str | None) -> tuple[dict[str, Any], list[str]]:
    """What is to be shown as a JSON object, and the commands that come next."""
    if what is None or what in _LISTS:
        lists = {name: read() for name, read in _LISTS.items() if what in {None, name}}
        return lists, [f"amfac-info {recipe_names()[0]}", "amfac-export CHECKPOINT --target cpu"]
    if what in recipe_names():
        return _recipe(load_recipe(what)), _next_for_recipe(load_recipe(what), what)
    exists = _exists(Path(what))
    if what.endswith(".toml") and exists and Path(what).is_file():
        return _declaration(what)
    if exists:
        facts = identify(Path(what))
        if facts.kind == "unknown":
            raise InputError(
                f"{what}: {facts.title}",
                cure="amfac-info tells of recipes, targets, checkpoints, ONNX files, plans and manifests.",
            )
        return _file(Path(what), facts), _next_for_file(what, facts)
    return _target(_named_target(what)), [f"amfac-export CHECKPOINT --target {what}"]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than names can be, say
        return False


def _named_target(name: str) -> Target:
    aliases = {alias for target in target_names() for alias in load_target(target).aliases}
    known = {*target_names(), *aliases}
    if name in known or any(target.startswith(f"{name}-") for target in known):
        return load_target(name)  # which tells an ambiguous one from a clear one
    raise InputError(
        f'"{name}" is no recipe, no target and no file', cure=near_names(name, {*known, *recipe_names(), *_LISTS})
    )


def _declaration(path: str) -> tuple[dict[str, Any], list[str]]:
    """A TOML file of the user's own: its schema, or else its tables, say whether it is a recipe or a target."""
    data = read_toml(Path(path))
    if str(data.get("schema", "")).startswith("amfac-target/") or "kind" in data:
        return _target(load_target(path)), [f"amfac-export CHECKPOINT --target {typed(path)}"]
    return _recipe(load_recipe(path)), _next_for_recipe(load_recipe(path), typed(path))


def _next_for_recipe(recipe: Recipe, name: str) -> list[str]:
    if recipe.family == "simcc-onnx":
        return ["amfac-fetch --list", f"amfac-export MODEL.onnx --recipe {name} --target cpu"]
    return [f"amfac-export CHECKPOINT --recipe {name} --target cpu"]


def _recipes() -> list[dict[str, Any]]:
    rows = []
    for recipe in map(load_recipe, recipe_names()):
        figures = {name: _printed(recipe, name) for name in ("ap", "params_m", "gflops")}
        size = f"{recipe.crop.height}x{recipe.crop.width}"
        rows.append({"name": recipe.name, "input": size, "skeleton": recipe.skeleton, **figures})
    return rows


def _printed(recipe: Recipe, figure: str) -> float | list[float] | None:
    """What the papers print for a recipe; a list where two of their tables contradict each other."""
    values = dict.fromkeys(getattr(row, figure) for row in recipe.published)
    different = [value for value in values if value is not None]
    return different if len(different) > 1 else next(iter(different), None)


def _targets() -> list[dict[str, Any]]:
    return [
        {
            "name": target.name,
            "title": target.title,
            "aliases": list(target.aliases),
            "precision": target.default_precision,
            "batch": target.default_batch,
            "modes": list(target.modes),
        }
        for target in map(load_target, target_names())
    ]


_LISTS: dict[str, Callable[[], list[dict[str, Any]]]] = {"recipes": _recipes, "targets": _targets}


def _recipe(recipe: Recipe) -> dict[str, Any]:
    rows = (dataclasses.asdict(row) for row in recipe.published)
    printed = [{column: value for column, value in row.items() if value is not None} for row in rows]
    return recipe.as_json() | {"published": printed}


def _target(target: Target) -> dict[str, Any]:
    fields = dataclasses.asdict(target)
    del fields["table"]  # the same as it stands in the file
    for mode in fields["modes"].values():
        del mode["name"]  # which is its key
    if target.gpu is not None:
        # Peak rates, derived from clocks and units; no one measured them.
        fields["peak_rates"] = {name or "no mode": _rates(target, name) for name in (None, *target.modes)}
    return fields


def _rates(target: Target, mode: str | None) -> dict[str, float | None]:
    rates = {
        "fp32_tflops": target.fp32_tflops(mode),
        "fp16_dense_tflops": target.fp16_dense_tflops(mode),
        "int8_dense_tops": target.int8_dense_tops(mode),
        "bandwidth_gbs": target.bandwidth_gbs(mode),
    }
    return {name: None if rate is None else round(rate, 3) for name, rate in rates.items()}


def _file(path: Path, facts: FileFacts) -> dict[str, Any]:
    shown: dict[str, Any] = {"path": str(path), "kind": facts.kind, "title": facts.title, **facts.facts}
    if facts.manifest is not None:
        shown["artefact"] = _artefact(facts.manifest)
    if facts.kind in _CHECKPOINTS:
        # What the bytes say of the file's kind is the same on a machine with torch and on one without.
        shown = _checkpoint(path) | shown
    return shown


def _artefact(manifest: Manifest) -> dict[str, Any]:
    fields = manifest.as_json()
    layers = fields.pop("layers")
    return fields | {"layers": len(layers), "macs": sum(layer.macs for layer in manifest.layers)}


def _checkpoint(path: Path) -> dict[str, Any]:
    """What the torch room says about a checkpoint, where torch is installed."""
    try:
        from amfac_edge.networks import describe_checkpoint  # noqa: PLC0415 - loads torch, which other files don't need
    except ImportError:
        return {"keys": f"not read: that takes PyTorch ({install_command('torch', 'export')})"}
    return describe_checkpoint(path)


def _next_for_file(path: str, facts: FileFacts) -> list[str]:
    if facts.kind == "onnx-artefact" and facts.manifest is not None and facts.manifest.input_kind in _FINDS_JOINTS:
        return [f"amfac-run --engine {typed(path)} --source PICTURE --save poses.jpg", f"amfac-bench {typed(path)}"]
    if facts.kind in {*_CHECKPOINTS, "onnx"}:
        return [f"amfac-export {typed(path)} --target cpu"]
    if facts.kind.endswith("-plan"):
        return [f"amfac-doctor {typed(path)}"]
    return ["amfac-info"]


def _shortened(value: dict[str, Any]) -> dict[str, Any]:
    """The same with a few of a checkpoint's hundreds of keys."""
    keys = value.get("keys")
    if not isinstance(keys, dict) or len(keys) <= _SHOWN_KEYS:
        return value
    few = dict(list(keys.items())[:_SHOWN_KEYS])
    return value | {"keys": few | {"...": f"{len(keys) - _SHOWN_KEYS} more (--json shows all)"}}


def _lines(value: object, depth: int = 0) -> Iterator[str]:
    """A JSON value for people: one line a key, tables for like objects."""
    indent = "  " * depth
    rows = _rows(value)
    if rows:
        yield from (indent + line for line in _table(rows))
    elif isinstance(value, dict):
        width = max((len(str(key)) for key, item in value.items() if _is_short(item)), default=0)
        for key, item in value.items():
            if _is_short(item):
                yield f"{indent}{_short(key):{width}}  {_short(item)}"
            else:
                yield f"{indent}{_short(key)}:"
                yield from _lines(item, depth + 1)
    elif isinstance(value, list | tuple):
        yield from (f"{indent}- {_short(item)}" for item in value)


def _rows(value: object) -> list[dict[str, object]]:
    """The rows of a table, where `value` is one: a list of objects, or objects by name that have the same keys."""
    if isinstance(value, list | tuple) and all(isinstance(row, dict) for row in value):
        return list(value)
    if isinstance(value, dict) and value and all(isinstance(row, dict) for row in value.values()):
        rows = [{"": name, **row} for name, row in value.items()]
        return rows if all(row.keys() == rows[0].keys() for row in rows) else []
    return []


def _table(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, *([_short(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _is_short(value: object) -> bool:
    """Whether it fits on the line of its key: a list does unless it has objects or sentences in it."""
    if isinstance(value, list | tuple):
        return not any(isinstance(item, dict | list) or (isinstance(item, str) and " " in item) for item in value)
    return not isinstance(value, dict) or not value


def _short(value: object) -> str:
    if value is None or value in ("", [], (), {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_short(item) for item in value)
    # A file's own words must not steer the terminal.
    text = "".join(letter if letter.isprintable() else "?" for letter in str(value))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


if __name__ == "__main__":
    sys.exit(main())
