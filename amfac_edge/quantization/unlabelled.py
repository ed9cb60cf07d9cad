"""People of pictures and videos that nobody annotated: who fills a picture, or whom a file of boxes names."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.cameras import PICTURE_SUFFIXES, BoxFile, Frame, FullFrame, decoded, open_source
from amfac_edge.datasets import ImageRecord, PeopleSet
from amfac_edge.datasets.pictures import open_pictures
from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import checked_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from amfac_edge.cameras import BoxSource
    from amfac_edge.datasets.pictures import FolderPictures, PictureStore, TarPictures
    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.keypoints import Bgr, Skeleton

__all__ = ["SMALLEST_BOX", "unlabelled_people"]

SMALLEST_BOX = 32.0
"""Sides of a usable box in picture pixels: below it a crop shows what was interpolated."""


_FRAME = "frame "


def unlabelled_people(declared: CalibrationSet, wanted: int, skeleton: Skeleton) -> tuple[PeopleSet, int]:
    """Up to `wanted` people, one on a picture or frame, in the order in which they are used; and how many were unfit.

    Of a video they come in the order of time, so that those who judge are later than those who calibrate.

    Args:
        declared: a set of pictures or of a video.
        wanted: how many people.
        skeleton: of the joints, none of which is labelled.

    Raises:
        FrameError: a picture, the video or the boxes can't be read.
        InputError: there is no picture.
    """
    random = np.random.default_rng(declared.seed)
    pictures = _Film(declared) if declared.source.kind == "video" else _Album(declared)
    boxes = _boxes(declared)
    found: list[tuple[int, ImageRecord, NDArray[np.float64]]] = []
    left_out = 0
    for number in pictures.shuffled(random):
        if len(found) == wanted:
            break
        frame = pictures.frame(number)
        height, width = frame.image.shape[:2]
        people = _fitting(boxes, frame, declared.source.min_score)
        if len(people):
            record = ImageRecord(number + 1, pictures.name_of(number), width, height)
            found.append((number, record, people[random.integers(len(people))]))
        else:
            left_out += 1
    if declared.source.kind == "video":
        found.sort(key=lambda each: each[0])
    return _people_set(declared, skeleton, pictures, found), left_out


def _boxes(declared: CalibrationSet) -> BoxSource:
    source = declared.source
    return FullFrame() if source.boxes is None else BoxFile(source.boxes, video=source.kind == "video")


def _fitting(boxes: BoxSource, frame: Frame, min_score: float) -> NDArray[np.float64]:
    """The boxes of a frame, (N, 4) xyxy, that are sure and large enough."""
    everybody = boxes.people(frame)
    try:
        found = checked_boxes(everybody.boxes[everybody.scores >= min_score], *frame.image.shape[:2])
    except FrameError as error:
        raise FrameError(f"{frame.name}: {error.problem}", cure=error.cure) from error
    return found[(found[:, 2:] - found[:, :2]).min(axis=1, initial=np.inf) >= SMALLEST_BOX]


def _people_set(
    declared: CalibrationSet,
    skeleton: Skeleton,
    store: PictureStore,
    found: list[tuple[int, ImageRecord, NDArray[np.float64]]],
) -> PeopleSet:
    boxes = np.array([box for _, _, box in found], np.float64).reshape(-1, 4)
    return PeopleSet(
        name=str(declared.source.path),
        skeleton=skeleton,
        boxes=boxes,
        keypoints=np.zeros((len(found), len(skeleton.joints), 3)),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        image_ids=np.array([record.id for _, record, _ in found], np.int64),
        annotation_ids=np.arange(1, len(found) + 1),
        iscrowd=np.zeros(len(found), np.bool_),
        keypoint_counts=np.zeros(len(found), np.int64),
        images={record.id: record for _, record, _ in found},
        stores=(store,),
        split="calibration",
    )


class _Album:
    """Pictures of a folder or tar, turned as their EXIF orientation says, as the runtime reads them."""

    def __init__(self, declared: CalibrationSet) -> None:
        self._where = declared.source.path
        self._store: FolderPictures | TarPictures = open_pictures(self._where)
        self._names = [name for name in self._store.names() if _is_picture(name)]
        if not self._names:
            raise InputError(
                f"{self._where}: no picture in it",
                cure=f"Pictures end in {' '.join(sorted(PICTURE_SUFFIXES))}; subfolders are not searched.",
            )
        bases = {PurePosixPath(name).name for name in self._names}
        if declared.source.boxes is not None and len(bases) < len(self._names):
            raise InputError(
                f"{self._where}: {len(self._names) - len(bases)} of its pictures have the name of another one, and "
                f"{declared.source.boxes} can't tell them apart",
                cure="Give each picture a name of its own.",
            )

    def shuffled(self, random: np.random.Generator) -> Iterable[int]:
        return map(int, random.permutation(len(self._names)))

    def name_of(self, number: int) -> str:
        return self._names[number]

    def frame(self, number: int) -> Frame:
        name = self._names[number]
        return Frame(number, 0.0, PurePosixPath(name).name, self._picture(name))

    def __contains__(self, name: str) -> bool:
        return name in self._store

    def read(self, name: str, height: int, width: int) -> Bgr:
        picture = self._picture(name)
        if picture.shape[:2] != (height, width):
            raise FrameError(f"{self._where}: {name} has changed while it was read", cure="Run the command again.")
        return picture

    def _picture(self, name: str) -> Bgr:
        return decoded(self._store.content(name), f"{self._where}: {name}")


class _Film:
    """Each n-th frame of a video. Frames are read onwards; one that lies back is reached from the start again."""

    def __init__(self, declared: CalibrationSet) -> None:
        self._path = declared.source.path
        self._every = declared.source.every
        self._source = open_source(self._path)
        if not self._source.video:
            raise FrameError(f"{self._path}: this is no video", cure="Name pictures with images = instead of video =.")
        self._first = self._last = self._rewound()

    def shuffled(self, random: np.random.Generator) -> Iterable[int]:
        length = self._source.length
        # Some containers announce one frame too many.
        known = sum(1 for _ in self._source) if length is None else max(1, length - 1)
        return map(int, random.permutation(np.arange(0, known, self._every)))

    def name_of(self, number: int) -> str:
        return f"{_FRAME}{number}"

    def frame(self, number: int) -> Frame:
        """As large as that one: who is in it is known without its pixels."""
        return Frame(number, 0.0, f"{self._path}, {_FRAME}{number}", self._first.image)

    def __contains__(self, name: str) -> bool:
        return name.startswith(_FRAME)

    def read(self, name: str, height: int, width: int) -> Bgr:
        number = int(name.removeprefix(_FRAME))
        if number < self._last.index:
            self._last = self._rewound()
        while self._last.index < number:
            following = next(self._frames, None)
            if following is None:
                raise FrameError(
                    f"{self._path}: {name} can't be read; the video breaks off after {self._last.index + 1} frames",
                    cure="Copy the video again, or cut it there.",
                )
            self._last = following
        if self._last.image.shape[:2] != (height, width):
            raise FrameError(f"{self._path}: {name} is of another size than the first one", cure="Cut the video there.")
        return self._last.image

    def _rewound(self) -> Frame:
        self._frames = iter(self._source)
        return next(self._frames)


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
