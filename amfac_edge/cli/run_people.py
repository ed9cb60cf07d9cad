"""The options of amfac-run that say who is in a frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cli.first_detector import detector_to_run
from amfac_edge.cli.gpu_options import gpu_options
from amfac_edge.errors import InputError
from amfac_edge.live import BoxFile, DetectedPeople, FullFrame
from amfac_edge.people import DETECTOR_EVERY, ENTERING_SCORE, STAYING_SCORE, PeopleFollower, Smoothing, open_detector

if TYPE_CHECKING:
    import argparse
    import contextlib

    from amfac_edge.cameras import ArchiveFile, FrameSource
    from amfac_edge.live import BoxSource, Tally
    from amfac_edge.runtime import PoseEstimator

__all__ = ["add_people_options", "check_people_options", "detector_remark", "people_of"]

_FULL = "full"


def add_people_options(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--boxes", metavar="JSON|full", help="the people's boxes; full: one person fills the frame (default: full)"
    )
    who.add_argument(
        "--detector", type=Path, metavar="FILE", help="a person detector that finds them: its .onnx or .plan"
    )
    parser.add_argument(
        "--every",
        type=int,
        metavar="N",
        help="of a video: ask the detector every N frames, and where people may have come or gone; between, boxes "
        f"come from the poses (default: {DETECTOR_EVERY})",
    )
    parser.add_argument(
        "--detector-score", type=float, metavar="X", help=f"follow new people from it on (default: {ENTERING_SCORE:g})"
    )
    smooth = parser.add_mutually_exclusive_group()
    smooth.add_argument(
        "--smooth", action="store_true", default=None, help="smooth joints over time (default behind a detector)"
    )
    smooth.add_argument("--no-smooth", action="store_false", dest="smooth", help="leave joints as the network has them")
    parser.add_argument("--max-people", type=int, metavar="N", help="at most N in a frame, the most certain ones")
    parser.add_argument(
        "--deadline", type=float, metavar="MS", help="of a video: as many as fit into it, the most certain ones"
    )


def check_people_options(arguments: argparse.Namespace) -> None:
    """Refuse what means nothing without a detector, before anything is loaded.

    Raises:
        InputError: an option that would do nothing, or a value that means nothing.
    """
    bounds = (
        ("--every", arguments.every, 1, None),
        ("--detector-score", arguments.detector_score, 0, 1),
        ("--max-people", arguments.max_people, 1, None),
    )
    for name, value, least, most in bounds:
        if value is not None and not (least <= value and (most is None or value <= most)):
            wanted = f"{least} or more" if most is None else f"within {least} and {most}"
            raise InputError(f"{name} {value:g} is not {wanted}", cure=f"Leave {name} out for what is usual.")
    if arguments.deadline is not None and not 0 < arguments.deadline < math.inf:
        raise InputError(f"--deadline {arguments.deadline:g} ms is no time", cure="Give 40, say, for 25 frames/s.")
    if arguments.detector is not None:
        return
    for name, value in (("--every", arguments.every), ("--detector-score", arguments.detector_score)):
        if value is not None:
            raise InputError(f"{name} {value:g} is about a detector, and there is none", cure="Give --detector FILE.")


def people_of(
    arguments: argparse.Namespace,
    source: FrameSource | ArchiveFile,
    estimator: PoseEstimator,
    until_done: contextlib.ExitStack,
) -> tuple[BoxSource, PeopleFollower | None]:
    """Who says who is in a frame, and who follows them.

    Args:
        arguments: the command's.
        source: of the frames, or the file that they come from.
        estimator: of the poses.
        until_done: closes the detector.

    Raises:
        AmfacError: a file that can't be used, or options that don't go with the source.
    """
    video = source.video
    if not video:
        options = (("--every", arguments.every), ("--smooth", arguments.smooth), ("--deadline", arguments.deadline))
        for name, value in options:
            if value is not None and value is not False:
                raise InputError(f"{name} is about a video; {source.name} is pictures", cure=f"Leave {name} out.")
    found = arguments.detector is not None
    limited = arguments.max_people is not None or arguments.deadline is not None
    if not found and not (arguments.smooth or limited):
        return _given(arguments, video=video), None
    entering = (ENTERING_SCORE if arguments.detector_score is None else arguments.detector_score) if found else 0.0
    smooth = video and (found if arguments.smooth is None else arguments.smooth)
    follower = PeopleFollower(
        estimator.skeleton,
        every=(DETECTOR_EVERY if arguments.every is None else arguments.every) if found and video else 1,
        smoothing=Smoothing() if smooth else None,
        max_people=arguments.max_people,
        deadline_ms=arguments.deadline,
        entering_score=entering,
        pictures=not video,
    )
    if not found:
        return _given(arguments, video=video), follower
    detector = open_detector(
        detector_to_run(arguments.detector),
        min_score=min(STAYING_SCORE, entering),
        threads=arguments.threads,
        **gpu_options(arguments),
    )
    return DetectedPeople(until_done.enter_context(detector)), follower


def detector_remark(tally: Tally, noun: str) -> str:
    """How often the detector was asked, and who was left out, in a sentence."""
    remark = f"detector asked in {tally.asked:,} of {tally.frames:,} {noun}s, median {tally.median_asked_ms():.1f} ms"
    if tally.skipped:
        remark += f"; {tally.skipped:,} times somebody was left out (--max-people, --deadline): most certain ones first"
    return remark


def _given(arguments: argparse.Namespace, *, video: bool) -> BoxSource:
    boxes = arguments.boxes
    return FullFrame() if boxes in {None, _FULL} else BoxFile(Path(boxes), video=video)
