"""Ranges that were taken once are kept: one JSON file for a graph, its crops, the method and the libraries.

A file says in full what it was made from, and is used where that is exactly what is asked for; its name is only where
to look. It carries its own digest: a damaged one, or one that somebody else put there, is taken anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import AmfacError, InputError
from amfac_edge.files import cache_folder, file_bytes, json_bytes, json_value, sha256_of, writable_folder, write_bytes
from amfac_edge.graph.parity import normalised
from amfac_edge.keypoints import load_opencv
from amfac_edge.quantization.people import digest_of
from amfac_edge.quantization.ranges import HOW, Ranges, calibrated_ranges, quantised_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.quantization.placement import Placement

__all__ = ["KeptRanges", "Wanted", "kept_ranges", "read_ranges"]

_SCHEMA = "amfac-ranges/1"
_SIZE_LIMIT = 16 << 20


@dataclass(frozen=True)
class KeptRanges:
    """Ranges, and where they came from.

    Attributes:
        ranges: of the graph's tensors.
        path: of the cache file; None where nothing was kept.
        from_cache: whether they were read there.
        key: what they hold for, as the file says it.
    """

    ranges: Ranges
    path: Path | None
    from_cache: bool
    key: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Wanted:
    """What ranges are wanted of.

    Attributes:
        raw: float32 raw graph.
        placement: of its nodes.
        crops: (N,H,W,3) uint8 BGR.
        recipe: which normalises them.
        method: one of `ranges.METHODS`.
        sources: digests of what the graph was made from.
    """

    raw: ModelProto
    placement: Placement
    crops: NDArray[np.uint8]
    recipe: Recipe
    method: str
    sources: Mapping[str, str]

    def key(self) -> dict[str, Any]:
        """All that the ranges depend on."""
        return {
            "schema": _SCHEMA,
            "method": self.method,
            "how": HOW,
            "crops": len(self.crops),
            "crops_sha256": digest_of(self.crops),
            "recipe_sha256": sha256_of(json.dumps(self.recipe.as_json(), sort_keys=True).encode()),
            "sources": dict(self.sources),
            "graph_sha256": sha256_of(self.raw.SerializeToString(deterministic=True)),
            "tensors": list(quantised_inputs(self.raw, self.placement)),
            "versions": _versions(),
        }


def kept_ranges(
    wanted: Wanted,
    *,
    use_cache: bool = True,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] | None = None,
) -> KeptRanges:
    """The ranges of a graph over crops: from the cache, else taken now and kept.

    Args:
        wanted: of what.
        use_cache: False takes them now, and keeps nothing.
        say: called with a line where the cache had them, was damaged or can't be written to.
        progress: called with the number of crops that were run.

    Raises:
        InputError: another method, or no crops.
        ModelFileError: a tensor has values that are no numbers.
    """
    key = wanted.key()
    path = cache_folder("calibration") / f"{sha256_of(json_bytes(key))[:32]}.json" if use_cache else None
    if path is not None and path.exists():
        try:
            found = read_ranges(path, key)
        except InputError as error:
            say(f"{error.problem}; calibrating anew")
        else:
            say(f"calibration from cache: {path}")
            return KeptRanges(found, path, from_cache=True, key=key)
    images = (normalised(crop[None], wanted.recipe) for crop in wanted.crops)
    ranges = calibrated_ranges(wanted.raw, wanted.placement, images, method=wanted.method, progress=progress)
    return KeptRanges(ranges, path and _kept(path, key, ranges, say), from_cache=False, key=key)


def read_ranges(path: Path, key: Mapping[str, Any]) -> Ranges:
    """The ranges in a cache file that was made for exactly `key`.

    Raises:
        InputError: it can't be read, is damaged, or was made for something else.
    """
    try:
        content = json_value(file_bytes(path, limit=_SIZE_LIMIT, what="calibration"))
    except (ValueError, RecursionError):
        content = None
    largest = _largest(content, key)
    if largest is None:
        raise InputError(
            f"{path}: the kept calibration is damaged, or was made for something else", cure="Delete the file."
        )
    return Ranges(key["method"], key["crops"], largest)


def _largest(content: object, key: Mapping[str, Any]) -> dict[str, float] | None:
    """The ranges in a file's content; None where anything about it is not as it was written."""
    if not isinstance(content, dict):
        return None
    digest, ranges = content.pop("sha256", None), content.get("ranges")
    if digest != sha256_of(json_bytes(content)) or content.get("key") != key or not isinstance(ranges, dict):
        return None
    largest = ranges.get("largest")
    if not isinstance(largest, dict) or list(largest) != key["tensors"]:
        return None
    return largest if all(type(value) is float and value > 0 for value in largest.values()) else None


def _kept(path: Path, key: Mapping[str, Any], ranges: Ranges, say: Callable[[str], None]) -> Path | None:
    content: dict[str, Any] = {"key": dict(key), "ranges": ranges.as_json()}
    try:
        writable_folder(path.parent)
        write_bytes(path, json_bytes({**content, "sha256": sha256_of(json_bytes(content))}))
    except AmfacError as error:
        # No calibration is worth less for not being kept.
        say(f"the calibration is not kept: {error.problem}")
        return None
    return path


def _versions() -> dict[str, str]:
    versions = {name: _version(name) for name in ("amfac-edge", "onnx")}
    # Of ONNX Runtime and OpenCV there are several distributions; what is imported is what computes.
    return versions | {
        "numpy": np.__version__,
        "opencv": load_opencv("calibration").__version__,
        "onnxruntime": _runtime(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"  # a source tree that is run as it is


def _runtime() -> str:
    try:
        import onnxruntime  # noqa: PLC0415 - large, and not there without its extra
    except ImportError:
        return "none"
    return str(onnxruntime.__version__)
