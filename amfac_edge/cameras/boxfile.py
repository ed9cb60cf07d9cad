"""Boxes from a file: a COCO results list, or a COCO data set with `images` and `annotations`.

An entry has a `bbox` (x, y, width, height in frame pixels; x and y are taken as pixel coordinates, as every evaluator
of COCO does), perhaps a `score` (1 where it has none), and says which frame it belongs to, by the first of these that
it has:

    "file_name": "street.jpg"       the picture of that name
    "frame": 12                     the frame of that number in the source, from 0
    "image_id": 139                 the picture with that number as its name ("000000000139.jpg"), or the frame of
                                    that number in a video; in a data set, the picture that `images` gives that id
    "image_id": "street"            the picture of that name without its suffix

Entries of another category than "person" (`category_id` 1 where no `categories` say otherwise) and annotations of
crowds (`iscrowd`) are left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from amfac_edge.errors import FrameError, InputError
from amfac_edge.files import file_bytes
from amfac_edge.keypoints import PeopleBoxes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amfac_edge.cameras.frames import Frame

__all__ = ["BoxFile"]

_SIZE_LIMIT = 256 << 20
_LARGEST = 1e9
_MAX_SHOWN = 60
_PERSON = 1
_FORMS = 'a list [{"image_id": 139, "bbox": [x, y, width, height], "score": 0.9}, ...] or a COCO data set'

# A way of naming a frame ("name", "stem", "id" or "frame") and the name.
_Key = tuple[str, "int | str"]
_Box = tuple[float, float, float, float, float]


class BoxFile:
    """A `BoxSource` over a file; it remembers which of its entries were asked for.

    Args:
        path: of the JSON file, at most 256 MiB.
        video: whether the frames are those of a video, whose numbers are what `image_id` means.

    Raises:
        FrameError: no such file, not JSON, another form, or an entry that can't be used, which the message names.
    """

    def __init__(self, path: Path, *, video: bool) -> None:
        self.path = path
        self._video = video
        self._ids: dict[str, int] = {}
        self._people: dict[_Key, list[_Box]] = {}
        self._asked: set[_Key] = set()
        self.left_out = 0
        data = _parsed(path)
        if isinstance(data, list):
            self._read(data, "entry", persons={_PERSON})
        elif isinstance(data, dict) and isinstance(data.get("annotations"), list):
            self._read_names(data.get("images"))
            self._read(data["annotations"], "annotation", persons=_persons(data.get("categories")))
        else:
            raise FrameError(f"{path}: holds {_shown(data)}", cure=f"Give {_FORMS}.")

    def people(self, frame: Frame) -> PeopleBoxes:
        """See `BoxSource.people`."""
        keys = self._keys(frame)
        self._asked.update(keys)
        rows = np.array([box for key in keys for box in self._people.get(key, ())], np.float64).reshape(-1, 5)
        return PeopleBoxes(rows[:, :4], rows[:, 4])

    def image_id(self, frame: Frame) -> int | None:
        """See `BoxSource.image_id`."""
        return self._ids.get(frame.name)

    @property
    def matched(self) -> bool:
        """Whether any box is of a frame that there was."""
        return any(key in self._asked for key in self._people)

    def unmatched(self) -> dict[str, int]:
        """How many boxes lie under names that no frame had, by name."""
        return {
            str(name) if kind == "name" else f"{kind} {name}": len(boxes)
            for (kind, name), boxes in self._people.items()
            if (kind, name) not in self._asked
        }

    def _keys(self, frame: Frame) -> list[_Key]:
        if self._video:
            return [("frame", frame.index), ("id", frame.index)]
        stem = Path(frame.name).stem
        keys: list[_Key] = [("frame", frame.index), ("name", frame.name), ("stem", stem)]
        return [*keys, ("id", int(stem))] if stem.isascii() and stem.isdecimal() else keys

    def _read_names(self, images: object) -> None:
        for index, image in enumerate(images if isinstance(images, list) else ()):
            number, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
            if not _is_whole(number) or not isinstance(name, str):
                raise self._fault(f"image {index}", f"has no id with a file_name: {_shown(image)}")
            self._ids[_base(name)] = number

    def _read(self, entries: Iterable[object], noun: str, *, persons: set[int]) -> None:
        names = {number: name for name, number in self._ids.items()}
        for index, entry in enumerate(entries):
            where = f"{noun} {index}"
            if not isinstance(entry, dict):
                raise self._fault(where, f"is {_shown(entry)}, not an object")
            if not self._is_person(entry, where, persons):
                self.left_out += 1
                continue
            key, box = self._key(entry, where, names), self._box(entry, where)
            self._people.setdefault(key, []).append(box)

    def _is_person(self, entry: dict[str, object], where: str, persons: set[int]) -> bool:
        category = entry.get("category_id")
        if category is None:
            return not entry.get("iscrowd")
        if not _is_whole(category):
            raise self._fault(where, f"category_id: expected a whole number, got {_shown(category)}")
        return category in persons and not entry.get("iscrowd")

    def _key(self, entry: dict[str, object], where: str, names: dict[int, str]) -> _Key:
        name, number, image = entry.get("file_name"), entry.get("frame"), entry.get("image_id")
        if isinstance(name, str):
            return "name", _base(name)
        if _is_whole(number):
            return "frame", number
        if _is_whole(image):
            return ("name", names[image]) if image in names and not self._video else ("id", image)
        if isinstance(image, str):
            return "stem", image
        raise self._fault(where, f"names no frame: it has none of file_name, frame and image_id, but {_shown(entry)}")

    def _box(self, entry: dict[str, object], where: str) -> _Box:
        box, score = entry.get("bbox"), entry.get("score", 1.0)
        numbers = [float(value) for value in box if _is_number(value)] if isinstance(box, list) else []
        if not isinstance(box, list) or len(box) != 4 or len(numbers) != 4:  # noqa: PLR2004 - x, y, width, height
            raise self._fault(where, f"bbox: expected four finite numbers [x, y, width, height], got {_shown(box)}")
        x, y, width, height = numbers
        if width <= 0 or height <= 0:
            raise self._fault(where, f"bbox {_shown(box)} has no area")
        if not _is_number(score) or not 0 <= score <= 1:
            raise self._fault(where, f"score: expected a number within 0 and 1, got {_shown(score)}")
        return x, y, x + width, y + height, score

    def _fault(self, where: str, sentence: str) -> FrameError:
        return FrameError(f"{self.path}: {where} {sentence}", cure="Mend or drop that one, counted from 0.")


def _parsed(path: Path) -> object:
    try:
        return json.loads(file_bytes(path, limit=_SIZE_LIMIT, what="file of boxes"))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{path}: not JSON: {error}", cure=f"Give {_FORMS}.") from error
    except InputError as error:
        raise FrameError(error.problem, cure=error.cure) from error


def _persons(categories: object) -> set[int]:
    """The ids of the category "person"; 1 where no category of that name is declared."""
    rows = [entry for entry in categories if isinstance(entry, dict)] if isinstance(categories, list) else []
    numbers = [row.get("id") for row in rows if row.get("name") == "person"]
    return {number for number in numbers if _is_whole(number)} or {_PERSON}


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number of a size that pixels and scores can have; NaN fails the comparison."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
