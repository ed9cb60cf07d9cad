"""What a picture file says about itself, read before any of its pixels are unpacked.

A few bytes can announce a picture of gigabytes; OpenCV's own limit of 2^30 pixels is three gigabytes. So the size comes
from the header, here, for the kinds of file that are accepted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["HEADER_BYTES", "PictureHeader", "picture_header", "picture_kind"]

HEADER_BYTES = 16
"""How much of a file `picture_kind` needs."""


@dataclass(frozen=True)
class PictureHeader:
    """Kind and announced size of a picture file.

    Attributes:
        kind: "PNG", "JPEG", "BMP", "WebP" or "TIFF".
        height: in pixels, as stored (before any EXIF orientation).
        width: in pixels.
        bits: for each channel, of the stored values.
        tile: height and width of a TIFF's tiles, which are unpacked whole however small the picture is.
    """

    kind: str
    height: int
    width: int
    bits: int = 8
    tile: tuple[int, int] = (0, 0)


def picture_kind(head: bytes) -> str | None:
    """The kind that the first 16 bytes of a file belong to; None where it is no picture of a known kind."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    return next((kind for magic, kind in _MAGICS if head.startswith(magic)), None)


def picture_header(content: bytes) -> PictureHeader:
    """Read the header of a picture file.

    Args:
        content: the whole file; `picture_kind` knows it.

    Raises:
        ValueError: the header is cut short or contradicts itself.
    """
    kind = picture_kind(content[:HEADER_BYTES]) or ""
    try:
        return _READERS[kind](content)
    except (struct.error, IndexError, KeyError) as error:
        message = f"its {kind} header is cut short or damaged"
        raise ValueError(message) from error


def _png(content: bytes) -> PictureHeader:
    width, height, bits = struct.unpack_from(">IIB", content, 16)
    return PictureHeader("PNG", height, width, bits)


def _bmp(content: bytes) -> PictureHeader:
    (header_size,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", content, 18)  # noqa: PLR2004 - OS/2 header
    # A negative height means that the rows are stored from the top.
    return PictureHeader("BMP", abs(height), width)


def _webp(content: bytes) -> PictureHeader:
    chunk = content[12:16]
    if chunk == b"VP8X":
        width, height = (int.from_bytes(content[start : start + 3], "little") + 1 for start in (24, 27))
    elif chunk == b"VP8L":
        (packed,) = struct.unpack_from("<I", content, 21)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    else:
        raise KeyError(chunk)
    return PictureHeader("WebP", height, width)


def _jpeg(content: bytes) -> PictureHeader:
    position = 2
    while True:
        if content[position] != 0xFF:  # noqa: PLR2004 - every marker starts with it
            raise KeyError(position)
        marker = content[position + 1]
        if marker == 0xFF:  # noqa: PLR2004 - padding before a marker
            position += 1
        elif marker in _JPEG_FRAMES:
            bits, height, width = struct.unpack_from(">BHH", content, position + 4)
            # A thumbnail has an end marker too, but lies before this point. OpenCV 4.8 fills the missing part of a
            # picture with grey and says nothing.
            if content.find(b"\xff\xd9", position) < 0:
                message = "its JPEG data end too early"
                raise ValueError(message)
            return PictureHeader("JPEG", height, width, bits)
        elif marker in _JPEG_BARE:
            # These have no length; what follows is read as another picture by who takes them to have one.
            raise KeyError(marker)
        else:
            (length,) = struct.unpack_from(">H", content, position + 2)
            position += 2 + length


def _tiff(content: bytes) -> PictureHeader:
    order = "<" if content.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, start)
    tags: dict[int, int] = {}
    for position in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", content, position)
        if tag in _TIFF_TAGS:
            form = order + _TIFF_FORMS[kind]
            place = position + 8
            if number * struct.calcsize(form) > 4:  # noqa: PLR2004 - more than fits here lies elsewhere
                (place,) = struct.unpack_from(order + "I", content, place)
            # Of one that comes twice libtiff takes the first.
            tags.setdefault(tag, *struct.unpack_from(form, content, place))
    width, height, bits, tile_width, tile_height = _TIFF_TAGS
    tile = tags.get(tile_height, 0), tags.get(tile_width, 0)
    return PictureHeader("TIFF", tags[height], tags[width], tags.get(bits, 1), tile)


_MAGICS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_READERS = {"PNG": _png, "JPEG": _jpeg, "BMP": _bmp, "WebP": _webp, "TIFF": _tiff}
# Start-of-frame markers; C4, C8 and CC are tables and an extension.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a segment, none of which comes before a frame: stuffing, TEM, restarts, start and end of the file.
_JPEG_BARE = frozenset({0x00, 0x01}) | frozenset(range(0xD0, 0xDA))
_TIFF_TAGS = (256, 257, 258, 322, 323)  # width, height, bits for each sample, width and height of a tile
_TIFF_FORMS = {3: "H", 4: "I"}
