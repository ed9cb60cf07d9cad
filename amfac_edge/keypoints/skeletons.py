"""Skeletons: names and order of the joints, left-right pairs, limbs, and the OKS constants of a data set."""

from __future__ import annotations

from dataclasses import dataclass

from amfac_edge.errors import DeclaredError, near_names

__all__ = ["Skeleton", "skeleton", "skeleton_names"]


@dataclass(frozen=True)
class Skeleton:
    """K joints in the order of a data set.

    Attributes:
        name: "coco-17" or "crowdpose-14".
        joints: K names; those of one side start with "left_" or "right_", the person's own left and right.
        flip_pairs: indices (left, right) of the joints that change places when a picture is mirrored.
        limbs: indices (from, to) of the joints that a drawing connects.
        sigmas: K standard deviations of the annotators, relative to the square root of a person's area: the OKS
            constants of the data set's evaluator.
    """

    name: str
    joints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    @property
    def flip_order(self) -> tuple[int, ...]:
        """The permutation of a mirrored picture: its joint i is joint `flip_order[i]` of the original."""
        order = list(range(len(self.joints)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)


def skeleton(name: str) -> Skeleton:
    """The skeleton of a name.

    Raises:
        DeclaredError: unknown; the message has the near names.
    """
    try:
        return _SKELETONS[name]
    except KeyError:
        raise DeclaredError(f'unknown skeleton "{name}"', cure=near_names(name, _SKELETONS)) from None


def skeleton_names() -> list[str]:
    """The names of the known skeletons, sorted."""
    return sorted(_SKELETONS)


def _skeleton(name: str, joints: str, limbs: str, sigmas: str) -> Skeleton:
    names = tuple(joints.split())
    index = {joint: position for position, joint in enumerate(names)}
    lefts = [joint for joint in names if joint.startswith("left_")]
    connected = (limb.split("-") for limb in limbs.split())
    return Skeleton(
        name=name,
        joints=names,
        flip_pairs=tuple((index[left], index[left.replace("left_", "right_")]) for left in lefts),
        limbs=tuple((index[start], index[end]) for start, end in connected),
        sigmas=tuple(float(sigma) for sigma in sigmas.split()),
    )


_BODY_LIMBS = """
    left_shoulder-right_shoulder left_hip-right_hip left_shoulder-left_hip right_shoulder-right_hip
    left_shoulder-left_elbow left_elbow-left_wrist right_shoulder-right_elbow right_elbow-right_wrist
    left_hip-left_knee left_knee-left_ankle right_hip-right_knee right_knee-right_ankle
"""

# Joint order and sigmas are those of the data sets. The limbs of COCO are the ones in its annotation files; those in
# CrowdPose's files are COCO's too and name joints that it hasn't, so its head and neck are connected here.
_SKELETONS = {
    "coco-17": _skeleton(
        "coco-17",
        """
        nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
        left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle
        """,
        _BODY_LIMBS
        + """
        left_eye-right_eye nose-left_eye nose-right_eye left_eye-left_ear right_eye-right_ear
        left_ear-left_shoulder right_ear-right_shoulder
        """,
        ".026 .025 .025 .035 .035 .079 .079 .072 .072 .062 .062 .107 .107 .087 .087 .089 .089",
    ),
    "crowdpose-14": _skeleton(
        "crowdpose-14",
        """
        left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip
        left_knee right_knee left_ankle right_ankle head neck
        """,
        _BODY_LIMBS + "head-neck neck-left_shoulder neck-right_shoulder",
        ".079 .079 .072 .072 .062 .062 .107 .107 .087 .087 .089 .089 .079 .079",
    ),
}
