"""`amfac-bench report`: receipts as one page, which works offline and on a phone, and as a picture beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cli.bench_against import cells_against, read_evaluation
from amfac_edge.declared.published import load_published
from amfac_edge.drawing import write_picture
from amfac_edge.errors import InputError
from amfac_edge.files import atomic_files, refuse_overwriting
from amfac_edge.performance.against import TABLES
from amfac_edge.performance.receipts import read_receipt
from amfac_edge.performance.report import report_page, report_picture, runs_of

if TYPE_CHECKING:
    import argparse

    from amfac_edge.cli.command import CommandParser

__all__ = ["add_report", "report"]

_MOST = 200
_PATTERN = "*.receipt.json"
_OTHERS = sorted(TABLES.keys() - {"table4"})


def add_report(parser: CommandParser) -> None:
    """The options of the word."""
    add = parser.add_argument
    add("receipts", nargs="+", type=Path, metavar="RECEIPT", help="receipts of amfac-bench run --out, or their folder")
    add("--out", type=Path, default=Path("report.html"), metavar="FILE", help="the page; a .png is written beside it")
    add("--against", action="append", choices=_OTHERS, default=[], help="more of the paper's tables; the 4th is there")
    add("--evaluation", type=Path, metavar="JSON", help="with --against: a result of amfac-eval --json, for the AP")
    add("--json", action="store_true", help="one JSON object")


def report(arguments: argparse.Namespace) -> int:
    """Write the page and the picture."""
    page: Path = arguments.out
    given = [receipt for path in arguments.receipts for receipt in _receipts_at(path)]
    picture = page.with_suffix(".png")
    if page.suffix not in {".html", ".htm"}:
        raise InputError(f"{page}: the report is HTML", cure="Give it the suffix .html.")
    if len(given) > _MOST:
        raise InputError(f"{len(given)} receipts are too many for a page", cure=f"Give {_MOST} at most.")
    if arguments.evaluation is not None:
        if not arguments.against:
            raise InputError("--evaluation without --against has nothing to stand beside", cure="Add --against table1.")
        read_evaluation(arguments.evaluation)
    refuse_overwriting([page, picture], given)
    receipts = [(path.name, read_receipt(path)) for path in given]
    runs = runs_of(receipts)
    groups = {
        load_published(TABLES[table]).name: cells_against(table, [one for _, one in receipts], arguments.evaluation)
        for table in dict.fromkeys(arguments.against)
    }
    content = report_page(runs, groups).encode()
    with atomic_files(page, picture) as (page_part, picture_part):
        write_picture(picture_part, report_picture(runs))
        page_part.write_bytes(content)
    paths = {"report": str(page), "picture": str(picture)}
    print(json.dumps({**paths, "receipts": len(runs)}) if arguments.json else "\n".join(paths.values()))
    return 0


def _receipts_at(path: Path) -> list[Path]:
    """The receipts of a folder; the path itself where it is none."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(_PATTERN))
    if not found:
        raise InputError(
            f"{path}: no receipt lies in this folder ({_PATTERN})", cure="amfac-bench FILE --out DIR keeps them."
        )
    return found
