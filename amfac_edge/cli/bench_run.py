"""`amfac-bench run FILE...`: latency of artefacts on this machine, by stage, with receipts."""

from __future__ import annotations

import functools
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import TENSORRT, manifest_beside, manifest_path
from amfac_edge.artefact.identify import CHECKPOINT_SUFFIXES
from amfac_edge.cli.as_typed import not_in_a_kit
from amfac_edge.cli.bench_against import against_json, other_model, print_against, read_evaluation
from amfac_edge.cli.bench_forecast import forecasts_of, print_forecasts
from amfac_edge.cli.bench_options import add_frame, check_seconds, frame_of, people_of, print_busy
from amfac_edge.cli.gpu_options import add_gpu_options, gpu_options
from amfac_edge.declared.recipe import recipe_names
from amfac_edge.errors import AmfacError, InputError, ModelFileError, typed
from amfac_edge.files import writable_folder
from amfac_edge.performance.against import TABLES
from amfac_edge.performance.measuring import measure_artefact
from amfac_edge.performance.receipts import write_receipt
from amfac_edge.performance.recording import now, receipt_name, receipt_of
from amfac_edge.performance.samples import FEWEST_SAMPLES
from amfac_edge.performance.steadiness import MOST_DRIFT_PERCENT
from amfac_edge.performance.timing import MODES, Limits
from amfac_edge.performance.trtexec_commands import trtexec_commands
from amfac_edge.sessions import UNKNOWN

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.performance.measuring import Measurement
    from amfac_edge.performance.receipts import Receipt
    from amfac_edge.performance.samples import Statistics

__all__ = ["add_run", "run"]

