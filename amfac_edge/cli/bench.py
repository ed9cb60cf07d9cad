"""amfac-bench: how long an artefact takes on this machine, and how ours compares with what people use instead."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from amfac_edge.cameras import read_picture
from amfac_edge.cli.bench_choose import add_choose, choose
from amfac_edge.cli.bench_figures import add_figures, figures
from amfac_edge.cli.bench_forecast import add_forecast, forecast
from amfac_edge.cli.command import CommandParser, run_command
from amfac_edge.cli.gpu_options import add_gpu_options, gpu_options
from amfac_edge.errors import InputError
from amfac_edge.performance.host import HOST_BUDGET_FRAME, HOST_BUDGET_MS, HostCost, measure_host
from amfac_edge.performance.measuring import (
    BOUNDARIES,
    Limits,
    Measurement,
    measure_artefact,
    still_frame,
    with_others,
)
from amfac_edge.performance.samples import FEWEST_SAMPLES
from amfac_edge.sessions import UNKNOWN

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.performance.samples import Statistics

__all__ = ["main"]

_WORDS = ("run", "host", "peers", "forecast", "choose", "figures")
_LATER = ("compare", "report")
_UNTIMED = {"forecast": forecast, "choose": choose, "figures": figures}
_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors")
_BUSY = 0.1
_MOST_PEOPLE = 1000
# The largest and the smallest crop of the declared models.
_HOST_RECIPES = ("amfacpose-r34-384x288", "amfacpose-r18-256x256")
_EXAMPLES = """examples:
  amfac-bench model.cpu.fp32.onnx                    short for: amfac-bench run model.cpu.fp32.onnx
  amfac-bench run a.onnx b.onnx --threads 2 --people 5 --json
  amfac-bench host --people 1,5                      what a frame costs outside the network
  amfac-bench peers --quick                          beside eager torch and the plain export
  amfac-bench forecast --target orin-nano model.orin-nano-8.fp16.onnx
  amfac-bench choose model.pth --target orin-nano --budget-ms 20 --save choice.png
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-bench", lambda: _bench(argv), argv)


def _bench(argv: Sequence[str] | None) -> int:
    import sys  # noqa: PLC0415 - only where no words were handed in

    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in _LATER:
        raise InputError(f"amfac-bench {words[0]} is not in this version", cure=f"It has: {', '.join(_WORDS)}.")
    if words and words[0] not in (*_WORDS, "-h", "--help", "--version"):
        words.insert(0, "run")
    arguments = _parser().parse_args(words)
    if arguments.word in _UNTIMED:
        return _UNTIMED[arguments.word](arguments)
    if not 0 < arguments.seconds <= 86_400:  # noqa: PLR2004 - a day
        raise InputError(f"--seconds {arguments.seconds:g} is not within 0 and 86400", cure="Give 3, say.")
    if arguments.word == "peers":
        from amfac_edge.cli.bench_peers import peers  # noqa: PLC0415 - loads torch

        return peers(arguments)
    return _host(arguments) if arguments.word == "host" else _run(arguments)


