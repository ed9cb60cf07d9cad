"""What an artefact takes and gives, by its manifest; the tensors of every engine are held against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    from amfac_edge.artefact import Manifest

__all__ = ["check_contract", "check_input_kind", "facts_of", "results_of"]

_BATCH_AXIS = 0


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
