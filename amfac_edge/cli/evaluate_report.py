"""What amfac-eval answers: a table, or one JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.accuracy import BOX_SOURCE, paper_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from amfac_edge.accuracy import Interval, Predictions, Protocol, Score
    from amfac_edge.datasets import PeopleSet
    from amfac_edge.declared.recipe import Recipe

__all__ = ["Result", "report_json", "report_lines"]


@dataclass(frozen=True)
class Result:
    """A score and what is behind it.

    Attributes:
        boxes: where they came from; no two results of a command have the same.
        score: by the protocol.
        predictions: that were scored.
        people: that they were scored against, without pictures that couldn't be read.
    """

    boxes: str
    score: Score
    predictions: Predictions
    people: PeopleSet


def report_json(
    results: list[Result],
    people: PeopleSet,
    recipe: Recipe | None,
    protocol: Protocol,
    difference: dict[str, Interval],
) -> dict[str, Any]:
    """The score of the first source of boxes as JSON, all else under "details"."""
    value = results[0].score.as_json()
    value["details"] |= {
        "data": people.name,
        "split": people.split,
        "skeleton": people.skeleton.name,
        "model": recipe.name if recipe else None,
        "boxes": results[0].boxes,
        "by_boxes": {result.boxes: dict(result.score.metrics) for result in results},
        "faults": len(results[0].people.faults),
        "published": [
            {"row": row.label, "table": row.table, "boxes": BOX_SOURCE, "this_model": row.is_this_model, **row.metrics}
            | ({"note": row.note} if row.note else {})
            for row in paper_rows(protocol, recipe)
        ],
    }
    if difference:
        value["details"]["difference_95"] = {name: [each.low, each.high] for name, each in difference.items()}
    return value


def report_lines(results: list[Result], recipe: Recipe | None, protocol: Protocol) -> Iterator[str]:
    """The same as a table, a line each."""
    first = results[0]
    split = f", split {first.people.split}" if first.people.split else ""
    yield (
        f"{first.people.name}{split}: {first.score.pictures:,} pictures, {first.score.people:,} people, "
        f"{first.people.skeleton.name}, protocol {protocol}"
    )
    names = [name for name, value in first.score.metrics.items() if value is not None]
    yield _row("", names)
    for result in results:
        label = f"boxes: {result.boxes}"
        yield _row(label, [_figure(result.score.metrics[name]) for name in names])
        intervals = result.score.intervals
        if intervals:
            ends = {name: intervals.get(name) for name in names}
            yield _row("  95 % from", ["" if each is None else _figure(each.low) for each in ends.values()])
            yield _row("  95 % to", ["" if each is None else _figure(each.high) for each in ends.values()])
    rows = paper_rows(protocol, recipe)
    if rows:
        yield f"printed in the papers, {BOX_SOURCE}:"
    for row in rows:
        mark = " *" if row.is_this_model else ""
        yield _row(f"  {row.label}{mark}", [_figure(row.metrics.get(name)) for name in names])
    for row in rows:
        if row.is_this_model:
            yield f"  * the row of this recipe, in {row.table}{': ' + row.note if row.note else ''}"


def _row(label: str, cells: Sequence[str]) -> str:
    return (f"{label:<36}" + "".join(f"{cell:>9}" for cell in cells)).rstrip()


def _figure(value: float | None) -> str:
    return "-" if value is None else "none" if value < 0 else f"{value:.4f}"
