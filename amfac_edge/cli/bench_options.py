"""What several words of amfac-bench share: the frame, the people in it, the seconds, the warning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cameras import read_picture
from amfac_edge.errors import InputError
from amfac_edge.performance.measuring import still_frame
from amfac_edge.performance.timing import BUSY

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["add_frame", "check_seconds", "frame_of", "people_of", "print_busy"]

_MOST_PEOPLE = 1000
_DAY_S = 86_400
_WAITED = 0.02


def add_frame(parser: argparse.ArgumentParser) -> None:
    """The option that names a frame; `frame_of` reads it."""
    parser.add_argument("--frame", default="1920x1080", metavar="WxH|PHOTO", help="size of the frame, or a picture")


def check_seconds(seconds: float) -> None:
    """Refuse a length of time that is none.

    Raises:
        InputError: not within 0 and a day.
    """
    if not 0 < seconds <= _DAY_S:
        raise InputError(f"--seconds {seconds:g} is not within 0 and {_DAY_S}", cure="Give 3, say.")


def people_of(text: str) -> list[int]:
    """The numbers of people in a comma list.

    Raises:
        InputError: another form, or not within 1 and 1000.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if not 1 <= min(numbers) <= max(numbers) <= _MOST_PEOPLE:
        raise InputError(f"--people {text} is not within 1 and {_MOST_PEOPLE}", cure="Give 1 or 5, say.")
    return numbers


def frame_of(text: str) -> NDArray[np.uint8]:
    """A frame (H,W,3) uint8 BGR of the given size, or the picture of that path.

    Raises:
        InputError: a size that no camera has, or no such picture.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        return read_picture(Path(text))
    if not (16 <= int(width) <= 16_384 and 16 <= int(height) <= 16_384):  # noqa: PLR2004 - any camera's
        raise InputError(f"--frame {text} is not within 16x16 and 16384x16384", cure="Give 1920x1080, say.")
    return still_frame(int(height), int(width))


def print_busy(busy: float | None, waited: float | None = None) -> None:
    """Warn where others were at work meanwhile, or this process had no core to run on."""
    if busy is not None and busy > BUSY:
        print(f"other processes used {busy:.0%} of a core meanwhile: the figures are worth less")
    if waited is not None and waited > _WAITED:
        print(f"threads of this process waited {waited:.2f} s a second for a core: the figures are worth less")
