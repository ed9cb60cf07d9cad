"""The manifest: `<artefact>.json` beside every ONNX and plan, and the same facts inside an ONNX as metadata.

The manifest is what a board reads, since it has no onnx to read the graph with. A digest in it shows corruption, not
authorship. Unknown keys of the same schema major are kept; a newer major is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact.detector_facts import DetectorFacts, detector_facts_from_json, not_a_pose_network
from amfac_edge.artefact.plan_facts import PlanFacts, read_plan_facts
from amfac_edge.declared.reading import Table, reading
from amfac_edge.declared.recipe import Recipe, recipe_from_json
from amfac_edge.errors import AmfacError, InputError, ModelFileError
from amfac_edge.files import file_bytes, json_bytes, json_value, sha256_of
from amfac_edge.keypoints import SCORE_CALIBRATION_KEY, ScoreCalibration, score_calibration_from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "METADATA_DETECTOR",
    "METADATA_RECIPE",
    "SCHEMA",
    "BatchRange",
    "LayerCost",
    "Manifest",
    "TensorSpec",
    "check_digest",
    "manifest_beside",
    "manifest_from_json",
    "manifest_from_metadata",
    "manifest_path",
    "read_artefact",
    "read_manifest",
]

SCHEMA = "amfac-manifest/1"
METADATA_RECIPE, METADATA_DETECTOR = "amfac.recipe", "amfac.detector"
_POSE, _DETECTOR = "pose", "detector"
_METADATA_CALIBRATION = f"amfac.{SCORE_CALIBRATION_KEY}"
_SIZE_LIMIT = 16 << 20
_INPUT_KINDS = ("crops", "frame", "raw", "images")
_REEXPORT = "Export the model again with amfac-export."


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
            "kind": _DETECTOR if isinstance(self.model, DetectorFacts) else _POSE,
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
            return {_DETECTOR: self.model.as_json(), **sentences}
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
            facts[_METADATA_CALIBRATION] = json.dumps(self.score_calibration.as_json())
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


def manifest_path(artefact: Path) -> Path:
    """Where the manifest of `artefact` lies: the same name with .json behind it."""
    return artefact.with_name(artefact.name + ".json")


def read_manifest(artefact: Path) -> Manifest:
    """Read the manifest beside `artefact` and check that it describes this very file.

    Raises:
        ModelFileError: absent, unreadable, of a newer schema, or the file's digest differs from the recorded one.
    """
    manifest = manifest_beside(artefact)
    check_digest(artefact, manifest, sha256_of(artefact) if artefact.is_file() else "no file")
    return manifest


def read_artefact(artefact: Path) -> tuple[bytes, Manifest]:
    """Read an artefact and its manifest; the bytes are those whose digest was checked, whatever becomes of the file.

    Raises:
        ModelFileError: as `read_manifest`.
    """
    manifest = manifest_beside(artefact)
    try:
        content = artefact.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{artefact}: can't be read: {error.strerror or error}", cure=_REEXPORT) from error
    check_digest(artefact, manifest, sha256_of(content))
    return content, manifest


def manifest_beside(artefact: Path) -> Manifest:
    """Read the manifest beside `artefact`, whatever that file may be by now: `check_digest` tells.

    Raises:
        ModelFileError: absent, unreadable or of a newer schema.
    """
    path = manifest_path(artefact)
    try:
        data = json_value(file_bytes(path, limit=_SIZE_LIMIT, what="manifest"))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not JSON: {error}", cure=_REEXPORT) from error
    except InputError as error:
        raise ModelFileError(error.problem, cure=_REEXPORT) from error
    return manifest_from_json(data, where=str(path))


def check_digest(artefact: Path, manifest: Manifest, found: str) -> None:
    """Check the SHA-256 that was found of `artefact` against its manifest.

    Raises:
        ModelFileError: they differ.
    """
    recorded = manifest.digests.get("artefact", "")
    if recorded != found:
        raise ModelFileError(
            f"{artefact}: its SHA-256 is {found[:16]}…, its manifest says {recorded[:16] or 'none'}…: "
            "one of the two was replaced",
            cure="Copy the artefact together with its .json once more, or export the model again.",
        )


def manifest_from_json(data: object, *, where: str) -> Manifest:
    """Read a manifest's JSON.

    Raises:
        ModelFileError: another schema, or faults (all of them, with key paths).
    """
    _check_schema(data.get("schema") if isinstance(data, dict) else None, where)
    try:
        with reading(data, where=where) as table:
            return _manifest(table)
    except AmfacError as error:
        raise ModelFileError(error.problem, cure=_REEXPORT) from error


def manifest_from_metadata(metadata: Mapping[str, str], *, where: str) -> Manifest | None:
    """What an ONNX says of itself without its manifest, or None where it isn't one of ours.

    Raises:
        ModelFileError: the metadata are ours but faulty.
    """
    key = METADATA_RECIPE if METADATA_RECIPE in metadata else METADATA_DETECTOR
    if key not in metadata:
        return None
    _check_schema(metadata.get("amfac.schema"), where)
    try:
        read: Callable[..., Recipe | DetectorFacts] = (
            recipe_from_json if key == METADATA_RECIPE else detector_facts_from_json
        )
        return Manifest(
            target=metadata.get("amfac.target", "unknown"),
            precision=metadata.get("amfac.precision", "unknown"),
            input_kind=metadata.get("amfac.input_kind", "crops"),
            batch=BatchRange.parse(metadata.get("amfac.batch", "1")),
            model=read(json.loads(metadata[key]), where=f"{where}: {key}"),
            inputs=(),
            outputs=(),
            digests={"checkpoint": metadata.get("amfac.checkpoint_sha256", "")},
            versions={"amfac-edge": metadata.get("amfac.version", "")},
            trained={"true": True, "false": False}.get(metadata.get("amfac.trained", "")),
            score_calibration=_calibration(json.loads(metadata.get(_METADATA_CALIBRATION, "null")), where),
        )
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{where}: its metadata {key} is not JSON: {error}", cure=_REEXPORT) from error
    except AmfacError as error:
        raise ModelFileError(error.problem, cure=_REEXPORT) from error


def _check_schema(schema: object, where: str) -> None:
    if schema != SCHEMA:
        raise ModelFileError(
            f"{where}: schema {json.dumps(schema, default=str)[:60]} is not {SCHEMA}",
            cure="Use the amfac-edge version that wrote it, or export the model again.",
        )


def _manifest(table: Table) -> Manifest:
    table.ignore("schema", "crop", "letterbox", "score")
    return Manifest(
        target=table.text("target"),
        precision=table.text("precision"),
        input_kind=table.text("input_kind", choices=_INPUT_KINDS),
        batch=BatchRange.parse(table.text("batch") or "1"),
        model=_model(table),
        inputs=tuple(_tensor(tensor) for tensor in table.tables("inputs")),
        outputs=tuple(_tensor(tensor) for tensor in table.tables("outputs")),
        digests=_texts(table.table("digests")),
        versions=_texts(table.table("versions", required=False)),
        parity=_object(table.raw("parity")),
        layers=_layers(table),
        trained=table.flag("trained") if table.raw("trained") is not None else None,
        score_calibration=_calibration(table.raw(SCORE_CALIBRATION_KEY)),
        plan=read_plan_facts(table.table("plan")) if table.raw("plan") is not None else None,
        extra=table.rest(),
    )


def _model(table: Table) -> Recipe | DetectorFacts:
    # A manifest from before there were detectors doesn't say what it describes.
    kind = table.raw("kind") if "kind" in table else _POSE
    if kind == _DETECTOR:
        return detector_facts_from_json(table.raw(_DETECTOR), where=_DETECTOR)
    if kind != _POSE:
        raise InputError(
            f"kind: {json.dumps(kind, default=str)[:60]} is none of {_POSE}, {_DETECTOR}", cure="Use a newer version."
        )
    return recipe_from_json(table.raw("recipe"), where="recipe")


def _tensor(table: Table) -> TensorSpec:
    shape = table.raw("shape")
    axes = tuple(axis for axis in shape if isinstance(axis, int | str)) if isinstance(shape, list) else ()
    return TensorSpec(table.text("name"), table.text("dtype"), axes)


def _tensor_json(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def _calibration(data: object, where: str = "") -> ScoreCalibration | None:
    if data is None:
        return None
    return score_calibration_from_json(
        data, where=f"{where}: {SCORE_CALIBRATION_KEY}" if where else SCORE_CALIBRATION_KEY
    )


def _texts(table: Table) -> dict[str, str]:
    return {key: table.text(key) for key in table.keys()}  # noqa: SIM118 - a Table is no mapping


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _layers(table: Table) -> tuple[LayerCost, ...]:
    rows: Any = table.raw("layers")
    if rows is None:
        return ()
    try:
        return tuple(
            LayerCost(str(name), str(op), int(macs), int(size), str(dtype)) for name, op, macs, size, dtype in rows
        )
    except (TypeError, ValueError):
        table.fault("layers", "expected rows of [name, op, macs, bytes, dtype]")
        return ()
