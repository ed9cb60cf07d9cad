"""What every engine looks like from above, and what all of them check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from amfac_edge.artefact import DetectorFacts, TensorSpec, not_a_pose_network
from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.keypoints import skeleton

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from amfac_edge.artefact import Manifest

__all__ = [
    "CuttingSession",
    "FrameSession",
    "PoseSession",
    "SessionSettings",
    "check_affines",
    "check_contract",
    "check_crops",
    "check_frame",
    "check_input_kind",
]

_BATCH_AXIS = 0


@dataclass(frozen=True)
class SessionSettings:
    """How a session runs, for receipts.

    Attributes:
        engine: library and version, "onnxruntime 1.31.1".
        provider: the part of it that does the work, "CPUExecutionProvider".
        threads: that one call may use.
        spinning: whether idle threads wait actively: less latency on a quiet machine, more trouble on a busy one.
        notes: what the engine remarked, and what it does without.
    """

    engine: str
    provider: str
    threads: int
    spinning: bool
    notes: tuple[str, ...] = ()


class PoseSession(Protocol):
    """A loaded artefact. N people, K keypoints, H x W the crop of the recipe."""

    @property
    def manifest(self) -> Manifest:
        """What the artefact is."""
        ...

    @property
    def settings(self) -> SessionSettings:
        """How it runs."""
        ...

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints of N crops; N is 1 or more and need not fit the artefact's batch.

        Args:
            crops: (N, H, W, 3) uint8 BGR, C-contiguous.

        Returns:
            Keypoints (N, K, 2) float32, x and y in crop pixels (integers are pixel centres).
            Scores (N, K) float32 in 0..1.

        Raises:
            InputError: crops of another shape or dtype, or the session is closed.
        """
        ...

    def close(self) -> None:
        """Free the engine; closing twice is allowed."""
        ...

    def __enter__(self) -> PoseSession: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


