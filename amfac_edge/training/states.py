"""Everything that a training needs to go on as if it had never stopped, in one safetensors file.

Tensors: `network/…` the weights as trained, `average/…` their average, `adam/<parameter>/…` AdamW's moments and step
counts. All else is JSON beside them: no pickle, and an interrupted or killed save leaves the old file (`files.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from amfac_edge.declared.reading import reading
from amfac_edge.errors import CheckpointError, InputError, MissingExtraError
from amfac_edge.files import write_bytes
from amfac_edge.networks.checkpoint_file import BLOCK_KEY, is_tensor, read_checkpoint_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim.swa_utils import AveragedModel

__all__ = ["Progress", "load_state", "save_state"]

_SCHEMA = "amfac-training/1"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_RESTART = "Start a new training in another --out; --init FILE begins with the weights of a checkpoint."


@dataclass
class Progress:
    """Where a training stands, but for its tensors.

    Attributes:
        epoch: the one that is trained now, from 0.
        batch: the next one of it.
        loss_sum: of the epoch's batches so far.
        steps: of the optimizer so far.
        best: the highest score so far; None before the first.
        history: one record for each finished epoch.
        scale: of the loss scaler, where FP16 needs one.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    steps: int = 0
    best: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    scale: dict[str, Any] = field(default_factory=dict)


def save_state(
    path: Path,
    progress: Progress,
    settings: dict[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
) -> None:
    """Write the state, atomically.

    Args:
        path: of the file.
        progress: where the training stands.
        settings: JSON of what must be the same when it goes on.
        network: the plain network, not wrapped for several processes.
        optimizer: AdamW over the network's parameters.
        average: of `averaged_network`, if there is one.

    Raises:
        OutputError: the disk is full, or the place can't be written to.
        MissingExtraError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save  # noqa: PLC0415 - only this kind of file needs it
    except ImportError:
        raise MissingExtraError.of("safetensors", "export", use="saving a training's state") from None
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average/{name}": value for name, value in average.state_dict().items()}
    for name, parameter in network.named_parameters():
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"adam/{name}/{key}": moments[key] for key in _MOMENTS if key in moments}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    stands = {name: value for name, value in asdict(progress).items() if value is not None}
    block = json.dumps({"schema": _SCHEMA, "settings": settings, "progress": stands}, allow_nan=False)
    write_bytes(path, save(tensors, metadata={BLOCK_KEY: block}))


def load_state(
    path: Path,
    settings: dict[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
) -> Progress:
    """Put the state of a file into network, optimizer and average.

    Args:
        path: of the file.
        settings: of the training that shall go on; they must be those of the file.
        network: see `save_state`.
        optimizer: see `save_state`.
        average: see `save_state`.

    Returns:
        Where the training stands.

    Raises:
        CheckpointError: no such file, damaged, of another network.
        InputError: other settings; the message names them.
    """
    file = read_checkpoint_file(path)
    if not isinstance(file.block, dict) or file.block.get("schema") != _SCHEMA:
        raise CheckpointError(
            f"{path}: is not the state of a training ({_SCHEMA})", cure="Give the --out folder of amfac-train."
        )
    _compare(path, file.block.get("settings"), settings)
    progress = _read_progress(path, file.block.get("progress"))
    tensors = {name: value for name, value in file.entries.items() if is_tensor(value)}
    _fill(path, network, _part(tensors, "network/"))
    if average is not None:
        _fill(path, average, _part(tensors, "average/"))
    for name, parameter in network.named_parameters():
        moments = _part(tensors, f"adam/{name}/")
        if moments:
            optimizer.state[parameter] = {
                key: _like(path, name, key, value, parameter) for key, value in moments.items()
            }
    return progress


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _fill(path: Path, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: is the state of another network: {reason}", cure=_RESTART) from None


def _like(path: Path, name: str, key: str, value: Tensor, parameter: Tensor) -> Tensor:
    """AdamW keeps the step on the CPU, the moments with their parameter."""
    if key == "step" and value.numel() == 1:
        return value.clone()
    if key not in _MOMENTS or value.shape != parameter.shape:
        raise CheckpointError(f"{path}: the moments of {name} ({key}) are not those of this network", cure=_RESTART)
    # As the parameter lies in memory: another order of the same numbers would sum up differently.
    return torch.empty_like(parameter).copy_(value)


def _compare(path: Path, saved: object, settings: dict[str, Any]) -> None:
    said = "; ".join(_differences(saved if isinstance(saved, dict) else {}, settings))
    if said:
        raise InputError(f"{path}: a training goes on with what it began with: {said}", cure=_RESTART)


def _differences(saved: dict[str, Any], now: dict[str, Any], where: str = "") -> Iterator[str]:
    """What isn't the same, each with its key path."""
    for name in sorted(saved.keys() | now.keys()):
        one, other = saved.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{where}{name}.")
        elif one != other:
            yield f"{where}{name} was {_short(one)}, now {_short(other)}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:120] + "…"  # noqa: PLR2004 - a line or so


def _read_progress(path: Path, data: object) -> Progress:
    with reading(data, where=f"{path}: progress") as table:
        progress = Progress(
            epoch=table.integer("epoch"),
            batch=table.integer("batch"),
            loss_sum=table.number("loss_sum"),
            steps=table.integer("steps"),
            best=table.optional_number("best"),
        )
        history, scale = table.raw("history"), table.raw("scale")
        if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
            table.fault("history", "is no list of records")
        else:
            progress.history = history
        progress.scale = scale if isinstance(scale, dict) else {}
    return progress
