"""A receipt in full: its series, stages, power, machine and state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from amfac_edge.performance.report.charts import distribution_chart, order_chart, stage_chart
from amfac_edge.performance.report.figures import milliseconds, tag
from amfac_edge.performance.report.markup import Html, element, table
from amfac_edge.performance.report.runs import number, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amfac_edge.performance.report.runs import Run
    from amfac_edge.performance.samples import Statistics

__all__ = ["run_details"]

_STATISTICS = ("min", "mean", "median", "p90", "p95", "p99", "max")
_STATE = {
    "power_mode": "power mode",
    "governor": "governor",
    "cpu_mhz": "CPU clocks, MHz",
    "gpu_clock": "GPU clock",
    "memory": "memory",
    "temperatures_c": "temperatures, °C",
    "rails_mw": "rails, mW",
    "card": "card",
}
_MOST = 240


def run_details(run: Run) -> Html:
    """The section of one receipt."""
    conditions = run.receipt.conditions
    whole = run.whole
    return element(
        "section",
        element("h2", element("span", f"{run.place}", class_="place"), f" {run.subject}"),
        element("p", f"{conditions.artefact} on {conditions.processor}; {run.file}", class_="quiet"),
        *_remarks(run),
        element(
            "div",
            _chart(f"Distribution: {whole.boundary}", distribution_chart(whole, run.statistics[whole.boundary])),
            _chart("In the order they were taken", order_chart(whole)),
            class_="charts",
        ),
        *_stages(run),
        element("h3", "Boundaries ", tag("measured")),
        table(
            ["", "n", *_STATISTICS, "cv %"],
            (
                [name, str(values.count), *(milliseconds(values, one) for one in _STATISTICS), _percent(values)]
                for name, values in run.statistics.items()
            ),
            label="statistics by boundary",
        ),
        *_power(run),
        element("h3", "Machine and state"),
        _facts(_machine(run)),
        _state(run),
        element("h3", "How it was taken"),
        _facts(_how(run)),
        id=f"run{run.place}",
    )


def _remarks(run: Run) -> list[Html]:
    lines = [element("li", remark.sentence) for remark in run.remarks]
    return [element("ul", *lines, class_="remarks")] if lines else []


def _chart(title: str, chart: Html) -> Html:
    return element("figure", element("figcaption", title), chart)


def _stages(run: Run) -> list[Html]:
    stages = run.stages_ms
    if not stages:
        return []
    whole = sum(stages.values())
    rows = [
        [
            element("span", element("span", "■", class_=f"key{place}"), f" {name}"),
            f"{value:.3f}",
            f"{value / whole:.1%}",
        ]
        for place, (name, value) in enumerate(stages.items())
    ]
    return [
        element("h3", "Parts of a frame ", tag("measured")),
        stage_chart(stages),
        table(["", "mean ms", "of the frame"], rows, label="parts of a frame"),
    ]


def _power(run: Run) -> list[Html]:
    title = element("h3", "Power ", tag("measured"))
    if not run.power:
        source = run.receipt.findings.get("power_source")
        why = "the series were too short for it" if source else "nothing on this machine tells it"
        return [element("h3", "Power"), element("p", f"Unknown: {why}.")]
    rows = [
        [
            power.boundary,
            f"{power.joules_per_frame * 1e3:.1f}",
            f"{power.active_w:.2f}",
            f"{power.idle_w:.2f}",
            f"{power.rails} by {power.source}",
        ]
        for power in run.power
    ]
    heads = ["", "mJ a frame above rest", "W at work", "W at rest", "rails"]
    return [title, table(heads, rows, label="power"), element("p", "Of the rails named, not of the wall.")]


def _machine(run: Run) -> dict[str, str]:
    receipt = run.receipt
    machine, processor = receipt.machine, table_of(receipt.machine, "processor")
    cards = table_of(machine, "cards").get("cards")
    return {
        "processor": f"{receipt.conditions.processor}, {_said(processor.get('threads'))} threads",
        "features": _said(processor.get("features")),
        "system": _said(machine.get("system")),
        "kernel": _said(machine.get("kernel")),
        "board": _said(machine.get("jetson")),
        "NVIDIA cards": "none" if cards == [] else _said(cards),
        "declared target": _said(receipt.target),
    }


def _state(run: Run) -> Html:
    before, after = run.receipt.before, run.receipt.after
    rows = [[words, _said(before.get(name)), _said(after.get(name))] for name, words in _STATE.items()]
    return table(["state", "before", "after"], rows, label="state of the machine before and after")


def _how(run: Run) -> dict[str, str]:
    receipt, findings = run.receipt, run.receipt.findings
    conditions = receipt.conditions
    after_idle = findings.get("after_idle_ms")
    idle = [number(each) for each in after_idle] if isinstance(after_idle, list) else []
    return {
        "taken": receipt.taken,
        "command": " ".join(receipt.command),
        "engine": f"{conditions.engine}, {conditions.provider}, {conditions.threads} threads, "
        f"{'spinning' if conditions.spinning else 'sleeping'}",
        "frame": f"{conditions.frame}, {conditions.people} in it",
        "SHA-256": conditions.sha256,
        "versions": ", ".join(f"{name} {version}" for name, version in conditions.versions.items()),
        "cold start": f"opening {_ms(findings.get('load_ms'))}, first frame {_ms(findings.get('first_ms'))}",
        "after idling": ", ".join(_ms(each) for each in idle) or "unknown",
        "the bench itself": f"{_said(_rounded(findings.get('overhead_us')))} µs a sample",
        "switches": _said(receipt.switches),
    }


def _percent(values: Statistics) -> str:
    return f"{values.variation_percent:.1f}"


def _facts(facts: Mapping[str, str]) -> Html:
    pairs = (part for name, text in facts.items() for part in (element("dt", name), element("dd", text)))
    return element("dl", *pairs)


def _ms(value: object) -> str:
    known = number(value)
    return "unknown" if known is None else f"{known:.1f} ms"


def _rounded(value: object) -> float | None:
    known = number(value)
    return None if known is None else float(f"{known:.3g}")


def _said(value: Any) -> str:  # noqa: ANN401 - JSON from outside
    """A value in words: what isn't there is unknown, never invented."""
    if value is None or value in ([], {}, ""):
        return "unknown"
    if isinstance(value, dict):
        known = {name: each for name, each in value.items() if each not in (None, [], {}, "")}
        text = ", ".join(f"{str(name).replace('_', ' ')} {_short(each)}" for name, each in known.items())
        return text[:_MOST] or "unknown"
    if isinstance(value, list):
        return ", ".join(_short(each) for each in value)[:_MOST]
    return _short(value)


def _short(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)[:_MOST]
