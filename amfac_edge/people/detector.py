"""Who is in a frame, by a person detector: letterboxed, run, suppressed, and back in frame pixels.

Letters: Hf x Wf the frame, H x W the network's input, A candidates, N people.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import numpy as np

from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.keypoints import Letterbox, PeopleBoxes, checked_frame, load_opencv, suppressed
from amfac_edge.sessions import open_detector_session

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts
    from amfac_edge.keypoints import Bgr
    from amfac_edge.sessions import DetectorSession, SessionSettings

__all__ = ["DETECTION_SCORE", "Detector", "PersonDetector", "open_detector"]

DETECTION_SCORE = 0.2
"""From which score on a candidate is told: low, since whoever follows people has a bar of its own for new ones."""

# Suppression compares every one that stays with all that are left: so many are more than any app can draw.
_MOST_PEOPLE, _MOST_CANDIDATES = 300, 3000
_SMALLEST_SIDE = 1.0


class PersonDetector(Protocol):
    """Whatever finds people in a frame."""

    def __call__(self, frame: Bgr) -> PeopleBoxes:
        """The people of a frame (Hf, Wf, 3) uint8 BGR: boxes (N, 4) xyxy in frame pixels, scores (N,) in 0..1."""
        ...  # pragma: no cover - a protocol has no body


class Detector:
    """A `PersonDetector` over an artefact of amfac-export, of any family. Calls of several threads take turns.

        with open_detector("rtmdet_nano_person.cpu.fp32.onnx") as detector:
            boxes, scores = detector(frame)

    Args:
        session: that runs it; closing the one closes the other.
        min_score: people below this score aren't told.

    Raises:
        InputError: a score outside of 0..1.
    """

    def __init__(self, session: DetectorSession, *, min_score: float = DETECTION_SCORE) -> None:
        if not 0 <= min_score <= 1:
            raise InputError(f"a detector's score of {min_score:g} is not within 0 and 1", cure="Give 0.3, say.")
        load_opencv("scaling frames")  # needed at the first frame; a missing one is better told now
        self.facts: DetectorFacts = session.facts
        self.settings: SessionSettings = session.settings
        self._session, self._min_score, self._lock = session, min_score, threading.Lock()
        self._input = np.empty((1, self.facts.height, self.facts.width, 3), np.uint8)

    def __call__(self, frame: NDArray[np.uint8]) -> PeopleBoxes:
        """The people of a frame, the best first.

        Args:
            frame: (Hf, Wf, 3) uint8 BGR, or what else `checked_frame` takes.

        Returns:
            Boxes (N, 4) float64, xyxy in frame pixels (integers are pixel centres), within the frame; scores (N,).

        Raises:
            FrameError: a frame that can't be used.
            InputError: the detector is closed.
            ModelFileError: the network gave numbers that are none.
        """
        picture = checked_frame(frame)
        letterbox = Letterbox(picture.shape[0], picture.shape[1], self.facts.height, self.facts.width)
        with self._lock:
            letterbox.place(picture, self._input[0])
            boxes, scores = self._session.run_images(self._input)
        return self._people(boxes[0], scores[0], letterbox)

    def close(self) -> None:
        """Free the engine. Closing twice is allowed; a call afterwards is an error."""
        self._session.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _people(self, boxes: NDArray[np.float32], scores: NDArray[np.float32], letterbox: Letterbox) -> PeopleBoxes:
        """Who is left of candidates (A, 4), (A,), in frame pixels."""
        candidates = np.flatnonzero(~(scores <= self._min_score))
        if len(candidates) > _MOST_CANDIDATES:
            candidates = candidates[np.argsort(-scores[candidates], kind="stable")[:_MOST_CANDIDATES]]
        boxes, scores = boxes[candidates], scores[candidates]
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ModelFileError(
                f"the detector {self.facts.name} gave boxes or scores that are not finite: whom it finds means nothing",
                cure="Export it again; at fp16 try --precision fp32.",
            )
        kept = suppressed(
            boxes, scores, score_threshold=self._min_score, iou_threshold=self.facts.iou_threshold, most=_MOST_PEOPLE
        )
        # COCO's corner of the first pixel is 0, ours is -0.5.
        places = letterbox.to_frame(boxes[kept]) - 0.5
        whole = ((places[:, 2:] - places[:, :2]) >= _SMALLEST_SIDE).all(axis=1)
        return PeopleBoxes(places[whole], scores[kept][whole].astype(np.float64))


def open_detector(
    path: str | Path,
    *,
    min_score: float = DETECTION_SCORE,
    threads: int | None = None,
    spinning: bool = True,
    provider: str = "cpu",
    cuda: str | None = None,
    wait: str = "block",
    host_code: bool = False,
) -> Detector:
    """The detector of an artefact of amfac-export.

    Args:
        path: of its `.onnx` or `.plan`.
        min_score: people below this score aren't told.
        threads: see `open_session`, this and all that follow.
        spinning: of an ONNX file: whether idle threads wait actively.
        provider: of an ONNX file: "cpu" or "cuda".
        cuda: of a plan: the library of CUDA.
        wait: of a plan: "block" or "spin".
        host_code: of a plan: its maker is trusted to run code on the CPU.

    Raises:
        ModelFileError: the file can't be used, or is a pose network's.
        MachineError: the file isn't for this machine, or something to run it with is missing.
        InputError: an argument that isn't known.
    """
    session = open_detector_session(
        path, threads=threads, spinning=spinning, provider=provider, cuda=cuda, wait=wait, host_code=host_code
    )
    try:
        return Detector(session, min_score=min_score)
    except BaseException:
        session.close()
        raise
