"""What every engine looks like from above, and what all of them check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from amfac_edge.artefact import (
    BOXES_OUTPUT,
    IMAGES_INPUT,
    PERSON_SCORES_OUTPUT,
    DetectorFacts,
    TensorSpec,
    not_a_person_detector,
    not_a_pose_network,
)
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
    "DetectorSession",
    "EngineTimes",
    "FrameSession",
    "PoseSession",
    "SessionSettings",
    "TimedSession",
    "check_affines",
    "check_contract",
    "check_crops",
    "check_frame",
    "check_images",
    "check_input_kind",
    "facts_of",
    "results_of",
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


@dataclass(frozen=True)
class EngineTimes:
    """One run of an engine, its input lying ready in pinned memory, in milliseconds; the words are trtexec's.

    Attributes:
        h2d_ms: input to the GPU, by its clock; next to nothing where memory is shared.
        compute_ms: the engine, by the GPU's clock.
        d2h_ms: outputs back, by its clock.
        enqueue_ms: what enqueueing, or launching the graph, takes the host; no part of the latency.
    """

    h2d_ms: float
    compute_ms: float
    d2h_ms: float
    enqueue_ms: float

    @property
    def latency_ms(self) -> float:
        """H2D, compute and D2H."""
        return self.h2d_ms + self.compute_ms + self.d2h_ms


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
class TimedSession(PoseSession, Protocol):
    """A session that can tell the parts of a run by the GPU's clock."""

    def run_timed(self, crops: NDArray[np.uint8]) -> EngineTimes:
        """The times of one run of as many crops as go into one.

        Args:
            crops: (N, H, W, 3) uint8 BGR, C-contiguous; those beyond the largest batch are left out.

        Raises:
            InputError: as `PoseSession.run`.
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


class DetectorSession(Protocol):
    """A loaded person detector. N pictures, A candidates, H x W its input."""

    @property
    def facts(self) -> DetectorFacts:
        """What the detector is."""
        ...

    @property
    def settings(self) -> SessionSettings:
        """How it runs."""
        ...

    def run_images(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The candidates of N pictures; N is 1 or more and need not fit the artefact's batch.

        Args:
            images: (N, H, W, 3) uint8 BGR, letterboxed, C-contiguous.

        Returns:
            Boxes (N, A, 4) float32, x1, y1, x2, y2 in pixels of the input; nothing is suppressed.
            Scores (N, A) float32 in 0..1, of the class person.

        Raises:
            InputError: pictures of another shape or dtype, or the session is closed.
        """
        ...

    def close(self) -> None:
        """Free the engine; closing twice is allowed."""
        ...


def check_images(images: NDArray[np.uint8], facts: DetectorFacts) -> None:
    """Check the argument of `DetectorSession.run_images`.

    Raises:
        InputError: another shape, dtype or layout, or no NumPy array.
    """
    _check_pictures(images, "pictures", facts.height, facts.width)


def check_crops(crops: NDArray[np.uint8], height: int, width: int) -> None:
    """Check the argument of `PoseSession.run`.

    Raises:
        InputError: another shape, dtype or layout, or no NumPy array.
    """
    _check_pictures(crops, "crops", height, width)


def _check_pictures(pictures: NDArray[np.uint8], what: str, height: int, width: int) -> None:
    if not isinstance(pictures, np.ndarray):
        raise InputError(
            f"the {what} are a {type(pictures).__name__}, not a NumPy array",
            cure="Give NumPy arrays; a plan of poses also takes arrays that lie on the GPU (__cuda_array_interface__).",
        )
    if (
        pictures.dtype != np.uint8
        or pictures.shape[1:] != (height, width, 3)
        or not len(pictures)
        or not pictures.flags.c_contiguous
    ):
        layout = "" if pictures.flags.c_contiguous else ", not contiguous"
        raise InputError(
            f"the {what} are {pictures.dtype} {pictures.shape}{layout}",
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


def facts_of(manifest: Manifest) -> DetectorFacts:
    """What a detector is.

    Raises:
        ModelFileError: it is a pose network.
    """
    if not isinstance(manifest.model, DetectorFacts):
        raise not_a_person_detector(manifest.name)
    return manifest.model


def results_of(manifest: Manifest, *, detector: bool = False) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What an artefact gives: name and shape of both results, less the first axis.

    Raises:
        ModelFileError: it is a detector where a pose network is wanted, or the other way round.
    """
    if detector:
        candidates = facts_of(manifest).candidates
        return (BOXES_OUTPUT, (candidates, 4)), (PERSON_SCORES_OUTPUT, (candidates,))
    joints = len(skeleton(manifest.recipe.skeleton).joints)
    return ("keypoints", (joints, 2)), ("scores", (joints,))


def check_contract(
    path: Path,
    manifest: Manifest,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    detector: bool = False,
) -> None:
    """Check that the engine's tensors are what the manifest promises and what the session needs.

    Args:
        path: of the artefact.
        manifest: its own.
        inputs: of the engine.
        outputs: of the engine.
        detector: whether a person detector is wanted, rather than a pose network.

    Raises:
        ModelFileError: the other one of both, another kind of input, or tensors that differ.
    """
    if detector is not isinstance(manifest.model, DetectorFacts):
        raise not_a_person_detector(str(path)) if detector else not_a_pose_network(str(path))
    if manifest.input_kind not in ({IMAGES_INPUT} if detector else {"crops", "frame"}):
        raise ModelFileError(
            f'{path}: its input is of the kind "{manifest.input_kind}"; poses need an artefact that takes crops',
            cure="Run the artefact that amfac-export writes beside the raw twin of --raw-logits.",
        )
    batch = manifest.batch.minimum if manifest.batch.is_fixed else "N"
    wanted = (
        *_wanted_inputs(manifest, batch),
        *(TensorSpec(name, "float32", (batch, *rest)) for name, rest in results_of(manifest, detector=detector)),
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


def _wanted_inputs(manifest: Manifest, batch: int | str) -> tuple[TensorSpec, ...]:
    if isinstance(manifest.model, DetectorFacts):
        return (TensorSpec(IMAGES_INPUT, "uint8", (batch, manifest.model.height, manifest.model.width, 3)),)
    if manifest.input_kind == "crops":
        crop = manifest.recipe.crop
        return (TensorSpec("crops", "uint8", (batch, crop.height, crop.width, 3)),)
    return (
        TensorSpec("frame", "uint8", ("frame_height", "frame_width", 3)),
        TensorSpec("affines", "float32", (batch, 2, 3)),
    )


def _agrees(found: TensorSpec | None, wanted: TensorSpec) -> bool:
    if found is None or found.dtype != wanted.dtype or found.shape[1:] != wanted.shape[1:] or not found.shape:
        return False
    either_dynamic = isinstance(wanted.shape[_BATCH_AXIS], str) and isinstance(found.shape[_BATCH_AXIS], str)
    return either_dynamic or found.shape[_BATCH_AXIS] == wanted.shape[_BATCH_AXIS]


def _shown(tensor: TensorSpec | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} ({', '.join(map(str, tensor.shape))})"
