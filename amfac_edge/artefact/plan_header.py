"""What the first bytes of a plan say, read before any library sees the file: it is hostile until it was checked.

Never more than a MiB is read, whatever the file's size. What is known of the two formats, and how:

TensorRT proper: the magic `ftrt` at 0. Where it keeps its version and its GPU isn't documented and nobody here has seen
enough plans to tell, so both are None: the manifest has to say.

TensorRT-RTX, seen in plans of 1.7.1.116 for every compute capability it builds for: the magic `vtrt` at 0 and again at
28, the file's length as a 64-bit number at 16, the four parts of the version as bytes at 24, and at 32 a bit for each
compute capability. Numbers are little-endian.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact.plan_facts import RTX, TENSORRT
from amfac_edge.errors import InputError
from amfac_edge.files import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "CAPABILITY_BITS",
    "LARGEST_PLAN",
    "PLAN_MAGIC",
    "RTX_MAGIC",
    "PlanHeader",
    "is_safetensors",
    "plan_header_of",
    "read_plan_header",
]

PLAN_MAGIC, RTX_MAGIC = b"ftrt", b"vtrt"
# The models here make plans of tens of megabytes; TensorRT takes a plan as one block of memory.
LARGEST_PLAN = 2 << 30
CAPABILITY_BITS = {1: "7.5", 2: "8.0", 4: "8.6", 8: "8.9", 16: "12.0", 32: "12.1"}
_RTX_BYTES = 64
_READ_BYTES = 1 << 20
_NAME_WITHIN = 1 << 16
_ENGINE_NAME = re.compile(rb"amfac/1 [\x21-\x7e]{1,200} [0-9a-f]{16}")
_TEXT_BYTES = 512
_FIRST_WORDS = {
    b"version https://git-lfs": "a pointer of Git LFS, which stands for a file that was not fetched",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}
# The head of an ONNX file: field 1 (the IR version, a small number), then another known field.
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]")
_OTHERS = {
    b"PK\x03\x04": ("zip", "a zip archive (a PyTorch checkpoint is one)"),
    b"\x1f\x8b": ("gzip", "a gzip archive (a board kit is one)"),
    b"\x7fELF": ("program", "a program or library"),
}


@dataclass(frozen=True)
class PlanHeader:
    """What a file's first bytes say of it as a plan.

    Attributes:
        kind: "plan", "ultralytics" (a plan behind a JSON text), or what else it is: "onnx", "zip", "gzip", "program",
            "safetensors", "json", "text", "empty" or "unknown".
        title: the kind for people, with an article.
        size: of the file in bytes.
        flavour: "tensorrt" or "tensorrt-rtx"; None where it is no plan.
        version: of the library that wrote it, as TensorRT-RTX's header has it; None where that isn't known.
        compute_capabilities: of the GPUs that it has code for, where that is known.
        unknown_capabilities: its mask has bits of GPUs that this version doesn't know.
        recorded_size: the length that the header gives; None where it gives none.
        plan_offset: where the plan begins in the file.
        engine_name: the name that amfac-export gives to an engine, if it was found near the plan's beginning.
        foreign: the JSON object before an Ultralytics plan.
    """

    kind: str
    title: str
    size: int
    flavour: str | None = None
    version: str | None = None
    compute_capabilities: tuple[str, ...] = ()
    unknown_capabilities: bool = False
    recorded_size: int | None = None
    plan_offset: int = 0
    engine_name: str | None = None
    foreign: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fault(self) -> str | None:
        """What shows that the plan is damaged, from its header alone; None where nothing does."""
        if self.flavour == RTX and self.version is None:
            return f"its header is damaged or cut short ({self.size:,} bytes)"
        if self.recorded_size is not None and self.recorded_size != self.size - self.plan_offset:
            return f"it has {self.size - self.plan_offset:,} bytes, its header says {self.recorded_size:,}"
        return None


def read_plan_header(path: Path) -> PlanHeader:
    """Read what the first bytes of a file say.

    Raises:
        InputError: there is no such file, or it can't be read.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for its other end
            raise InputError(f"{path}: is not a file", cure="Give the path of an existing file.")
        with path.open("rb") as stream:
            head = stream.read(_READ_BYTES)
        return plan_header_of(head, max(path.stat().st_size, len(head)))
    except OSError as error:
        raise InputError(
            f"{path}: can't be read: {error.strerror or error}", cure="Give the path of an existing file."
        ) from error


