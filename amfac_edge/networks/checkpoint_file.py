"""The bytes of a checkpoint file: their format, which entries are the weights, and what the file says of itself.

Nothing in the file is executed: a pickle is read by torch's restricted unpickler, which knows tensors and plain
containers only. Sizes are compared with the file's before anything is allocated.
"""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - for the name of its error only
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor

from amfac_edge.errors import CheckpointError, MissingExtraError
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BLOCK_KEY", "CheckpointFile", "is_tensor", "printable", "read_checkpoint_file", "unwrapped_names"]

# Our own facts lie under this key beside the weights; in safetensors it is a metadata string with the same as JSON.
BLOCK_KEY = "amfac"
_SIZE_LIMIT = 4 << 30
_HEADER_LIMIT = 16 << 20
_DEPTH_LIMIT = 4
_RESAVE = 'Save the weights alone, torch.save({"state_dict": model.state_dict()}, "model.pth"), or as safetensors.'
_COPY_AGAIN = "Copy or download the file again."

# An averaged copy is preferred over the weights of the last step, which lie beside it.
_AVERAGED = ("state_dict_ema", "ema", "model_ema", "ema_model", "ema_state_dict")
_PLAIN = ("state_dict", "model_state_dict", "model", "module", "network", "net", "shadow")
_AVERAGING_COUNTERS = ("n_averaged", "num_updates", "steps", "decay")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_WRAPPERS = re.compile(r"^(?:module\.|model\.)+")

_BEGINNINGS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the checkpoint itself; `git lfs pull` fetches that",
    b"<": "is a web page or XML, not a checkpoint",
    b"\x1f\x8b": "is a gzip archive; unpack it first",
    b"\x08": "looks like an ONNX file, not a checkpoint",
}


@dataclass(frozen=True)
class CheckpointFile:
    """What was found in a file.

    Attributes:
        path: of the file.
        kind: "torch", "torch before 1.6" or "safetensors".
        entries: what lies among the weights, by name without wrappers' prefixes; not yet known to be sound tensors.
        entry: where in the file they lie ("state_dict", "ema.module", ...); empty at the top.
        block: our own facts, as they stand in the file; None where it has none.
    """

    path: Path
    kind: str
    entries: dict[str, object]
    entry: str
    block: object

    @property
    def sha256(self) -> str:
        """Of the file, in hex."""
        return sha256_of(self.path)


def read_checkpoint_file(path: Path) -> CheckpointFile:
    """Read a file without running anything in it.

    Raises:
        CheckpointError: absent, empty, too large, truncated, of another kind, with code in it, or without weights.
    """
    try:
        size, beginning = _beginning(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: the checkpoint can't be read: {error.strerror or error}",
            cure="Check the path and its permissions.",
        ) from None
    # Eight bytes of length, then JSON. Asked first: a length may begin like a pickle, no pickle or zip has "{" there.
    if beginning[8:9] == b"{":
        return _read_safetensors(path, size, beginning)
    if beginning.startswith(b"PK"):
        _check_zip(path, size)
        return _unwrapped(path, "torch", _load_torch(path, mmap=True))
    if beginning.startswith(b"\x80"):
        return _unwrapped(path, "torch before 1.6", _load_torch(path, mmap=False))
    known = next((text for start, text in _BEGINNINGS.items() if beginning.startswith(start)), None)
    problem = known or f"is not a checkpoint; its first bytes are {beginning[:8].hex(' ')}"
    raise CheckpointError(f"{path}: {problem}", cure="Give a file of torch.save or safetensors.")


def unwrapped_names(entries: dict[str, object], *, where: str) -> dict[str, object]:
    """The entries without the prefixes of DataParallel, Lightning and torch.compile, however often they are there.

    Raises:
        CheckpointError: two entries would get one name, or a name is not text.
    """
    unwrapped: dict[str, object] = {}
    for name, value in entries.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{where}: among the weights is an entry named {name!r}, not by text", cure=_RESAVE)
        short = _WRAPPERS.sub("", name.replace("_orig_mod.", ""))
        if short in unwrapped:
            raise CheckpointError(
                f"{where}: two entries become {printable(short)} when the prefixes of wrappers are taken off",
                cure=_RESAVE,
            )
        unwrapped[short] = value
    return unwrapped


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether a value out of a file is a tensor; `isinstance` says the same, but not to every type checker."""
    return isinstance(value, Tensor)


def printable(name: str) -> str:
    """A name out of a file, fit for a terminal."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= 80 else text[:80] + "…"  # noqa: PLR2004 - half a line


def _beginning(path: Path) -> tuple[int, bytes]:
    if not path.is_file():
        kind = "is not a file" if path.exists() else "does not exist"
        raise CheckpointError(f"{path}: the checkpoint {kind}", cure="Give the path of an existing file.")
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path}: the checkpoint is empty", cure=_COPY_AGAIN)
    if size > _SIZE_LIMIT:
        raise CheckpointError(
            f"{path}: {size:,} bytes are more than a checkpoint of these networks can have ({_SIZE_LIMIT:,})",
            cure=_RESAVE,
        )
    with path.open("rb") as stream:
        return size, stream.read(64)


