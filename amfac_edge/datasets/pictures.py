"""Where the pictures of a data set are read from: a folder or a tar, by the names in its annotations.

Nothing is extracted from a tar. It is indexed once; after that a read is one `os.pread`, which several threads and
worker processes may do at the same time.
"""

from __future__ import annotations

import errno
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from amfac_edge.errors import FrameError, InputError
from amfac_edge.files import file_bytes
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amfac_edge.keypoints import Bgr

__all__ = ["FolderPictures", "PictureStore", "TarPictures", "decoded_picture", "open_pictures"]

_LARGEST_FILE = 256 << 20
_MOST_MEMBERS = 5_000_000
_DAMAGED_CURE = "Copy the file again, or leave it out: --skip-faults, or on_fault='skip', passes over such pictures."


class PictureStore(Protocol):
    """Pictures by name; it can be pickled into a worker process and is safe to share after a fork."""

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str, height: int, width: int) -> Bgr:
        """The picture of that name as (H, W, 3) uint8 BGR, H and W as the annotations say.

        Raises:
            FrameError: absent, damaged, or of another size; the message names it.
        """
        ...


class FolderPictures:
    """The pictures of a folder, below it too where the names say so.

    Args:
        folder: its path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        return self._path(name) is not None

    def read(self, name: str, height: int, width: int) -> Bgr:
        """See `PictureStore.read`."""
        return decoded_picture(self.content(name), str(self._path(name)), height, width)

    def names(self) -> list[str]:
        """Of the files in the folder itself, sorted; hidden ones are left out."""
        return sorted(
            entry.name for entry in self._folder.iterdir() if not entry.name.startswith(".") and entry.is_file()
        )

    def content(self, name: str) -> bytes:
        """The bytes of the file of that name, at most 256 MiB.

        Raises:
            FrameError: absent or unreadable; the message names it.
        """
        try:
            path = self._path(name)
        except OSError as error:
            raise FrameError(
                f"{self._folder}: {name!r} can't be read: {error.strerror or error}", cure="Check the folder's rights."
            ) from error
        if path is None:
            raise FrameError(f"{self._folder}: has no picture {name!r}", cure="Give the folder that has it.")
        try:
            return file_bytes(path, limit=_LARGEST_FILE, what="picture")
        except InputError as error:
            raise FrameError(error.problem, cure=error.cure) from error

    def _path(self, name: str) -> Path | None:
        if not _harmless(name):
            return None
        for path in (self._folder / name, self._folder / PurePosixPath(name).name):
            try:
                if path.is_file():
                    return path
            except OSError as error:  # noqa: PERF203 - of two
                if error.errno != errno.ENAMETOOLONG:
                    raise
        return None


class TarPictures:
    """The pictures of an uncompressed tar.

    Args:
        path: of the tar. Members with absolute names or `..` in them, links and devices are left out.

    Raises:
        InputError: no tar, a compressed one, a truncated one, or one with more than 5 million members.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places = _tar_index(path)
        self._by_base: dict[str, str | None] = {}
        for name in self._places:
            base = PurePosixPath(name).name
            self._by_base[base] = None if base in self._by_base else name
        self._opened: tuple[int, int] | None = None

    def __contains__(self, name: str) -> bool:
        return self._member(name) is not None

    def read(self, name: str, height: int, width: int) -> Bgr:
        """See `PictureStore.read`."""
        return decoded_picture(self.content(name), f"{self._path}: {self._member(name)}", height, width)

    def names(self) -> list[str]:
        """Of its members, sorted."""
        return sorted(self._places)

    def content(self, name: str) -> bytes:
        """The bytes of the member of that name.

        Raises:
            FrameError: absent or unreadable; the message names it.
        """
        member = self._member(name)
        if member is None:
            raise FrameError(f"{self._path}: has no picture {name!r}", cure="Give the tar that has it.")
        offset, size = self._places[member]
        try:
            return os.pread(self._handle(), size, offset)
        except OSError as error:
            raise FrameError(f"{self._path}: {member} can't be read: {error.strerror}", cure=_DAMAGED_CURE) from error

    def close(self) -> None:
        """Close this process's file handle; the next read opens it again."""
        if self._opened is not None and self._opened[0] == os.getpid():
            os.close(self._opened[1])
        self._opened = None

    def __del__(self) -> None:
        if getattr(self, "_opened", None) is not None:
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _member(self, name: str) -> str | None:
        plain = name.removeprefix("./")
        return plain if plain in self._places else self._by_base.get(PurePosixPath(plain).name)

    def _handle(self) -> int:
        """A file descriptor of this very process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), os.open(self._path, os.O_RDONLY))
        return self._opened[1]


def open_pictures(path: Path) -> FolderPictures | TarPictures:
    """The pictures in a folder or in a tar.

    Raises:
        InputError: neither of them.
    """
    if path.is_dir():
        return FolderPictures(path)
    if path.is_file():
        return TarPictures(path)
    raise InputError(f"{path}: no such folder or tar of pictures", cure="Give --images FOLDER or --images FILE.tar.")


def decoded_picture(content: bytes, where: str, height: int, width: int) -> Bgr:
    """A picture file's bytes as (H, W, 3) uint8 BGR of the annotated size.

    Annotations are made on the stored pixels, so an EXIF orientation counts only where the size fits no other way.

    Raises:
        FrameError: damaged, or of another size; `where` names it.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = load_opencv("reading pictures")
    sizes = []
    for flags in (cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, cv2.IMREAD_COLOR):
        try:
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
        except cv2.error:
            picture = None
        if picture is None:
            raise FrameError(f"{where}: the picture is truncated, damaged or none", cure=_DAMAGED_CURE)
        if picture.shape[:2] == (height, width):
            return np.asarray(picture)
        sizes.append(f"{picture.shape[1]}x{picture.shape[0]}")
    raise FrameError(
        f"{where}: has {sizes[0]} pixels, and {width}x{height} in the annotations",
        cure="Give the pictures that the annotations were made for, not resized ones.",
    )


def _harmless(name: str) -> bool:
    """Whether a name stays within the folder that it is looked up in."""
    path = PurePosixPath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _tar_index(path: Path) -> Mapping[str, tuple[int, int]]:
    """Member name -> (offset, size) in the file."""
    places: dict[str, tuple[int, int]] = {}
    length = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if not member.isfile() or member.issparse() or not _harmless(name):
                    continue
                if member.offset_data + member.size > length or len(places) >= _MOST_MEMBERS:
                    raise tarfile.ReadError(f"{name} reaches beyond the end of the file, or there are too many members")
                places[name] = (member.offset_data, member.size)
        # tarfile takes a header that is cut off for the end.
        with path.open("rb") as stream:
            stream.seek(-min(length, tarfile.BLOCKSIZE), os.SEEK_END)
            if stream.read().strip(b"\0"):
                raise tarfile.ReadError("its end is missing")
    except (tarfile.TarError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: can't be read as an uncompressed tar: {error}",
            cure="Unpack a zip or a compressed tar and give the folder, or pack a plain one: tar cf NAME.tar FOLDER",
        ) from error
    return places
