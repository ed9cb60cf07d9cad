"""Our poses in the shapes of other libraries. N people, K keypoints."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import InputError, MissingExtraError
from amfac_edge.people import open_detector
from amfac_edge.runtime import PoseEstimator

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from amfac_edge.runtime import Poses

__all__ = ["Body", "supervision_key_points"]


class Body:
    """The call of rtmlib's `Body`: a frame in, `keypoints, scores` out.

        body = Body("rtmpose.cpu.fp32.onnx", "rtmdet.cpu.fp32.onnx")
        keypoints, scores = body(frame)

    Two things differ. In a frame without people it finds nobody, where rtmlib takes the whole frame for a person. And
    the models are artefacts of amfac-export, which know their sizes and normalisation.

    Args:
        pose: of the pose network.
        detector: of the person detector; None takes the whole frame for one person's box, always.
        options: of `PoseEstimator` for the pose network: `threads`, `provider` and so on.

    Raises:
        ModelFileError: a file can't be used.
        MachineError: a file isn't for this machine, or something to run it with is missing.
    """

    def __init__(
        self,
        pose: str | Path,
        detector: str | Path | None = None,
        **options: Any,  # noqa: ANN401 - PoseEstimator's own
    ) -> None:
        with contextlib.ExitStack() as opened:
            self._pose = opened.enter_context(PoseEstimator(pose, **options))
            self._detector = None if detector is None else opened.enter_context(open_detector(detector))
            self._opened = opened.pop_all()

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The people of a frame.

        Args:
            image: (Hf, Wf, 3) uint8 BGR.

        Returns:
            Keypoints (N, K, 2), x and y in frame pixels, and scores (N, K) in 0..1, both float32.

        Raises:
            FrameError: a frame that can't be used.
        """
        if self._detector is not None:
            boxes: ArrayLike = self._detector(image).boxes
        else:
            height, width = (*np.shape(image), 0, 0)[:2]
            boxes = [[-0.5, -0.5, width - 0.5, height - 0.5]]
        poses = self._pose(image, boxes)
        return poses.keypoints, poses.scores

    def close(self) -> None:
        """Free the engines."""
        self._opened.close()

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def supervision_key_points(poses: Poses, *, ids: ArrayLike | None = None, min_score: float | None = None) -> Any:  # noqa: ANN401 - supervision.KeyPoints
    """`supervision.KeyPoints`, for that library's annotators and filters.

    Args:
        poses: of N people with K joints.
        ids: (N,) of the people who are followed, as `PosedFrame.ids` has them; they become `data["tracker_id"]`.
        min_score: joints below it are put at (0, 0), which supervision's annotators leave out; None puts none there.

    Returns:
        Its `xy` is (N, K, 2) float32, the confidence of the joints (N, K) float32, `class_id` (N,) zeros.

    Raises:
        InputError: as many ids as people are needed.
        MissingExtraError: supervision is not installed.
    """
    try:
        key_points = importlib.import_module("supervision").KeyPoints
    except ImportError as error:
        raise MissingExtraError.of("supervision", "supervision", use="supervision_key_points") from error
    xy = np.array(poses.keypoints, np.float32)
    if min_score is not None:
        xy[poses.scores < min_score] = 0
    data: dict[str, NDArray[np.int64]] = {}
    if ids is not None:
        data["tracker_id"] = np.asarray(ids, np.int64)
        if data["tracker_id"].shape != (len(poses),):
            raise InputError(
                f"ids of shape {data['tracker_id'].shape} for {len(poses)} people", cure="Give an id for each."
            )
    # It was called `confidence` until a detection had one of its own.
    names = inspect.signature(key_points).parameters
    confidence = "keypoint_confidence" if "keypoint_confidence" in names else "confidence"
    return key_points(
        xy=xy,
        class_id=np.zeros(len(poses), int),
        data=data,
        **{confidence: np.array(poses.scores, np.float32)},
    )