_WITH_FPS = ("engine", "frame", "ahead", "latency", "eager", "eager_frame")
_MOST_PAUSE_S = 3600
_SHORT_S = 10.0
_PRECISIONS = ("fp32", "fp16")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options of the word."""
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="artefacts of amfac-export; with --eager checkpoints")
    add("--threads", type=int, metavar="N", help="of the engine (default: this machine's cores)")
    add("--no-spin", action="store_true", help="idle engine threads sleep: slower alone, better on a busy CPU")
    add_gpu_options(parser)
    add("--crops", choices=("cpu", "gpu"), default="cpu", help="of a .plan of crops: where they are cut")
    add("--people", type=int, default=1, metavar="N", help="boxes in a frame")
    add_frame(parser)
    add("--mode", choices=sorted(MODES), help="quick: 1000 samples or 30 s a series; full: 600 s a series")
    add("--seconds", type=float, metavar="S", help="of each series (default: 3)")
    add("--iterations", type=int, metavar="N", help="exact number of samples instead")
    add("--idle", type=float, metavar="S", help="pause before each frame that is timed after idling (0: none)")
    add("--out", type=Path, metavar="DIR", help="keep a receipt of each FILE there")
    add("--against", choices=sorted(TABLES), help="the AMFACPose paper's printed figures beside these")
    add("--evaluation", type=Path, metavar="JSON", help="with --against: a result of amfac-eval --json, for the AP")
    add("--forecast", metavar="T[,T]", help="what to expect of these artefacts on other machines, beside these figures")
    add("--eager", action="store_true", help="measure checkpoints, or recipes by name, in eager PyTorch")
    add("--recipe", metavar="R", help="with --eager: of a checkpoint that doesn't tell its own")
    add("--device", choices=("cpu", "cuda"), help="with --eager (default: a card where there is one)")
    add("--precision", choices=_PRECISIONS, help="with --eager (default: fp32)")
    add("--json", action="store_true", help="one JSON object, with every sample")


def run(arguments: argparse.Namespace) -> int:
    """Measure each file; one that fails doesn't take the others' results with it."""
    limits = _limits(arguments)
    (people,) = people_of(str(arguments.people))
    _check(arguments)
    frame = frame_of(arguments.frame)
    expected = forecasts_of([str(path) for path in arguments.files], arguments.forecast) if arguments.forecast else []
    results: list[dict[str, Any]] = []
    receipts: list[Receipt] = []
    failed: list[tuple[Path, AmfacError]] = []
    for path in arguments.files:
        try:
            result, receipt = _one(path, arguments, limits, frame, people)
        except AmfacError as error:
            if len(arguments.files) == 1:
                raise
            failed.append((path, error))
            print(f"amfac-bench: error: {error}", file=sys.stderr)
            continue
        results.append(result)
        receipts.append(receipt)
    if arguments.json:
        body: dict[str, Any] = {"measured": results}
        if failed:
            body["failed"] = [{"file": str(path), **error.as_json()} for path, error in failed]
        if arguments.against and receipts:
            body["against"] = against_json(arguments.against, receipts, arguments.evaluation)
        if expected:
            body["forecasts"] = [each.as_json() for each in expected]
        print(json.dumps(body))
    else:
        if arguments.against and receipts:
            print_against(arguments.against, receipts, arguments.evaluation)
        print_forecasts(expected)
    return failed[0][1].exit_code if failed else 0


def _one(
    path: Path, arguments: argparse.Namespace, limits: Limits, frame: NDArray[np.uint8], people: int
) -> tuple[dict[str, Any], Receipt]:
    """Measure `path` on a frame (H,W,3), keep its receipt, and print it, unless JSON is wanted."""
    taken, command = now(), ["amfac-bench", *arguments.words]
    if arguments.eager:
        receipt = _eager(path, arguments, limits, frame, people, taken, command)
        lines: list[str] = []
    else:
        measured = measure_artefact(
            path,
            frame=frame,
            people=people,
            threads=arguments.threads,
            spinning=not arguments.no_spin,
            limits=limits,
            crops=arguments.crops,
            # A plan that was copied without its manifest is measured all the same.
            gpu={**gpu_options(arguments), "by_name": True},
            stage=functools.partial(_announce, limits),
        )
        switches = {
            "mode": arguments.mode or "timed",
            **asdict(limits),
            "crops": arguments.crops,
            **gpu_options(arguments),
        }
        receipt = receipt_of(measured, taken=taken, command=command, switches=switches)
        lines = _trtexec_lines(path, measured, arguments, limits, people)
    kept = None
    if arguments.out is not None:
        kept = arguments.out / receipt_name(receipt)
        write_receipt(receipt, kept)
    if not arguments.json:
        _print(receipt, lines, kept)
    return _as_json(receipt, kept), receipt


def _eager(
    path: Path,
    arguments: argparse.Namespace,
    limits: Limits,
    frame: NDArray[np.uint8],
    people: int,
    taken: str,
    command: list[str],
) -> Receipt:
    """Of a frame of the size of (H,W,3): what is in it changes no time."""
    try:
        from amfac_edge.cli.bench_eager import eager_receipt  # noqa: PLC0415 - the door to the torch rooms
    except ModuleNotFoundError as error:
        raise not_in_a_kit("amfac-bench --eager", error) from error
    return eager_receipt(
        path,
        stage=functools.partial(_announce, limits),
        recipe=arguments.recipe,
        device=arguments.device,
        precision=arguments.precision or "fp32",
        height=frame.shape[0],
        width=frame.shape[1],
        people=people,
        threads=arguments.threads,
        limits=asdict(limits),
        command=command,
        taken=taken,
    )


def _announce(limits: Limits, series: str) -> None:
    """A word on standard error before a series that lasts, so that nobody waits without knowing for what."""
    if limits.iterations is None and limits.seconds > _SHORT_S:
        print(f"amfac-bench: {series}, up to {limits.seconds:g} s from {time.strftime('%H:%M:%S')} on", file=sys.stderr)


def _limits(arguments: argparse.Namespace) -> Limits:
    if arguments.mode is not None and (arguments.seconds is not None or arguments.iterations is not None):
        raise InputError(
            f"--mode {arguments.mode} and {'--seconds' if arguments.iterations is None else '--iterations'} "
            "each say how long it takes",
            cure="Give one of them.",
        )
    if arguments.iterations is not None and arguments.iterations < 1:
        raise InputError(f"--iterations {arguments.iterations} is less than 1", cure="Give 1000, say.")
    if arguments.seconds is not None:
        check_seconds(arguments.seconds)
    limits = MODES[arguments.mode] if arguments.mode else Limits(arguments.seconds or 3.0, arguments.iterations)
    if arguments.idle is None:
        return limits
    if not 0 <= arguments.idle <= _MOST_PAUSE_S:
        raise InputError(f"--idle {arguments.idle:g} is not within 0 and {_MOST_PAUSE_S}", cure="Give 10, say.")
    return replace(limits, pause_s=arguments.idle, pauses=limits.pauses if arguments.idle else 0)


def _check_evaluated(evaluation: Path, files: list[Path]) -> None:
    """Refuse a result of another model before anything is measured."""
    model, _ = read_evaluation(evaluation)
    for path in files:
        named = manifest_beside(path).name if manifest_path(path).is_file() else model
        if model is not None and named != model:
            raise other_model(evaluation, model, named)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what can't be meant, before any time is spent on it."""
    if arguments.evaluation is not None:
        if arguments.against is None:
            raise InputError("--evaluation without --against has nothing to stand beside", cure="Add --against table1.")
        _check_evaluated(arguments.evaluation, [] if arguments.eager else arguments.files)
    if not arguments.eager:
        given = [name for name in ("recipe", "device", "precision") if getattr(arguments, name) is not None]
        if given:
            raise InputError(f"--{given[0]} is for --eager", cure="An artefact says all that itself.")
        for path in arguments.files:
            _refuse_what_is_none(path)
    elif arguments.forecast:
        raise InputError("--forecast is of artefacts", cure="amfac-bench forecast --target T RECIPE has eager PyTorch.")
    elif (wrong := next((path for path in arguments.files if path.suffix in {".onnx", ".plan"}), None)) is not None:
        raise InputError(f"{wrong}: an artefact is not eager PyTorch", cure="Leave --eager out, or give a checkpoint.")
    if arguments.out is not None:
        writable_folder(arguments.out)


