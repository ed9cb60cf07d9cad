"""Running a model over a data set: boxes -> crops -> joints in picture pixels.

A predictor is anything that turns crops into joints: an artefact as it will run on a board, its raw twin or a torch
network. Cropping, mapping back and scoring are the same for all of them. H x W the crop, K joints, k bins a pixel.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from amfac_edge.accuracy.predictions import Predictions
from amfac_edge.accuracy.rounded import RoundedPredictor, rounded_content
from amfac_edge.accuracy.similarity import by_image, without_doubles
from amfac_edge.artefact import FP32
from amfac_edge.artefact.identify import identify
from amfac_edge.errors import FrameError, InputError, ModelFileError
from amfac_edge.keypoints import SimccCode, crop_affines, skeleton, transform_points, warp_crops
from amfac_edge.runtime import person_scores
from amfac_edge.sessions import open_session
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from amfac_edge.accuracy.predictions import Boxes
    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.keypoints import ScoreCalibration
    from amfac_edge.sessions import GpuOptions, PoseSession

    Logits = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
    Disturb = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]

__all__ = [
    "LogitsPredictor",
    "Predicted",
    "Predictor",
    "SessionPredictor",
    "network_images",
    "nobody_found",
    "predict_people",
    "predictor_from_onnx",
]

_CROPS_AT_ONCE = 32
_NO_FLIP = (
    "Flip averaging needs logits: give the raw twin (amfac-export ... --raw-logits) or the checkpoint it was made from."
)


class Predictor(Protocol):
    """Crops to joints."""

    @property
    def recipe(self) -> Recipe:
        """Its crop, its skeleton."""
        ...

    @property
    def trained(self) -> bool | None:
        """What its file says of the weights; None where it says nothing."""
        ...

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints of M crops.

        Args:
            crops: (M, H, W, 3) uint8 BGR, C-contiguous, M from 1 on.

        Returns:
            Keypoints (M, K, 2) in crop pixels, scores (M, K) in 0..1.
        """
        ...


class SessionPredictor:
    """An artefact, run as `PoseEstimator` runs it.

    Args:
        session: closed by its owner.
    """

    def __init__(self, session: PoseSession) -> None:
        self._session = session

    @property
    def recipe(self) -> Recipe:
        """See `Predictor`."""
        return self._session.manifest.recipe

    @property
    def trained(self) -> bool | None:
        """See `Predictor`."""
        return self._session.manifest.trained

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Predictor.run`."""
        return self._session.run(crops)


class LogitsPredictor:
    """A network that gives SimCC logits, with or without flip averaging.

    Flipped, the logits of the mirrored crop are mirrored back and averaged with the crop's own, in SimCC space: exact
    where the recipe has `bin_centres` (a mirror is a reversal of the bins), (k - 1)/k pixels off where it has not.

    Args:
        recipe: of the network.
        logits: (M, 3, H, W) float32 normalised RGB -> x logits (M, K, W·k), y logits (M, K, H·k).
        flip: whether to average with the mirrored crop.
        trained: what is known of the weights.
        calibration: of the scores.
    """

    def __init__(
        self,
        recipe: Recipe,
        logits: Logits,
        *,
        flip: bool = False,
        trained: bool | None = None,
        calibration: ScoreCalibration | None = None,
    ) -> None:
        self._recipe = recipe
        self._logits = logits
        self._flip = flip
        self._trained = trained
        self._calibration = calibration
        self._code = SimccCode.of(recipe)

    @property
    def recipe(self) -> Recipe:
        """See `Predictor`."""
        return self._recipe

    @property
    def trained(self) -> bool | None:
        """See `Predictor`."""
        return self._trained

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Predictor.run`."""
        return self._code.decode(*self.logits(crops), self._recipe.temperature, self._calibration)

    def logits(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What `run` decodes.

        Args:
            crops: (M, H, W, 3) uint8 BGR.

        Returns:
            (M, K, W·k) and (M, K, H·k), averaged with those of the mirrored crops where that was asked for.
        """
        x, y = self._logits(network_images(crops, self._recipe))
        if self._flip:
            order = skeleton(self._recipe.skeleton).flip_order
            mirrored = self._logits(network_images(crops[:, :, ::-1], self._recipe))
            back_x, back_y = self._code.flip(*mirrored, order)
            x, y = _mean(x, back_x), _mean(y, back_y)
        return x, y


