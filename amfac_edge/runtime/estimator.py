"""`PoseEstimator`: the three steps of top-down pose estimation over one loaded artefact."""

from __future__ import annotations

import math
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from amfac_edge.errors import FrameError, InputError, ModelFileError
from amfac_edge.keypoints import (
    checked_boxes,
    checked_frame,
    crop_affines,
    load_opencv,
    skeleton,
    transform_points,
    warp_crops,
)
from amfac_edge.runtime.poses import Poses
from amfac_edge.sessions import CuttingSession, FrameSession, OnGpu, Ticket, on_gpu, open_session
from amfac_edge.sessions.ahead import DEPTH, Ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from amfac_edge.artefact import Manifest
    from amfac_edge.keypoints import Skeleton
    from amfac_edge.sessions import PoseSession, SessionSettings

__all__ = ["PoseEstimator", "StageTimes"]

# So many crops are in memory at once; a crowd goes through in several rounds.
_CROPS_AT_ONCE = 32


class StageTimes(NamedTuple):
    """Wall-clock milliseconds of one call: checking and cropping, the network, mapping the joints back to the frame.

    A network that takes whole frames crops and maps itself, so that this is part of its time; so are crops that the GPU
    cuts.
    """

    crop_ms: float
    network_ms: float
    decode_ms: float


