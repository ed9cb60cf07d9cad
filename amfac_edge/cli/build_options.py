"""The options of a build, for every command that builds a plan."""

from __future__ import annotations

import argparse

from amfac_edge.compiler import BuildOptions

__all__ = ["add_build_options", "build_options", "build_words"]


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that `build_options` reads."""
    group = parser.add_argument_group("building a TensorRT plan")
    group.add_argument("--workspace", type=int, metavar="MIB", help="the builder's scratch memory (the target's)")


def build_options(arguments: argparse.Namespace) -> BuildOptions:
    """The options that were given."""
    return BuildOptions(workspace_mib=arguments.workspace)


def build_words(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options that were given, in words for another command that has them: a kit's build.py."""
    parser = argparse.ArgumentParser(add_help=False)
    add_build_options(parser)
    given = ((action, getattr(arguments, action.dest)) for action in parser._actions)  # noqa: SLF001 - it has no other list
    words = []
    for action, value in given:
        if value != action.default:
            words += [action.option_strings[-1], *([] if action.nargs == 0 else [str(value)])]
    return tuple(words)