@runtime_checkable
class FrameSession(PoseSession, Protocol):
    """A session that can run both kinds of artefact: one that takes crops by `run`, one that takes frames by this."""

    def run_frame(
        self, frame_bgr: NDArray[np.uint8], affines: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints of N people of one frame; N is 1 or more and need not fit the artefact's batch.

        Args:
            frame_bgr: (Hf, Wf, 3) uint8 BGR, C-contiguous.
            affines: (N, 2, 3) float32, crop pixels to frame pixels, as `keypoints.crop_affines` makes them.

        Returns:
            Keypoints (N, K, 2) float32, x and y in frame pixels (integers are pixel centres).
            Scores (N, K) float32 in 0..1.

        Raises:
            InputError: arrays of another shape or dtype, an artefact that takes crops, or the session is closed.
        """
        ...


@runtime_checkable
class CuttingSession(PoseSession, Protocol):
    """A session that can cut the crops of an artefact of crops out of a frame by itself."""

    def run_cut(
        self, frame_bgr: NDArray[np.uint8], affines: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints of N people of one frame; N is 1 or more and need not fit the artefact's batch.

        Args:
            frame_bgr: (Hf, Wf, 3) uint8 BGR or (Hf, Wf, 4) BGRA or BGRx, on the host or on the GPU.
            affines: (N, 2, 3) float32, crop pixels to frame pixels, as `keypoints.crop_affines` makes them.

        Returns:
            Keypoints (N, K, 2) float32, x and y in crop pixels (integers are pixel centres).
            Scores (N, K) float32 in 0..1.

        Raises:
            InputError: arrays of another shape or dtype, an artefact that takes frames, or the session is closed.
        """
        ...


def check_crops(crops: NDArray[np.uint8], height: int, width: int) -> None:
    """Check the argument of `PoseSession.run`.

    Raises:
        InputError: another shape, dtype or layout, or no NumPy array.
    """
    if not isinstance(crops, np.ndarray):
        raise InputError(
            f"the crops are a {type(crops).__name__}, not a NumPy array",
            cure="Give NumPy arrays; a plan also takes arrays that lie on the GPU (__cuda_array_interface__).",
        )
    if (
        crops.dtype != np.uint8
        or crops.shape[1:] != (height, width, 3)
        or not len(crops)
        or not crops.flags.c_contiguous
    ):
        layout = "" if crops.flags.c_contiguous else ", not contiguous"
        raise InputError(
            f"the crops are {crops.dtype} {crops.shape}{layout}",
            cure=f"Give C-contiguous uint8 of shape (N, {height}, {width}, 3), BGR, N at least 1.",
        )


def check_frame(frame_bgr: NDArray[np.uint8], *, fourth_channel: bool = False) -> None:
    """Check the first argument of `FrameSession.run_frame`; that of `CuttingSession.run_cut` may have four channels.

    Raises:
        InputError: another shape, dtype or layout, or no NumPy array.
    """
    if not isinstance(frame_bgr, np.ndarray):
        raise InputError(
            f"the frame is a {type(frame_bgr).__name__}, not a NumPy array",
            cure="Give a NumPy array; a plan also takes one that lies on the GPU (__cuda_array_interface__).",
        )
    channels = {3, 4} if fourth_channel else {3}
    if frame_bgr.dtype != np.uint8 or frame_bgr.ndim != 3 or frame_bgr.shape[2] not in channels or not frame_bgr.size:  # noqa: PLR2004
        raise InputError(
            f"the frame is {frame_bgr.dtype} {frame_bgr.shape}", cure="Give uint8 of shape (height, width, 3), BGR."
        )


def check_affines(affines: NDArray[np.float32]) -> None:
    """Check the second argument of `FrameSession.run_frame`.

    Raises:
        InputError: another shape or dtype.
    """
    if affines.dtype != np.float32 or affines.shape[1:] != (2, 3) or not len(affines):
        raise InputError(
            f"the affines are {affines.dtype} {affines.shape}",
            cure="Give float32 of shape (N, 2, 3), N at least 1: keypoints.crop_affines(...).astype(np.float32).",
        )


def check_input_kind(path: Path, manifest: Manifest, kind: str) -> None:
    """Check that the artefact takes what it is about to be given.

    Args:
        path: of the artefact.
        manifest: its own.
        kind: "crops" or "frame".

    Raises:
        InputError: it takes the other one.
    """
    if manifest.input_kind != kind:
        ways = {"crops": "run(crops)", "frame": "run_frame(frame, affines)"}
        raise InputError(
            f"{path}: it takes {ways[manifest.input_kind]} and was given {'a frame' if kind == 'frame' else kind}",
            cure=f"Call {ways[manifest.input_kind]}, or export it again with --input {kind}.",
        )


def check_contract(path: Path, manifest: Manifest, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Check that the engine's tensors are what the manifest promises and what `PoseSession.run` needs.

    Raises:
        ModelFileError: another kind of input, or tensors that differ.
    """
    if isinstance(manifest.model, DetectorFacts):
        raise not_a_pose_network(str(path))
    if manifest.input_kind not in {"crops", "frame"}:
        raise ModelFileError(
            f'{path}: its input is of the kind "{manifest.input_kind}"; poses need an artefact that takes crops',
            cure="Run the artefact that amfac-export writes beside the raw twin of --raw-logits.",
        )
    crop, joints = manifest.recipe.crop, len(skeleton(manifest.recipe.skeleton).joints)
    batch = manifest.batch.minimum if manifest.batch.is_fixed else "N"
    wanted = (
        *(
            (TensorSpec("crops", "uint8", (batch, crop.height, crop.width, 3)),)
            if manifest.input_kind == "crops"
            else (
                TensorSpec("frame", "uint8", ("frame_height", "frame_width", 3)),
                TensorSpec("affines", "float32", (batch, 2, 3)),
            )
        ),
        TensorSpec("keypoints", "float32", (batch, joints, 2)),
        TensorSpec("scores", "float32", (batch, joints)),
    )
    found = {tensor.name: tensor for tensor in (*inputs, *outputs)}
    faults = [
        f"{tensor.name} is {_shown(found.get(tensor.name))}, not {_shown(tensor)}"
        for tensor in wanted
        if not _agrees(found.get(tensor.name), tensor)
    ]
    faults += [f"{name} is not known" for name in found.keys() - {tensor.name for tensor in wanted}]
    if faults:
        raise ModelFileError(
            f"{path}: its tensors are not those of its manifest: {'; '.join(faults)}",
            cure="Export the model again with amfac-export.",
        )


def _agrees(found: TensorSpec | None, wanted: TensorSpec) -> bool:
    if found is None or found.dtype != wanted.dtype or found.shape[1:] != wanted.shape[1:] or not found.shape:
        return False
    either_dynamic = isinstance(wanted.shape[_BATCH_AXIS], str) and isinstance(found.shape[_BATCH_AXIS], str)
    return either_dynamic or found.shape[_BATCH_AXIS] == wanted.shape[_BATCH_AXIS]


def _shown(tensor: TensorSpec | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} ({', '.join(map(str, tensor.shape))})"
