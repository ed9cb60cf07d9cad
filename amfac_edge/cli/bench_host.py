"""`amfac-bench host`: what a frame costs outside the network."""

from __future__ import annotations

import json
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

from amfac_edge.cli.bench_options import add_frame, frame_of, people_of, print_busy
from amfac_edge.performance.host import HOST_BUDGET_FRAME, HOST_BUDGET_MS, HostCost, measure_host
from amfac_edge.performance.timing import Limits, with_others

if TYPE_CHECKING:
    import argparse

__all__ = ["add_host", "host"]

# The largest and the smallest crop of the declared models.
_HOST_RECIPES = ("amfacpose-r34-384x288", "amfacpose-r18-256x256")


def add_host(parser: argparse.ArgumentParser) -> None:
    """The options of the word."""
    parser.add_argument("--recipe", action="append", metavar="NAME", help="whose crops (default: largest, smallest)")
    parser.add_argument("--people", default="1,5", metavar="N[,N]", help="boxes in a frame")
    add_frame(parser)
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each series")
    parser.add_argument("--json", action="store_true", help="one JSON object, with every sample")


def host(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    people, frame = people_of(arguments.people), frame_of(arguments.frame)
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


def _host_as_json(cost: HostCost) -> dict[str, object]:
    return {
        "conditions": asdict(cost.measured.conditions),
        "statistics": asdict(cost.measured.statistics),
        "person_ms": cost.person_ms,
        "python_us": cost.python_us,
        "samples_ms": cost.measured.samples_ms,
        "warp_samples_ms": cost.warp_ms,
    }


def _print_host(costs: list[HostCost], busy: float | None) -> None:
    conditions = costs[0].measured.conditions
    versions = conditions.versions
    print(
        f"measured on {conditions.processor}: OpenCV {versions['opencv']}, NumPy {versions['numpy']}; "
        f"frame {conditions.frame}, a constant in place of the network"
    )
    print_busy(busy)
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
