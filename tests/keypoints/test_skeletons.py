from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amfac_edge.errors import DeclaredError
from amfac_edge.keypoints import Skeleton, skeleton, skeleton_names

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["coco-17", "crowdpose-14"])
def known(request: pytest.FixtureRequest) -> Skeleton:
    return skeleton(request.param)


def test_names_are_sorted_and_known() -> None:
    assert skeleton_names() == ["coco-17", "crowdpose-14"]


def test_every_joint_has_a_sigma_and_a_limb(known: Skeleton) -> None:
    assert len(known.joints) == len(set(known.joints)) == len(known.sigmas) == int(known.name[-2:])
    assert {joint for limb in known.limbs for joint in limb} == set(range(len(known.joints)))
    assert len({frozenset(limb) for limb in known.limbs}) == len(known.limbs)


def test_flip_pairs_join_the_same_joint_of_both_sides(known: Skeleton) -> None:
    for left, right in known.flip_pairs:
        assert known.joints[left].replace("left_", "right_") == known.joints[right]
        assert known.sigmas[left] == known.sigmas[right]
    paired = {joint for pair in known.flip_pairs for joint in pair}
    assert paired == {index for index, name in enumerate(known.joints) if name.startswith(("left_", "right_"))}


def test_flip_order_is_its_own_inverse(known: Skeleton) -> None:
    order = known.flip_order
    assert [order[joint] for joint in order] == list(range(len(known.joints)))


def test_limbs_are_symmetric(known: Skeleton) -> None:
    order = known.flip_order
    limbs = {frozenset(limb) for limb in known.limbs}
    assert {frozenset(order[joint] for joint in limb) for limb in limbs} == limbs


def test_crowdpose_order_is_that_of_the_data_set() -> None:
    joints = skeleton("crowdpose-14").joints
    assert joints[:4] == ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
    assert joints[-2:] == ("head", "neck")


def test_unknown_name_shows_the_near_ones() -> None:
    with pytest.raises(DeclaredError, match=r'unknown skeleton "coco17"\n.*did you mean coco-17'):
        skeleton("coco17")


@pytest.mark.parametrize(
    ("name", "annotations"),
    [
        ("coco-17", "coco_person_dev/person_keypoints.json"),
        ("crowdpose-14", "fixtures/crowdpose/test_crowdpose.json"),
    ],
)
def test_joints_are_those_of_real_annotation_files(shared_data: Path, name: str, annotations: str) -> None:
    (category,) = json.loads((shared_data / annotations).read_text())["categories"]
    known = skeleton(name)
    assert known.joints == tuple(category["keypoints"])
    if name == "coco-17":
        theirs = {frozenset(joint - 1 for joint in limb) for limb in category["skeleton"]}
        assert {frozenset(limb) for limb in known.limbs} == theirs
