"""What a report says of a receipt: its series' statistics, and findings that were checked, each with its remark.

The tables of a receipt but its series and conditions hold anything; what is not of the expected form is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from amfac_edge.performance.paper_mode import throttling_of
from amfac_edge.performance.steadiness import MOST_DRIFT_PERCENT, drift_percent
from amfac_edge.performance.timing import BUSY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.performance.receipts import Receipt
    from amfac_edge.performance.samples import Measured, Statistics

__all__ = ["STAGES", "Power", "Remark", "Run", "number", "runs_of", "table_of"]

STAGES = ("crop", "network", "decode")
"""The parts of a frame; they are timed inside the calls that the frame counts."""

_WHOLE = ("frame", "eager_frame", "engine", "eager")
_LARGEST = 1e15


class Remark(NamedTuple):
    """What makes figures worth less, or other than they seem: in a word or two, and in a sentence."""

    word: str
    sentence: str


@dataclass(frozen=True)
class Power:
    """What a series took: watts at work and at rest, and joules a frame of the difference.

    Attributes:
        boundary: of the series.
        source: where it was read.
        rails: that were added up.
        active_w: at work.
        idle_w: at rest.
        joules_per_frame: of the difference.
    """

    boundary: str
    source: str
    rails: str
    active_w: float
    idle_w: float
    joules_per_frame: float


@dataclass(frozen=True)
class Run:
    """A receipt, with its place in the report.

    Attributes:
        place: from 1 on.
        file: its name.
        receipt: itself.
    """

    place: int
    file: str
    receipt: Receipt

    @cached_property
    def statistics(self) -> dict[str, Statistics]:
        """By boundary."""
        return {name: series.statistics for name, series in self.receipt.series.items()}

    @property
    def whole(self) -> Measured:
        """The series that stands for the run: a whole frame where there is one."""
        series = self.receipt.series
        return next((series[name] for name in _WHOLE if name in series), next(iter(series.values())))

    @property
    def name(self) -> str:
        """Its number, model and precision."""
        return f"{self.place}  {self.subject}"

    @property
    def subject(self) -> str:
        """Its model and precision; of a candidate of `amfac-bench peers`, who ran it, and in how many threads."""
        conditions, candidate = self.receipt.conditions, self.receipt.switches.get("candidate")
        if isinstance(candidate, str):
            return f"{candidate}, {conditions.threads}t: {conditions.recipe}"
        return f"{conditions.recipe} {conditions.precision}"

    @property
    def stages_ms(self) -> dict[str, float]:
        """Mean milliseconds of a frame's parts, which add up to the frame's mean; empty where they weren't timed."""
        if not {"frame", *STAGES} <= set(self.statistics):
            return {}
        stages = {name: self.statistics[name].mean for name in STAGES}
        return stages | {"rest": max(self.statistics["frame"].mean - sum(stages.values()), 0.0)}

    @property
    def power(self) -> list[Power]:
        """By boundary, those whose entry is whole."""
        found = []
        for name, entry in table_of(self.receipt.findings, "energy").items():
            values = (
                [number(entry.get(key)) for key in ("active_w", "idle_w", "joules_per_frame")] if _is(entry) else []
            )
            active, idle, joules = values or (None, None, None)
            if active is None or idle is None or joules is None:
                continue
            rails = " + ".join(map(str, entry["rails"])) if isinstance(entry.get("rails"), list) else ""
            found.append(Power(str(name), str(entry.get("source", "")), rails, active, idle, joules))
        return found

    @property
    def remarks(self) -> list[Remark]:
        """What makes its figures worth less, or other than they seem."""
        findings = self.receipt.findings
        remarks = []
        busy, waited = number(findings.get("busy")), number(findings.get("waited"))
        if busy is None:
            remarks.append(Remark("load unknown", "whether others used the machine meanwhile is unknown"))
        elif busy > BUSY:
            remarks.append(Remark("shared machine", f"shared machine: others used {busy:.0%} of a core meanwhile"))
        if waited is not None and waited > BUSY:
            remarks.append(Remark("waited", f"its threads waited for a core, {waited:.2f} s in each second of the run"))
        remarks += [Remark("throttled", f"throttled: {line}") for line in throttling_of(self.receipt)]
        drift = drift_percent(self.whole.samples_ms)
        if drift is not None and abs(drift) > MOST_DRIFT_PERCENT:
            remarks.append(Remark("not steady", f"not steady: {drift:+.1f} % from the first to the last third"))
        if self.receipt.trained is not True:
            word = "untrained weights" if self.receipt.trained is False else "trained or not is unknown"
            remarks.append(Remark(word, word))
        return remarks


def runs_of(receipts: Sequence[tuple[str, Receipt]]) -> list[Run]:
    """Receipts with the names of their files, numbered from 1 on."""
    return [Run(place, file, receipt) for place, (file, receipt) in enumerate(receipts, start=1)]


def number(value: object) -> float | None:
    """A number of a receipt's loose tables, None where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
        return None
    return float(value)


def table_of(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table within a table, empty where there is none."""
    value = fields.get(key)
    return value if isinstance(value, dict) else {}


def _is(entry: object) -> bool:
    return isinstance(entry, dict)
