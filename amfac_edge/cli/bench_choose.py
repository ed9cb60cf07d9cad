"""`amfac-bench choose`: which model in which precision for a machine, a budget and an accuracy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import read_manifest
from amfac_edge.artefact.identify import CHECKPOINT_SUFFIXES
from amfac_edge.cli.bench_forecast import add_calibration, calibration
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.declared.target import load_target
from amfac_edge.drawing import require_picture_name, write_picture
from amfac_edge.errors import InputError
from amfac_edge.performance.choosing import Choice, Option, chosen, options_for, pareto_front, pareto_picture
from amfac_edge.performance.forecast.calibrating import measured_engines
from amfac_edge.performance.receipts import read_receipt

if TYPE_CHECKING:
    import argparse

    from amfac_edge.cli.command import CommandParser
    from amfac_edge.declared.recipe import Recipe

__all__ = ["add_choose", "choose"]

_ARTEFACTS = (".onnx", ".plan")
_MOST_MS = 1e6
_NOTE = "AP is what the papers print of their float32 weights; what FP16 or INT8 costs it, amfac-eval measures."


def add_choose(parser: CommandParser) -> None:
    """The options of the word."""
    parser.add_argument("model", metavar="MODEL", help="a checkpoint, an artefact, or the name of a recipe")
    parser.add_argument("--target", required=True, metavar="T", help="the machine")
    parser.add_argument("--budget-ms", type=float, required=True, metavar="MS", help="for one crop, the engine alone")
    parser.add_argument("--min-ap", type=float, default=0.0, metavar="AP", help="in percent, as the papers print it")
    parser.add_argument("--mode", metavar="NAME", help="power mode (default: that of the papers' figures)")
    add_calibration(parser)
    parser.add_argument("--save", type=Path, metavar="PICTURE", help="the options as a picture, AP against time")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def choose(arguments: argparse.Namespace) -> int:
    """Print the options and a recommendation."""
    if not 0 < arguments.budget_ms <= _MOST_MS:
        raise InputError(f"--budget-ms {arguments.budget_ms:g} is not within 0 and {_MOST_MS:g}", cure="Give 20, say.")
    if not 0 <= arguments.min_ap <= 100:  # noqa: PLR2004 - percent
        raise InputError(f"--min-ap {arguments.min_ap:g} is not within 0 and 100", cure="Give 73.1, say.")
    if arguments.save is not None:
        require_picture_name(arguments.save)
    model, target = _recipe(arguments.model), load_target(arguments.target)
    runs = calibration(arguments.calibrate, target, arguments.mode)
    measured = measured_engines([read_receipt(path) for path in arguments.calibrate])
    options = options_for(model, target, mode=arguments.mode, runs=runs, measured=measured)
    choice = chosen(options, budget_ms=arguments.budget_ms, min_ap=arguments.min_ap)
    if arguments.save is not None:
        title = f"{target.title}{f', {mode}' if (mode := arguments.mode or target.paper_mode) else ''}"
        write_picture(arguments.save, pareto_picture(options, budget_ms=arguments.budget_ms, title=title))
    if arguments.json:
        print(json.dumps(_as_json(options, choice, arguments)))
    else:
        _print(model, options, choice, arguments)
    return 0


def _recipe(name: str) -> Recipe:
    """The recipe of what the user has.

    Raises:
        InputError: a checkpoint that names none.
    """
    path = Path(name)
    if path.suffix in _ARTEFACTS:
        return read_manifest(path).recipe
    if path.suffix not in CHECKPOINT_SUFFIXES:
        return load_recipe(name)
    from amfac_edge.networks import describe_checkpoint  # noqa: PLC0415 - loads torch

    described = describe_checkpoint(path)
    names = [described["recipe"]] if described["recipe"] else described["recipes"]
    if not names:
        raise InputError(
            f"{path}: it names no recipe, and no declared one fits its weights",
            cure="Give the name of a recipe instead: amfac-info recipes.",
        )
    return load_recipe(names[0])


def _print(model: Recipe, options: tuple[Option, ...], choice: Choice, arguments: argparse.Namespace) -> None:
    width = max(len(option.recipe) for option in options)
    for precision in dict.fromkeys(option.precision for option in options):
        group = [option for option in options if option.precision == precision]
        front = pareto_front(group)
        print(f"  {precision:{width}}    AP       ms")
        for option in sorted(group, key=lambda option: (option.ap or 0.0, -option.ms), reverse=True):
            low, high = option.ends_ms
            ap = "-" if option.ap is None else f"{option.ap:.1f}"
            tag = "measured" if option.measured else f"forecast {low:6.2f}..{high:.2f}"
            notes = [
                _against_budget(option, arguments.budget_ms),
                "on the front" if option in front else "",
                "yours" if option.recipe == model.name else "",
            ]
            mark = ">" if option == choice.option else " "
            print(f"{mark} {option.recipe:{width}} {ap:>5} {option.ms:8.2f}  {tag:24} {', '.join(filter(None, notes))}")
    print(f"\n{_sentence(choice, arguments)}\n{_NOTE}")


def _against_budget(option: Option, budget_ms: float) -> str:
    low, high = option.ends_ms
    if high <= budget_ms:
        return "within the budget"
    if low > budget_ms:
        return "over the budget"
    return "probably within" if option.ms <= budget_ms else "probably over"


def _sentence(choice: Choice, arguments: argparse.Namespace) -> str:
    demand = f"{arguments.budget_ms:g} ms" + (f" and AP {arguments.min_ap:g}" if arguments.min_ap else "")
    if choice.option is None:
        return f"nothing here meets {demand}: raise the budget, lower --min-ap, or take a faster machine"
    lines = [f"for {demand}: {_named(choice.option)}"]
    if not choice.sure:
        lines.append("it may be over the budget: measure it before you rely on it")
        lines += [f"surely within it: {_named(choice.faster)}"] if choice.faster else []
    if choice.int8 is not None:
        lines.append(f"if INT8 keeps enough of its AP: {_named(choice.int8)}")
    return "\n".join(lines)


def _named(option: Option) -> str:
    low, high = option.ends_ms
    time = "measured" if option.measured else f"forecast, {low:.2f} to {high:.2f}; not measured"
    loss = " before INT8's loss" if option.precision == "int8" else ""
    return f"{option.recipe} in {option.precision}, AP {option.ap:g}{loss}, {option.ms:.2f} ms ({time})"


def _as_json(options: tuple[Option, ...], choice: Choice, arguments: argparse.Namespace) -> dict[str, object]:
    fronts = [
        option
        for precision in {option.precision for option in options}
        for option in pareto_front([option for option in options if option.precision == precision])
    ]
    return {
        "budget_ms": arguments.budget_ms,
        "min_ap": arguments.min_ap,
        "options": [option.as_json() | {"front": option in fronts} for option in options],
        "chosen": choice.option.as_json() if choice.option else None,
        "sure": choice.sure,
        "int8": choice.int8.as_json() if choice.int8 else None,
        "faster": choice.faster.as_json() if choice.faster else None,
        "note": _NOTE,
    }
