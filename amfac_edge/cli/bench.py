"""amfac-bench: how long an artefact takes on this machine, and how ours compares with what people use instead."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cli.as_typed import not_in_a_kit
from amfac_edge.cli.bench_choose import add_choose, choose
from amfac_edge.cli.bench_compare import add_compare, compare
from amfac_edge.cli.bench_figures import add_figures, figures
from amfac_edge.cli.bench_forecast import add_forecast, forecast
from amfac_edge.cli.bench_host import add_host, host
from amfac_edge.cli.bench_options import check_seconds
from amfac_edge.cli.bench_peers_options import add_peers
from amfac_edge.cli.bench_report import add_report, report
from amfac_edge.cli.bench_run import add_run, run
from amfac_edge.cli.command import CommandParser, run_command
from amfac_edge.declared.recipe import recipe_names
from amfac_edge.errors import InputError, near_names

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

__all__ = ["main"]

_EXAMPLES = """examples:
  amfac-bench model.cpu.fp32.onnx                    short for: amfac-bench run model.cpu.fp32.onnx
  amfac-bench run a.onnx b.onnx --threads 2 --people 5 --json
  amfac-bench run a.onnx --mode quick --out .        keeps a receipt
  amfac-bench compare before.json after.json         two receipts: comparable or not, and the ratio
  amfac-bench report *.receipt.json --out report.html
  amfac-bench model.pth --eager --against table4     eager PyTorch, beside the printed figures
  amfac-bench host --people 1,5                      what a frame costs outside the network
  amfac-bench peers --quick                          beside eager torch, OpenVINO, rtmlib, ...
  amfac-bench forecast --target orin-nano model.orin-nano-8.fp16.onnx
  amfac-bench choose model.pth --target orin-nano --budget-ms 20 --save choice.png
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-bench", lambda: _bench(argv), argv)


def _bench(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] not in (*_WORDS, "-h", "--help", "--version"):
        _refuse_misspelt(words[0])
        words.insert(0, "run")
    arguments: argparse.Namespace = _parser().parse_args(words)
    arguments.words = words
    if "seconds" in arguments and arguments.seconds is not None:
        check_seconds(arguments.seconds)
    return _WORDS[arguments.word][2](arguments)


def _refuse_misspelt(word: str) -> None:
    """What is neither an option, a file nor a recipe, and looks like one of our words, was meant as that."""
    if word.startswith("-") or Path(word).exists() or Path(word).suffix or word in recipe_names():
        return
    if get_close_matches(word, _WORDS):
        raise InputError(f'"{word}" is no word of amfac-bench, and no file', cure=near_names(word, _WORDS))


def _parser() -> CommandParser:
    parser = CommandParser("amfac-bench", __doc__, epilog=_EXAMPLES)
    words = parser.add_subparsers(dest="word", required=True, metavar="|".join(_WORDS))
    for word, (text, add, _) in _WORDS.items():
        add(words.add_parser(word, help=text, description=f"{text[0].upper()}{text[1:]}."))
    return parser


def _peers(arguments: argparse.Namespace) -> int:
    try:
        from amfac_edge.cli.bench_peers import peers  # noqa: PLC0415 - loads torch
    except ModuleNotFoundError as error:
        raise not_in_a_kit("amfac-bench peers", error) from error
    return peers(arguments)


# Of each word: what it does, its options, and who does it.
_WORDS: dict[str, tuple[str, Callable[[CommandParser], None], Callable[[argparse.Namespace], int]]] = {
    "run": ("latency of artefacts, by stage", add_run, run),
    "compare": ("two receipts: comparable or not, and the ratio", add_compare, compare),
    "report": ("receipts as a page and a picture", add_report, report),
    "host": ("what a frame costs outside the network", add_host, host),
    "peers": ("ours beside what people use instead", add_peers, _peers),
    "forecast": ("what to expect of a machine that you don't have", add_forecast, forecast),
    "choose": ("a model and a precision for a machine and a budget", add_choose, choose),
    "figures": ("the papers' figures, with our points", add_figures, figures),
}


if __name__ == "__main__":
    sys.exit(main())
