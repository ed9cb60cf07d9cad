"""Annotation files: what is read, what is refused, and what is left out and named."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.datasets import generated_people, join_people, load_people, read_data_source
from amfac_edge.errors import DeclaredError, InputError
from amfac_edge.keypoints import skeleton

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Writer = Callable[..., Path]

_JOINTS = {name: list(skeleton(name).joints) for name in ("coco-17", "crowdpose-14")}


def _annotation(joints: int = 17, **changes: object) -> dict[str, Any]:
    keypoints = [float(value) for joint in range(joints) for value in (joint + 10, 2 * joint + 20, 2)]
    entry = {"id": 5, "image_id": 1, "category_id": 1, "bbox": [8, 18, 30, 50], "area": 700.5, "iscrowd": 0}
    return {**entry, "num_keypoints": joints, "keypoints": keypoints, **changes}


def _data(*annotations: object, skeleton_name: str = "coco-17", **changes: object) -> dict[str, Any]:
    category = {"id": 1, "name": "person", "keypoints": _JOINTS[skeleton_name]}
    image = {"id": 1, "file_name": "one.png", "width": 64, "height": 80, "crowdIndex": 0.25}
    return {"images": [image], "annotations": list(annotations), "categories": [category], **changes}


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    def write(data: object, name: str = "people.json") -> Path:
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


def test_every_field_is_taken_as_it_stands(written: Writer) -> None:
    people = load_people(written(_data(_annotation())), split="val")
    assert (people.name, people.split, people.skeleton.name, len(people)) == ("people", "val", "coco-17", 1)
    assert people.boxes.tolist() == [[8, 18, 38, 68]]
    assert people.keypoints[0, 3].tolist() == [13, 26, 2]
    assert people.areas.tolist() == [700.5]
    assert (people.image_ids[0], people.annotation_ids[0], people.keypoint_counts[0]) == (1, 5, 17)
    assert (people.images[1].width, people.images[1].height, people.images[1].crowd_index) == (64, 80, 0.25)
    assert people.labelled.tolist() == [True]
    assert people.faults == ()


def test_a_person_may_fill_a_large_photograph(written: Writer) -> None:
    data = _data(_annotation(bbox=[10, 20, 2400, 2500], area=3_500_000.0))
    data["images"][0] |= {"width": 4000, "height": 3000}
    assert load_people(written(data)).areas.tolist() == [3_500_000.0]


def test_groups_other_things_and_people_without_joints_are_told_apart(written: Writer) -> None:
    crowd = {key: value for key, value in _annotation(id=6, iscrowd=1).items() if key != "keypoints"}
    bare = _annotation(id=7, keypoints=[0] * 51, num_keypoints=0)
    dog = _annotation(id=8, category_id=18, keypoints="not looked at")
    people = load_people(written(_data(_annotation(), crowd, bare, dog)))
    assert people.annotation_ids.tolist() == [5, 6, 7]
    assert people.iscrowd.tolist() == [False, True, False]
    assert people.labelled.tolist() == [True, False, False]


def test_joints_are_mapped_by_name_and_the_rest_is_unlabelled(written: Writer) -> None:
    path = written(_data(_annotation()))
    target = skeleton("crowdpose-14")
    people = load_people(path, skeleton=target, map_joints=True)
    for joint, name in enumerate(target.joints):
        expected = [0, 0, 0] if name in ("head", "neck") else [*_place(_JOINTS["coco-17"].index(name)), 2]
        assert people.keypoints[0, joint].tolist() == expected
    assert people.keypoint_counts.tolist() == [12]


def _place(joint: int) -> list[int]:
    return [joint + 10, 2 * joint + 20]


def test_another_skeleton_is_refused_unless_mapping_is_asked_for(written: Writer) -> None:
    path = written(_data(_annotation()))
    with pytest.raises(
        InputError, match=r"17 joints \(coco-17\) are not the 14 of crowdpose-14; 12 have the same name"
    ):
        load_people(path, skeleton=skeleton("crowdpose-14"))


def test_skeletons_without_a_common_joint_are_refused(written: Writer) -> None:
    data = _data(_annotation(2))
    data["categories"][0]["keypoints"] = ["paw", "tail"]
    with pytest.raises(InputError, match="none in common with coco-17"):
        load_people(written(data), skeleton=skeleton("coco-17"), map_joints=True)


def test_a_file_may_declare_a_skeleton_of_its_own(written: Writer) -> None:
    data = _data(_annotation(3))
    data["categories"][0] |= {
        "keypoints": ["Left Hand", "right-hand", "nose"],
        "skeleton": [[1, 3], [9, 1]],
        "sigmas": [0.1, 0.1, 0.05],
    }
    found = load_people(written(data)).skeleton
    assert found.joints == ("left_hand", "right_hand", "nose")
    assert found.flip_pairs == ((0, 1),)
    assert found.limbs == ((0, 2),)
    assert found.sigmas == (0.1, 0.1, 0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 0, 5]}, r"annotation 1 \(id 6\): bbox \[1, 2, 0, 5\] has no area"),
        ({"bbox": [1, 2, 3]}, "bbox: expected four finite numbers"),
        ({"bbox": [1, 2, float("nan"), 3]}, "bbox: expected four finite numbers"),
        ({"bbox": [1, 2, 1e300, 3]}, "bbox: expected four finite numbers"),
        ({"bbox": "1 2 3 4"}, "bbox: expected four finite numbers"),
        ({"keypoints": [1, 2]}, "keypoints: expected 51 numbers .* got 2 numbers"),
        ({"keypoints": None}, "keypoints: expected 51 numbers .* got null"),
        ({"keypoints": [float("nan")] * 51}, "keypoints: not all of them are finite"),
        ({"keypoints": [True] * 51}, "keypoints: not all of them are finite"),
        ({"keypoints": [1, 1, 7] * 17}, "keypoints: v is 0, 1 or 2, not 7"),
        ({"area": -1}, "area: expected a number within 0 and 1e.12, got -1"),
        ({"area": [1]}, "area: expected a number"),
        ({"area": 1e13}, "area: expected a number"),
        ({"area": math.nan}, "area: expected a number"),
        ({"num_keypoints": "many"}, "num_keypoints: expected a whole number"),
        ({"iscrowd": [1]}, "iscrowd: expected 0 or 1"),
        ({"id": 5}, r"annotation 1 \(id 5\): its id 5 was there before"),
        ({"id": "five"}, "annotation 1: id: expected a whole number"),
        ({"image_id": 99}, "there is no picture with its image_id 99"),
        ({"image_id": None}, "image_id: expected a whole number"),
        ({"category_id": [1], "bbox": 0}, "bbox: expected four finite numbers"),
    ],
)
def test_a_faulty_annotation_is_refused_or_left_out(written: Writer, change: dict[str, Any], message: str) -> None:
    path = written(_data(_annotation(), _annotation(**{"id": 6, **change}), _annotation(id=7)))
    with pytest.raises(InputError, match=message):
        load_people(path)
    people = load_people(path, on_fault="skip")
    assert people.annotation_ids.tolist() == [5, 7]
    assert len(people.faults) == 1


def test_annotations_that_are_no_objects_are_faults(written: Writer) -> None:
    people = load_people(written(_data(_annotation(), 3, None, [])), on_fault="skip")
    assert [fault.partition(":")[0] for fault in people.faults] == ["annotation 1", "annotation 2", "annotation 3"]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"id": 1, "file_name": "b.png", "width": 5, "height": 5}, "image 1: its id 1 was there before"),
        ({"id": 2, "file_name": 7, "width": 5, "height": 5}, "image 1: file_name: expected a name, got 7"),
        ({"id": 2, "file_name": "b.png", "width": 0, "height": 5}, "image 1: width: expected a whole number within 1"),
        ({"id": 2, "file_name": "b.png", "width": 5}, "image 1: height: expected a whole number"),
        ({"id": -2, "file_name": "b.png", "width": 5, "height": 5}, "image 1: id: expected a whole number"),
        ({"id": 2, "file_name": "b", "width": 5, "height": 5, "crowdIndex": "?"}, "image 1: crowdIndex"),
        ("b.png", 'image 1: is "b.png", not an object'),
    ],
)
def test_a_faulty_picture_is_refused_or_left_out(written: Writer, image: object, message: str) -> None:
    data = _data(_annotation())
    data["images"].append(image)
    path = written(data)
    with pytest.raises(InputError, match=message):
        load_people(path)
    assert list(load_people(path, on_fault="skip").images) == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ('{"images": [', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", r"holds \[\]"),
        ('{"annotations": []}', "holds an object with annotations"),
        ('{"images": {}, "annotations": []}', "holds an object with images, annotations"),
    ],
)
def test_what_is_no_data_set_is_refused(written: Writer, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_people(written(content))


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_people(tmp_path / "none.json")


@pytest.mark.parametrize("annotations", [(), (_annotation(keypoints=[0] * 51),), (_annotation(iscrowd=1),)])
def test_zero_annotated_people_are_refused(written: Writer, annotations: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(InputError, match="none has a labelled joint"):
        load_people(written(_data(*annotations)))


def test_categories_must_have_one_person(written: Writer) -> None:
    two = [{"id": 1, "name": "person", "keypoints": ["a"]}, {"id": 2, "name": "person", "keypoints": ["b"]}]
    with pytest.raises(InputError, match=r"2 of its categories \(person, person\) are people"):
        load_people(written(_data(_annotation(), categories=two)))
    with pytest.raises(InputError, match="names no joints"):
        load_people(written(_data(_annotation(), categories=[{"id": 1, "name": "person"}])))
    with pytest.raises(InputError, match="two of its joints have one name"):
        load_people(written(_data(_annotation(), categories=[{"id": 1, "name": "person", "keypoints": ["a", "A"]}])))


def test_without_categories_the_skeleton_must_be_said(written: Writer) -> None:
    path = written(_data(_annotation(), categories=[]))
    with pytest.raises(InputError, match="names no joints"):
        load_people(path)
    assert load_people(path, skeleton=skeleton("coco-17")).skeleton.name == "coco-17"
    with pytest.raises(InputError, match="expected 42 numbers"):
        load_people(path, skeleton=skeleton("crowdpose-14"))


def test_a_data_table_says_the_same(written: Writer) -> None:
    written(_data(_annotation()))
    table = written(
        '[source]\nannotations = "people.json"\nskeleton = "crowdpose-14"\nsplit = "val"\nmap_joints = true',
        "data.toml",
    )
    people = load_people(table)
    assert (people.skeleton.name, people.split) == ("crowdpose-14", "val")
    assert read_data_source(table).images is None


def test_a_faulty_data_table_is_refused(written: Writer) -> None:
    with pytest.raises(DeclaredError, match=r"source\.annotations: this key is missing"):
        load_people(written('[source]\nanotations = "people.json"', "data.toml"))


def test_a_part_of_a_set(written: Writer) -> None:
    data = _data(_annotation(), _annotation(id=6, image_id=2))
    data["images"].append({"id": 2, "file_name": "two.png", "width": 64, "height": 80})
    people = load_people(written(data))
    assert people.chosen(np.array([False, True])).annotation_ids.tolist() == [6]
    part = people.of_images([2])
    assert (part.annotation_ids.tolist(), list(part.images)) == ([6], [2])
    assert len(people.of_images([])) == 0


def test_sets_are_joined_under_new_numbers(written: Writer) -> None:
    one = load_people(written(_data(_annotation())))
    both = join_people([one, one])
    assert both.image_ids.tolist() == [1, 2]
    assert both.annotation_ids.tolist() == [1, 2]
    assert {number: record.id for number, record in both.images.items()} == {1: 1, 2: 2}
    other = load_people(written(_data(_annotation(14), skeleton_name="crowdpose-14"), "other.json"))
    with pytest.raises(InputError, match="coco-17, crowdpose-14 can't be joined"):
        join_people([one, other])
    with pytest.raises(InputError, match="none can't be joined"):
        join_people([])
    for sets in ([one, generated_people(1, 0)], [generated_people(1, 0), one]):
        with pytest.raises(InputError, match=f"{one.name}: was loaded without its pictures"):
            join_people(sets)


def test_real_sets_load_in_seconds(shared_data: Path) -> None:
    started = time.process_time()  # not of the clock: cores may be shared
    people = load_people(shared_data / "lspet" / "lspet_train.json", images=shared_data / "lspet" / "lspet_train.tar")
    assert time.process_time() - started < 10
    assert (len(people), people.skeleton.name, people.labelled.sum()) == (8319, "crowdpose-14", 8319)
    picture = people.read_image(int(people.image_ids[0]))
    assert picture.shape == (people.images[1].height, people.images[1].width, 3)
    coco = load_people(shared_data / "coco_person_dev" / "person_keypoints.json")
    assert (len(coco.images), len(coco), coco.labelled.sum()) == (64, 254, 166)
