"""Which options of a group were given, in the words of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["given_words"]


def given_words(add_options: Callable[[argparse.ArgumentParser], None], arguments: argparse.Namespace) -> list[str]:
    """The options that are not as they are by default: "--keep", "node_3", "--no-calib-cache", say.

    Args:
        add_options: gives a parser the options in question.
        arguments: parsed by one that had them.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    words: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - it has no other list
        value = getattr(arguments, action.dest)
        if value == action.default:
            continue
        if action.nargs == 0:
            words.append(action.option_strings[-1])
            continue
        for one in value if isinstance(value, list) else [value]:
            words += [action.option_strings[-1], str(one)]
    return words
