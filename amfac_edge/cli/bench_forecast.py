"""`amfac-bench forecast`: what an engine, and eager PyTorch, are expected to take on machines that nobody measured."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.declared.target import load_target, load_targets
from amfac_edge.errors import InputError
from amfac_edge.performance.comparing import doubts_of
from amfac_edge.performance.forecast import Forecast, Subject, forecast_eager, forecast_engine, subject_of
from amfac_edge.performance.forecast.calibrating import machine_of, timed_runs
from amfac_edge.performance.forecast.forecasts import RANGES
from amfac_edge.performance.forecast.leave_out import (
    ErrorTable,
    board_errors,
    engine_errors,
    half_errors,
    prior_errors,
    variant_errors,
)
from amfac_edge.performance.forecast.recorded import recorded_eager
from amfac_edge.performance.forecast.roofline import PRECISIONS
from amfac_edge.performance.forecast.table4 import cells_met, markdown_table, measured_for_table4, table4_cells
from amfac_edge.performance.paper_mode import declared_mode
from amfac_edge.performance.receipts import read_receipt

if TYPE_CHECKING:
    import argparse

    from amfac_edge.cli.command import CommandParser
    from amfac_edge.declared.target import Target
    from amfac_edge.performance.forecast.fitting import TimedRun

__all__ = ["add_calibration", "add_forecast", "calibration", "forecast", "forecasts_of", "print_forecasts"]

_ALL = "all"
_MOST_CROPS = 1024
_INFERRED = """That Table 4 is eager FP32 PyTorch is an inference, and the root of bandwidth x clock was chosen after
seeing these three boards. RTMPose's rows don't say which Orin NX and which mode: Orin NX 16 GB at MAXN is assumed."""
_EXAMPLES = """examples:
  amfac-bench forecast --target orin-nano,orin-nx-16 model.orin-nano-8.fp16.onnx
  amfac-bench forecast --target orin-nano --mode all --precision fp16,int8 amfacpose-r34-384x288
  amfac-bench forecast amfacpose-r34-384x288 --target cpu --calibrate receipts/*.json
  amfac-bench forecast --errors                      how far the two models are off what they haven't seen
"""


def add_forecast(parser: CommandParser) -> None:
    """The options of the word."""
    parser.epilog = _EXAMPLES
    parser.add_argument("files", nargs="*", metavar="FILE", help="artefacts with their manifests, or names of recipes")
    parser.add_argument("--target", metavar="T[,T]", help="machines to forecast for")
    parser.add_argument("--mode", metavar="NAME", help="power mode, or all (default: that of the papers' figures)")
    parser.add_argument("--precision", metavar="P[,P]", help="fp32, fp16, int8 (default: the file's, or the target's)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="crops in one run")
    add_calibration(parser)
    parser.add_argument("--errors", action="store_true", help="the models' errors on figures that were left out")
    parser.add_argument(
        "--table4", action="store_true", help="Table 4 of AMFACPose beside ours, as Markdown; FILE is a receipt"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def add_calibration(parser: CommandParser) -> None:
    """The option that receipts come by."""
    text = "receipts of the machine, from which the engine model learns"
    parser.add_argument("--calibrate", nargs="+", type=Path, default=[], metavar="RECEIPT", help=text)


def calibration(paths: list[Path], target: Target, mode: str | None) -> list[TimedRun]:
    """The runs of `--calibrate`; what makes one worth less is said on standard error."""
    receipts = [(str(path), read_receipt(path)) for path in paths]
    runs = timed_runs(receipts, target, mode)
    for name, receipt in receipts:
        for doubt in doubts_of(receipt, name):
            print(f"doubt: {doubt}", file=sys.stderr)
    return runs


def forecast(arguments: argparse.Namespace) -> int:
    """Print forecasts, or the models' errors."""
    if arguments.errors or arguments.table4:
        _check_alone(arguments)
        return _errors(arguments) if arguments.errors else _table4(arguments)
    if not arguments.files or not arguments.target:
        raise InputError(
            "a forecast needs a model and a machine",
            cure="amfac-bench forecast --target orin-nano model.onnx, say; --errors needs neither.",
        )
    if not 1 <= arguments.batch <= _MOST_CROPS:
        raise InputError(f"--batch {arguments.batch} is not within 1 and {_MOST_CROPS}", cure="Give 1 or 4, say.")
    precisions = _precisions(arguments.precision)
    targets = load_targets(arguments.target)
    subjects = [subject_of(name) for name in arguments.files]
    made = [
        each
        for subject in subjects
        for target in targets
        for mode in _modes(target, arguments.mode)
        for each in _of_target(subject, target, mode, precisions, arguments)
    ]
    if arguments.json:
        print(json.dumps({"forecasts": [each.as_json() for each in made]}))
    else:
        print_forecasts(made)
    return 0


def _check_alone(arguments: argparse.Namespace) -> None:
    """Refuse what --errors or --table4 takes no notice of."""
    idle = {
        "FILE": arguments.files and arguments.errors,
        "--target": arguments.target,
        "--mode": arguments.mode,
        "--precision": arguments.precision,
        "--batch": arguments.batch != 1,
        "--calibrate": arguments.calibrate and arguments.table4,
    }
    given = [name for name, value in idle.items() if value]
    if given or (arguments.errors and arguments.table4):
        raise InputError(
            f"--errors and --table4 stand alone, without {', '.join(given) or 'each other'}",
            cure="amfac-bench forecast --errors [--calibrate RECEIPTS], or amfac-bench forecast --table4 [RECEIPTS]",
        )


def forecasts_of(names: list[str], targets: str) -> list[Forecast]:
    """Of artefacts, or recipes by name, on each target of a comma list, as engines of each one's own precision."""
    subjects = [subject_of(name) for name in names]
    return [forecast_engine(subject, target) for subject in subjects for target in load_targets(targets)]


def print_forecasts(made: list[Forecast]) -> None:
    """A table that says of every figure that it is a forecast."""
    for subject in dict.fromkeys(each.subject for each in made):
        rows = [each for each in made if each.subject == subject]
        width = max(6, *(len(each.target) for each in rows))
        modes = max(4, *(len(each.mode or "-") for each in rows))
        print(f"{subject}: forecast, nothing below was measured")
        print(
            f"{'target':{width}} {'mode':{modes}} {'model':6} precision batch     low     mid  high ms     fps  "
            f"{'what binds most':29} memory"
        )
        for each in rows:
            binds = ", ".join(f"{name} {share:.0%}" for name, share in _sorted(each)[:2])
            print(
                f"{each.target:{width}} {each.mode or '-':{modes}} {each.model:6} {each.precision:9} {each.batch:5} "
                f"{each.low_ms:7.2f} {each.mid_ms:7.2f} {each.high_ms:8.2f} {1e3 * each.batch / each.mid_ms:7.1f}  "
                f"{binds:29} {_memory(each)}"
            )
        basis = dict.fromkeys(line for each in rows for line in each.basis)
        print("; ".join(dict.fromkeys(RANGES[each.model] for each in rows)) + "; from " + "; ".join(basis) + "\n")


def _of_target(
    subject: Subject, target: Target, mode: str | None, precisions: list[str | None], arguments: argparse.Namespace
) -> list[Forecast]:
    runs, batch = calibration(arguments.calibrate, target, mode), arguments.batch
    made = [forecast_engine(subject, target, mode=mode, precision=each, batch=batch, runs=runs) for each in precisions]
    if batch == 1 and subject.recipe in recorded_eager() and target.kind != "cpu":
        # Not every card is near one of Table 4.
        with contextlib.suppress(InputError):
            made.append(forecast_eager(subject.recipe, target, mode, name=subject.name))
    return made


def _modes(target: Target, asked: str | None) -> list[str | None]:
    if asked != _ALL:
        return [asked]
    return [*target.modes] or [None]


def _precisions(text: str | None) -> list[str | None]:
    if text is None:
        return [None]
    chosen = list(dict.fromkeys(text.split(",")))
    unknown = [each for each in chosen if each not in PRECISIONS]
    if unknown:
        raise InputError(f'--precision "{unknown[0]}" is none of {", ".join(PRECISIONS)}', cure="Give fp16,int8, say.")
    return list(chosen)


def _sorted(each: Forecast) -> list[tuple[str, float]]:
    return sorted(each.binds.items(), key=lambda item: -item[1])


def _memory(each: Forecast) -> str:
    if each.memory_mib is None:
        return "unknown"
    return f"{each.memory_mib:.0f} MiB, {'fits' if each.fits else 'DOES NOT FIT'}"


def _errors(arguments: argparse.Namespace) -> int:
    tables = [variant_errors(), board_errors(), engine_errors(), *_calibrated(arguments.calibrate)]
    rivals = [board_errors(0.0), board_errors(1.0), prior_errors()]
    if arguments.json:
        print(json.dumps({"errors": [table.as_json() for table in (*tables, *rivals)]}))
        return 0
    for table in tables:
        print(f"{table.title}")
        print(f"  {table.statistic} of each group within {table.limit:.0%}: {'met' if table.met else 'NOT met'}")
        _print_groups(table, rows=True)
    print("beside them, what the models are not:")
    for table in rivals:
        print(f"  {table.title}")
        _print_groups(table, rows=False)
    print(_INFERRED)
    return 0


def _calibrated(paths: list[Path]) -> list[ErrorTable]:
    """Each half of the receipts' models, forecast from the other half."""
    if not paths:
        return []
    receipts = [(str(path), read_receipt(path)) for path in paths]
    first = receipts[0][1]
    if first.target is None:
        raise InputError(f"{paths[0]}: it was taken on no known target", cure="Give receipts of a declared target.")
    target = load_target(first.target)
    runs = timed_runs(receipts, target, declared_mode(first))
    if len(runs) < 2:  # noqa: PLR2004 - two halves
        raise InputError("one receipt has no halves", cure="Give receipts of two models or more.")
    return [half_errors(machine_of(first), target.kind, runs)]


def _table4(arguments: argparse.Namespace) -> int:
    receipts = [read_receipt(Path(name)) for name in arguments.files]
    cells = table4_cells(measured_for_table4(receipts))
    if not arguments.json:
        print(markdown_table(cells))
        return 0
    rows = [
        {
            "recipe": cell.recipe,
            "device": cell.device,
            "paper_ms": cell.paper_ms,
            "forecast": {name: each.as_json() for name, each in cell.forecast.items()},
            "measured_ms": {name: each.statistics.mean for name, each in cell.measured.items()},
            "met": cell.met,
        }
        for cell in cells
    ]
    print(json.dumps({"cells": rows, "met": cells_met(cells)}))
    return 0


def _print_groups(table: ErrorTable, *, rows: bool) -> None:
    width = max(len(row.name) for row in table.rows)
    for group, value in table.groups().items():
        print(f"  {group}: {table.statistic} {value:.2%}, worst {table.worst(group):.2%}")
        for row in table.rows if rows else ():
            if row.group == group:
                within = {None: "", True: "  within low..high", False: "  outside low..high"}[row.within]
                figures = f"{row.ms:8.2f} ms  forecast {row.forecast_ms:8.2f}  {row.error:+7.1%}"
                print(f"    {row.name:{width}} {figures}{within}")
    print()
