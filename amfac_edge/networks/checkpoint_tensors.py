"""What lies among a checkpoint's weights, checked before anything is computed with it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from amfac_edge.errors import CheckpointError
from amfac_edge.networks.checkpoint_file import is_tensor, printable
from amfac_edge.networks.key_map import load_key_map, rename_entries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from amfac_edge.networks.checkpoint_file import CheckpointFile

__all__ = ["BATCH_COUNT", "checked_tensors", "entry_faults", "sound_tensors", "weights_digest"]

# A whole number, which may be absent: torch before 0.4.1 has not written it, and it does not enter the outputs.
BATCH_COUNT = "num_batches_tracked"
_WEIGHT_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_SHOWN = 8


def checked_tensors(file: CheckpointFile, key_map: Path | None) -> dict[str, Tensor]:
    """The entries under our names, each known to be a plain tensor of a type that can be weights.

    Raises:
        CheckpointError: an entry is something else, or the key map doesn't go with the names.
        DeclaredError: the key map is faulty.
    """
    entries = file.entries
    if key_map is not None:
        entries = rename_entries(entries, load_key_map(key_map), where=str(file.path))
    faults = list(entry_faults(entries).values())
    if faults:
        raise CheckpointError(
            f"{file.path}: {len(faults)} of its entries can't be weights: {', '.join(faults[:_SHOWN])}",
            cure="Save the plain float weights, before any quantization; a key map's `drop` leaves entries out "
            "(docs/networks.md).",
        )
    return sound_tensors(entries, file.path)


def sound_tensors(entries: Mapping[str, object], path: Path) -> dict[str, Tensor]:
    """The tensors among the entries, if the file can hold what they claim.

    Raises:
        CheckpointError: they claim more bytes than the file has.
    """
    tensors = {name: value for name, value in entries.items() if is_tensor(value)}
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if claimed > path.stat().st_size:
        raise CheckpointError(
            f"{path}: its tensors claim {claimed:,} bytes, more than the whole file",
            cure="Save them as contiguous tensors that share no memory.",
        )
    return tensors


def entry_faults(entries: Mapping[str, object]) -> dict[str, str]:
    """A sentence for each entry that can't be a weight, by its name."""
    faults = {name: _tensor_fault(name, value) for name, value in entries.items()}
    return {name: f"{printable(name)} is {fault}" for name, fault in faults.items() if fault}


def _tensor_fault(name: str, value: object) -> str:
    if not is_tensor(value):
        return f"of the type {type(value).__name__}, not a tensor"
    if value.is_nested or value.layout != torch.strided:
        return "a sparse or nested tensor"
    if value.is_quantized:
        return "a quantized tensor"
    if value.device.type != "cpu":
        return "a tensor without data"
    if value.dtype not in ((torch.int64, *_WEIGHT_TYPES) if name.endswith(BATCH_COUNT) else _WEIGHT_TYPES):
        return f"of the type {str(value.dtype).removeprefix('torch.')}"
    return ""


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, sorted by name, in hex: the same weights have one in any file."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
