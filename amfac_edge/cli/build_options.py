"""The options of a build, for every command that builds a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.compiler import BuildOptions

if TYPE_CHECKING:
    import argparse

__all__ = ["add_build_options", "build_options"]


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that `build_options` reads."""
    group = parser.add_argument_group("building a TensorRT plan")
    group.add_argument("--workspace", type=int, metavar="MIB", help="the builder's scratch memory (the target's)")


def build_options(arguments: argparse.Namespace) -> BuildOptions:
    """The options that were given."""
    return BuildOptions(workspace_mib=arguments.workspace)
