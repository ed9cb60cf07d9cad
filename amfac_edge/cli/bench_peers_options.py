"""The options of `amfac-bench peers`, apart from its work, which loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amfac_edge.cli.command import CommandParser

__all__ = ["CANDIDATES", "add_peers"]

CANDIDATES: tuple[str, ...] = ("eager", "compile", "plain", "openvino", "openvino-default", "rtmlib", "yolo")
"""By the names of `--beside`; ours always takes part."""


def add_peers(parser: CommandParser) -> None:
    """The options of the word."""
    add = parser.add_argument
    add("--recipe", action="append", metavar="NAME", help="models (default: the four of AMFACPose)")
    add("--quick", action="store_true", help="amfacpose-r18-256x256 alone")
    add("--beside", metavar="NAME[,NAME]", help=f"{', '.join(CANDIDATES)} (default: all that are there)")
    add("--environments", type=Path, default=Path(".make/peers"), metavar="DIR", help="what make peers made")
    add("--rounds", type=int, default=5, metavar="N", help="interleaved rounds")
    add("--seconds", type=float, default=2.0, metavar="S", help="of each timing")
    add("--threads", default="1,2", metavar="N[,N]", help="thread counts")
    add("--out", type=Path, metavar="DIR", help="keep a receipt of each candidate there")
    add("--check", action="store_true", help="exit with 1 where the bar isn't met")
    add("--json", action="store_true", help="one JSON object")
