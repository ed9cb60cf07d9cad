"""TensorRT's own messages, said so that they can be acted on.

TensorRT reports by a log: a failed load or build returns None, and why stands in lines between many others. One table
knows the lines that were recorded, of TensorRT 8 to 11 in public reports, of TensorRT-RTX 1.7 from runs. A text that
nobody knows is passed on whole. Which of "expecting X got Y" is the plan's isn't documented, so neither is claimed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.errors import AmfacError, MachineError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["error_from_log", "notes_from_log"]

_REBUILD = "Build the plan again on this machine: amfac-export MODEL --target auto"
_COPY = "Copy the plan and its .json once more; amfac-doctor FILE tells more."
# Pairs that were observed, not a documented list; a tag belongs to several releases.
_TAGS = {"213": "8.4 or 8.5", "232": "8.6", "239": "10.3 or a little later", "240": "10.11", "243": "11.2"}


@dataclass(frozen=True)
class _Rule:
    """A recorded text: `problem` takes the pattern's named groups."""

    pattern: re.Pattern[str]
    kind: type[AmfacError]
    problem: str
    cure: str


def _rule(pattern: str, kind: type[AmfacError], problem: str, cure: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), kind, problem, cure)


# In the order of what explains most: a missing driver, for one, adds its line to every other failure.
_FATAL = (
    _rule(
        r"not compatible with this version of TensorRT, expecting library version (?P<a>\S+) got (?P<b>[^\s,]+)",
        MachineError,
        "the plan is of another TensorRT than the one here ({a} and {b})",
        _REBUILD,
    ),
    _rule(
        r"Version tag does not match\. Note: Current Version: (?P<here>\d+), Serialized Engine Version: (?P<plan>\d+)",
        MachineError,
        "the plan is of another TensorRT than the one here: its format is {plan}{plan_release}, here it is "
        "{here}{here_release}",
        _REBUILD,
    ),
    _rule(
        r"plan\.header\.size == blobSize failed",
        ModelFileError,
        "the plan is cut short, or something was added to it",
        _COPY,
    ),
    _rule(r"Cannot deserialize with an empty memory buffer", ModelFileError, "the plan is empty", _COPY),
    _rule(
        r"magicTag == \S+ failed",
        ModelFileError,
        "this is no plan of this library: damaged, of TensorRT-RTX in place of TensorRT (or the other way round), of "
        "the safety runtime, or behind a header of another tool",
        "amfac-doctor FILE  # says which of these",
    ),
    _rule(
        r"Profile \d+ has been chosen by another IExecutionContext",
        ModelFileError,
        "the plan's profile serves a single execution context, and this TensorRT needs one for each batch size",
        "Build the plan again by this version's kit, which lets contexts share it; or export it with --batch 1.",
    ),
    _rule(
        r"generated on an incompatible device, expecting compute (?P<a>[\d.]+\d) got compute (?P<b>[\d.]+\d)",
        MachineError,
        "the plan is for a GPU of another architecture (compute capabilities {a} and {b})",
        _REBUILD,
    ),
    _rule(
        r"Target GPU SM (?P<sm>\d+) is not supported by this TensorRT release",
        MachineError,
        "this TensorRT has no code for the GPU here (SM {sm}); on a Jetson that is one of pip, built for servers",
        "pip uninstall -y tensorrt tensorrt-cu12 tensorrt-cu12-bindings  # JetPack's own is: sudo apt install "
        "python3-libnvinfer",
    ),
    _rule(
        r"Unable to load library: (?P<library>lib\S*_lean\.so[.\d]*)",
        MachineError,
        "a version-compatible plan needs TensorRT's lean runtime, {library}, which is not here",
        "Build without --version-compatible, or install the lean runtime: sudo apt install libnvinfer-lean-dev",
    ),
    _rule(
        r"Could not find any implementation for node (?P<node>\S.{0,199}?)(?:\.?\)*$|\.\)| due to )",
        MachineError,
        "TensorRT has no implementation here for the node {node}",
        "Build it in FP16 or FP32, with a larger --workspace, or with a newer TensorRT (amfac-info lists a target's).",
    ),
    _rule(
        r"input has type (?P<type>\w+) but must have type (?P<wanted>[^.]{1,200})",
        ModelFileError,
        "the graph gives a node the type {type}, where TensorRT takes {wanted}",
        "Export the model again with amfac-export; a graph of your own must cast uint8 before anything else.",
    ),
    _rule(
        r"Network must have at least one output",
        ModelFileError,
        "the graph has no output, or nothing at all in it",
        "Export the model again with amfac-export.",
    ),
    _rule(
        r"graph_jit\.cpp\S* ?CHECK\(status == CUDA_SUCCESS\)",
        MachineError,
        "this form of plan (refittable, or without weights) can't be built without a GPU",
        "Build it on the machine that it is for.",
    ),
    _rule(
        r"NvMapMemAlloc.{0,40} error 12|out of memory|OutOfMemory|cudaErrorMemoryAllocation",
        MachineError,
        "the GPU's memory is used up",
        "Close other programs (a desktop takes about 0.8 GB on a Jetson: sudo init 3), or give a smaller --workspace.",
    ),
    _rule(
        r"std::bad_alloc|myelin_tensor\.h:\d+: CHECK\(p\) failed|exception Resource temporarily unavailable",
        MachineError,
        "the library could not allocate the memory that it wants",
        "Close other programs; a build has a limit of its own, see --memory-limit.",
    ),
    _rule(
        r"CUDA initialization failure with error:? 35|cudaError 35|CUDA driver version is insufficient",
        MachineError,
        "there is no NVIDIA driver here that this CUDA can use: none is loaded, or it is older than the library",
        "nvidia-smi  # shows the driver and its newest CUDA; on a Jetson remove TensorRT and CUDA packages of pip",
    ),
)

