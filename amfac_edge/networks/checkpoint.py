"""Checkpoints: safe loading from any usual layout, and saving with everything that a reader needs inside the file."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from amfac_edge.declared.reading import reading
from amfac_edge.declared.recipe import Recipe, recipe_from_json
from amfac_edge.errors import CheckpointError, InputError, MissingExtraError
from amfac_edge.files import atomic_file, write_bytes
from amfac_edge.keypoints import SCORE_CALIBRATION_KEY, ScoreCalibration, score_calibration_from_json, skeleton
from amfac_edge.networks.building import build_network
from amfac_edge.networks.checkpoint_file import (
    BLOCK_KEY,
    CheckpointFile,
    is_tensor,
    printable,
    read_checkpoint_file,
    unwrapped_names,
)
from amfac_edge.networks.checkpoint_fit import fitting_recipes, inferred_recipe, misfit, require_fit
from amfac_edge.networks.checkpoint_tensors import (
    BATCH_COUNT,
    checked_tensors,
    entry_faults,
    sound_tensors,
    weights_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "LoadedCheckpoint",
    "copy_checkpoint",
    "describe_checkpoint",
    "load_checkpoint",
    "renamed_tensors",
    "save_checkpoint",
]

_SCHEMA = "amfac-checkpoint/1"
_TORCH_SUFFIXES = (".pth", ".pt")
_SHOWN = 8
_REFIT = "Take the checkpoint without it, and fit it anew: amfac-eval CHECKPOINT --data ... --calibrate-score OUT."


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint that was read and checked.

    Attributes:
        network: float32, in eval mode, on the CPU; owns its memory.
        recipe: what the network was built by.
        sha256: of the file, in hex.
        trained: what the file says of its weights; None where it says nothing.
        metadata: `weights` (the entry of the file that they were taken from), `recipe_from` ("file", "argument" or
            "weights"), `weights_sha256`, and what else the file says of itself (`version`, ...).
        score_calibration: of the scores of these very weights; None where the file has none.
    """

    network: nn.Module
    recipe: Recipe
    sha256: str
    trained: bool | None
    metadata: dict[str, Any] = field(default_factory=dict)
    score_calibration: ScoreCalibration | None = None


@dataclass(frozen=True)
class _Block:
    """Our own facts in a file, checked."""

    recipe: Recipe | None = None
    trained: bool | None = None
    weights_sha256: str = ""
    score_calibration: ScoreCalibration | None = None
    rest: dict[str, Any] = field(default_factory=dict)


def load_checkpoint(path: Path, *, recipe: Recipe | None = None, key_map: Path | None = None) -> LoadedCheckpoint:
    """Read a checkpoint, find its recipe, and build its network. Nothing in the file is executed.

    The recipe is `recipe` if it is given, else the one in the file, else the one declared recipe that fits; names and
    shapes must fit exactly in each case. Half-precision weights become float32.

    Args:
        path: a state dict, alone or within the usual wrappings, of torch.save or safetensors.
        recipe: overrides the one in the file.
        key_map: TOML that renames an author's keys (docs/networks.md).

    Raises:
        CheckpointError: can't be read, holds code, fits no recipe, or has weights that are no numbers.
        DeclaredError: the key map is faulty.
    """
    file = read_checkpoint_file(path)
    tensors = checked_tensors(file, key_map)
    block = _read_block(file, recipe_matters=recipe is None)
    found, recipe_from = _found_recipe(file, tensors, recipe, block)
    digest = weights_digest(tensors)
    if block.weights_sha256 and key_map is None and digest != block.weights_sha256:
        raise CheckpointError(
            f"{path}: its weights are not those that were saved: the digest {block.weights_sha256[:16]} doesn't match",
            cure="Copy the file again; if the weights were changed on purpose, save them with save_checkpoint.",
        )
    calibration = block.score_calibration
    if calibration is not None and key_map is None and calibration.weights_sha256 not in {"", digest}:
        fitted = calibration.weights_sha256[:16]
        raise CheckpointError(
            f"{path}: its score_calibration was fitted for the weights {fitted}, it has {digest[:16]}", cure=_REFIT
        )
    network = _filled_network(found, tensors, where=str(path))
    facts = {**block.rest, "weights": file.entry, "recipe_from": recipe_from, "weights_sha256": digest}
    return LoadedCheckpoint(network, found, file.sha256, block.trained, facts, calibration)


def renamed_tensors(path: Path, key_map: Path) -> dict[str, Tensor]:
    """The tensors of a state dict of any network under the names that a key map gives them, in float32.

    Raises:
        CheckpointError: can't be read, holds code, has weights that are no numbers, or the map doesn't go with it.
        DeclaredError: the key map is faulty.
    """
    tensors = checked_tensors(read_checkpoint_file(path), key_map)
    # A copy always: the tensors of a file are a view of its mapping, which others may write to.
    state = {
        name: value.detach().to(value.dtype if name.endswith(BATCH_COUNT) else torch.float32, copy=True)
        for name, value in tensors.items()
    }
    _refuse_bad_numbers(state, where=str(path))
    return state


