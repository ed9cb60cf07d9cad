"""What the declared networks cost, recorded in `bench/forecast/`, so that a forecast needs no torch and no file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from amfac_edge.declared.library import declared_folder
from amfac_edge.performance.forecast.kernels import Kernel

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RecordedEager", "recorded_eager", "recorded_kernels"]

_FLOAT32 = 4


@dataclass(frozen=True)
class RecordedEager:
    """A network in eager PyTorch at batch 1 in float32.

    Attributes:
        operators: calls that compute or move something.
        bytes: that pass through them.
        parameters: of the network.
        macs: its multiply-accumulates, as the papers count them.
    """

    operators: int
    bytes: int
    parameters: int
    macs: int

    @property
    def weight_bytes(self) -> int:
        """Of the parameters in float32."""
        return _FLOAT32 * self.parameters


@cache
def recorded_eager() -> Mapping[str, RecordedEager]:
    """By recipe."""
    return {
        row["recipe"]: RecordedEager(int(row["operators"]), int(row["bytes"]), int(row["parameters"]), int(row["macs"]))
        for row in _rows("eager.csv")
    }


@cache
def recorded_kernels() -> Mapping[tuple[str, str], tuple[Kernel, ...]]:
    """By recipe and form: "gpu", as a TensorRT engine fuses them, or "cpu", as ONNX Runtime runs them."""
    found: dict[tuple[str, str], list[Kernel]] = {}
    for row in _rows("kernels.csv"):
        kernel = Kernel(row["name"], int(row["macs"]), int(row["bytes"]), int(row["count"]))
        found.setdefault((row["recipe"], row["form"]), []).append(kernel)
    return {key: tuple(kernels) for key, kernels in found.items()}


def _rows(name: str) -> list[dict[str, str]]:
    path = declared_folder("bench") / "forecast" / name
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
