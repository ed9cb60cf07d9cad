"""What amfac-export does with a person detector that it doesn't do with a pose network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import InputError
from amfac_edge.keypoints import Letterbox

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts
    from amfac_edge.keypoints import Bgr

__all__ = ["add_detector_options", "check_detector_options", "detector_parity", "letterboxed"]

_SIZE = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?")


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """The options that only detectors take."""
    parser.add_argument(
        "--size", type=_size, metavar="HxW", help="of a detector's input, where the file leaves it open"
    )


def check_detector_options(arguments: argparse.Namespace, *, is_detector: bool) -> None:
    """Refuse the options of the one kind for the other.

    Raises:
        InputError: the first of them.
    """
    if not is_detector:
        if arguments.size is not None:
            raise InputError(
                f"{arguments.input}: --size is for person detectors; a pose network has the size of its recipe",
                cure="Leave it out.",
            )
        return
    if arguments.input_kind != "crops":
        raise InputError(
            f"{arguments.input}: this is a person detector, and --input {arguments.input_kind} is for pose networks",
            cure="Leave it out: a detector takes letterboxed pictures.",
        )
    for name in ("recipe", "key_map", "raw_logits"):
        if getattr(arguments, name):
            raise InputError(
                f"{arguments.input}: this is a person detector, and --{name.replace('_', '-')} is for pose networks",
                cure="Leave it out.",
            )


def letterboxed(frames: Iterable[Bgr], facts: DetectorFacts) -> list[NDArray[np.uint8]]:
    """Pictures (Hf,Wf,3) uint8 BGR as the detector takes them, (H,W,3) each."""
    images = []
    for frame in frames:
        image = np.empty((facts.height, facts.width, 3), np.uint8)
        Letterbox(frame.shape[0], frame.shape[1], facts.height, facts.width).place(frame, image)
        images.append(image)
    return images


def detector_parity(parity: Mapping[str, Any]) -> str:
    """What the parity gate of a detector found, as a line."""
    found = f"of {parity['people']} people, {parity['lost']} found by one of both alone"
    nobody = "nobody in generated pictures: --parity-images DIR compares people too"
    return (
        f"  parity on {parity['images']} pictures: boxes within {parity['box_error']:.1e} of the input's side (budget "
        f"{parity['box_budget']:g}), scores within {parity['score_error']:.1e}; {found if parity['people'] else nobody}"
    )


def _size(text: str) -> tuple[int, int]:
    """Read "640x480" (height first) or "640" for both."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InputError(f'--size "{text}" is no size', cure="Give HxW, as in --size 640x640.")
    return int(found[1]), int(found[2] or found[1])
