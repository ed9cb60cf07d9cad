"""The manifest: `<artefact>.json` beside every ONNX and plan, and the same facts inside an ONNX as metadata.

The manifest is what a board reads, since it has no onnx to read the graph with. A digest in it shows corruption, not
authorship. Unknown keys of the same schema major are kept; a newer major is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact.detector_facts import DetectorFacts, not_a_pose_network
from amfac_edge.errors import InputError
from amfac_edge.files import json_bytes
from amfac_edge.keypoints import SCORE_CALIBRATION_KEY, ScoreCalibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amfac_edge.artefact.plan_facts import PlanFacts
    from amfac_edge.declared.recipe import Recipe

__all__ = [
    "DETECTOR",
    "METADATA_CALIBRATION",
    "METADATA_DETECTOR",
    "METADATA_RECIPE",
    "POSE",
    "SCHEMA",
    "BatchRange",
    "LayerCost",
    "Manifest",
    "TensorSpec",
]

SCHEMA = "amfac-manifest/1"
METADATA_RECIPE, METADATA_DETECTOR = "amfac.recipe", "amfac.detector"
POSE, DETECTOR = "pose", "detector"
METADATA_CALIBRATION = f"amfac.{SCORE_CALIBRATION_KEY}"


@dataclass(frozen=True)
class BatchRange:
    """How many persons one call takes; `minimum == maximum` is a fixed batch."""

    minimum: int
    optimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum <= 1024:  # noqa: PLR2004 - no board takes more
            raise InputError(
                f"batch {self.minimum}:{self.optimum}:{self.maximum} is not 1 <= MIN <= OPT <= MAX <= 1024",
                cure="Give --batch N, MIN-MAX or MIN:OPT:MAX.",
            )

    @classmethod
    def parse(cls, text: str) -> BatchRange:
        """Read "4" (fixed), "1-4" (the optimum is the maximum) or "1:2:4".

        Raises:
            InputError: another form, or numbers out of order.
        """
        try:
            numbers = [int(part) for part in text.replace("-", ":").split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            if numbers[0] < 1:
                raise InputError(f'batch "{text}" is less than 1', cure="Give --batch N, MIN-MAX or MIN:OPT:MAX.")
            return cls(numbers[0], numbers[0], numbers[0])
        if len(numbers) == 2:  # noqa: PLR2004 - MIN-MAX
            return cls(numbers[0], numbers[1], numbers[1])
        if len(numbers) == 3:  # noqa: PLR2004 - MIN:OPT:MAX
            return cls(numbers[0], numbers[1], numbers[2])
        raise InputError(f'batch "{text}" is not a batch size', cure="Give --batch N, MIN-MAX or MIN:OPT:MAX.")

    @property
    def is_fixed(self) -> bool:
        """Whether only one batch size is possible."""
        return self.minimum == self.maximum

    def __str__(self) -> str:
        if self.is_fixed:
            return str(self.minimum)
        if self.optimum == self.maximum:
            return f"{self.minimum}-{self.maximum}"
        return f"{self.minimum}:{self.optimum}:{self.maximum}"


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: name, dtype by its NumPy name, shape with a string for a dynamic axis."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class LayerCost:
    """What one node of the graph costs at batch 1: multiply-accumulates, bytes read and written, element type."""

    name: str
    op: str
    macs: int
    bytes: int
    dtype: str


@dataclass(frozen=True)
class Manifest:
    """What an artefact is.

    Attributes:
        target: the target's name ("cpu", "orin-nano-8", ...).
        precision: "fp32", "fp16" or "int8".
        input_kind: "crops" (uint8 BGR), "frame" (uint8 BGR frame + affines) or "raw" (normalised RGB, logits out); a
            detector takes "images" (uint8 BGR, letterboxed).
        batch: persons in one call.
        model: what the network is: the recipe of a pose model, or the facts of a detector.
        inputs: tensors in.
        outputs: tensors out.
        digests: SHA-256 in hex by name: "artefact" (the file itself), "checkpoint" or "source" (what it was made from),
            for a plan also the links between, see `plan_facts.DIGEST_CHAIN`.
        versions: of the libraries that made it.
        parity: the evidence of the parity gate, as JSON.
        layers: cost of every node, for the forecast.
        trained: False where the weights are known to be untrained, True where they are known to be trained, else None.
        score_calibration: of the scores, part of the graph already; None where the plain score was never calibrated.
        plan: what built it and what it needs, for a TensorRT plan.
        extra: keys of the same schema major that this version doesn't know.
    """

    target: str
    precision: str
    input_kind: str
    batch: BatchRange
    model: Recipe | DetectorFacts
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    digests: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[LayerCost, ...] = ()
    trained: bool | None = None
    plan: PlanFacts | None = None
    score_calibration: ScoreCalibration | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the model."""
        return self.model.name

    @property
    def recipe(self) -> Recipe:
        """Of a pose model.

        Raises:
            ModelFileError: it is a detector, which has none.
        """
        if isinstance(self.model, DetectorFacts):
            raise not_a_pose_network(self.name)
        return self.model

    def as_json(self) -> dict[str, Any]:
        """The manifest as a JSON object."""
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "kind": DETECTOR if isinstance(self.model, DetectorFacts) else POSE,
            "target": self.target,
            "precision": self.precision,
            "input_kind": self.input_kind,
            "batch": str(self.batch),
            **self._model_json(),
            "inputs": [_tensor_json(tensor) for tensor in self.inputs],
            "outputs": [_tensor_json(tensor) for tensor in self.outputs],
            "digests": dict(self.digests),
            "versions": dict(self.versions),
            "parity": dict(self.parity),
            "trained": self.trained,
        }
        if self.plan is not None:
            fields["plan"] = self.plan.as_json()
        if self.score_calibration is not None:
            fields[SCORE_CALIBRATION_KEY] = self.score_calibration.as_json()
        fields |= self.extra
        # One line a layer keeps a manifest of 400 layers readable in an editor.
        fields["layers"] = [[layer.name, layer.op, layer.macs, layer.bytes, layer.dtype] for layer in self.layers]
        return fields

    def as_bytes(self) -> bytes:
        """The manifest as the content of its file."""
        fields = self.as_json()
        layers = fields.pop("layers")
        head = json_bytes(fields).rstrip().removesuffix(b"}").rstrip()
        rows = b",\n".join(b"    " + json.dumps(layer).encode() for layer in layers)
        return head + b',\n  "layers": [\n' + rows + b"\n  ]\n}\n"

    def _model_json(self) -> dict[str, Any]:
        """What the network is, and its conventions in sentences."""
        if isinstance(self.model, DetectorFacts):
            sentences = {"letterbox": self.model.letterbox_sentence(), "score": self.model.score_sentence()}
            return {DETECTOR: self.model.as_json(), **sentences}
        score = _score_sentence(self.model, self.score_calibration)
        return {"recipe": self.model.as_json(), "crop": _crop_sentence(self.model), "score": score}

    def metadata(self) -> dict[str, str]:
        """The same facts, less what only the finished file knows, as ONNX metadata (string to string)."""
        model = {
            f"amfac.{key}": fact if isinstance(fact, str) else json.dumps(fact)
            for key, fact in self._model_json().items()
        }
        facts = {
            "amfac.schema": SCHEMA,
            **model,
            "amfac.target": self.target,
            "amfac.precision": self.precision,
            "amfac.input_kind": self.input_kind,
            "amfac.batch": str(self.batch),
            "amfac.checkpoint_sha256": self.digests.get("checkpoint", self.digests.get("source", "")),
            "amfac.version": self.versions.get("amfac-edge", ""),
        }
        if not isinstance(self.model, DetectorFacts):
            facts["amfac.skeleton"] = self.model.skeleton
        if self.trained is not None:
            facts["amfac.trained"] = "true" if self.trained else "false"
        if self.score_calibration is not None:
            facts[METADATA_CALIBRATION] = json.dumps(self.score_calibration.as_json())
        return facts


def _crop_sentence(recipe: Recipe) -> str:
    """The crop's convention in one sentence, for readers of the artefact in other languages."""
    crop = recipe.crop
    half = 1 if crop.pixel_centres else 0
    centre = f"({(crop.width - half) / 2:g}, {(crop.height - half) / 2:g})"
    return (
        f"box grown to {crop.width}:{crop.height}, times {crop.padding:g}, its centre at crop pixel {centre}, "
        "uniform scale, bilinear, black border; integers are pixel centres"
    )


def _score_sentence(recipe: Recipe, calibration: ScoreCalibration | None) -> str:
    """The score's definition in one sentence."""
    temperature = calibration.temperature if calibration else recipe.temperature
    plain = f"min over the x and y axes of max softmax(logits / {temperature:g})"
    return f"{plain}, {calibration.sentence()}" if calibration else plain


def _tensor_json(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
