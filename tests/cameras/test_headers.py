from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.cameras.headers import picture_header, picture_kind

cv2 = pytest.importorskip("cv2")

# Every writer and form that OpenCV has for the accepted kinds: lossy and lossless WebP, with and without alpha.
FORMS = [
    ("PNG", ".png", 3, []),
    ("PNG", ".png", 1, []),
    ("PNG", ".png", 4, []),
    ("JPEG", ".jpg", 3, []),
    ("JPEG", ".jpg", 1, []),
    ("JPEG", ".jpg", 3, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    ("JPEG", ".jpg", 3, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
    ("BMP", ".bmp", 3, []),
    ("WebP", ".webp", 3, [cv2.IMWRITE_WEBP_QUALITY, 50]),
    ("WebP", ".webp", 3, [cv2.IMWRITE_WEBP_QUALITY, 101]),
    ("WebP", ".webp", 4, [cv2.IMWRITE_WEBP_QUALITY, 50]),
    ("TIFF", ".tiff", 3, []),
    ("TIFF", ".tiff", 1, []),
]


def encoded(suffix: str, channels: int, options: list[int], height: int = 37, width: int = 211) -> bytes:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    there, content = cv2.imencode(suffix, picture, options)
    assert there
    return bytes(content)


@pytest.mark.parametrize(("kind", "suffix", "channels", "options"), FORMS)
def test_the_header_has_the_size_that_opencv_decodes(kind: str, suffix: str, channels: int, options: list[int]) -> None:
    content = encoded(suffix, channels, options)
    header = picture_header(content)
    assert (header.kind, header.height, header.width, header.bits) == (kind, 37, 211, 8)
    assert picture_kind(content[:16]) == kind


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_seen(suffix: str) -> None:
    content = bytes(cv2.imencode(suffix, np.zeros((5, 7, 3), np.uint16))[1])
    assert picture_header(content).bits == 16


def test_bits_that_lie_outside_their_tag_are_found() -> None:
    tags = [(256, 3, 1, 7), (257, 3, 1, 5), (258, 3, 3, 100)]
    header = b"II*\x00" + struct.pack("<IH", 8, 3) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = header.ljust(100, b"\x00") + struct.pack("<HHH", 32, 32, 32)
    assert picture_header(content).bits == 32


def test_a_big_endian_tiff() -> None:
    tags = [(256, 3, 1, 211 << 16), (257, 4, 1, 37), (258, 3, 1, 8 << 16)]
    content = b"MM\x00*" + struct.pack(">IH", 8, 3) + b"".join(struct.pack(">HHII", *tag) for tag in tags)
    header = picture_header(content)
    assert (header.height, header.width, header.bits) == (37, 211, 8)


def test_bmp_of_os2_and_with_rows_from_the_top() -> None:
    old = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 211, 37, 1, 24)
    top_down = b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 211, -37, 1, 24)
    for content in (old, top_down):
        assert (picture_header(content).height, picture_header(content).width) == (37, 211)


def test_padding_before_a_jpeg_marker_is_skipped() -> None:
    content = encoded(".jpg", 3, [])
    assert picture_header(content[:2] + b"\xff\xff" + content[2:]) == picture_header(content)


@pytest.mark.parametrize("bare", [0x00, 0x01, 0xD0, 0xD7, 0xD8, 0xD9])
def test_a_marker_without_a_segment_hides_no_other_size(bare: int) -> None:
    """A reader that gives it a length would jump over the real size, and find a made-up one in a comment."""
    content = encoded(".jpg", 3, [])
    with pytest.raises(ValueError, match="its JPEG header is cut short or damaged"):
        picture_header(content[:2] + bytes([0xFF, bare]) + content[2:])


def test_of_a_tag_that_comes_twice_the_first_counts() -> None:
    tags = [(256, 4, 1, 25_000), (256, 4, 1, 10), (257, 4, 1, 5_000), (257, 4, 1, 10)]
    content = b"II*\x00" + struct.pack("<IH", 8, 4) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    header = picture_header(content)
    assert (header.height, header.width) == (5_000, 25_000)


def test_a_thumbnail_s_end_is_not_the_picture_s_end() -> None:
    content = encoded(".jpg", 3, [])
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 4) + b"\xff\xd8\xff\xd9"
    whole = content[:2] + thumbnail + content[2:]
    assert picture_header(whole).width == 211
    with pytest.raises(ValueError, match="its JPEG data end too early"):
        picture_header(whole[:-20])


@pytest.mark.parametrize("head", [b"", b"\x00" * 16, b"GIF89a", b"RIFF\x00\x00\x00\x00AVI LIST", b"%PDF-1.7"])
def test_other_files_have_no_kind(head: bytes) -> None:
    assert picture_kind(head) is None


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form[1:])))
@given(data=st.data())
def test_damaged_headers_are_refused_or_read_but_never_crash(
    form: tuple[str, str, int, list[int]], data: st.DataObject
) -> None:
    content = bytearray(encoded(*form[1:]))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(12, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(content[: data.draw(st.integers(16, len(content)))])
    try:
        header = picture_header(damaged)
    except ValueError as error:
        assert form[0] in str(error)  # noqa: PT017 - either outcome is right
        return
    assert header.kind == form[0]