def _refuse_what_is_none(path: Path) -> None:
    word = typed(path)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES or (not path.exists() and str(path) in recipe_names()):
        raise InputError(
            f"{path}: {'a checkpoint' if path.suffix else 'a recipe'} is not what runs; an artefact is measured",
            cure=f"amfac-export {word} --target cpu makes one; amfac-bench {word} --eager measures eager PyTorch.",
        )
    if not path.exists():
        raise ModelFileError(f"{path}: no such file", cure="Give the .onnx or .plan that amfac-export wrote.")


def _trtexec_lines(
    path: Path, measured: Measurement, arguments: argparse.Namespace, limits: Limits, people: int
) -> list[str]:
    manifest = measured.manifest
    if manifest.plan is None or manifest.plan.flavour != TENSORRT:
        return []  # trtexec loads no plan of TensorRT-RTX
    conditions = measured.series["engine"].conditions
    commands = trtexec_commands(
        path,
        manifest,
        people=people,
        graphs="no CUDA graphs" not in conditions.provider,
        spinning=arguments.wait == "spin",
        limits=limits,
    )
    return ["the same by trtexec:", *(f"  {name:17} {command}" for name, command in commands.items())]


def _as_json(receipt: Receipt, kept: Path | None) -> dict[str, Any]:
    return {
        "conditions": asdict(receipt.conditions),
        "target": receipt.target,
        "power_mode": receipt.power_mode,
        "trained": receipt.trained,
        **receipt.findings,
        "series": {
            name: {"statistics": asdict(series.statistics), "samples_ms": series.samples_ms}
            for name, series in receipt.series.items()
        },
        "receipt": None if kept is None else str(kept),
    }


