"""`amfac-bench figures`: the papers' comparing figures from their tables, with our own points beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.drawing import write_picture
from amfac_edge.files import writable_folder
from amfac_edge.performance.figures import FIGURES, measured_on_card
from amfac_edge.performance.receipts import read_receipt

if TYPE_CHECKING:
    import argparse

    from amfac_edge.cli.command import CommandParser

__all__ = ["add_figures", "figures"]


def add_figures(parser: CommandParser) -> None:
    """The options of the word."""
    parser.add_argument("receipts", nargs="*", type=Path, metavar="RECEIPT", help="of an RTX 3060, for measured points")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the pictures go")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def figures(arguments: argparse.Namespace) -> int:
    """Draw every figure."""
    measured = measured_on_card([read_receipt(path) for path in arguments.receipts])
    writable_folder(arguments.out)
    paths = []
    for stem, draw in FIGURES.items():
        path = arguments.out / f"{stem}.png"
        write_picture(path, draw(measured))
        paths.append(str(path))
    print(json.dumps({"figures": paths}) if arguments.json else "\n".join(paths))
    return 0
