"""Annotated people as parallel arrays. N people, K joints.

A box is x1, y1, x2, y2 in picture pixels (integers are pixel centres; COCO's x, y, width, height become x, y,
x + width, y + height). A joint is x, y and v: 0 not labelled, 1 labelled and hidden, 2 labelled and visible.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import FrameError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from amfac_edge.datasets.pictures import PictureStore
    from amfac_edge.keypoints import Bgr, Skeleton

__all__ = ["ImageRecord", "PeopleSet", "join_people"]


@dataclass(frozen=True)
class ImageRecord:
    """One picture of a data set.

    Attributes:
        id: its number, unique in the set.
        file_name: where its store finds it.
        width: in pixels.
        height: in pixels.
        crowd_index: CrowdPose's measure of crowding, 0..1; None where the data set has none.
        store: which of the set's stores has it.
    """

    id: int
    file_name: str
    width: int
    height: int
    crowd_index: float | None = None
    store: int = 0


@dataclass(frozen=True, eq=False)
class PeopleSet:
    """The people of a data set, in the order of their annotations, and their pictures.

    Attributes:
        name: of the set, for messages and results.
        skeleton: of the K joints.
        boxes: (N, 4) float64 xyxy in picture pixels.
        keypoints: (N, K, 3) float64: x, y in picture pixels and v.
        areas: (N,) float64, in square pixels, as annotated (of the body's outline in COCO).
        image_ids: (N,) int64.
        annotation_ids: (N,) int64, unique.
        iscrowd: (N,) bool: the annotation stands for a group.
        keypoint_counts: (N,) int64: `num_keypoints` as the file has it, which evaluators go by.
        images: the pictures by id, those without people too.
        stores: where pictures are read from; empty where the set was loaded without pictures.
        split: "train", "val", ...; "" where nobody said.
        faults: a sentence for each annotation or picture that was left out.
    """

    name: str
    skeleton: Skeleton
    boxes: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    areas: NDArray[np.float64]
    image_ids: NDArray[np.int64]
    annotation_ids: NDArray[np.int64]
    iscrowd: NDArray[np.bool_]
    keypoint_counts: NDArray[np.int64]
    images: Mapping[int, ImageRecord]
    stores: Sequence[PictureStore] = field(default=(), repr=False)
    split: str = ""
    faults: tuple[str, ...] = ()

    def __len__(self) -> int:
        """N."""
        return len(self.boxes)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N,) bool: single people with at least one labelled joint: those who can be learned from and scored."""
        return ~self.iscrowd & (self.keypoints[:, :, 2] > 0).any(axis=1)

    def read_image(self, image_id: int) -> Bgr:
        """The picture of that id, (H, W, 3) uint8 BGR; any thread, any worker process.

        Raises:
            FrameError: absent, damaged or of another size than annotated.
            InputError: the set was loaded without pictures.
        """
        record = self.images.get(image_id)
        if record is None:
            raise FrameError(f"{self.name}: has no picture with the id {image_id}", cure="Use the ids of `images`.")
        self.require_pictures()
        return self.stores[record.store].read(record.file_name, record.height, record.width)

    def require_pictures(self) -> None:
        """Refuse, before any work, a set that was loaded without pictures.

        Raises:
            InputError: it was.
        """
        if not self.stores:
            raise InputError(
                f"{self.name}: was loaded without its pictures", cure="Give --images FOLDER or --images FILE.tar."
            )

    def digest(self) -> str:
        """SHA-256 in hex of the people and of what their pictures are called, not of the pictures."""
        digest = hashlib.sha256(" ".join(self.skeleton.joints).encode())
        for name in _ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        for number, record in sorted(self.images.items()):
            digest.update(
                f"{number} {record.file_name} {record.height} {record.width}\n".encode("utf-8", "surrogatepass")
            )
        return digest.hexdigest()

    def chosen(self, people: NDArray[np.bool_] | NDArray[np.integer]) -> PeopleSet:
        """The same set with these people only; its pictures all stay.

        Args:
            people: (N,) bool, or (M,) indices.
        """
        return dataclasses.replace(
            self, **{name: getattr(self, name)[people] for name in _ARRAYS}, images=self.images, stores=self.stores
        )

    def of_images(self, image_ids: Iterable[int]) -> PeopleSet:
        """The same set with these pictures and their people only."""
        wanted = set(image_ids)
        kept = np.isin(self.image_ids, np.fromiter(wanted, np.int64, len(wanted)))
        images = {number: record for number, record in self.images.items() if number in wanted}
        return dataclasses.replace(self.chosen(kept), images=images)


_ARRAYS = ("boxes", "keypoints", "areas", "image_ids", "annotation_ids", "iscrowd", "keypoint_counts")


def join_people(sets: Sequence[PeopleSet]) -> PeopleSet:
    """Several sets of one skeleton as one, for training; pictures and annotations are numbered anew, from 1.

    Raises:
        InputError: no sets, sets of different skeletons, or one without pictures among others with theirs.
    """
    names = [people.skeleton.joints for people in sets]
    if not sets or any(joints != names[0] for joints in names):
        raise InputError(
            f"{len(sets)} data sets of the skeletons {', '.join(people.skeleton.name for people in sets) or 'none'} "
            "can't be joined",
            cure="Load them all with the recipe's skeleton: load_people(..., skeleton=..., map_joints=True).",
        )
    if any(people.stores for people in sets):
        for people in sets:
            people.require_pictures()
    stores: list[PictureStore] = []
    images: dict[int, ImageRecord] = {}
    image_ids = []
    for people in sets:
        numbers = {old: new for new, old in enumerate(people.images, start=len(images) + 1)}
        image_ids.append(np.array([numbers[old] for old in people.image_ids.tolist()], np.int64))
        for old, new in numbers.items():
            record = people.images[old]
            images[new] = dataclasses.replace(record, id=new, store=record.store + len(stores))
        stores += people.stores
    arrays = {name: np.concatenate([getattr(people, name) for people in sets]) for name in _ARRAYS}
    arrays["image_ids"] = np.concatenate(image_ids)
    arrays["annotation_ids"] = np.arange(1, len(arrays["boxes"]) + 1)
    return PeopleSet(
        name=" + ".join(people.name for people in sets),
        skeleton=sets[0].skeleton,
        **arrays,
        images=images,
        stores=stores,
        split=sets[0].split,
        faults=tuple(fault for people in sets for fault in people.faults),
    )
