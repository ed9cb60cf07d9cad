"""What models of a Triton repository run in Triton's python backend: their `model.py` names one of these classes.

Frames, boxes and joints are those of `PoseEstimator`. N people, K keypoints, H x W the crop, Hf x Wf the frame.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.artefact import manifest_from_json
from amfac_edge.errors import AmfacError, InputError
from amfac_edge.files import json_value
from amfac_edge.keypoints import checked_boxes, checked_frame, crop_affines, transform_points, warp_crops
from amfac_edge.runtime import PoseEstimator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from amfac_edge.artefact import Manifest

__all__ = ["MANIFEST_FILE", "CutModel", "MapModel", "PoseModel"]

MANIFEST_FILE = "manifest.json"


class _Model:
    """A model of the python backend: arrays in by name, arrays out by name."""

    takes: tuple[str, ...] = ()

    def initialize(self, args: Mapping[str, str]) -> None:
        """Called once; `args` say where the model lies and how it is configured."""
        self._backend: Any = importlib.import_module("triton_python_backend_utils")
        self.folder = Path(args["model_repository"]) / args["model_version"]
        parameters = json.loads(args["model_config"]).get("parameters", {})
        self.parameters = {key: value["string_value"] for key, value in parameters.items()}
        self.start()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, one by one; an error is that of its request alone."""
        return [self._answer(request) for request in requests]

    def start(self) -> None:
        """Read what `answer` needs."""

    def answer(self, *arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The outputs of one request.

        Args:
            *arrays: inputs in the order of `takes`.
        """
        raise NotImplementedError

    def _answer(self, request: Any) -> Any:  # noqa: ANN401 - Triton's own
        backend = self._backend
        arrays = [backend.get_input_tensor_by_name(request, name).as_numpy() for name in self.takes]
        try:
            found = self.answer(*arrays)
        except AmfacError as error:
            return backend.InferenceResponse(output_tensors=[], error=backend.TritonError(str(error)))
        return backend.InferenceResponse(
            output_tensors=[backend.Tensor(name, np.ascontiguousarray(array)) for name, array in found.items()]
        )


class PoseModel(_Model):
    """`frame` uint8 (Hf, Wf, 3) BGR, `boxes` float32 (N, 4) -> `keypoints` (N, K, 2), `scores` (N, K), by ONNX Runtime.

    The parameter `threads` is that of `PoseEstimator`.
    """

    takes = ("frame", "boxes")

    def start(self) -> None:
        """Load `model.onnx`."""
        self._estimator = PoseEstimator(self.folder / "model.onnx", threads=int(self.parameters["threads"]))

    def answer(self, *arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """See `PoseEstimator`."""
        frame, boxes = arrays
        poses = self._estimator(frame, boxes)
        return {"keypoints": poses.keypoints, "scores": poses.scores}

    def finalize(self) -> None:
        """Called at the end."""
        self._estimator.close()


class CutModel(_Model):
    """`frame` and `boxes` -> `crops` uint8 (M, H, W, 3) and `affines` float64 (N, 2, 3), crop to frame pixels.

    M is N, filled up with empty crops to what the engine takes at the least.
    """

    takes = ("frame", "boxes")

    def start(self) -> None:
        """Read the crop's rule."""
        self._manifest = _manifest(self.folder)

    def answer(self, *arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Cut."""
        frame, boxes = arrays
        crop, batch = self._manifest.recipe.crop, self._manifest.batch
        picture = checked_frame(frame)
        people = checked_boxes(boxes, *picture.shape[:2])
        if len(people) > batch.maximum:
            raise InputError(
                f"{len(people)} people in a request, and the engine takes {batch.maximum}",
                cure="Send several requests with the same frame.",
            )
        affines = crop_affines(people, crop)
        crops = np.zeros((max(len(people), batch.minimum), crop.height, crop.width, 3), np.uint8)
        if len(people):
            warp_crops(picture, affines, crops[: len(people)])
        return {"crops": crops, "affines": affines}


class MapModel(_Model):
    """`crop_keypoints` (M, K, 2), `crop_scores` (M, K), `affines` (N, 2, 3) -> `keypoints` of the frame, `scores`."""

    takes = ("crop_keypoints", "crop_scores", "affines")

    def answer(self, *arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Map, and drop what filled up."""
        keypoints, scores, affines = arrays
        people = len(affines)
        mapped = transform_points(keypoints[:people], affines)
        return {"keypoints": mapped.astype(np.float32, copy=False), "scores": scores[:people]}


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    return manifest_from_json(json_value(path.read_bytes()), where=str(path))
