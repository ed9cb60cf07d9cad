from __future__ import annotations

import struct
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import read_picture
from amfac_edge.cameras.pictures import check_size
from amfac_edge.errors import FrameError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

cv2 = pytest.importorskip("cv2")

PICTURE = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (80, 60))


def saved(path: Path, picture: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, picture)[1])
    return path


def png_announcing(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_pictures_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    np.testing.assert_array_equal(read_picture(saved(tmp_path / f"a{suffix}", PICTURE)), PICTURE)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_pictures_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    picture = read_picture(saved(tmp_path / f"a{suffix}", PICTURE))
    assert picture.shape == PICTURE.shape
    assert np.abs(picture.astype(int) - PICTURE).mean() < 4


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", PICTURE)
    np.testing.assert_array_equal(read_picture(path.rename(tmp_path / "a.jpg")), PICTURE)


def test_grey_becomes_three_channels(tmp_path: Path) -> None:
    picture = read_picture(saved(tmp_path / "grey.png", PICTURE[:, :, 0]))
    np.testing.assert_array_equal(picture, np.repeat(PICTURE[:, :, :1], 3, axis=2))


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    bgra = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "alpha.png", bgra)), PICTURE)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_the_upper_eight(tmp_path: Path, suffix: str) -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = read_picture(saved(tmp_path / f"deep{suffix}", deep))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, :, 0], deep >> 8)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 20_000, 3), (20_000, 1, 3)])
def test_odd_sizes_are_pictures(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert read_picture(saved(tmp_path / "a.png", np.zeros(shape, np.uint8))).shape == shape


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    content = bytes(cv2.imencode(".jpg", PICTURE)[1])
    orientation = b"Exif\x00\x00II*\x00" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, 0)
    path = tmp_path / "turned.jpg"
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(orientation)) + orientation + content[2:])
    upright = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_picture(path), np.rot90(upright, -1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.png: the picture is empty \(0 bytes\)\n.*[Cc]opy the file again"),
        (
            b"not a picture at all",
            r"a\.png: not a picture of a known kind \(it starts with b'not a pi'\)\n.*PNG or JPEG",
        ),
        (b"GIF89a" + bytes(50), r"not a picture of a known kind"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", r"truncated or damaged: its PNG header is cut short"),
        (png_announcing(30_000, 30), r"a\.png: 30000x30 pixels are too many; the limits are 20,000 on a side"),
        (png_announcing(15_000, 15_000), r"15000x15000 pixels are too many.*100,000,000 altogether\n.*smaller"),
        (png_announcing(0, 15_000), r"0x15000 pixels are no picture"),
        (png_announcing(1000, 1000), r"a\.png: the picture's data are truncated or damaged"),
    ],
)
def test_bad_pictures_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FrameError, match=message):
        read_picture(path)


def test_a_header_that_announces_too_much_is_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_announcing(20_000, 20_000))
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(FrameError, match="too many"):
        read_picture(path)


def test_what_opencv_refuses_itself_is_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beyond = np.frombuffer(png_announcing(40_000, 40_000), np.uint8)
    path = saved(tmp_path / "a.png", PICTURE)
    monkeypatch.setattr(cv2, "imdecode", lambda _, mode, decode=cv2.imdecode: decode(beyond, mode))
    with pytest.raises(FrameError, match=r"a\.png: the picture can't be decoded.*CV_IO_MAX_IMAGE_PIXELS"):
        read_picture(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_a_truncated_picture_is_refused_wherever_it_ends(tmp_path: Path, suffix: str) -> None:
    content = saved(tmp_path / f"whole{suffix}", PICTURE).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for end in [*range(1, len(content) - 20, len(content) // 12), len(content) - 20]:
        path.write_bytes(content[:end])
        with pytest.raises(FrameError, match=rf"cut\{suffix}: "):
            read_picture(path)


def test_a_tiff_of_one_pixel_in_a_huge_tile_is_refused(tmp_path: Path) -> None:
    tags = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (322, 4, 1, 16_000), (323, 4, 1, 16_000)]
    path = tmp_path / "a.tiff"
    path.write_bytes(
        b"II*\x00" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    )
    with pytest.raises(FrameError, match=r"a\.tiff, one of its tiles: 16000x16000 pixels are too many"):
        read_picture(path)


def test_a_float_tiff_is_refused(tmp_path: Path) -> None:
    tags = [(256, 3, 1, 7), (257, 3, 1, 5), (258, 3, 1, 32), (339, 3, 1, 3)]
    path = tmp_path / "a.tiff"
    path.write_bytes(b"II*\x00" + struct.pack("<IH", 8, 4) + b"".join(struct.pack("<HHII", *tag) for tag in tags))
    with pytest.raises(FrameError, match=r"a\.tiff: 32 bits a channel; at most 16 are read"):
        read_picture(path)


def test_absent_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match=r"nowhere\.png: the picture does not exist"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(FrameError, match=r"the picture is not a file"):
        read_picture(tmp_path)


def test_the_limits_themselves_are_fine() -> None:
    check_size("a", 20_000, 5_000)
    check_size("a", 1, 1)


def test_without_opencv_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", PICTURE)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'reading pictures needs .*\n.*"amfac-edge\[cpu\]"'):
        read_picture(path)
