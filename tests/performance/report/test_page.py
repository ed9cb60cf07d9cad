"""The page as a browser reads it: what runs, what loads, and what is told apart."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.declared.target import load_target
from amfac_edge.performance.against import Cell
from amfac_edge.performance.forecast import forecast_engine, subject_of_recipe
from amfac_edge.performance.report import report_page, report_picture, runs_of
from amfac_edge.performance.report.figures import figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from amfac_edge.performance import Receipt
    from amfac_edge.performance.report import Run

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta"}


class Page(HTMLParser):
    """Elements, attributes and text; fails where an element isn't closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def evil(value: Any) -> Any:  # noqa: ANN401 - JSON
    return {EVIL: value, "x": [EVIL, {EVIL: EVIL}]}


@pytest.fixture
def hostile(make: Callable[..., Receipt]) -> Receipt:
    """Each text that a receipt may hold is an attack."""
    names = ("processor", "engine", "provider", "artefact", "sha256", "recipe", "precision", "frame", "governor")
    series = {"frame": [1.0] * 70, EVIL: [2.0] * 3}
    energy = {EVIL: {"source": EVIL, "rails": [EVIL], "active_w": 1, "idle_w": 1, "joules_per_frame": 1}}
    return make(
        series=series,
        conditions={**dict.fromkeys(names, EVIL), "versions": {EVIL: EVIL}},
        taken=EVIL,
        command=(EVIL,),
        target=EVIL,
        power_mode=EVIL,
        switches=evil(EVIL),
        machine={name: evil(EVIL) for name in ("processor", "system", "kernel", "jetson", "cards")},
        before={name: evil(EVIL) for name in ("power_mode", "memory", "card", "rails_mw")},
        after=evil(EVIL),
        findings={"throttling": [EVIL, 3], "energy": energy, "power_source": EVIL, "after_idle_ms": [EVIL, 1.0]},
    )


def test_a_hostile_receipt_is_shown_as_text(hostile: Receipt) -> None:
    runs = runs_of([(EVIL, hostile)])
    groups = {EVIL: [(EVIL, [Cell(EVIL, EVIL, 1.0, 2.0, EVIL, notes=(EVIL,))])]}
    text = report_page(runs, groups)
    page = Page(text)
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"style", "src"}]
    assert page.text.count(EVIL) > 20
    text.encode()
    assert report_picture(runs).ndim == 3


def test_nothing_is_loaded_and_the_policy_knows_the_one_style_sheet(run: Run) -> None:
    text = report_page([run])
    page = Page(text)
    links = [value for name, value in page.attributes if name in {"href", "src", "srcset", "action", "data"}]
    assert links == ["#run1"]
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    # The policy stands before what it is about.
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert ("content", "width=device-width, initial-scale=1") in page.attributes
    assert "prefers-color-scheme: dark" in style


def test_ids_are_one_of_a_kind(make: Callable[..., Receipt]) -> None:
    page = Page(report_page(runs_of([("a.json", make()), ("b.json", make())])))
    ids = [value for name, value in page.attributes if name == "id"]
    assert ids == ["run1", "run2"]


def test_measured_and_forecast_are_told_apart(run: Run) -> None:
    measured = figure(run.whole)
    expected = figure(forecast_engine(subject_of_recipe("amfacpose-r18-256x256"), load_target("orin-nano")))
    assert measured.startswith('<span class="measured">10.')
    assert '<span class="tag measured">measured</span>' in measured
    assert expected.startswith('<span class="forecast">')
    assert '<span class="tag forecast">forecast</span>' in expected
    untagged: Any = 10.0
    with pytest.raises(TypeError, match="a float is neither measured nor forecast"):
        figure(untagged)


def test_table_4_counts_what_was_measured(make: Callable[..., Receipt]) -> None:
    here = report_page(runs_of([("a.json", make())]))
    assert "Met on 0 of 20" in Page(here).text
    assert here.count("<td>not measured</td>") == 20
    assert here.count('<span class="tag forecast">') == 60 + 2
    board = make(
        series={"frame": [7.5] * 70, "engine": [7.5] * 70},
        target="orin-nano-8",
        power_mode=load_target("orin-nano-8").paper_mode,
        conditions={"precision": "fp16"},
    )
    page = report_page(runs_of([("a.json", board)]))
    assert "Met on 1 of 20" in Page(page).text
    assert page.count('<span class="tag forecast">') == 59 + 2
    assert '<span class="measured">7.50 <span class="tag measured">' in page
    assert page.count("<td>met</td>") == 1


def test_the_odd_cell_and_the_inference_are_told(run: Run) -> None:
    text = Page(report_page([run])).text
    assert "which are 30.26 fps" in text
    assert "is an inference" in text


def test_few_samples_and_unknown_power_are_told(make: Callable[..., Receipt]) -> None:
    text = Page(report_page(runs_of([("a.json", make(series={"frame": [3.0]}))]))).text
    assert "few" in text
    assert "Unknown: nothing on this machine tells it." in text
    assert "nan" not in text


def test_every_remark_is_in_the_overview_and_with_its_run(make: Callable[..., Receipt]) -> None:
    text = Page(report_page(runs_of([("a.json", make(findings={"busy": 1.0}, trained=False))]))).text
    assert "shared machine · untrained weights" in text
    assert "others used 100% of a core meanwhile" in text


def test_deep_tables_end_in_few_words(make: Callable[..., Receipt]) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    text = report_page(runs_of([("a.json", make(machine={"jetson": {"a": deep}}, before={"memory": deep}))]))
    assert len(text) < 60_000
    assert json.dumps(deep)[:100] in text