class PoseEstimator:
    """Joints of the people in a frame, whose boxes are known.

        with PoseEstimator("amfacpose-r18-256x256.cpu.fp32.onnx") as estimator:
            poses = estimator(frame, [[100, 40, 260, 420]])

    One estimator may be called from several threads at once: each thread has crop buffers of its own. ONNX Runtime
    takes concurrent calls, which share its threads, so two at once take longer each; for throughput give `threads=1`
    and call from as many threads as there are cores. On a GPU calls go one after the other; `submit` cuts the crops of
    one frame while the GPU is at the one before.

    Args:
        path: of an artefact of amfac-export (`.onnx` or `.plan`), which may take crops or whole frames: what is given
            and what comes back is the same for both.
        threads: see `open_session`, this and all that follow.
        spinning: of an ONNX file: whether idle threads wait actively.
        provider: of an ONNX file: "cpu" or "cuda".
        cuda: of a plan: the library of CUDA.
        context: of a plan: a context of pycuda's to run in.
        wait: of a plan: "block" or "spin".
        host_code: of a plan: its maker is trusted to run code on the CPU.
        by_name: of a plan without its manifest: its engine's name tells the recipe.
        crops: of a plan of crops: "cpu", or "gpu" to let the GPU cut them, as it always does out of a frame there.

    Raises:
        ModelFileError: the file can't be used; the message says why and what to do.
        MachineError: the file isn't for this machine, or something to run it with is missing.
    """

    def __init__(  # noqa: PLR0913 - those of open_session
        self,
        path: str | Path,
        *,
        threads: int | None = None,
        spinning: bool = True,
        provider: str = "cpu",
        cuda: str | None = None,
        context: Any = None,  # noqa: ANN401 - pycuda's own
        wait: str = "block",
        host_code: bool = False,
        by_name: bool = False,
        crops: str = "cpu",
    ) -> None:
        cuts_on_gpu = _on_gpu(crops)
        self._start(
            open_session(
                path,
                threads=threads,
                spinning=spinning,
                provider=provider,
                cuda=cuda,
                context=context,
                wait=wait,
                host_code=host_code,
                by_name=by_name,
            ),
            cuts_on_gpu=cuts_on_gpu,
        )

    @classmethod
    def over(cls, session: PoseSession, *, crops: str = "cpu") -> PoseEstimator:
        """An estimator over a session that is already open; closing the one closes the other."""
        estimator = cls.__new__(cls)
        estimator._start(session, cuts_on_gpu=_on_gpu(crops))  # noqa: SLF001 - of this very class
        return estimator

    def _start(self, session: PoseSession, *, cuts_on_gpu: bool = False) -> None:
        # OpenCV is needed at the first frame; a missing one is better told now.
        load_opencv("cutting crops")
        self._takes_frames = session.manifest.input_kind == "frame"
        if self._takes_frames and not isinstance(session, FrameSession):
            raise ModelFileError(
                f"{session.manifest.name}: it takes whole frames, and the session of {session.settings.engine} doesn't",
                cure="Export it with --input crops for this engine.",
            )
        if cuts_on_gpu and (self._takes_frames or not isinstance(session, CuttingSession)):
            session.close()
            reason = (
                "it takes whole frames, and cuts its crops itself"
                if self._takes_frames
                else f"a session of {session.settings.engine} can't cut crops on a GPU"
            )
            raise InputError(f"{session.manifest.name}: {reason}", cure='Leave crops="gpu" out.')
        self._cuts_on_gpu = cuts_on_gpu
        self._session: PoseSession | None = session
        self._buffers = threading.local()
        self._ahead, self._slots = Ahead(), [np.empty(0, np.uint8) for _ in range(DEPTH)]
        self.manifest: Manifest = session.manifest
        self.settings: SessionSettings = session.settings
        self.skeleton: Skeleton = skeleton(session.manifest.recipe.skeleton)
        largest = session.manifest.batch.maximum
        self._crops_at_once = -(-_CROPS_AT_ONCE // largest) * largest

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of a crop, in pixels."""
        return self.manifest.recipe.crop.height, self.manifest.recipe.crop.width

    def __call__(self, frame: NDArray[np.uint8] | OnGpu, boxes: ArrayLike | None) -> Poses:
        """The joints of N people.

        Args:
            frame: (Hf, Wf, 3) uint8 BGR as OpenCV reads it, (Hf, Wf, 4) BGRA or BGRx, (Hf, Wf) grey; any strides,
                read-only too. Of four channels the crops are cut as they are, and no copy of the frame is made. A plan
                of whole frames also takes (Hf, Wf, 3) that lies on the GPU (`__cuda_array_interface__`).
            boxes: (N, 4) xyxy in frame pixels, a list or an array. None, [] and shape (0, 4) mean nobody, and nothing
                is run.

        Returns:
            The poses, in the order of the boxes.

        Raises:
            FrameError: a frame or boxes that can't be used.
            InputError: the estimator is closed.
        """
        return self.timed(frame, boxes)[0]

    def submit(self, frame: NDArray[np.uint8] | OnGpu, boxes: ArrayLike | None) -> Ticket[Poses]:
        """The same, behind the caller: the crops are cut here and now, the network runs while the next ones are cut.

            ticket = estimator.submit(frame, boxes)
            ...                                  # the next frame comes, and is submitted
            poses = ticket.result()

        Two frames may be under way; a third one waits for the first. Results come in the order of the frames. A crowd
        of more than 32 goes through at once, before this returns.

        Args:
            frame: as above; it may be overwritten when this returns, unless it lies on the GPU.
            boxes: as above.

        Raises:
            FrameError: a frame or boxes that can't be used. What goes wrong later, `result()` raises.
            InputError: the estimator is closed.
        """
        session = self._opened()
        picture, people = self._checked(frame, boxes)
        if not 0 < len(people) <= self._crops_at_once:
            return Ticket.of(self(frame, boxes))
        affines = crop_affines(people, self.manifest.recipe.crop)

        def prepared(slot: int) -> Callable[[], Poses]:
            if self._goes_whole(picture):
                kept = picture
                if isinstance(picture, np.ndarray):
                    kept = self._slot(slot, picture.shape)
                    kept[...] = picture
                return lambda: self._poses(people, *self._whole(session, kept, affines))
            crops = self._slot(slot, (len(people), *self.input_size, 3))
            warp_crops(picture, affines, crops)

            def run() -> Poses:
                keypoints, scores = session.run(crops)
                return self._poses(people, transform_points(keypoints, affines), scores)

            return run

        return self._ahead.submit(prepared)

    def timed(self, frame: NDArray[np.uint8] | OnGpu, boxes: ArrayLike | None) -> tuple[Poses, StageTimes]:
        """The same, with the time of each stage."""
        session = self._opened()
        started = perf_counter()
        picture, people = self._checked(frame, boxes)
        poses = Poses(
            keypoints=np.empty((len(people), len(self.skeleton.joints), 2), np.float32),
            scores=np.empty((len(people), len(self.skeleton.joints)), np.float32),
            boxes=people.astype(np.float32),
        )
        crop_s = network_s = decode_s = 0.0
        for first in range(0, len(people), self._crops_at_once):
            part = slice(first, first + self._crops_at_once)
            affines = crop_affines(people[part], self.manifest.recipe.crop)
            if self._goes_whole(picture):
                cropped = perf_counter()
                poses.keypoints[part], poses.scores[part] = self._whole(session, picture, affines)
                ran = perf_counter()
            else:
                crops = self._crops(len(affines))
                warp_crops(picture, affines, crops)
                cropped = perf_counter()
                keypoints, poses.scores[part] = session.run(crops)
                ran = perf_counter()
                poses.keypoints[part] = transform_points(keypoints, affines)
            self._check_finite(poses.scores[part])
            done = perf_counter()
            crop_s, network_s, decode_s = crop_s + cropped - started, network_s + ran - cropped, decode_s + done - ran
            started = done
        return poses, StageTimes(crop_s * 1e3, network_s * 1e3, decode_s * 1e3)

    def batch(self, pairs: Sequence[tuple[NDArray[np.uint8], ArrayLike | None]]) -> list[Poses]:
        """The joints of the people of several frames, whose crops go through the network together.

        Args:
            pairs: each a frame, (Hf, Wf, 3) uint8 BGR or what else is taken above, and its (N, 4) boxes; the frames
                may differ in size.

        Returns:
            The poses of each frame, in the order of the frames.

        Raises:
            FrameError: a frame or boxes that can't be used; nothing was run then.
            InputError: the estimator is closed.
        """
        session = self._opened()
        checked = [self._checked(frame, boxes) for frame, boxes in pairs]
        ends = np.cumsum([len(people) for _, people in checked]).tolist()
        together = bool(ends) and 0 < ends[-1] <= self._crops_at_once
        if not together or any(self._goes_whole(picture) for picture, _ in checked):
            return [self(frame, boxes) for frame, boxes in pairs]
        crops = self._crops(ends[-1])
        parts = [slice(end - len(people), end) for end, (_, people) in zip(ends, checked, strict=True)]
        affines = [crop_affines(people, self.manifest.recipe.crop) for _, people in checked]
        for part, (picture, _), affine in zip(parts, checked, affines, strict=True):
            warp_crops(picture, affine, crops[part])
        keypoints, scores = session.run(crops)
        return [
            self._poses(people, transform_points(keypoints[part], affine), scores[part])
            for part, (_, people), affine in zip(parts, checked, affines, strict=True)
        ]

    def close(self) -> None:
        """Wait for what was submitted, and free the engine. Closing twice is allowed; a call afterwards is an error."""
        session, self._session = self._session, None
        self._ahead.close()
        if session is not None:
            session.close()

    def __enter__(self) -> PoseEstimator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _opened(self) -> PoseSession:
        session = self._session
        if session is None:
            raise InputError(
                "this PoseEstimator is closed", cure="Make a new one; close() belongs behind the last call."
            )
        return session

    def _checked(
        self, frame: NDArray[np.uint8] | OnGpu, boxes: ArrayLike | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The frame as the session takes it, (Hf, Wf, 3) or (Hf, Wf, 4), and the boxes (N, 4)."""
        if (there := on_gpu(frame)) is not None:
            if not isinstance(self._session, CuttingSession):
                raise FrameError(
                    f"the frame lies on the GPU, which a session of {self.settings.engine} can't reach",
                    cure="Give a NumPy array, or run a plan.",
                )
            picture = cast("NDArray[np.uint8]", frame)  # the session looks at it
            height, width = (*there.__cuda_array_interface__["shape"], 1, 1)[:2]
        else:
            picture = checked_frame(frame, fourth_channel=not self._takes_frames)
            height, width = picture.shape[:2]
        return picture, checked_boxes(() if boxes is None else boxes, height, width)

    def _goes_whole(self, picture: NDArray[np.uint8] | OnGpu) -> bool:
        """Whether the session is given the frame, rather than crops."""
        return self._takes_frames or self._cuts_on_gpu or not isinstance(picture, np.ndarray)

    def _whole(
        self, session: PoseSession, picture: NDArray[np.uint8], affines: NDArray[np.float64]
    ) -> tuple[NDArray[np.floating], NDArray[np.float32]]:
        """Keypoints (N, K, 2) in frame pixels and scores (N, K) of a frame (Hf, Wf, C) and affines (N, 2, 3)."""
        places = affines.astype(np.float32)
        if self._takes_frames:
            return cast("FrameSession", session).run_frame(picture, places)
        keypoints, scores = cast("CuttingSession", session).run_cut(picture, places)
        return transform_points(keypoints, affines), scores

    def _crops(self, count: int) -> NDArray[np.uint8]:
        """This thread's buffer for `count` crops: (count, H, W, 3) uint8, with the crops of the last call in it."""
        buffer: NDArray[np.uint8] | None = getattr(self._buffers, "crops", None)
        if buffer is None or len(buffer) < count:
            buffer = np.empty((count, *self.input_size, 3), np.uint8)
            self._buffers.crops = buffer
        return buffer[:count]

    def _slot(self, slot: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """An array of `shape` in the memory of a slot of `_ahead`, uint8, with whatever lay there."""
        size = math.prod(shape)
        if self._slots[slot].size < size:
            self._slots[slot] = np.empty(size, np.uint8)
        return self._slots[slot][:size].reshape(shape)

    def _poses(
        self, people: NDArray[np.float64], keypoints: NDArray[np.floating], scores: NDArray[np.float32]
    ) -> Poses:
        """Poses of N people: boxes (N, 4), keypoints (N, K, 2) in frame pixels, scores (N, K)."""
        self._check_finite(scores)
        return Poses(keypoints.astype(np.float32, copy=False), scores, people.astype(np.float32))

    def _check_finite(self, scores: NDArray[np.float32]) -> None:
        if not math.isfinite(scores.sum()):  # one pass in place of two; scores are within 0 and 1
            raise ModelFileError(
                f"the network of {self.manifest.recipe.name} gave scores that are not finite: its joints mean nothing",
                cure="Export the model again; at fp16 or int8 try another --precision.",
            )


def _on_gpu(crops: str) -> bool:
    if crops not in {"cpu", "gpu"}:
        raise InputError(f'crops="{crops}" is no place to cut crops', cure='Give "cpu" or "gpu".')
    return crops == "gpu"
