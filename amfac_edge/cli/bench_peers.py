"""`amfac-bench peers`: makes the candidates of each model, times them in rounds, and says how they compare.

Eager torch and the exports need the rooms with torch, which the performance room must not import; `peer_candidates`
brings them together.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cli.command import ProgressBar
from amfac_edge.cli.peer_candidates import asked_candidates, make_candidates
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import GateError, InputError
from amfac_edge.files import writable_folder
from amfac_edge.machine.processor import read_processor
from amfac_edge.machine.state import read_state
from amfac_edge.performance.peer_receipts import receipts_of_peers
from amfac_edge.performance.peers import BAR_RECIPE, BAR_THREADS, BARS, OURS, Comparison, compare_candidates
from amfac_edge.performance.receipts import write_receipt
from amfac_edge.performance.recording import now

if TYPE_CHECKING:
    import argparse

    from amfac_edge.performance.receipts import Receipt

__all__ = ["peers"]

_VARIANTS = tuple(f"amfacpose-{depth}-{size}" for depth in ("r34", "r18") for size in ("384x288", "256x256"))
_MOST_ROUNDS = 1000
_MOST_THREADS = 1024
_BUSY = 0.1
_YOLO = "YOLO pose"
_BAR_NAMES = {"eager", "plain"}


def peers(arguments: argparse.Namespace) -> int:
    """Run the comparison; the exit code is 1 only where `--check` was given and a bar isn't met."""
    recipes = list(dict.fromkeys(arguments.recipe or ([BAR_RECIPE] if arguments.quick else _VARIANTS)))
    threads = _numbers(arguments.threads)
    if not 1 <= arguments.rounds <= _MOST_ROUNDS:
        raise InputError(f"--rounds {arguments.rounds} is not within 1 and {_MOST_ROUNDS}", cure="Give 5, say.")
    models = [load_recipe(recipe).name for recipe in recipes]
    names = asked_candidates(arguments.beside)
    if arguments.check and not (BAR_RECIPE in models and BAR_THREADS in threads):
        raise InputError(
            f"--check: the bar is for {BAR_RECIPE} with {BAR_THREADS} threads, which would not be measured",
            cure=f"Give --quick --threads {BAR_THREADS}, say.",
        )
    if arguments.check and not set(names) >= _BAR_NAMES:
        raise InputError("--check needs eager torch and the plain export", cure="Give --beside eager,plain.")
    if arguments.out is not None:
        writable_folder(arguments.out)
    comparisons = []
    for recipe in recipes:
        comparisons += _compared(recipe, threads, names, arguments)
    if arguments.json:
        print(json.dumps(_as_json(comparisons, arguments)))
    else:
        _print(comparisons, arguments)
    missed = [line for comparison in comparisons for line in comparison.missed()]
    if missed and arguments.check:
        raise GateError("; ".join(missed), cure="Repeat it on a quiet machine; amfac-bench run shows the stages.")
    return 0


def _compared(recipe: str, threads: list[int], names: list[str], arguments: argparse.Namespace) -> list[Comparison]:
    with tempfile.TemporaryDirectory(prefix="amfac-peers-") as folder:
        with ProgressBar(f"{recipe}: exports", 1) as bar:
            artefact, candidates = make_candidates(recipe, Path(folder), names, arguments.environments)
            bar.advance()
        present = sum(not candidate.missing for candidate in candidates)
        comparisons = []
        with ProgressBar(recipe, len(threads) * arguments.rounds * present) as bar:
            for count in threads:
                taken, before = now(), read_state()
                comparison = compare_candidates(
                    candidates,
                    artefact,
                    threads=count,
                    rounds=arguments.rounds,
                    seconds=arguments.seconds,
                    done=bar.advance,
                )
                comparisons.append(comparison)
                if arguments.out is not None:
                    receipts = receipts_of_peers(
                        comparison,
                        candidates,
                        artefact,
                        taken=taken,
                        command=["amfac-bench", *arguments.words],
                        states=(before, read_state()),
                    )
                    _keep(receipts, comparison, arguments.out)
    return comparisons


def _keep(receipts: dict[str, Receipt], comparison: Comparison, folder: Path) -> None:
    for name, receipt in receipts.items():
        words = "-".join(name.lower().replace(".", " ").split())
        stamp = "".join(letter for letter in receipt.taken if letter.isalnum())
        stem = f"{comparison.recipe}.{comparison.threads}t.{words}.{stamp}"
        write_receipt(receipt, folder / f"{stem}.receipt.json")


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
    print("ms: median of the rounds' medians [lowest..highest]; ours faster by: median of the rounds' own ratios")
    busy = max((comparison.busy or 0.0 for comparison in comparisons), default=0.0)
    if busy > _BUSY:
        print(f"other processes used up to {busy:.0%} of a core meanwhile: the figures are worth less")
    for comparison in comparisons:
        width = max(map(len, comparison.frame_ms))
        print(f"\n{comparison.recipe}, {comparison.threads} {'thread' if comparison.threads == 1 else 'threads'}")
        print(f"{'':{width}}{'frame to joints':>30}{'of it the network':>30}  ours faster by")
        for name, rounds in comparison.frame_ms.items():
            ratio = "" if name == OURS else f"{comparison.ratio(name):14.2f}x"
            print(f"{name:{width}}{_cell(rounds):>30}{_cell(comparison.network_ms[name]):>30}{ratio}")
        if comparison.has_bar:
            bars = ", ".join(f"{bar}x {name}" for name, bar in BARS.items())
            unlooked = ", ".join(comparison.unlooked())
            told = "; ".join(comparison.missed()) or (f"not looked at without {unlooked}" if unlooked else "met")
            print(f"bar ({bars}): {told}")
    for name, why in {name: why for each in comparisons for name, why in each.skipped.items()}.items():
        print(f"\nskipped: {name}: {why}")
    if any(_YOLO in comparison.frame_ms for comparison in comparisons):
        print(f"{_YOLO} is another job: its own model, the whole frame without a box, the program's own mean times")


def _cell(rounds: list[float]) -> str:
    return f"{statistics.median(rounds):.2f} [{min(rounds):.2f}..{max(rounds):.2f}]"
