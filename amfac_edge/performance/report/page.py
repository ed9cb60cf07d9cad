"""The page: one HTML file without scripts, which asks no network for anything.

Its policy allows one style sheet, the one in it, by its digest, and nothing else: what a receipt might smuggle in
past the escaping would neither run nor load.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import amfac_edge
from amfac_edge.performance.report.charts import range_chart
from amfac_edge.performance.report.details import run_details
from amfac_edge.performance.report.figures import milliseconds, tag
from amfac_edge.performance.report.markup import Html, element, table
from amfac_edge.performance.report.papers import other_tables, table4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.performance.against import Cell
    from amfac_edge.performance.report.runs import Run

__all__ = ["report_page"]


def report_page(runs: Sequence[Run], groups: Mapping[str, Sequence[tuple[str, Sequence[Cell]]]] | None = None) -> str:
    """The whole page.

    Args:
        runs: at least one.
        groups: of the papers' tables but the fourth, which is always there: by table, the model and its cells.
    """
    style, policy = _style()
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "amfac-bench report"),
        element("style", style),
    )
    body = element(
        "body",
        _header(runs),
        _overview(runs),
        table4([run.receipt for run in runs]),
        *other_tables(groups or {}),
        *(run_details(run) for run in runs),
        element("footer", f"amfac-edge {amfac_edge.__version__}, amfac-bench report"),
    )
    return "<!DOCTYPE html>\n" + element("html", head, Html("\n"), body, lang="en") + "\n"


@cache
def _style() -> tuple[Html, str]:
    """The style sheet, and the policy that allows it."""
    text = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Html(text), f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _header(runs: Sequence[Run]) -> Html:
    machines = dict.fromkeys(run.receipt.conditions.processor for run in runs)
    days = sorted({run.receipt.taken[:10] for run in runs})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    count = "One receipt" if len(runs) == 1 else f"{len(runs)} receipts"
    return element(
        "header",
        element("h1", "amfac-bench report"),
        element("p", f"{count}, taken {when} on {', '.join(machines)}."),
        element(
            "p",
            tag("measured"),
            " was timed on the machine that stands beside it. ",
            tag("forecast"),
            " was calculated, and nobody saw it run. All times are milliseconds; nothing is clipped.",
        ),
    )


def _overview(runs: Sequence[Run]) -> Html:
    rows = []
    for run in runs:
        conditions, statistics = run.receipt.conditions, run.statistics[run.whole.boundary]
        rows.append(
            [
                element("a", f"{run.place}", href=f"#run{run.place}"),
                run.subject,
                *(milliseconds(statistics, name) for name in ("median", "p90", "p99")),
                f"{statistics.per_second:.1f}",
                element("span", " · ".join(dict.fromkeys(remark.word for remark in run.remarks)), class_="words"),
                run.whole.boundary,
                str(conditions.threads),
                str(conditions.people),
                f"{conditions.engine}, {conditions.provider}",
            ]
        )
    figures = ["median", "p90", "p99", "fps"]
    heads = ["", "what ran", *figures, "remarks", "boundary", "threads", "people", "engine"]
    return element(
        "section",
        element("h2", "Latency ", tag("measured")),
        range_chart(runs),
        element("p", "Thin: from the fastest sample to the slowest. Thick: the middle half. The mark: the median."),
        table(heads, rows, label="latency of each receipt"),
        element("p", "few: too few samples for this percentile (a p90 needs 64, a p99 662)."),
    )
