"""Text stays text, whatever is in it."""

from __future__ import annotations

from amfac_edge.performance.report.markup import Html, cut, element, joined, table


def test_what_is_no_markup_is_escaped() -> None:
    assert joined(["<b>", Html("<b>")]) == "&lt;b&gt;<b>"
    found = element("p", "a & b", element("i", "<script>"), title='"><script>', class_="x", aria_label=None, x=1.5)
    assert found == ('<p title="&quot;&gt;&lt;script&gt;" class="x" x="1.5">a &amp; b<i>&lt;script&gt;</i></p>')
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_what_nobody_can_see_is_shown() -> None:
    # A line, a change of direction, half a character, and a zero.
    assert cut("a\nb\u202ec\ud800\0") == "a\ufffdb\ufffdc\ufffd\ufffd"
    assert cut("ü→日本") == "ü→日本"


def test_long_text_is_cut() -> None:
    assert cut("x" * 400) == "x" * 400
    assert cut("x" * 10**6) == "x" * 399 + "…"


def test_a_table_scrolls_and_has_heads() -> None:
    found = table(["", "<ms>"], [["a", "1"], ["b", "2"]], label='of "it"')
    assert found.startswith('<div class="scroll" role="region" tabindex="0" aria-label="of &quot;it&quot;"><table>')
    assert found.count('<th scope="row">') == 2
    assert '<th scope="col">&lt;ms&gt;</th>' in found
