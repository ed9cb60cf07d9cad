"""The options of amfac-run that show what it sees: a window, or a page in a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.errors import InputError
from amfac_edge.live import Heartbeat, LiveStats, Page, PageAccess, Painter, Window, page_address, read_token

if TYPE_CHECKING:
    import argparse
    import contextlib
    from collections.abc import Callable, Iterable, Iterator

    from amfac_edge.cameras import FrameSource
    from amfac_edge.live import PosedFrame
    from amfac_edge.runtime import PoseEstimator

__all__ = ["Screens", "add_screen_options", "check_screen_options"]

# A phone's screen shows no more, and half of a full HD frame's time is saved.
_LONGEST = 1280
_FIGURES_S = 2.0


def add_screen_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that `Screens` reads."""
    group = parser.add_argument_group("what it sees, as it runs (docs/camera-apps.md)")
    group.add_argument("--show", action="store_true", help="a window; q or Esc ends the run")
    group.add_argument(
        "--page",
        metavar="[HOST:]PORT",
        help="a page for browsers: of this machine where no HOST is given, else a token is needed",
    )
    group.add_argument("--page-token", type=Path, metavar="FILE", help="holds the token that a browser is asked for")
    group.add_argument(
        "--draw-stats", action="store_true", help="write the run's figures on what --save writes, as on the window"
    )


def check_screen_options(arguments: argparse.Namespace, *, archive: bool = False) -> None:
    """Refuse what can be refused before anything is loaded.

    Raises:
        InputError: an address or a token that can't be used, or options that do nothing.
    """
    if archive and (arguments.show or arguments.page):
        option = "--show" if arguments.show else "--page"
        raise InputError(f"{option} and the options for archives don't go together", cure="Leave one of them out.")
    if arguments.page_token and not arguments.page:
        raise InputError("--page-token is about a page, and there is none", cure="Give --page [HOST:]PORT.")
    if arguments.draw_stats and not arguments.save:
        raise InputError("--draw-stats is about what --save writes", cure="Give --save PATH.")
    if arguments.page:
        _access(arguments)


class Screens:
    """The window and the page that were asked for, and the heartbeat of a service.

    Args:
        arguments: the command's.
        source: of the frames.
        estimator: of the poses.
        note: written on every frame where it is not empty.
        until_done: closes them.

    Raises:
        AmfacError: a window or a page that can't be had here.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        source: FrameSource,
        estimator: PoseEstimator,
        note: str,
        until_done: contextlib.ExitStack,
    ) -> None:
        def painter(longest: int | None = None) -> Painter:
            return Painter(estimator.skeleton, arguments.min_score, note, ids=True, longest=longest)

        self._window: Window | None = None
        self._listeners: list[Callable[[PosedFrame], None]] = [Heartbeat().add]
        if arguments.show:
            self._window = until_done.enter_context(Window(painter()))
            self._listeners.append(self._window.add)
        if arguments.page:
            page = until_done.enter_context(Page(_access(arguments), painter(_LONGEST)))
            stats = until_done.enter_context(LiveStats(source, _FIGURES_S, [page.tell]))
            self._listeners += [page.add, stats.add]
            asked = f"; the browser is asked for the token in {arguments.page_token}" if arguments.page_token else ""
            print(f"page: {page.url}{asked}", file=sys.stderr, flush=True)

    def add(self, posed: PosedFrame) -> None:
        """Show a frame."""
        for listener in self._listeners:
            listener(posed)

    def until_ended(self, frames: Iterable[PosedFrame]) -> Iterator[PosedFrame]:
        """The frames, until somebody ends the run at the window."""
        for posed in frames:
            yield posed
            if self._window is not None and self._window.ended:
                return


def _access(arguments: argparse.Namespace) -> PageAccess:
    token = read_token(arguments.page_token) if arguments.page_token else None
    return PageAccess(*page_address(arguments.page), token)
