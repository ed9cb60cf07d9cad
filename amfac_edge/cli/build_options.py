"""The options of a build, for every command that builds a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.cli.given_words import given_words
from amfac_edge.compiler import BuildOptions

if TYPE_CHECKING:
    import argparse

__all__ = ["add_build_options", "build_options", "build_words"]


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that `build_options` reads."""
    group = parser.add_argument_group("building a TensorRT plan")
    add = group.add_argument
    add("--workspace", type=int, metavar="MIB", help="the builder's scratch memory (the target's)")
    add("--optimization-level", type=int, metavar="0..5", help="how many ways the builder tries (TensorRT's own: 3)")
    add("--version-compatible", action="store_true", help="TensorRT proper: a plan for later releases too, with code")
    add("--no-timing-cache", action="store_true", help="measure everything once more, and keep nothing of it")
    add(
        "--no-trial", action="store_true", help="TensorRT proper: don't run the plan to see whether it finds the joints"
    )
    add("--no-memory-check", action="store_true", help="begin on a board that is short of memory too")
    add("--memory-limit", type=int, metavar="MIB", help="what the build may allocate, 0 for no limit")
    add("--build-timeout", type=float, metavar="S", help="seconds after which a build is given up")


def build_options(arguments: argparse.Namespace) -> BuildOptions:
    """The options that were given.

    Raises:
        InputError: one that makes no sense.
    """
    return BuildOptions(
        workspace_mib=arguments.workspace,
        optimization_level=arguments.optimization_level,
        version_compatible=arguments.version_compatible,
        timing_cache=not arguments.no_timing_cache,
        trial=not arguments.no_trial,
        memory_check=not arguments.no_memory_check,
        memory_mib=arguments.memory_limit,
        timeout_s=arguments.build_timeout,
    )


def build_words(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options that were given, in words for another command that has them: a kit's build.py."""
    return tuple(given_words(add_build_options, arguments))