def _parser() -> CommandParser:
    parser = CommandParser("amfac-bench", __doc__, epilog=_EXAMPLES)
    words = parser.add_subparsers(dest="word", required=True, metavar="|".join(_WORDS))
    run = words.add_parser("run", help="latency of artefacts", description="Latency of artefacts, by stage.")
    run.add_argument("files", nargs="+", type=Path, metavar="FILE", help="artefacts of amfac-export")
    run.add_argument("--threads", type=int, metavar="N", help="of the engine (default: this machine's cores)")
    run.add_argument(
        "--no-spin", action="store_true", help="idle engine threads sleep: slower alone, better on a busy CPU"
    )
    add_gpu_options(run)
    run.add_argument(
        "--crops",
        choices=("cpu", "gpu"),
        default="cpu",
        help="of a .plan of crops: where they are cut",
    )
    run.add_argument("--people", type=int, default=1, metavar="N", help="boxes in a frame")
    run.add_argument("--frame", default="1920x1080", metavar="WxH|PHOTO", help="size of the frame, or a picture")
    run.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of each series")
    run.add_argument("--iterations", type=int, metavar="N", help="exact number of samples instead")
    run.add_argument("--json", action="store_true", help="one JSON object, with every sample")
    host = words.add_parser(
        "host", help="the work around the network", description="What a frame costs outside the network."
    )
    host.add_argument("--recipe", action="append", metavar="NAME", help="whose crops (default: largest, smallest)")
    host.add_argument("--people", default="1,5", metavar="N[,N]", help="boxes in a frame")
    host.add_argument("--frame", default="1920x1080", metavar="WxH|PHOTO", help="size of the frame, or a picture")
    host.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each series")
    host.add_argument("--json", action="store_true", help="one JSON object, with every sample")
    peers = words.add_parser(
        "peers", help="ours beside others", description="Ours beside eager torch and the plain export."
    )
    peers.add_argument("--recipe", action="append", metavar="NAME", help="models (default: the four of AMFACPose)")
    peers.add_argument("--quick", action="store_true", help="amfacpose-r18-256x256 alone")
    peers.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds")
    peers.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each timing")
    peers.add_argument("--threads", default="1,2", metavar="N[,N]", help="thread counts")
    peers.add_argument("--check", action="store_true", help="exit with 1 where the bar isn't met")
    peers.add_argument("--json", action="store_true", help="one JSON object")
    text = "what to expect of a machine that you don't have"
    add_forecast(words.add_parser("forecast", help=text, description=f"Forecast: {text}."))
    text = "a model and a precision for a machine and a budget"
    add_choose(words.add_parser("choose", help=text, description=f"Choose {text}."))
    text = "the papers' figures, with our points"
    add_figures(words.add_parser("figures", help=text, description=f"Draw {text}."))
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.iterations is not None and arguments.iterations < 1:
        raise InputError(f"--iterations {arguments.iterations} is less than 1", cure="Give 1000, say.")
    limits = Limits(arguments.seconds, arguments.iterations)
    (people,) = _people(str(arguments.people))
    frame = _frame(arguments.frame)
    for path in arguments.files:
        _refuse_checkpoint(path)
    results = []
    for path in arguments.files:
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
        )
        results.append(_as_json(measured))
        if not arguments.json:
            _print(measured)
    if arguments.json:
        print(json.dumps({"measured": results}))
    return 0


def _host(arguments: argparse.Namespace) -> int:
    people, frame = _people(arguments.people), _frame(arguments.frame)
    recipes = arguments.recipe or _HOST_RECIPES
    limits = Limits(arguments.seconds)
    costs, busy = with_others(
        lambda: [
            measure_host(recipe, frame=frame, people=count, limits=limits) for recipe in recipes for count in people
        ]
    )
    if arguments.json:
        print(json.dumps({"host": [_host_as_json(cost) for cost in costs], "budget_ms": HOST_BUDGET_MS, "busy": busy}))
    else:
        _print_host(costs, busy)
    return 0


