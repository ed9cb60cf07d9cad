"""HTML whose every text is escaped: what is not `Html` already is taken for text."""

from __future__ import annotations

import html
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Html", "cut", "element", "joined", "table"]

_VOID = {"meta"}
_LONGEST = 400
# Controls, what turns the direction of writing around, halves of characters, and what is not assigned.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn"}


class Html(str):
    """Markup that was made here."""

    __slots__ = ()


def cut(text: str, longest: int = _LONGEST) -> str:
    """Text from outside on one line, without invisible characters, of `longest` characters at most."""
    seen = "".join("\ufffd" if unicodedata.category(letter) in _UNSEEN else letter for letter in text[: longest + 1])
    return f"{seen[: longest - 1]}…" if len(seen) > longest else seen


def element(tag: str, *children: str, **attributes: str | float | None) -> Html:
    """An element. In names of attributes `_` stands for `-`, one at the end for nothing; None leaves one out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{joined(children)}</{tag}>")


def joined(parts: Iterable[str]) -> Html:
    """The parts in a row; those that are no `Html` as text."""
    return Html("".join(part if isinstance(part, Html) else html.escape(cut(part)) for part in parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, label: str) -> Html:
    """A table that scrolls by itself where it is wider than the page.

    Args:
        heads: of the columns.
        rows: as many cells each; the first is the row's head.
        label: what it holds, for a screen reader.
    """
    head = element("tr", *(element("th", name, scope="col") for name in heads))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    filled = element("table", element("thead", head), element("tbody", *body))
    return element("div", filled, class_="scroll", role="region", tabindex="0", aria_label=label)


def _text(value: str | float) -> str:
    return cut(value) if isinstance(value, str) else f"{value:.6g}"
