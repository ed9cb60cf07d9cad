"""`amfac-bench compare A B`: whether two receipts may be compared, and the ratio when they may."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.errors import GateError, InputError, near_names
from amfac_edge.performance.comparing import Comparability, Ratio, comparability, ratio_of
from amfac_edge.performance.receipts import check_engine, read_receipt

if TYPE_CHECKING:
    import argparse

    from amfac_edge.performance.receipts import Receipt

__all__ = ["add_compare", "compare"]

_PREFERRED = ("frame", "eager_frame")


def add_compare(parser: argparse.ArgumentParser) -> None:
    """The options of the word."""
    parser.add_argument("receipts", nargs=2, type=Path, metavar="RECEIPT", help="two receipts of amfac-bench run --out")
    parser.add_argument("--boundary", metavar="NAME", help="frame, engine, ... (default: frame, or all that both have)")
    parser.add_argument(
        "--engine",
        action="append",
        type=Path,
        metavar="FILE",
        help="what the receipts must have been taken of, in their order; one for both, or two",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def compare(arguments: argparse.Namespace) -> int:
    """Print the verdict; the exit code is 1 where the two may not be compared."""
    first, second = (read_receipt(path) for path in arguments.receipts)
    _check_engines(arguments, first, second)
    if arguments.boundary is not None and arguments.boundary not in {*first.series, *second.series}:
        raise InputError(
            f'neither receipt has a boundary "{arguments.boundary}"',
            cure=near_names(arguments.boundary, {*first.series, *second.series}),
        )
    verdict = comparability(first, second, arguments.boundary)
    ratios = [ratio_of(first, second, name) for name in _boundaries(verdict, arguments.boundary)]
    if arguments.json:
        body = {"comparable": verdict.comparable, **asdict(verdict), "ratios": [asdict(ratio) for ratio in ratios]}
        print(json.dumps(body))
    else:
        _print(arguments.receipts, verdict, ratios)
    if not verdict.comparable:
        if arguments.json:
            return GateError.exit_code
        raise GateError(
            "the two receipts are not comparable", cure="Measure both in the same way: amfac-bench run --out."
        )
    return 0


def _check_engines(arguments: argparse.Namespace, first: Receipt, second: Receipt) -> None:
    engines = arguments.engine or []
    if len(engines) > 2:  # noqa: PLR2004 - two receipts
        raise InputError(f"--engine was given {len(engines)} times for two receipts", cure="Give one for both, or two.")
    for path, receipt, engine in zip(arguments.receipts, (first, second), engines * (3 - len(engines)), strict=False):
        check_engine(receipt, engine, where=str(path))


def _boundaries(verdict: Comparability, chosen: str | None) -> list[str]:
    if not verdict.comparable:
        return []
    if chosen is not None:
        return [chosen]
    return sorted(verdict.boundaries, key=lambda name: name not in _PREFERRED)


def _print(paths: list[Path], verdict: Comparability, ratios: list[Ratio]) -> None:
    print(f"first   {paths[0]}\nsecond  {paths[1]}")
    for line in verdict.differences:
        print(f"differs: {line}")
    if verdict.comparable and not verdict.differences:
        print("differs: nothing that the receipts know of; the ratio is what two runs of the same thing differ by")
    for line in verdict.obstacles:
        print(f"not comparable: {line}")
    for line in verdict.doubts:
        print(f"doubt: {line}")
    if ratios:
        print(f"{'medians':8} {'first ms':>10} {'second ms':>10} {'second is as fast':>18}  95 % of the bootstrap")
    for ratio in ratios:
        interval = "too few samples for one"
        if ratio.low is not None and ratio.high is not None:
            interval = f"{ratio.low:.3f} to {ratio.high:.3f}{'' if ratio.is_clear else '  (no clear difference)'}"
        print(f"{ratio.boundary:8} {ratio.first_ms:10.3f} {ratio.second_ms:10.3f} {ratio.ratio:17.3f}x  {interval}")