def _people(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if not 1 <= min(numbers) <= max(numbers) <= _MOST_PEOPLE:
        raise InputError(f"--people {text} is not within 1 and {_MOST_PEOPLE}", cure="Give 1 or 5, say.")
    return numbers


def _refuse_checkpoint(path: Path) -> None:
    if path.suffix.lower() in _CHECKPOINTS:
        raise InputError(
            f"{path}: a checkpoint is not what runs; an artefact is measured",
            cure=f"amfac-export {path} --target cpu makes one; amfac-bench peers measures eager torch beside ours.",
        )


def _frame(text: str) -> NDArray[np.uint8]:
    """A frame of the given size, or the picture of that path."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        return read_picture(Path(text))
    if not (16 <= int(width) <= 16_384 and 16 <= int(height) <= 16_384):  # noqa: PLR2004 - any camera's
        raise InputError(f"--frame {text} is not within 16x16 and 16384x16384", cure="Give 1920x1080, say.")
    return still_frame(int(height), int(width))


def _as_json(measured: Measurement) -> dict[str, object]:
    frame = measured.series["frame"]
    return {
        "conditions": asdict(frame.conditions),
        "load_ms": measured.load_ms,
        "first_ms": measured.first_ms,
        "busy": measured.busy,
        "series": {
            name: {"statistics": asdict(series.statistics), "samples_ms": series.samples_ms}
            for name, series in measured.series.items()
        },
    }


def _host_as_json(cost: HostCost) -> dict[str, object]:
    return {
        "conditions": asdict(cost.measured.conditions),
        "statistics": asdict(cost.measured.statistics),
        "person_ms": cost.person_ms,
        "python_us": cost.python_us,
        "samples_ms": cost.measured.samples_ms,
        "warp_samples_ms": cost.warp_ms,
    }


def _print(measured: Measurement) -> None:
    conditions = measured.series["frame"].conditions
    print(f"{conditions.artefact}  ({conditions.recipe}, {conditions.precision})")
    print(
        f"measured on {conditions.processor}: {conditions.engine}, {conditions.threads} threads, "
        f"{'spinning' if conditions.spinning else 'sleeping'}; frame {conditions.frame}, {conditions.people} "
        f"{'person' if conditions.people == 1 else 'people'}"
    )
    if conditions.precision == UNKNOWN:
        print("no manifest lies beside it: what it is was read from its engine's name")
    _print_busy(measured.busy)
    heads = " ".join(f"{head:>8}" for head in ("min", "mean", "median", "p90", "p99", "max"))
    print(f"{'ms':8} {'n':>6} {heads} {'cv %':>6} {'fps':>7}")
    statistics = {name: measured.series[name].statistics for name in BOUNDARIES}
    for name, values in statistics.items():
        print(_row(name, values))
    if any(values.p99 is None for values in statistics.values()):
        needs = f"a p90 needs {FEWEST_SAMPLES[90]} samples, a p99 {FEWEST_SAMPLES[99]}"
        print(f"few: n too small: {needs} (--seconds, --iterations)")
    print(f"cold start: opening the file {measured.load_ms:.0f} ms, first frame {measured.first_ms:.0f} ms\n")


def _row(name: str, values: Statistics) -> str:
    cells = [values.min, values.mean, values.median, values.p90, values.p99, values.max]
    times = " ".join(f"{'few' if cell is None else f'{cell:.3f}':>8}" for cell in cells)
    fps = f" {values.per_second:7.1f}" if name in ("engine", "frame", "ahead") else ""
    return f"{name:8} {values.count:6} {times} {values.variation_percent:6.1f}{fps}"


def _print_host(costs: list[HostCost], busy: float | None) -> None:
    conditions = costs[0].measured.conditions
    versions = conditions.versions
    print(
        f"measured on {conditions.processor}: OpenCV {versions['opencv']}, NumPy {versions['numpy']}; "
        f"frame {conditions.frame}, a constant in place of the network"
    )
    _print_busy(busy)
    width = max(len("recipe"), *(len(cost.measured.conditions.recipe) for cost in costs))
    print(f"{'recipe':{width}} people      n  frame ms  warp ms  Python us  ms a person")
    for cost in costs:
        conditions, values = cost.measured.conditions, cost.measured.statistics
        print(
            f"{conditions.recipe:{width}} {conditions.people:6} {values.count:6} {values.median:9.3f} "
            f"{median(cost.warp_ms):8.3f} {cost.python_us:10.0f} {cost.person_ms:12.3f}"
        )
    print("medians")
    if conditions.frame == HOST_BUDGET_FRAME:
        worst = max(cost.person_ms for cost in costs)
        verdict = "met" if worst <= HOST_BUDGET_MS else f"not met, {worst:.3f} ms"
        print(f"\nbudget of {HOST_BUDGET_MS} ms a person at {HOST_BUDGET_FRAME}: {verdict}")


def _print_busy(busy: float | None) -> None:
    if busy is not None and busy > _BUSY:
        print(f"other processes used {busy:.0%} of a core meanwhile: the figures are worth less")