_NOTES = (
    _rule(
        r"across different models of devices is not recommended",
        AmfacError,
        "the plan was timed on another model of this GPU's architecture, so a build on this machine may be faster; "
        "TensorRT on a Jetson also says so for no reason",
        "",
    ),
    _rule(
        r"Tactic Device request: (?P<asked>\d+ ?\w+) Available: (?P<free>\d+ ?\w+)",
        AmfacError,
        "one way to compute a layer was left out for want of memory (asked {asked}, free {free}); usually harmless",
        "",
    ),
    _rule(
        r"Skipping tactic|insufficient to use tactic|Try decreasing the workspace size",
        AmfacError,
        "one way to compute a layer was left out, mostly for want of memory; usually harmless",
        "",
    ),
    _rule(
        r"finite FP32 values which would overflow in FP16",
        AmfacError,
        "some weights are too large for FP16: compare the plan's accuracy",
        "",
    ),
    _rule(
        r"subnormal FP16 values",
        AmfacError,
        "some weights are so small that FP16 rounds them coarsely; usually harmless",
        "",
    ),
)


def error_from_log(lines: Iterable[str], *, where: str) -> AmfacError:
    """What a load or build that gave None has to say.

    Args:
        lines: of the library's log, in its order, from warnings up.
        where: the file, for the message.

    Returns:
        A ModelFileError or MachineError; with the whole text where no line of it is known.
    """
    texts = [_printable(line) for line in lines]
    for rule in _FATAL:
        for text in texts:
            if found := rule.pattern.search(text):
                return rule.kind(f"{where}: {_filled(rule, found)}", cure=rule.cure)
    said = "; ".join(text for text in dict.fromkeys(texts) if text)
    if not said:
        return ModelFileError(f"{where}: TensorRT gave no result, and no reason", cure=_COPY)
    return ModelFileError(
        f"{where}: TensorRT says: {said}", cure="amfac-doctor FILE  # compares the file with this machine"
    )


def notes_from_log(lines: Iterable[str]) -> tuple[str, ...]:
    """The known harmless lines in plain words, each once, with a count where it came more often."""
    counts: Counter[str] = Counter()
    for line in lines:
        for rule in _NOTES:
            if found := rule.pattern.search(_printable(line)):
                counts[_filled(rule, found)] += 1
                break
    return tuple(note if count == 1 else f"{note} ({count} times)" for note, count in counts.items())


def _filled(rule: _Rule, found: re.Match[str]) -> str:
    groups = {name: (text or "").strip() for name, text in found.groupdict().items()}
    releases = {f"{name}_release": f" (of {_TAGS[tag]})" if tag in _TAGS else "" for name, tag in groups.items()}
    return rule.problem.format(**groups, **releases)


def _printable(line: str) -> str:
    """One line, without what would steer a terminal: node names in it are the file's own."""
    return "".join(letter if letter.isprintable() else " " for letter in line).strip()