def network_images(crops: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    """Crops as the recipe's network reads them.

    Args:
        crops: (M, H, W, 3) uint8 BGR.
        recipe: for its mean and standard deviation.

    Returns:
        (M, 3, H, W) float32 normalised RGB.
    """
    mean, std = np.array(recipe.mean, np.float32), np.array(recipe.std, np.float32)
    rgb = (crops[..., ::-1].astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(rgb.transpose(0, 3, 1, 2))


def _mean(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((one + other) / 2).astype(np.float32, copy=False)


@contextlib.contextmanager
def predictor_from_onnx(path: Path, *, flip: bool = False, gpu: GpuOptions | None = None) -> Iterator[Predictor]:
    """The predictor of an artefact or a plan (crops in, joints out) or of an artefact's raw twin (logits out).

    An ONNX in half precision computes as on a GPU: every float16 result is rounded. A plan runs on the GPU itself.

    Args:
        path: of the file.
        flip: whether to average with the mirrored crop.
        gpu: how a plan is run; an ONNX is evaluated on the CPU, unless its provider is "cuda".

    Raises:
        ModelFileError: no artefact of amfac-export, `flip` of one without logits, or a raw twin on a card.
        MachineError: a plan for another machine, or something to run the file with is missing.
    """
    manifest = identify(path).manifest
    if manifest is not None and manifest.input_kind == "frame":
        raise ModelFileError(
            f"{path}: it takes whole frames, and an evaluation gives it crops",
            cure="Evaluate the same model exported with --input crops: its network is the same.",
        )
    on_card = gpu is not None and gpu.get("provider") == "cuda"
    if manifest is not None and manifest.input_kind == "raw":
        if on_card:
            raise ModelFileError(
                f"{path}: a raw twin is evaluated on the CPU", cure="Leave --provider out, or give the artefact."
            )
        graph = RawGraph(rounded_content(path)[0], name=str(path))
        batch = manifest.batch.maximum
        yield LogitsPredictor(
            manifest.recipe,
            _in_batches(graph, batch),
            flip=flip,
            trained=manifest.trained,
            calibration=manifest.score_calibration,
        )
        return
    if flip:
        raise ModelFileError(f"{path}: gives joints, no logits", cure=_NO_FLIP)
    if manifest is not None and manifest.plan is None and manifest.precision != FP32 and not on_card:
        yield RoundedPredictor(path)
        return
    with open_session(path, **(gpu or {})) as session:
        yield SessionPredictor(session)


def _in_batches(graph: RawGraph, batch: int) -> Logits:
    """The graph's logits of any number of images; each call gets `batch`, the last one repeats to fill up."""

    def logits(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        filled = np.concatenate([images, np.repeat(images[-1:], -len(images) % batch, axis=0)])
        parts = [graph.run({"image": filled[start : start + batch]}) for start in range(0, len(filled), batch)]
        x, y = (np.concatenate(axis)[: len(images)] for axis in zip(*parts, strict=True))
        return x, y

    return logits


@dataclass(frozen=True)
class Predicted:
    """What a run over a data set gave.

    Attributes:
        predictions: of all pictures that could be read.
        unread: why pictures were left out, by id.
    """

    predictions: Predictions
    unread: dict[int, str]


def predict_people(
    predictor: Predictor,
    people: PeopleSet,
    boxes: Boxes,
    *,
    disturb: Disturb | None = None,
    on_fault: OnFault = "refuse",
    may_find_none: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Predicted:
    """The joints in all boxes; a detector's doubles are dropped by OKS-NMS.

    Args:
        predictor: whose skeleton is that of the people.
        people: for the pictures.
        boxes: where to look.
        disturb: (H, W, 3) uint8 crop and a number (the box's) -> the crop that is looked at instead.
        on_fault: "skip" leaves out pictures that can't be read.
        may_find_none: whether predictions of nobody are an answer, as they are for a part of the boxes.
        progress: called with the number of boxes done.

    Raises:
        InputError: another skeleton, no picture with a box that can be read, or scores that are not finite.
        FrameError: a picture can't be read.
    """
    recipe = predictor.recipe
    if recipe.skeleton != people.skeleton.name:
        raise InputError(
            f"{recipe.name} finds the joints of {recipe.skeleton}, {people.name} has those of {people.skeleton.name}",
            cure="Use a model of that skeleton, or --map-joints to score the joints that both have.",
        )
    runner = _Runner(predictor, boxes, disturb)
    unread: dict[int, str] = {}
    for image, here in by_image(boxes.image_ids).items():
        try:
            picture = people.read_image(image)
        except FrameError as error:
            if on_fault == "refuse":
                raise
            unread[image] = error.problem
            continue
        runner.look(picture, here)
        if progress is not None:
            progress(len(here))
    predictions = runner.finished()
    if not (predictions or may_find_none):
        raise nobody_found(people)
    if not boxes.is_ground_truth:
        predictions = without_doubles(predictions, people.skeleton)
    return Predicted(predictions, unread)


def nobody_found(people: PeopleSet) -> InputError:
    """The error of a set that no picture with a box could be read of."""
    return InputError(f"{people.name}: no picture with a box could be read", cure="Check --images and --boxes.")


class _Runner:
    """Collects crops over pictures, so that the network gets whole batches."""

    def __init__(self, predictor: Predictor, boxes: Boxes, disturb: Disturb | None) -> None:
        self._predictor = predictor
        self._boxes = boxes
        self._disturb = disturb
        self._crops: list[NDArray[np.uint8]] = []
        self._affines: list[NDArray[np.float64]] = []
        self._waiting = 0
        self._keypoints: list[NDArray[np.float64]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._seen: list[NDArray[np.intp]] = []

    def look(self, picture: NDArray[np.uint8], here: NDArray[np.intp]) -> None:
        rule = self._predictor.recipe.crop
        affines = crop_affines(self._boxes.boxes[here], rule)
        crops = np.empty((len(here), rule.height, rule.width, 3), np.uint8)
        warp_crops(picture, affines, crops)
        if self._disturb is not None:
            for crop, number in zip(crops, here.tolist(), strict=True):
                crop[:] = self._disturb(crop, number)
        self._crops.append(crops)
        self._affines.append(affines)
        self._seen.append(here)
        self._waiting += len(here)
        if self._waiting >= _CROPS_AT_ONCE:
            self._run()

    def finished(self) -> Predictions:
        if self._waiting:
            self._run()
        joints = len(skeleton(self._predictor.recipe.skeleton).joints)
        seen = np.concatenate([np.empty(0, np.intp), *self._seen])
        scores = np.concatenate([np.empty((0, joints), np.float32), *self._scores])
        if not np.isfinite(scores).all():
            raise InputError(
                f"{self._predictor.recipe.name} gave scores that are not finite: its joints mean nothing",
                cure="Export the model again, or take an earlier checkpoint.",
            )
        return Predictions(
            image_ids=self._boxes.image_ids[seen],
            keypoints=np.concatenate([np.empty((0, joints, 2)), *self._keypoints]),
            joint_scores=scores.astype(np.float64),
            scores=person_scores(scores, self._boxes.scores[seen]),
            boxes=self._boxes.boxes[seen],
        )

    def _run(self) -> None:
        crops, affines = np.concatenate(self._crops), np.concatenate(self._affines)
        for start in range(0, len(crops), _CROPS_AT_ONCE):
            part = slice(start, start + _CROPS_AT_ONCE)
            keypoints, scores = self._predictor.run(crops[part])
            self._keypoints.append(transform_points(keypoints, affines[part]))
            self._scores.append(scores)
        self._crops, self._affines, self._waiting = [], [], 0
