"""`amfac-bench peers`: makes the candidates of each model, times them in rounds, and says how they compare.

Eager torch and the exports need the rooms with torch, which the performance room must not import; so they are brought
together here.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cli.command import ProgressBar
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import GateError, InputError
from amfac_edge.machine.processor import read_processor
from amfac_edge.performance.peers import (
    BAR_RECIPE,
    BAR_THREADS,
    BARS,
    OURS,
    Candidate,
    Comparison,
    Times,
    compare_candidates,
    time_by_hand,
)
from amfac_edge.runtime.by_hand import HandWritten

if TYPE_CHECKING:
    import argparse

    import numpy as np

__all__ = ["peers", "time_eager"]

_VARIANTS = tuple(f"amfacpose-{depth}-{size}" for depth in ("r34", "r18") for size in ("384x288", "256x256"))
_MOST_ROUNDS = 1000
_MOST_THREADS = 1024
_BUSY = 0.1
_PERFORMANCE = "amfac_edge.performance.peers"


def peers(arguments: argparse.Namespace) -> int:
    """Run the comparison; the exit code is 1 only where `--check` was given and a bar isn't met."""
    recipes = list(dict.fromkeys(arguments.recipe or ([BAR_RECIPE] if arguments.quick else _VARIANTS)))
    threads = _numbers(arguments.threads)
    if not 1 <= arguments.rounds <= _MOST_ROUNDS:
        raise InputError(f"--rounds {arguments.rounds} is not within 1 and {_MOST_ROUNDS}", cure="Give 5, say.")
    names = [load_recipe(recipe).name for recipe in recipes]
    if arguments.check and not (BAR_RECIPE in names and BAR_THREADS in threads):
        raise InputError(
            f"--check: the bar is for {BAR_RECIPE} with {BAR_THREADS} threads, which would not be measured",
            cure=f"Give --quick --threads {BAR_THREADS}, say.",
        )
    comparisons = []
    for recipe in recipes:
        comparisons += _compared(recipe, threads, arguments)
    if arguments.json:
        print(json.dumps(_as_json(comparisons, arguments)))
    else:
        _print(comparisons, arguments)
    missed = [line for comparison in comparisons for line in comparison.missed()]
    if missed and arguments.check:
        raise GateError("; ".join(missed), cure="Repeat it on a quiet machine; amfac-bench run shows the stages.")
    return 0


def time_eager(path: str, artefact: str, threads: int, seconds: float) -> Times:
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


def _compared(recipe: str, threads: list[int], arguments: argparse.Namespace) -> list[Comparison]:
    with tempfile.TemporaryDirectory(prefix="amfac-peers-") as folder:
        with ProgressBar(f"{recipe}: exports", 1) as bar:
            artefact, candidates = _candidates(recipe, Path(folder))
            bar.advance()
        with ProgressBar(recipe, len(threads) * arguments.rounds * len(candidates)) as bar:
            return [
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
        Candidate(OURS, f"{_PERFORMANCE}:time_artefact", ours),
    ]


def _numbers(text: str) -> list[int]:
    try:
        numbers = list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        numbers = []
    if not numbers or not 1 <= min(numbers) <= max(numbers) <= _MOST_THREADS:
        raise InputError(f'--threads "{text}" is no list of thread counts', cure="Give --threads 1,2, say.")
    return numbers


def _as_json(comparisons: list[Comparison], arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "processor": read_processor(Path("/")).name,
        "weights": "untrained, seed 0",
        "rounds": arguments.rounds,
        "bar": {"recipe": BAR_RECIPE, "threads": BAR_THREADS, "ratios": BARS},
        "comparisons": [comparison.as_json() for comparison in comparisons],
    }


def _print(comparisons: list[Comparison], arguments: argparse.Namespace) -> None:
    print(f"measured on {read_processor(Path('/')).name}: frame 1920x1080, one person, from uint8 pixels to joints")
    print(f"untrained weights (seed 0); {arguments.rounds} interleaved rounds, each candidate in a process of its own")
    print("ms: median of the rounds' medians [lowest..highest]; faster by: median of the rounds' own ratios")
    busy = max((comparison.busy or 0.0 for comparison in comparisons), default=0.0)
    if busy > _BUSY:
        print(f"other processes used up to {busy:.0%} of a core meanwhile: the figures are worth less")
    names = [candidate for candidate in comparisons[0].frame_ms if candidate != OURS]
    heads = "".join(f"{head:>25}" for head in [*names, OURS])
    faster = "".join(f"{name.split()[0]:>8}" for name in names)
    width = max(len("recipe"), *(len(comparison.recipe) for comparison in comparisons))
    print(f"\n{'':{width + 8}}{'frame to joints':^75}{'faster by':>16}")
    print(f"{'recipe':{width}} threads{heads}{faster}")
    for comparison in comparisons:
        ratios = "".join(f"{comparison.ratio(name):7.2f}x" for name in names)
        print(_row(comparison, comparison.frame_ms, [*names, OURS], width) + ratios)
    print(f"\n{'':{width + 8}}{'of it the network alone':^75}")
    for comparison in comparisons:
        print(_row(comparison, comparison.network_ms, [*names, OURS], width))
    for comparison in filter(lambda comparison: comparison.has_bar, comparisons):
        bars = ", ".join(f"{bar}x {name}" for name, bar in BARS.items())
        verdict = "; ".join(comparison.missed()) or "met"
        print(f"\nbar for {BAR_RECIPE} at {BAR_THREADS} threads ({bars}): {verdict}")


def _row(comparison: Comparison, rounds: dict[str, list[float]], names: list[str], width: int) -> str:
    cells = "".join(f"{_cell(rounds[name]):>25}" for name in names)
    return f"{comparison.recipe:{width}} {comparison.threads:7}{cells}"


def _cell(rounds: list[float]) -> str:
    return f"{statistics.median(rounds):.2f} [{min(rounds):.2f}..{max(rounds):.2f}]"
