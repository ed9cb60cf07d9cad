"""What every engine looks like from above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts, Manifest

__all__ = [
    "CuttingSession",
    "DetectorSession",
    "EngineTimes",
    "FrameSession",
    "PoseSession",
    "SessionSettings",
    "TimedSession",
]


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