def _check_zip(path: Path, size: int) -> None:
    """Refuse archives that torch did not write: compressed entries (bombs), or more content than the file is long."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: the checkpoint is truncated or damaged: {error}", cure=_COPY_AGAIN) from None
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CheckpointError(
            f"{path}: a zip archive with compressed entries, which torch.save never writes", cure=_RESAVE
        )
    content = sum(member.file_size for member in members)
    if content > size:
        raise CheckpointError(f"{path}: its entries claim {content:,} bytes, the file has {size:,}", cure=_COPY_AGAIN)
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise CheckpointError(f"{path}: a TorchScript program, not a checkpoint", cure=_RESAVE)


def _load_torch(path: Path, *, mmap: bool) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)  # noqa: TID251 - the one place
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error)) from None
    except Exception as error:  # noqa: BLE001 - a hostile file can make torch raise anything
        # Only torch's own sentences help a reader; a TypeError from the middle of a broken pickle doesn't.
        reason = _reason(error) if isinstance(error, RuntimeError) else "its pickle can't be read"
        raise CheckpointError(f"{path}: the checkpoint is truncated or damaged: {reason}", cure=_COPY_AGAIN) from None


def _reason(error: Exception) -> str:
    sentence = re.sub(r"\[enforce fail at [^]]*\][ .]*", "", str(error)).strip("'\n ")
    return printable(sentence.partition("\n")[0]) or type(error).__name__


def _unpickling_error(path: Path, message: str) -> CheckpointError:
    named = re.search(r"(?:GLOBAL|[Uu]nsupported class) ([\w.]+)", message)
    if named:
        what = f"the Python object {named.group(1)}"
    elif "reduce for unrecognized function" in message or "Can only" in message:
        what = "calls that build Python objects"
    else:
        return CheckpointError(
            f"{path}: the checkpoint is truncated or damaged: its pickle can't be read", cure=_COPY_AGAIN
        )
    return CheckpointError(
        f"{path}: the file contains code, {what}; it was not run", cure=f"Where the model was made: {_RESAVE}"
    )


def _read_safetensors(path: Path, size: int, beginning: bytes) -> CheckpointFile:
    try:
        from safetensors import safe_open  # noqa: PLC0415 - only this kind of file needs it
    except ImportError:
        raise MissingExtraError.of("safetensors", "export", use=f"reading {path.name}") from None
    header = int.from_bytes(beginning[:8], "little")
    if header > min(size - 8, _HEADER_LIMIT):
        raise CheckpointError(
            f"{path}: its header claims {header:,} bytes; the file has {size:,} and a header at most {_HEADER_LIMIT:,}",
            cure=_COPY_AGAIN,
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            metadata = stream.metadata() or {}
            entries: dict[str, object] = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dict
        block = json.loads(metadata[BLOCK_KEY]) if BLOCK_KEY in metadata else None
    except Exception as error:  # noqa: BLE001 - as above
        raise CheckpointError(f"{path}: the safetensors file is damaged: {_reason(error)}", cure=_COPY_AGAIN) from None
    if not entries:
        raise CheckpointError(f"{path}: no tensors in the file", cure="Check that this is the right file.")
    return CheckpointFile(path, "safetensors", unwrapped_names(entries, where=str(path)), "", block)


def _unwrapped(path: Path, kind: str, data: object) -> CheckpointFile:
    found = _find_weights(data, (*_AVERAGED, *_PLAIN), _DEPTH_LIMIT)
    if found is None:
        raise CheckpointError(f"{path}: no weights found in it: {_contents(data)}", cure=_RESAVE)
    entry, weights = found
    entries = unwrapped_names(weights, where=str(path))
    if entry.split(".")[0] in _AVERAGED:
        entries = _with_buffers(path, entries, data)
    block = data.get(BLOCK_KEY) if isinstance(data, dict) else None
    return CheckpointFile(path, kind, entries, entry, block)


def _find_weights(data: object, keys: tuple[str, ...], depth: int) -> tuple[str, dict[Any, object]] | None:
    if depth == 0 or not isinstance(data, dict):
        return None
    if "message_hub" in data or "meta" in data:
        # OpenMMLab swaps the two when it saves: its `state_dict` is the average, `ema_state_dict` the last step.
        keys = tuple(key for key in keys if key != "ema_state_dict")
    for key in keys:
        found = _find_weights(data.get(key), keys, depth - 1)
        if found is not None:
            return f"{key}.{found[0]}".rstrip("."), found[1]
    return ("", data) if any(is_tensor(value) for value in data.values()) else None


def _with_buffers(path: Path, averaged: dict[str, object], data: object) -> dict[str, object]:
    """An average of the parameters alone lacks the batch-norms' statistics: those of the last step complete it."""
    averaged = {name: value for name, value in averaged.items() if name not in _AVERAGING_COUNTERS}
    beside = _find_weights(data, _PLAIN, _DEPTH_LIMIT)
    plain = unwrapped_names(beside[1], where=str(path)) if beside is not None else {}
    return {name: value for name, value in plain.items() if name.endswith(_BUFFERS)} | averaged


def _contents(data: object) -> str:
    if not isinstance(data, dict):
        return f"it holds one {type(data).__name__}"
    names = [printable(str(name)) for name in list(data)[:8]]
    return "it holds " + (", ".join(names) or "nothing")
