"""Receipts of a machine as runs that the engine model learns from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from amfac_edge.artefact.manifest_reading import manifest_from_json
from amfac_edge.errors import InputError
from amfac_edge.performance.forecast.engine import subject_run
from amfac_edge.performance.forecast.recorded import recorded_eager
from amfac_edge.performance.forecast.subjects import Subject, subject_of_manifest, subject_of_recipe
from amfac_edge.performance.paper_mode import declared_mode, throttling_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.declared.target import Target
    from amfac_edge.performance.forecast.fitting import TimedRun
    from amfac_edge.performance.receipts import Receipt
    from amfac_edge.performance.samples import Measured

__all__ = ["ENGINE_SERIES", "engine_series", "machine_of", "measured_engines", "timed_runs"]

ENGINE_SERIES = "engine"
"""The boundary that the model is of."""

_HOW = "Measure it there: amfac-bench FILE --out DIR, with the same threads, people and mode each time."


_COOL = "Measure it again, with better cooling or power, or in a lower power mode."


def timed_runs(receipts: Sequence[tuple[str, Receipt]], target: Target, mode: str | None = None) -> list[TimedRun]:
    """What `forecast_engine` learns from receipts, given with the names of their files.

    Args:
        receipts: of one machine.
        target: that it is.
        mode: the power mode that is forecast; None for the one that Table 4 is held against.

    Raises:
        InputError: a receipt of a throttled run; of another target, mode, or (on a CPU) another processor or number of
            threads than the rest; one without an engine's series or without layer costs.
    """
    mode = mode or target.paper_mode
    machines = {machine_of(receipt): name for name, receipt in receipts}
    if target.kind == "cpu" and len(machines) > 1:
        listed = "; ".join(f"{name}: {machine}" for machine, name in machines.items())
        raise InputError(f"these receipts are of different machines: {listed}", cure=_HOW)
    return [_run(name, receipt, target, mode) for name, receipt in receipts]


def machine_of(receipt: Receipt) -> str:
    """The processor and the threads that a receipt was taken with."""
    conditions = receipt.conditions
    return f"{conditions.processor}, {conditions.threads} threads"


def measured_engines(receipts: Sequence[Receipt]) -> dict[tuple[str, str], Measured]:
    """Engine series of one crop by recipe and precision; of several for the same, the last."""
    return {
        (receipt.conditions.recipe, receipt.conditions.precision): receipt.series[ENGINE_SERIES]
        for receipt in receipts
        if receipt.conditions.people == 1 and ENGINE_SERIES in receipt.series
    }


def engine_series(name: str, receipt: Receipt) -> Measured:
    """The engine's samples.

    Raises:
        InputError: the receipt has none.
    """
    if ENGINE_SERIES not in receipt.series:
        raise InputError(f"{name}: it has no series of the engine, only {', '.join(receipt.series)}", cure=_HOW)
    return receipt.series[ENGINE_SERIES]


def _run(name: str, receipt: Receipt, target: Target, mode: str | None) -> TimedRun:
    if receipt.target != target.name:
        raise InputError(
            f"{name}: it was taken on {receipt.target or 'no known target'}, not on {target.name}", cure=_HOW
        )
    taken_in = declared_mode(receipt)
    if target.modes and taken_in != mode:
        raise InputError(
            f"{name}: it was taken in the power mode {taken_in or 'that nobody could read'}, not in {mode}",
            cure=f"Give --mode {taken_in}." if taken_in in target.modes else _HOW,
        )
    if throttled := throttling_of(receipt):
        raise InputError(f"{name}: the machine was throttled while it was taken: {'; '.join(throttled)}", cure=_COOL)
    if receipt.manifest is None:
        raise InputError(f"{name}: it has no manifest, so nobody knows what was run", cure=_HOW)
    conditions = receipt.conditions
    ms = engine_series(name, receipt).statistics.mean
    subject = _subject(name, receipt)
    return subject_run(subject, target, ms, mode=mode, precision=conditions.precision, batch=conditions.people)


def _subject(name: str, receipt: Receipt) -> Subject:
    manifest = manifest_from_json(dict(receipt.manifest or {}), where=name)
    weights = subject_of_recipe(manifest.name).weight_bytes if manifest.name in recorded_eager() else 0
    subject = subject_of_manifest(manifest, f"{receipt.conditions.recipe} {receipt.conditions.precision}", size=0)
    return replace(subject, weight_bytes=weights)
