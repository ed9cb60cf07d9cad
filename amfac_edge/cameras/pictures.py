"""Picture files to BGR arrays, with a sentence for each way in which a file can be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.cameras.headers import HEADER_BYTES, PictureHeader, picture_header, picture_kind
from amfac_edge.errors import FrameError, InputError
from amfac_edge.files import file_bytes
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.keypoints import Bgr

__all__ = ["PICTURE_SUFFIXES", "check_size", "decoded", "read_picture"]

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes, in lower case, of the files that count as pictures."""

_LARGEST_FILE = 1 << 30
_LONGEST_SIDE = 20_000
_MOST_PIXELS = 100_000_000
_MOST_BITS = 16
_KIND_CURE = "Convert it to PNG or JPEG (BMP, WebP and TIFF are read too)."
_DAMAGED_CURE = "Copy the file again from where it came from, or save it anew."


def read_picture(path: Path) -> Bgr:
    """Read a picture: PNG, JPEG, BMP, WebP or the first page of a TIFF.

    The content decides, not the suffix. Grey becomes three equal channels, alpha is dropped (not blended), 16 bits
    become the upper 8, and the EXIF orientation is applied.

    Returns:
        (H, W, 3) uint8 BGR; at least 1 x 1.

    Raises:
        FrameError: absent, empty, no picture, damaged, a side over 20,000 pixels or more than 100 million pixels (known
            from the header, before they are unpacked). The message names the file.
        MissingExtraError: OpenCV is not installed.
    """
    return decoded(_content(path), str(path))


def decoded(content: bytes, where: str) -> Bgr:
    """What `read_picture` makes of a file's bytes.

    Args:
        content: of the whole file.
        where: its name, for the messages.

    Returns:
        (H, W, 3) uint8 BGR; at least 1 x 1.

    Raises:
        FrameError: see `read_picture`.
        MissingExtraError: OpenCV is not installed.
    """
    _checked_header(where, content)
    cv2 = load_opencv("reading pictures")
    try:
        picture: Bgr | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise FrameError(f"{where}: the picture can't be decoded: {error.err}", cure=_DAMAGED_CURE) from error
    if picture is None:
        raise FrameError(f"{where}: the picture's data are truncated or damaged", cure=_DAMAGED_CURE)
    return picture


def check_size(where: str, height: int, width: int) -> None:
    """Refuse a picture or video that is too large to be unpacked.

    Raises:
        FrameError: a side is 0 or over 20,000 pixels, or there are more than 100 million pixels.
    """
    if height < 1 or width < 1:
        raise FrameError(f"{where}: {width}x{height} pixels are no picture", cure=_DAMAGED_CURE)
    if max(height, width) > _LONGEST_SIDE or height * width > _MOST_PIXELS:
        raise FrameError(
            f"{where}: {width}x{height} pixels are too many; the limits are {_LONGEST_SIDE:,} on a side and "
            f"{_MOST_PIXELS:,} altogether",
            cure="Make it smaller, or cut it into parts.",
        )


def _content(path: Path) -> bytes:
    try:
        return file_bytes(path, limit=_LARGEST_FILE, what="picture")
    except InputError as error:
        raise FrameError(error.problem, cure=error.cure) from error


def _checked_header(where: str, content: bytes) -> PictureHeader:
    if not content:
        raise FrameError(f"{where}: the picture is empty (0 bytes)", cure=_DAMAGED_CURE)
    if picture_kind(content[:HEADER_BYTES]) is None:
        raise FrameError(f"{where}: not a picture of a known kind (it starts with {content[:8]!r})", cure=_KIND_CURE)
    try:
        header = picture_header(content)
    except ValueError as error:
        raise FrameError(f"{where}: the picture is truncated or damaged: {error}", cure=_DAMAGED_CURE) from error
    check_size(where, header.height, header.width)
    if any(header.tile):
        check_size(f"{where}, one of its tiles", *header.tile)
    if header.bits > _MOST_BITS:
        raise FrameError(
            f"{where}: {header.bits} bits a channel; at most {_MOST_BITS} are read", cure="Save it with 8 or 16."
        )
    return header