def _print(receipt: Receipt, lines: list[str], kept: Path | None) -> None:
    conditions, findings = receipt.conditions, receipt.findings
    untrained = ", untrained weights" if receipt.trained is False else ""
    print(f"{conditions.artefact}  ({conditions.recipe}, {conditions.precision}{untrained})")
    print(
        f"measured on {conditions.processor}: {conditions.engine}, {conditions.provider}, {conditions.threads} "
        f"threads, {'spinning' if conditions.spinning else 'sleeping'}; frame {conditions.frame}, {conditions.people} "
        f"{'person' if conditions.people == 1 else 'people'}"
    )
    if conditions.precision == UNKNOWN:
        print("no manifest lies beside it: what it is was read from its engine's name")
    if receipt.power_mode is not None:
        print(f"power mode {receipt.power_mode}")
    print_busy(findings["busy"], findings["waited"])
    width = max(len(name) for name in receipt.series)
    heads = " ".join(f"{head:>8}" for head in ("min", "mean", "median", "p90", "p95", "p99", "max"))
    print(f"{'ms':{width}} {'n':>6} {heads} {'cv %':>6} {'fps':>7}")
    statistics = {name: series.statistics for name, series in receipt.series.items()}
    for name, values in statistics.items():
        print(_row(f"{name:{width}}", values, fps=name in _WITH_FPS))
    if "ahead" in statistics:
        print("ahead: from one frame's joints to the next one's, where two are under way (PoseEstimator.submit)")
    if any(values.p99 is None for values in statistics.values()):
        needs = ", ".join(f"a p{percent} {fewest}" for percent, fewest in FEWEST_SAMPLES.items())
        print(f"few: n too small: needs {needs} samples (--mode, --seconds, --iterations)")
    for line in (*_findings(receipt), *lines):
        print(line)
    if kept is not None:
        print(f"receipt {kept}")
    print()


def _findings(receipt: Receipt) -> list[str]:
    """What else was found, a line each."""
    findings = receipt.findings
    lines = []
    whole = next(name for name in ("frame", "eager_frame") if name in receipt.series)
    estimate = receipt.series[whole].statistics.early_stopping_p90
    if estimate is not None:
        lines.append(f"MLPerf-style single stream: 9 of 10 frames within {estimate:.3f} ms, 99 % sure (early stopping)")
    lines.append(
        f"cold start: opening the file {findings['load_ms']:.0f} ms, first frame {findings['first_ms']:.0f} ms"
    )
    idle = findings.get("after_idle_ms")
    if idle:
        pause = receipt.switches.get("pause_s")
        lines.append(f"after {pause:g} s of idling: {', '.join(f'{one:.3f}' for one in idle)} ms a frame")
    drift = findings["drift_percent"]
    if drift is not None:
        told = ": it was not steady" if abs(drift) > MOST_DRIFT_PERCENT else ""
        lines.append(f"drift from the first to the last third: {drift:+.1f} %{told}")
    lines += [f"throttled: {reason}" for reason in findings["throttling"]]
    for name, energy in findings["energy"].items():
        rails = f"{' + '.join(energy['rails'])} by {energy['source']}, not the wall"
        lines.append(
            f"energy of {name}: {energy['joules_per_frame'] * 1e3:.1f} mJ a frame above rest; "
            f"{energy['active_w']:.2f} W at work, {energy['idle_w']:.2f} W at rest ({rails})"
        )
    if not findings["energy"]:
        why = "the series are too short" if findings["power_source"] else "nothing here tells it"
        lines.append(f"power: unknown, {why}")
    lines.append(f"the bench itself: {findings['overhead_us']:.2f} us a sample")
    return lines


def _row(name: str, values: Statistics, *, fps: bool) -> str:
    cells = [values.min, values.mean, values.median, values.p90, values.p95, values.p99, values.max]
    times = " ".join(f"{'few' if cell is None else f'{cell:.3f}':>8}" for cell in cells)
    speed = f" {values.per_second:7.1f}" if fps else ""
    return f"{name} {values.count:6} {times} {values.variation_percent:6.1f}{speed}"
