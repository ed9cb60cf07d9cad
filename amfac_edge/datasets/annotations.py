"""COCO keypoints, CrowdPose, and any JSON of their form -> a `PeopleSet`.

The file is untrusted. What is wrong with the file as a whole is refused; what is wrong with one annotation or picture
is a fault with its index, and faults are refused together or left out and named, as chosen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import numpy as np

from amfac_edge.datasets.joints import joint_map
from amfac_edge.datasets.people import ImageRecord, PeopleSet
from amfac_edge.datasets.pictures import open_pictures
from amfac_edge.declared.reading import read_toml, reading
from amfac_edge.errors import InputError
from amfac_edge.files import file_bytes
from amfac_edge.keypoints import skeleton as known_skeleton

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from amfac_edge.datasets.joints import JointMap
    from amfac_edge.datasets.pictures import PictureStore
    from amfac_edge.keypoints import Skeleton

__all__ = ["DataSource", "OnFault", "load_people", "read_data_source"]

OnFault = Literal["refuse", "skip"]

_SIZE_LIMIT = 1 << 30
_SHOWN = 8
_MAX_SHOWN = 60
_FARTHEST = 1e6
_SMALLEST = 1e-3
_LONGEST_SIDE = 65_535
_LARGEST_ID = 1 << 62
_PERSON = 1
_NUMBERS = (int, float)
_FORM = 'a COCO data set: {"images": [...], "annotations": [...], "categories": [...]}'


@dataclass(frozen=True)
class DataSource:
    """A data table (`[source]` of a TOML): where annotated people are.

    Attributes:
        annotations: path of the JSON.
        images: path of the folder or tar of pictures; None where it names none.
        skeleton: the name of a known skeleton; "" for the one in the file.
        split: "train", "val", ...
        map_joints: whether joints are mapped to the recipe's by name.
    """

    annotations: Path
    images: Path | None = None
    skeleton: str = ""
    split: str = ""
    map_joints: bool = False


def read_data_source(path: Path, *, folder: Path | None = None) -> DataSource:
    """The `[source]` of a data table; its paths are relative to the table, or to `folder`.

    Raises:
        DeclaredError: a faulty file (all faults, with key paths).
    """
    start = folder or path.parent
    with reading(read_toml(path), where=str(path)) as table:
        source = table.table("source")
        annotations = source.text("annotations")
        images = source.text("images", default="")
        found = DataSource(
            annotations=start / annotations,
            images=start / images if images else None,
            skeleton=source.text("skeleton", default=""),
            split=source.text("split", default=""),
            map_joints=source.flag("map_joints", default=False),
        )
        # A calibration set has fields of its own beside these.
        table.rest()
    return found


def load_people(
    annotations: Path,
    *,
    images: Path | None = None,
    skeleton: Skeleton | None = None,
    map_joints: bool = False,
    on_fault: OnFault = "refuse",
    split: str = "",
) -> PeopleSet:
    """Read annotated people.

    Args:
        annotations: a JSON file (at most 1 GiB) as COCO keypoints or CrowdPose publish it, or any of that form whose
            category names its joints; or a data table (.toml), whose images, skeleton and split count where the other
            arguments are not given.
        images: folder or uncompressed tar of the pictures; None loads no pictures.
        skeleton: the one that the people shall have; None for the file's own.
        map_joints: map the file's joints to `skeleton` by name. What the file lacks comes out unlabelled, what the
            skeleton lacks is dropped, and `keypoint_counts` are counted anew.
        on_fault: "refuse" raises for faulty annotations and pictures; "skip" leaves them out and names them in
            `faults`. A picture that is left out takes its people with it.
        split: name of the split.

    Raises:
        InputError: unreadable, not of that form, without people, of another skeleton, or with faults to be refused.
    """
    source = read_data_source(annotations) if annotations.suffix == ".toml" else DataSource(annotations)
    wanted = known_skeleton(source.skeleton) if skeleton is None and source.skeleton else skeleton
    data = _parsed(source.annotations)
    where = str(source.annotations)
    category, person_ids = _category(data.get("categories"), where)
    joints = joint_map(category, wanted, map_joints=map_joints or source.map_joints, where=where)
    pictures = images or source.images
    store = open_pictures(pictures) if pictures else None
    faults: list[str] = []
    records = _records(data["images"], store, pictures, faults)
    reader = _PersonReader(records, joints, person_ids, faults)
    people = list(reader.people(data["annotations"]))
    if faults and on_fault == "refuse":
        raise InputError(f"{where}: {_listed(faults)}", cure="Mend them, or leave them out: --skip-faults.")
    found = replace(
        _people_set(people, records, joints),
        name=source.annotations.stem,
        split=split or source.split,
        stores=() if store is None else (store,),
        faults=tuple(faults),
    )
    if not found.labelled.any():
        raise InputError(
            f"{where}: of its {len(found)} people none has a labelled joint"
            + (f"; {_listed(faults)}" if faults else ""),
            cure="Give keypoint annotations (person_keypoints_*.json of COCO), not those of boxes or captions.",
        )
    return found


@dataclass(frozen=True)
class _Person:
    """One annotation, checked."""

    id: int
    image_id: int
    box: tuple[float, float, float, float]
    keypoints: list[float]
    area: float
    crowd: bool
    count: int


class _PersonReader:
    """Annotations -> checked people; faults are collected."""

    def __init__(
        self, records: dict[int, ImageRecord], joints: JointMap, person_ids: set[int], faults: list[str]
    ) -> None:
        self._records = records
        self._length = 3 * joints.joints_in_file
        self._person_ids = person_ids
        self._faults = faults
        self._seen: set[int] = set()

    def people(self, annotations: list[object]) -> Iterator[_Person]:
        for index, entry in enumerate(annotations):
            category = entry.get("category_id") if isinstance(entry, dict) else None
            if _is_id(category) and category not in self._person_ids:
                continue
            try:
                person = self._person(entry)
            except (ValueError, TypeError) as error:
                number = f" (id {entry['id']})" if isinstance(entry, dict) and _is_id(entry.get("id")) else ""
                self._faults.append(f"annotation {index}{number}: {error}")
            else:
                self._seen.add(person.id)
                yield person

    def _person(self, entry: object) -> _Person:
        if not isinstance(entry, dict):
            raise TypeError(f"is {_shown(entry)}, not an object")
        number, image = _id(entry, "id"), _id(entry, "image_id")
        if number in self._seen:
            raise ValueError(f"its id {number} was there before")
        if image not in self._records:
            raise ValueError(f"there is no picture with its image_id {image}")
        crowd = _flag(entry.get("iscrowd", 0), "iscrowd")
        box = self._box(entry.get("bbox"))
        # A group may be annotated without joints at all.
        keypoints = self._keypoints(
            [0] * self._length if crowd and "keypoints" not in entry else entry.get("keypoints")
        )
        labelled = sum(value > 0 for value in keypoints[2::3])
        area = entry.get("area", (box[2] - box[0]) * (box[3] - box[1]))
        if type(area) not in _NUMBERS or not 0 <= area <= _FARTHEST**2:
            raise ValueError(f"area: expected a number within 0 and {_FARTHEST**2:g}, got {_shown(area)}")
        count = entry.get("num_keypoints", labelled)
        if not _is_id(count):
            raise ValueError(f"num_keypoints: expected a whole number, got {_shown(count)}")
        return _Person(number, image, box, keypoints, float(area), crowd, count)

    def _box(self, box: object) -> tuple[float, float, float, float]:
        if not isinstance(box, list) or len(box) != 4 or not _are_numbers(box):  # noqa: PLR2004 - x, y, width, height
            raise ValueError(f"bbox: expected four finite numbers [x, y, width, height], got {_shown(box)}")
        x, y, width, height = map(float, box)
        if width < _SMALLEST or height < _SMALLEST:
            raise ValueError(f"bbox {_shown(box)} has no area")
        return x, y, x + width, y + height

    def _keypoints(self, values: object) -> list[float]:
        if not isinstance(values, list) or len(values) != self._length:
            amount = f"{len(values)} numbers" if isinstance(values, list) else _shown(values)
            raise ValueError(f"keypoints: expected {self._length} numbers (x, y, v for each joint), got {amount}")
        if not _are_numbers(values):
            raise ValueError("keypoints: not all of them are finite numbers below a million")
        if not {0, 1, 2}.issuperset(values[2::3]):
            raise ValueError(f"keypoints: v is 0, 1 or 2, not {_shown(min(set(values[2::3]) - {0, 1, 2}))}")
        return values


def _parsed(path: Path) -> dict[str, Any]:
    content = file_bytes(path, limit=_SIZE_LIMIT, what="annotation file")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", cure=f"Give {_FORM}.") from error
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations")):
        keys = (
            f"an object with {', '.join(list(data)[:_SHOWN]) or 'nothing'}" if isinstance(data, dict) else _shown(data)
        )
        raise InputError(f"{path}: holds {keys}", cure=f"Give {_FORM}.")
    return data


def _category(categories: object, where: str) -> tuple[dict[str, Any], set[int]]:
    """The person category (with joints) and the ids that count as people."""
    rows = [row for row in categories if isinstance(row, dict)] if isinstance(categories, list) else []
    if not rows:
        return {}, {_PERSON}
    people = [row for row in rows if row.get("name") == "person"] or [row for row in rows if row.get("keypoints")]
    ids = {number for number in (row.get("id") for row in people) if _is_id(number)}
    if len(people) != 1 or not ids:
        names = ", ".join(str(row.get("name")) for row in rows[:_SHOWN])
        raise InputError(
            f"{where}: {len(people)} of its categories ({names}) are people",
            cure='Exactly one category must be named "person", with an id and the joints\' names in `keypoints`.',
        )
    return people[0], ids


def _records(
    images: list[object], store: PictureStore | None, pictures: Path | None, faults: list[str]
) -> dict[int, ImageRecord]:
    records: dict[int, ImageRecord] = {}
    for index, entry in enumerate(images):
        try:
            record = _record(entry)
        except (ValueError, TypeError) as error:
            faults.append(f"image {index}: {error}")
            continue
        if record.id in records:
            faults.append(f"image {index}: its id {record.id} was there before")
        elif store is not None and record.file_name not in store:
            faults.append(f"image {index} (id {record.id}): {pictures} has no {_shown(record.file_name)}")
        else:
            records[record.id] = record
    return records


def _record(entry: object) -> ImageRecord:
    if not isinstance(entry, dict):
        raise TypeError(f"is {_shown(entry)}, not an object")
    name, crowd_index = entry.get("file_name"), entry.get("crowdIndex")
    if not isinstance(name, str) or not name:
        raise ValueError(f"file_name: expected a name, got {_shown(name)}")
    if crowd_index is not None and not _are_numbers([crowd_index]):
        raise ValueError(f"crowdIndex: expected a number, got {_shown(crowd_index)}")
    width, height = _side(entry, "width"), _side(entry, "height")
    return ImageRecord(_id(entry, "id"), name, width, height, None if crowd_index is None else float(crowd_index))


def _people_set(people: list[_Person], records: dict[int, ImageRecord], joints: JointMap) -> PeopleSet:
    raw = np.array([person.keypoints for person in people], np.float64).reshape(len(people), joints.joints_in_file, 3)
    keypoints = np.zeros((len(people), len(joints.sources), 3))
    for target, source in enumerate(joints.sources):
        if source >= 0:
            keypoints[:, target] = raw[:, source]
    counts = np.array([person.count for person in people], np.int64)
    return PeopleSet(
        name="",
        skeleton=joints.skeleton,
        boxes=np.array([person.box for person in people], np.float64).reshape(-1, 4),
        keypoints=keypoints,
        areas=np.array([person.area for person in people], np.float64),
        image_ids=np.array([person.image_id for person in people], np.int64),
        annotation_ids=np.array([person.id for person in people], np.int64),
        iscrowd=np.array([person.crowd for person in people], np.bool_),
        keypoint_counts=counts if joints.is_identity else (keypoints[:, :, 2] > 0).sum(axis=1),
        images=records,
    )


def _id(entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if not _is_id(value):
        raise ValueError(f"{key}: expected a whole number from 0 on, got {_shown(value)}")
    return value


def _side(entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if not _is_id(value) or not 1 <= value <= _LONGEST_SIDE:
        raise ValueError(f"{key}: expected a whole number within 1 and {_LONGEST_SIDE}, got {_shown(value)}")
    return value


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_ID


def _flag(value: object, key: str) -> bool:
    if value not in (0, 1):
        raise ValueError(f"{key}: expected 0 or 1, got {_shown(value)}")
    return bool(value)


def _are_numbers(values: list[Any]) -> bool:
    """Whether all are plain numbers of a size that pixels can have; NaN fails the comparison."""
    return all(type(value) in _NUMBERS and -_FARTHEST <= value <= _FARTHEST for value in values)


def _listed(faults: list[str]) -> str:
    more = f"\n  and {len(faults) - _SHOWN:,} more" if len(faults) > _SHOWN else ""
    lines = "".join(f"\n  {fault}" for fault in faults[:_SHOWN])
    return f"{len(faults):,} fault{'s' if len(faults) > 1 else ''}:{lines}{more}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
