"""Receipts that were made up, kind ones and hostile ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.performance import Conditions, Measured, Receipt
from amfac_edge.performance.report import Run, runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONDITIONS = Conditions(
    processor="Some CPU",
    engine="onnxruntime 1",
    provider="CPUExecutionProvider",
    threads=2,
    spinning=True,
    artefact="a.onnx",
    sha256="ab" * 32,
    recipe="amfacpose-r18-256x256",
    precision="fp32",
    frame="1920x1080",
    people=1,
    governor=None,
    versions={"python": "3.11"},
)
SERIES = {
    "frame": [10.0 + (index * 7919 % 100) / 100 for index in range(700)],
    "crop": [1.0] * 700,
    "network": [8.0] * 700,
    "decode": [0.5] * 700,
    "engine": [7.5] * 700,
}


@pytest.fixture
def make() -> Callable[..., Receipt]:
    """Makes a receipt: fields of `Receipt`, of its conditions, and samples by boundary may be given."""

    def made(
        series: Mapping[str, list[float]] | None = None,
        conditions: Mapping[str, Any] | None = None,
        **fields: Any,  # noqa: ANN401 - of any field
    ) -> Receipt:
        measured_on = dataclasses.replace(CONDITIONS, **(conditions or {}))
        return Receipt(
            **{
                "taken": "2026-11-28T12:00:00Z",
                "command": ("amfac-bench", "run", "a.onnx"),
                "target": "cpu",
                "trained": True,
                "findings": {"busy": 0.0, "waited": 0.0, "throttling": []},
                **fields,
            },
            conditions=measured_on,
            series={name: Measured(name, tuple(samples), measured_on) for name, samples in (series or SERIES).items()},
        )

    return made


@pytest.fixture
def run(make: Callable[..., Receipt]) -> Run:
    return runs_of([("a.json", make())])[0]
