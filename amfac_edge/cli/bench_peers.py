"""`amfac-bench peers`: makes the candidates of each model, times them in rounds, and says how they compare.

Eager torch and the exports need the rooms with torch, which the performance room must not import; so they are brought
together here.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cli.command import ProgressBar
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import GateError, InputError
from amfac_edge.machine.processor import read_processor
from amfac_edge.performance.peers import BARS, Candidate, Comparison, compare_candidates, time_by_hand
from amfac_edge.runtime.by_hand import HandWritten

if TYPE_CHECKING:
    import argparse

    import numpy as np

__all__ = ["peers", "time_eager"]

_VARIANTS = tuple(f"amfacpose-{depth}-{size}" for depth in ("r34", "r18") for size in ("384x288", "256x256"))
_BAR_RECIPE, _BAR_THREADS = "amfacpose-r18-256x256", 2
_MOST_ROUNDS = 1000
_PERFORMANCE = "amfac_edge.performance.peers"


def peers(arguments: argparse.Namespace) -> int:
    """Run the comparison; the exit code is 1 only where `--check` was given and a bar isn't met."""
    recipes = arguments.recipe or ([_BAR_RECIPE] if arguments.quick else list(_VARIANTS))
    threads = _numbers(arguments.threads)
    if not 1 <= arguments.rounds <= _MOST_ROUNDS:
        raise InputError(f"--rounds {arguments.rounds} is not within 1 and {_MOST_ROUNDS}", cure="Give 5, say.")
    for recipe in recipes:
        load_recipe(recipe)
    comparisons = []
    with tempfile.TemporaryDirectory(prefix="amfac-peers-") as folder:
        for recipe in recipes:
            artefact, candidates = _candidates(recipe, Path(folder))
            with ProgressBar(recipe, len(threads) * arguments.rounds * len(candidates)) as bar:
                comparisons += [
                    compare_candidates(
                        candidates,
                        artefact,
                        threads=count,
                        rounds=arguments.rounds,
                        seconds=arguments.seconds,
                        done=bar.advance,
                    )
                    for count in threads
                ]
    _report(comparisons, arguments)
    missed = [line for comparison in comparisons for line in _missed(comparison)]
    if missed and arguments.check:
        raise GateError("; ".join(missed), cure="Repeat it on a quiet machine; amfac-bench run shows the stages.")
    return 0


def time_eager(path: str, artefact: str, threads: int, seconds: float) -> dict[str, list[float]]:
    """The network as it was trained, in torch: what a child runs for "eager torch"."""
    del artefact  # the checkpoint knows its recipe
    import torch

    from amfac_edge.networks import load_checkpoint  # noqa: PLC0415 - loads torch

    torch.set_num_threads(threads)
    loaded = load_checkpoint(Path(path))

    def network(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            x, y = loaded.network(torch.from_numpy(image))
        return x.numpy(), y.numpy()

    return time_by_hand(HandWritten(network, loaded.recipe), seconds)


def _candidates(recipe: str, folder: Path) -> tuple[Path, list[Candidate]]:
    """Fresh weights of `recipe`, their plain export and our artefact."""
    import onnx

    from amfac_edge.artefact import BatchRange  # noqa: PLC0415 - with the rest
    from amfac_edge.declared.target import load_target  # noqa: PLC0415 - with the rest
    from amfac_edge.graph.exporting import onnx_from_network  # noqa: PLC0415 - loads torch
    from amfac_edge.networks import load_checkpoint  # noqa: PLC0415 - loads torch
    from amfac_edge.networks.fresh import fresh_checkpoint  # noqa: PLC0415 - loads torch
    from amfac_edge.pipeline import ExportRequest, export_artefacts, read_source  # noqa: PLC0415 - loads torch

    checkpoint = folder / f"{Path(recipe).stem}.pth"
    fresh_checkpoint(recipe, 0, checkpoint)
    plain = checkpoint.with_suffix(".plain.onnx")
    loaded = load_checkpoint(checkpoint, recipe=load_recipe(recipe))
    onnx.save(onnx_from_network(loaded.network, loaded.recipe, batch=BatchRange(1, 1, 1)), plain)
    source = read_source(checkpoint, recipe=recipe)
    ours = export_artefacts(source, [load_target("cpu")], ExportRequest(out=folder), stage=lambda _line: None)[0].path
    return ours, [
        Candidate("eager torch", f"{__name__}:{time_eager.__name__}", checkpoint),
        Candidate("plain ONNX Runtime", f"{_PERFORMANCE}:time_plain", plain),
        Candidate("ours", f"{_PERFORMANCE}:time_artefact", ours),
    ]


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InputError(f'--threads "{text}" is no list of thread counts', cure="Give --threads 1,2, say.")
    return numbers


def _report(comparisons: list[Comparison], arguments: argparse.Namespace) -> None:
    processor = read_processor(Path("/")).name
    if arguments.json:
        facts = {"processor": processor, "weights": "untrained, seed 0", "rounds": arguments.rounds, "bars": BARS}
        print(json.dumps(facts | {"comparisons": [comparison.as_json() for comparison in comparisons]}))
        return
    print(f"{processor}; frame 1920x1080, one person, frame to joints; median of {arguments.rounds} interleaved rounds")
    print("untrained weights (seed 0), each candidate in a process of its own\n")
    names = list(comparisons[0].frame_ms)
    print(f"{'recipe':24} threads " + " ".join(f"{name + ' ms':>26}" for name in names) + "   ours is faster by")
    for comparison in comparisons:
        cells = " ".join(f"{_cell(comparison.frame_ms[name]):>26}" for name in names)
        ratios = ", ".join(f"{comparison.ratio(name):.2f}x {name.split()[0]}" for name in names[:-1])
        print(f"{comparison.recipe:24} {comparison.threads:7} {cells}   {ratios}")
    for comparison in comparisons:
        if (comparison.recipe, comparison.threads) == (_BAR_RECIPE, _BAR_THREADS):
            verdict = "; ".join(_missed(comparison)) or "met"
            bars = ", ".join(f"{bar}x {name}" for name, bar in BARS.items())
            print(f"\nbar for {_BAR_RECIPE} at {_BAR_THREADS} threads ({bars}): {verdict}")
    print("\nspread over the rounds in brackets", file=sys.stderr)


def _cell(rounds: list[float]) -> str:
    return f"{statistics.median(rounds):.2f} [{min(rounds):.2f}..{max(rounds):.2f}]"


def _missed(comparison: Comparison) -> list[str]:
    if (comparison.recipe, comparison.threads) != (_BAR_RECIPE, _BAR_THREADS):
        return []
    return [
        f"only {comparison.ratio(name):.2f}x faster than {name}, not {bar}x"
        for name, bar in BARS.items()
        if comparison.ratio(name) < bar
    ]
