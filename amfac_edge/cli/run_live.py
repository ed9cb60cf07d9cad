"""The options of amfac-run for cameras: where a run ends, and how it is doing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.cameras import CameraLimits, camera_address, open_source
from amfac_edge.errors import InputError, OutputError
from amfac_edge.files import writable_folder
from amfac_edge.live import LiveStats, stats_line, stats_sentence

if TYPE_CHECKING:
    import argparse
    import contextlib
    from collections.abc import Callable

    from amfac_edge.cameras import FrameSource

__all__ = ["add_live_options", "check_live_options", "source_of", "stats_of"]

_STDOUT = "-"
_EVERY_S = 10.0


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    parser.add_argument("--frames", type=int, metavar="N", help="end after N frames")
    parser.add_argument("--duration", type=float, metavar="S", help="end after S seconds of the video or camera")
    parser.add_argument(
        "--give-up",
        type=float,
        metavar="S",
        help="end with an error after S seconds without the camera (default: never)",
    )
    parser.add_argument("--stats", metavar="FILE|-", help="a line of JSON at every interval: fps, age, times, drops")
    parser.add_argument(
        "--stats-every",
        type=float,
        metavar="S",
        help=f"seconds from one line of figures to the next; 0 for none (default: {_EVERY_S:g}, of cameras)",
    )


def check_live_options(arguments: argparse.Namespace) -> None:
    """Refuse what can't be meant, before anything is loaded.

    Raises:
        InputError: a bound that bounds nothing, or options that contradict each other.
    """
    for name, value in (
        ("--frames", arguments.frames),
        ("--duration", arguments.duration),
        ("--give-up", arguments.give_up),
    ):
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{name} {value:g} is not above 0", cure=f"Leave {name} out for no end.")
    every = arguments.stats_every
    if every is not None and not 0 <= every < float("inf"):
        raise InputError(f"--stats-every {every:g} is below 0", cure="Give seconds, or 0 for none.")
    if arguments.stats and every == 0:
        raise InputError("--stats with --stats-every 0 would write nothing", cure="Leave one of them out.")
    if arguments.stats == _STDOUT and arguments.json:
        raise InputError("--stats - and --json would mix on standard output", cure="Give --stats a file.")
    live = camera_address(arguments.source) is not None
    if not live and arguments.give_up is not None:
        raise InputError("--give-up is about a camera", cure="Leave it out.")
    if live and arguments.results and arguments.frames is None and arguments.duration is None:
        raise InputError(
            "--results of a camera without an end would grow for ever and never be written",
            cure="Give --frames or --duration, or take --json, which writes each frame at once.",
        )


def source_of(arguments: argparse.Namespace, until_done: contextlib.ExitStack) -> FrameSource:
    """Open the source; a camera is closed by `until_done`.

    Raises:
        AmfacError: nothing there, or nothing that can be read.
    """
    limits = CameraLimits(outage_s=arguments.give_up, run_s=arguments.duration)
    return until_done.enter_context(open_source(arguments.source, limits=limits, tell=_say))


def stats_of(arguments: argparse.Namespace, source: FrameSource, until_done: contextlib.ExitStack) -> LiveStats | None:
    """What tells how the run is doing; None where nobody asked and the source is no camera.

    Raises:
        OutputError: a file that can't be written to.
    """
    every = _EVERY_S if arguments.stats_every is None else arguments.stats_every
    asked = arguments.stats is not None or arguments.stats_every is not None
    if every == 0 or not (source.live or asked):
        return None
    listeners: list[Callable[[dict[str, Any]], None]] = [lambda stats: _say(stats_sentence(stats))]
    if arguments.stats == _STDOUT:
        listeners.append(_print)
    elif arguments.stats:
        path = Path(arguments.stats)
        writable_folder(path.parent)
        try:
            # Not by way of a temporary file: it is followed while the run goes on.
            file = until_done.enter_context(path.open("w", encoding="utf-8", buffering=1))
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}", cure="Choose another place.") from error
        listeners.append(lambda stats: _write(file, stats))
    return until_done.enter_context(LiveStats(source, every, listeners))


def _write(file: Any, stats: dict[str, Any]) -> None:  # noqa: ANN401 - a text file
    file.write(stats_line(stats))


def _print(stats: dict[str, Any]) -> None:
    sys.stdout.write(stats_line(stats))
    sys.stdout.flush()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