def plan_header_of(content: bytes, size: int | None = None) -> PlanHeader:
    """The same of bytes: the whole file, or its first MiB and its `size`."""
    size = len(content) if size is None else size
    if not content:
        return PlanHeader("empty", "an empty file", size)
    head = content[:_READ_BYTES]
    if head.startswith(RTX_MAGIC):
        return _rtx(head, size, 0)
    if head.startswith(PLAN_MAGIC):
        return PlanHeader("plan", "a TensorRT plan", size, TENSORRT, engine_name=_engine_name(head))
    return _ultralytics(head, size) or _no_plan(head, size)


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes begins as safetensors do: a length, and a JSON object that fits into the file."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8  # noqa: PLR2004 - "{}"


def _rtx(head: bytes, size: int, offset: int) -> PlanHeader:
    title = "a TensorRT-RTX plan"
    if len(head) < _RTX_BYTES or head[28:32] != RTX_MAGIC:
        return PlanHeader("plan", title, size, RTX, plan_offset=offset)
    length, mask = struct.unpack_from("<Q", head, 16)[0], struct.unpack_from("<I", head, 32)[0]
    return PlanHeader(
        kind="plan",
        title=title,
        size=size,
        flavour=RTX,
        version=".".join(str(part) for part in head[24:28]),
        compute_capabilities=tuple(name for bit, name in CAPABILITY_BITS.items() if mask & bit),
        unknown_capabilities=bool(mask & ~sum(CAPABILITY_BITS)),
        recorded_size=length,
        plan_offset=offset,
        engine_name=_engine_name(head),
    )


def _engine_name(head: bytes) -> str | None:
    found = _ENGINE_NAME.search(head, 0, _NAME_WITHIN)
    return found[0].decode() if found else None


def _ultralytics(head: bytes, size: int) -> PlanHeader | None:
    """A plan behind a length of four bytes and a JSON text of that length."""
    length = int.from_bytes(head[:4], "little")
    magic = head[4 + length : 8 + length]
    if not length or magic not in {PLAN_MAGIC, RTX_MAGIC}:
        return None
    try:
        foreign = json_value(head[4 : 4 + length])
    except (ValueError, RecursionError):
        foreign = None
    return PlanHeader(
        kind="ultralytics",
        title=f"an engine of Ultralytics: a TensorRT plan behind {4 + length:,} bytes of JSON, "
        "which TensorRT can't load",
        size=size,
        flavour=TENSORRT if magic == PLAN_MAGIC else RTX,
        plan_offset=4 + length,
        foreign=foreign if isinstance(foreign, dict) else {},
    )


def _no_plan(head: bytes, size: int) -> PlanHeader:
    for magic, (kind, title) in _OTHERS.items():
        if head.startswith(magic):
            return PlanHeader(kind, title, size)
    if _ONNX.match(head):
        return PlanHeader("onnx", "an ONNX file, by its first bytes", size)
    start = head[:_TEXT_BYTES].lstrip().lower()
    for words, title in _FIRST_WORDS.items():
        if start.startswith(words):
            return PlanHeader("text", title, size)
    if is_safetensors(head, size):
        return PlanHeader("safetensors", "a safetensors checkpoint, by its first bytes", size)
    if not _is_text(head[:_TEXT_BYTES]):
        return PlanHeader("unknown", f"nothing that is known here: it starts with the bytes {head[:8].hex(' ')}", size)
    return PlanHeader("json", "a JSON text", size) if start[:1] in {b"{", b"["} else PlanHeader("text", "a text", size)


def _is_text(head: bytes) -> bool:
    text = head.decode(errors="ignore")
    # A multi-byte letter may be cut at the end.
    return len(head) - len(text.encode()) < 4 and all(letter.isprintable() or letter in "\t\r\n\f" for letter in text)  # noqa: PLR2004
