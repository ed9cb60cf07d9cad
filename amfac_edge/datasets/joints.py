"""Joints by name: which skeleton a file has, and how its joints become those of another skeleton."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import InputError
from amfac_edge.keypoints import Skeleton, skeleton, skeleton_names

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["JointMap", "joint_map", "skeleton_of_category"]

_ALIASES = {"top_head": "head", "head_top": "head"}
_PAIR = 2


@dataclass(frozen=True)
class JointMap:
    """How K joints of a file become K joints of a skeleton.

    Attributes:
        skeleton: the one that comes out.
        joints_in_file: how many joints the file's people have.
        sources: for each joint that comes out, its index in the file, -1 where the file hasn't it.
    """

    skeleton: Skeleton
    joints_in_file: int
    sources: tuple[int, ...]

    @property
    def is_identity(self) -> bool:
        """Whether the file's joints are those of the skeleton, in its order."""
        return self.sources == tuple(range(self.joints_in_file))


def joint_map(category: dict[str, Any], wanted: Skeleton | None, *, map_joints: bool, where: str) -> JointMap:
    """The map from the joints of a file's person category to those of `wanted` (the file's own where it is None).

    Args:
        category: the category's entry in the file; `keypoints` has the joints' names. Empty where the file has none.
        wanted: the skeleton that shall come out.
        map_joints: whether joints of the file may be dropped, and joints that it lacks come out unlabelled.
        where: the file's name.

    Raises:
        InputError: no names and no skeleton, or joints that don't match.
    """
    names = category.get("keypoints")
    if names is None and wanted is not None:
        return JointMap(wanted, len(wanted.joints), tuple(range(len(wanted.joints))))
    found = skeleton_of_category(category, where)
    target = found if wanted is None else wanted
    index = {joint: place for place, joint in enumerate(found.joints)}
    sources = tuple(index.get(joint, -1) for joint in target.joints)
    common = sum(source >= 0 for source in sources)
    if sources == tuple(range(len(found.joints))) or (map_joints and common):
        return JointMap(target, len(found.joints), sources)
    if not common:
        raise InputError(
            f"{where}: its joints ({', '.join(found.joints[:6])}, ...) have none in common with {target.name}",
            cure="Name the joints in categories[].keypoints as the skeleton does, or take another recipe.",
        )
    raise InputError(
        f"{where}: its {len(found.joints)} joints ({found.name}) are not the {len(target.joints)} of {target.name}; "
        f"{common} have the same name",
        cure="Take a recipe of its skeleton, or map by name, the rest unlabelled: --map-joints (map_joints = true).",
    )


def skeleton_of_category(category: dict[str, Any], where: str) -> Skeleton:
    """The skeleton that a category declares: a known one where names and order are its, else one made from the names.

    Left and right pairs follow from "left_" and "right_"; limbs are the category's `skeleton` (pairs counted from 1),
    OKS sigmas its `sigmas`; without those, people can be trained on and scored by PCK, not by OKS.

    Raises:
        InputError: no list of different names.
    """
    names = category.get("keypoints")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"{where}: its category names no joints (categories[].keypoints)",
            cure="Name them there, or name the skeleton: --skeleton coco-17, or `skeleton` in the data table.",
        )
    joints = tuple(_plain(name) for name in names)
    if len(set(joints)) != len(joints):
        raise InputError(f"{where}: two of its joints have one name: {', '.join(joints)}", cure="Name each once.")
    known = (skeleton(name) for name in skeleton_names())
    return next((each for each in known if each.joints == joints), None) or _declared(category, joints)


def _declared(category: dict[str, Any], joints: tuple[str, ...]) -> Skeleton:
    index = {joint: place for place, joint in enumerate(joints)}
    pairs = ((joint, "right_" + joint[len("left_") :]) for joint in joints if joint.startswith("left_"))
    sigmas = category.get("sigmas")
    good = isinstance(sigmas, list) and len(sigmas) == len(joints)
    good = good and all(isinstance(sigma, int | float) and 0 < sigma < 1 for sigma in sigmas or ())
    return Skeleton(
        name=f"{len(joints)} joints of the file",
        joints=joints,
        flip_pairs=tuple((index[left], index[right]) for left, right in pairs if right in index),
        limbs=tuple(_limbs(category.get("skeleton"), len(joints))),
        sigmas=tuple(float(sigma) for sigma in sigmas or ()) if good else (),
    )


def _limbs(pairs: object, joints: int) -> Sequence[tuple[int, int]]:
    """Limbs are for drawings only: what is no pair of joints is passed over."""
    limbs = [pair for pair in pairs if isinstance(pair, list) and len(pair) == _PAIR] if isinstance(pairs, list) else []
    whole = [pair for pair in limbs if all(isinstance(end, int) and 1 <= end <= joints for end in pair)]
    return [(start - 1, end - 1) for start, end in whole]


def _plain(name: str) -> str:
    plain = "_".join(name.lower().replace("-", " ").replace("_", " ").split())
    return _ALIASES.get(plain, plain)
