"""Records what the declared networks cost, for the forecast, into bench/forecast/ (it needs the export extra).

    python tests/facts/record_forecast_costs.py [RECIPE ...]

`eager.csv`: operators and bytes of the network in eager PyTorch, its parameters and its multiply-accumulates as the
papers count them. `kernels.csv`: the kernels of its
deployed graph in float32, as a TensorRT engine fuses them ("gpu") and as ONNX Runtime runs them ("cpu"). A test
compares both files with the networks; after a change of a network, a rewrite or a fusion, this writes them anew.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import BatchRange
from amfac_edge.declared.library import declared_folder
from amfac_edge.declared.recipe import ForeignNetwork, load_recipe, recipe_names
from amfac_edge.declared.target import load_target
from amfac_edge.graph.contract import crop_graph
from amfac_edge.graph.costs import layer_costs
from amfac_edge.networks import build_network, count_complexity
from amfac_edge.networks.eager_cost import eager_cost
from amfac_edge.networks.fresh import fresh_checkpoint
from amfac_edge.performance.forecast.kernels import Kernel, fused_kernels, plain_kernels
from amfac_edge.pipeline import read_source
from amfac_edge.pipeline.int8_ranges import raw_graph

if TYPE_CHECKING:
    from collections.abc import Iterable

EAGER = ("recipe", "operators", "bytes", "parameters", "macs")
# Of each form one target that takes it.
TARGETS = {"gpu": "orin-nano-8", "cpu": "cpu"}
KERNELS = ("recipe", "form", "name", "macs", "bytes", "count")


def main() -> None:
    """Record the recipes that are named, or all of the papers' networks."""
    names = sys.argv[1:] or [
        name for name in recipe_names() if not isinstance(load_recipe(name).network, ForeignNetwork)
    ]
    folder = declared_folder("bench") / "forecast"
    written(folder / "eager.csv", EAGER, map(eager_row, names))
    rows = (row for name in names for form in TARGETS for row in kernel_rows(name, form))
    written(folder / "kernels.csv", KERNELS, rows)


def eager_row(name: str) -> tuple[object, ...]:
    """A recipe's row of `eager.csv`."""
    recipe = load_recipe(name)
    network = build_network(recipe)
    cost = eager_cost(network, recipe)
    counted = count_complexity(network, recipe)
    return name, cost.operators, cost.bytes, counted.parameters, counted.printed_macs


def kernel_rows(name: str, form: str) -> list[tuple[object, ...]]:
    """A recipe's rows of `kernels.csv` in one form."""
    return [(name, form, kernel.name, kernel.macs, kernel.bytes, kernel.count) for kernel in kernels_of(name, form)]


def kernels_of(name: str, form: str) -> tuple[Kernel, ...]:
    """The kernels of a recipe's deployed graph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pth"
        fresh_checkpoint(name, 0, path)
        source = read_source(path, recipe=name)
        batch = BatchRange.parse(load_target(TARGETS[form]).default_batch)
        raw, _ = raw_graph(source, batch, 19, for_cpu=form == "cpu", stage=lambda _line: None)
        layers = layer_costs(crop_graph(raw, source.recipe))
    return plain_kernels(layers) if form == "cpu" else fused_kernels(layers)


def written(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Write one file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(rows)
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