def save_checkpoint(
    path: Path,
    network: nn.Module,
    recipe: Recipe,
    *,
    trained: bool | None,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Write a network's weights with their recipe, skeleton, digest and the package's version; atomic.

    The same weights and facts give the same bytes.

    Args:
        path: ends with .pth, .pt or .safetensors, which decides the format.
        network: may be wrapped by DataParallel or torch.compile.
        recipe: must fit the network.
        trained: False for weights that were never trained, so that what is made from them can say so; None if unknown.
        extra: further facts, JSON-able; they come back in `LoadedCheckpoint.metadata`, a `score_calibration` as that.

    Returns:
        The SHA-256 of the weights.

    Raises:
        CheckpointError: the network is not the recipe's.
        InputError: another suffix, or `extra` is not JSON-able.
        OutputError: the place can't be written to.
    """
    state = unwrapped_names(dict(network.state_dict()), where=str(path))
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items() if is_tensor(value)}
    require_fit(_shapes(tensors), recipe, where=str(path), said_by="that it was to be saved with")
    return _write(path, tensors, recipe, trained=trained, extra=extra or {})


def copy_checkpoint(
    source: Path,
    path: Path,
    facts: Mapping[str, Any],
    *,
    recipe: Recipe | None = None,
    key_map: Path | None = None,
    halved: bool = False,
) -> None:
    """Write the weights of a checkpoint, bit for bit, with its facts and further ones; atomic.

    Args:
        source: the checkpoint, as for `load_checkpoint`.
        path: as for `save_checkpoint`.
        facts: JSON-able; they replace those of the same names.
        recipe: as for `load_checkpoint`.
        key_map: as for `load_checkpoint`.
        halved: write kernels and matrices as float16. Vectors stay: they are few, and a small variance has no half.

    Raises:
        CheckpointError: as of `load_checkpoint`.
        InputError: another suffix, `facts` are not JSON-able, or `halved` of weights whose score is calibrated.
        OutputError: the place can't be written to.
    """
    file = read_checkpoint_file(source)
    # Copies: tensors of a file may be views of it, and of each other.
    tensors = {name: value.contiguous().clone() for name, value in checked_tensors(file, key_map).items()}
    if halved:
        tensors = {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}
    block = _read_block(file, recipe_matters=recipe is None)
    found, _ = _found_recipe(file, tensors, recipe, block)
    own = {"version", "skeleton"}
    extra = {name: value for name, value in block.rest.items() if name not in own}
    calibration = block.score_calibration
    if calibration is not None and halved:
        raise InputError(
            f"{source}: its score was calibrated for its weights as they are",
            cure="Halve the checkpoint that it was calibrated from, then calibrate: amfac-eval --calibrate-score.",
        )
    if calibration is not None:
        # Renamed keys have another digest.
        digest = weights_digest(tensors) if key_map else calibration.weights_sha256
        extra[SCORE_CALIBRATION_KEY] = replace(calibration, weights_sha256=digest).as_json()
    extra |= facts
    _write(path, tensors, found, trained=block.trained, extra=extra)


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """What a file is, as JSON: for people who have a checkpoint and don't know of what.

    Keys: kind, format, path, sha256, weights (the entry that they lie in), tensors, parameters, types, trained,
    version, weights_sha256, score_calibration (of their scores, or None), recipe (the name in the file), recipes
    (declared ones that fit), misfit (the differences from the recipe in the file; empty where it fits or there is
    none), unusable (entries that can't be weights), keys (name -> shape).

    Raises:
        CheckpointError: can't be read, holds code, or lies about itself.
    """
    file = read_checkpoint_file(path)
    faults = entry_faults(file.entries)
    tensors = sound_tensors({name: value for name, value in file.entries.items() if name not in faults}, path)
    block = _read_block(file, recipe_matters=True)
    shapes = _shapes(tensors)
    with _as_checkpoint_error(path):
        difference = str(misfit(shapes, block.recipe)) if block.recipe is not None else ""
    counted = [
        tensor.numel()
        for name, tensor in tensors.items()
        if not name.endswith((BATCH_COUNT, "running_mean", "running_var"))
    ]
    return {
        "kind": "checkpoint",
        "format": file.kind,
        "path": str(path),
        "sha256": file.sha256,
        "weights": file.entry,
        "tensors": len(tensors),
        "parameters": sum(counted),
        "types": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}),
        "trained": block.trained,
        "version": block.rest.get("version"),
        "weights_sha256": weights_digest(tensors),
        SCORE_CALIBRATION_KEY: None if block.score_calibration is None else block.score_calibration.as_json(),
        "recipe": None if block.recipe is None else block.recipe.name,
        "recipes": [recipe.name for recipe in fitting_recipes(shapes)],
        "misfit": difference.strip(),
        "unusable": list(faults.values()),
        "keys": {printable(name): list(shape) for name, shape in shapes.items()},
    }


def _read_block(file: CheckpointFile, *, recipe_matters: bool) -> _Block:
    """Check our own facts; a faulty recipe among them is passed over where another one was given."""
    if file.block is None:
        return _Block()
    with _as_checkpoint_error(file.path):
        with reading(file.block, where=BLOCK_KEY) as table:
            schema = table.text("schema")
            if schema and schema != _SCHEMA:
                table.fault("schema", f"{schema!r} is not {_SCHEMA}; a newer amfac-edge wrote it, or another program")
            trained = table.flag("trained") if table.raw("trained") is not None else None
            digest = table.text("weights_sha256", default="")
            raw_recipe = table.raw("recipe")
            raw_calibration = table.raw(SCORE_CALIBRATION_KEY)
            rest = table.rest()
        recipe = None
        if raw_recipe is not None and recipe_matters:
            recipe = recipe_from_json(raw_recipe, where=f"{BLOCK_KEY}.recipe")
    return _Block(recipe, trained, digest, _calibration(raw_calibration, file.path), rest)


def _calibration(data: object, path: Path) -> ScoreCalibration | None:
    if data is None:
        return None
    try:
        return score_calibration_from_json(data, where=f"{BLOCK_KEY}.{SCORE_CALIBRATION_KEY}")
    except InputError as error:
        raise CheckpointError(f"{path}: {error.problem}", cure=_REFIT) from None


def _found_recipe(
    file: CheckpointFile, tensors: Mapping[str, Tensor], given: Recipe | None, block: _Block
) -> tuple[Recipe, str]:
    where = str(file.path)
    if given is not None:
        require_fit(_shapes(tensors), given, where=where, said_by="that was given")
        return given, "argument"
    if block.recipe is not None:
        with _as_checkpoint_error(file.path):
            require_fit(_shapes(tensors), block.recipe, where=where, said_by="in the file itself")
        return block.recipe, "file"
    return inferred_recipe(_shapes(tensors), where=where), "weights"


def _filled_network(recipe: Recipe, tensors: Mapping[str, Tensor], *, where: str) -> nn.Module:
    with torch.device("meta"):
        network = build_network(recipe)
    state = {}
    for name, place in network.state_dict().items():
        if name in tensors:
            # A copy always: the tensors of a file are a view of its mapping, which others may write to.
            state[name] = tensors[name].detach().reshape(place.shape).to(place.dtype, copy=True)
        else:
            # What may be absent is the count of training batches only.
            state[name] = torch.zeros(place.shape, dtype=place.dtype)
    network.load_state_dict(state, assign=True)
    _refuse_bad_numbers(state, where=where)
    return network.eval()


def _refuse_bad_numbers(state: Mapping[str, Tensor], *, where: str) -> None:
    bad = [
        f"{name} ({count} of {value.numel()})" for name, value in state.items() if (count := _bad_numbers(name, value))
    ]
    if bad:
        raise CheckpointError(
            f"{where}: {len(bad)} of its tensors have NaN, infinity or a negative variance: {', '.join(bad[:_SHOWN])}",
            cure="The training diverged, or the file is damaged: take an earlier checkpoint.",
        )


def _bad_numbers(name: str, value: Tensor) -> int:
    good = value.isfinite()
    if name.endswith("running_var"):
        good &= value >= 0
    return int(value.numel() - good.sum())


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@contextlib.contextmanager
def _as_checkpoint_error(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except InputError as error:
        cure = "Name the right recipe with --recipe, or save the weights again."
        raise CheckpointError(f"{path}: {error.problem}", cure=cure) from None


def _write(
    path: Path, tensors: dict[str, Tensor], recipe: Recipe, *, trained: bool | None, extra: Mapping[str, Any]
) -> str:
    digest = weights_digest(tensors)
    block: dict[str, Any] = {
        "schema": _SCHEMA,
        "version": _version(),
        "recipe": recipe.as_json(),
        "skeleton": {"name": recipe.skeleton, "joints": list(skeleton(recipe.skeleton).joints)},
        "trained": trained,
        "weights_sha256": digest,
        **extra,
    }
    try:
        facts = json.dumps(block, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its extra facts are not JSON: {error}", cure="Use plain numbers, texts and lists."
        ) from None
    if path.suffix in _TORCH_SUFFIXES:
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            torch.save({"state_dict": tensors, BLOCK_KEY: json.loads(facts)}, stream)
    elif path.suffix == ".safetensors":
        try:
            from safetensors.torch import save  # noqa: PLC0415 - only this kind of file needs it
        except ImportError:
            raise MissingExtraError.of("safetensors", "export", use=f"writing {path.name}") from None
        # One key only: the library writes several in a random order, and the file would not be the same again.
        write_bytes(path, save(tensors, metadata={BLOCK_KEY: facts}))
    else:
        raise InputError(
            f"{path}: no checkpoint format has the suffix {path.suffix or '(none)'}",
            cure="Name the file .pth, .pt or .safetensors.",
        )
    return digest


def _version() -> str:
    try:
        return metadata.version("amfac-edge")
    except metadata.PackageNotFoundError:
        return "0+checkout"  # run from a source tree that was never installed
