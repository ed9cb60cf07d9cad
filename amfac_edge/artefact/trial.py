"""What a built plan is tried with on its own machine: crops, and the joints that the network itself finds in them.

A board kit carries one as an .npz, so that the machine that builds a plan can say whether it computes what the network
does, with NumPy alone. Letters: N crops of H x W, K joints. A detector's trial has its pictures and candidates in their
place: boxes of D = 4 values for joints of D = 2.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import ModelFileError
from amfac_edge.files import file_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Judgement", "Trial", "crops_in_a_frame", "read_trial", "trial_bytes", "upper_quantile"]

_SIZE_LIMIT = 256 << 20
_ARRAYS = {"crops": ("u1", 4), "keypoints": ("f4", 3), "scores": ("f4", 2), "clear": ("b1", 2), "allowed": ("f8", 1)}


@dataclass(frozen=True)
class Judgement:
    """How far a plan's joints are from the network's.

    Attributes:
        joints: that were compared: those that are no tie.
        moved: of them, those that are further away than allowed, or no number.
        allowed: how many may have moved.
        shift_px: distances in crop pixels: 50th and 99th percentile and maximum; infinite where a joint is no number.
        score_error: largest difference of scores.
    """

    joints: int
    moved: int
    allowed: float
    shift_px: tuple[float, float, float]
    score_error: float

    @property
    def holds(self) -> bool:
        """Whether no more joints have moved than may."""
        return self.moved <= self.allowed and bool(np.isfinite(self.score_error))

    def as_json(self) -> dict[str, Any]:
        """For the manifest, where what is infinite is absent."""
        return {
            "joints": self.joints,
            "moved": self.moved,
            "shift_px_p50_p99_max": [px if np.isfinite(px) else None for px in self.shift_px],
            "score_error": self.score_error if np.isfinite(self.score_error) else None,
            "holds": self.holds,
        }


@dataclass(frozen=True, eq=False)
class Trial:
    """Crops and what the network finds in them.

    Attributes:
        crops: (N,H,W,3) uint8 BGR.
        keypoints: (N,K,D) float32 in crop pixels, of the network itself.
        scores: (N,K) float32.
        clear: (N,K) bool: false where the two best bins of an axis are a tie, which rounding may decide.
        shift_px: distance from which on a clear joint has moved.
        moved_share: part of the clear joints that may.
    """

    crops: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    clear: NDArray[np.bool_]
    shift_px: float
    moved_share: float

    def judge(self, keypoints: NDArray[np.float32], scores: NDArray[np.float32]) -> Judgement:
        """Compare what a plan found.

        Args:
            keypoints: (N,K,D) float32 in crop pixels.
            scores: (N,K) float32.
        """
        distance = np.linalg.norm(keypoints.astype(np.float64) - self.keypoints, axis=-1)
        distance = np.nan_to_num(distance, nan=np.inf)
        middle, most = (upper_quantile(distance, part) for part in (0.5, 0.99))
        joints = int(np.count_nonzero(self.clear))
        return Judgement(
            joints=joints,
            moved=int(np.count_nonzero(self.clear & (distance > self.shift_px))),
            allowed=self.moved_share * joints,
            shift_px=(middle, most, float(distance.max())),
            score_error=float(np.abs(scores - self.scores).max()),
        )


def upper_quantile(values: NDArray[np.floating], part: float) -> float:
    """A quantile; between two of the values the higher one.

    Without interpolation, which has no answer between infinities. NumPy's name for it is `method="higher"`, but only
    from 1.22 on, and a board's is older.

    Args:
        values: (N,) or (N,K), at least one.
        part: 0 to 1.

    Returns:
        NaN where one of the values is.
    """
    ascending = np.sort(values, axis=None)
    # Sorting puts what is no number last, where no quantile may look.
    place = -1 if np.isnan(ascending[-1]) else math.ceil(part * (ascending.size - 1))
    return float(ascending[place])


def crops_in_a_frame(
    crops: NDArray[np.uint8], smallest: tuple[int, int] = (1, 1), largest: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops side by side in a frame, for a network that takes frames, and where they lie in it.

    Args:
        crops: (N,H,W,3) uint8.
        smallest: height and width that the frame has at least; black fills it up.
        largest: height and width that it has at most; None puts all crops one below the other.

    Returns:
        The frame, and affines (N,2,3) float32 that cut the crops out of it again, pixel by pixel.

    Raises:
        ModelFileError: so many crops of that size don't fit.
    """
    count, height, width, channels = crops.shape
    rows = min(count, max(largest[0] // height, 1)) if largest else count
    columns = -(-count // rows)
    sides = max(rows * height, smallest[0]), max(columns * width, smallest[1])
    if largest and (sides[0] > largest[0] or sides[1] > largest[1]):
        raise ModelFileError(
            f"{count} crops of {height}x{width} don't fit into a frame of {largest[0]}x{largest[1]}",
            cure="Build with a smaller batch.",
        )
    frame = np.zeros((*sides, channels), np.uint8)
    affines = np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1))
    for place, crop in enumerate(crops):
        column, row = divmod(place, rows)
        left, top = column * width, row * height
        frame[top : top + height, left : left + width] = crop
        affines[place, :, 2] = left, top
    return frame, affines


def trial_bytes(trial: Trial) -> bytes:
    """The trial as the content of an .npz file; the same trial gives the same bytes."""
    stream = io.BytesIO()
    arrays = {
        "crops": trial.crops,
        "keypoints": trial.keypoints,
        "scores": trial.scores,
        "clear": trial.clear,
        "allowed": np.array([trial.shift_px, trial.moved_share]),
    }
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array))
            # A date of its own would make every file another one.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return stream.getvalue()


def read_trial(path: Path) -> Trial:
    """Read what `trial_bytes` wrote.

    Raises:
        ModelFileError: it isn't such a file.
    """
    content = file_bytes(path, limit=_SIZE_LIMIT, what="trial")
    try:
        with np.load(io.BytesIO(content)) as archive:
            arrays = {name: archive[name] for name in _ARRAYS}
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _no_trial(path, str(error)) from error
    for name, (kind, axes) in _ARRAYS.items():
        if arrays[name].dtype != np.dtype(kind) or arrays[name].ndim != axes:
            raise _no_trial(path, f"{name} is {arrays[name].dtype} {arrays[name].shape}")
    crops, keypoints, clear = arrays["crops"], arrays["keypoints"], arrays["clear"]
    together = len(crops) == len(keypoints) > 0 and keypoints.shape in {(*clear.shape, 2), (*clear.shape, 4)}
    if not together or clear.shape != arrays["scores"].shape or arrays["allowed"].size != 2:  # noqa: PLR2004 - px, share
        raise _no_trial(path, f"{len(crops)} crops and keypoints {keypoints.shape} don't belong together")
    shift, share = arrays["allowed"].tolist()
    return Trial(crops, keypoints, arrays["scores"], clear, shift, share)


def _no_trial(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(f"{path}: not the trial of a kit: {reason}", cure="Copy the kit once more.")
