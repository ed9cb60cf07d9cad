"""From a measurement to its receipt."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import DeclaredError
from amfac_edge.machine.this_machine import read_machine, target_of
from amfac_edge.performance.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.machine.this_machine import Machine
    from amfac_edge.performance.measuring import Measurement
    from amfac_edge.performance.observing import Observed

__all__ = ["findings_of", "machine_fields", "now", "receipt_name", "receipt_of"]

_ROOT = Path("/")


def now() -> str:
    """The time in UTC: "2026-11-28T12:00:00Z"."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def receipt_of(
    measured: Measurement,
    *,
    taken: str,
    command: Sequence[str],
    switches: Mapping[str, object],
    machine: Machine | None = None,
) -> Receipt:
    """The receipt of a run that was just made on this machine.

    Args:
        measured: what was found.
        taken: when it was begun.
        command: the words that were typed.
        switches: how the series were taken.
        machine: that it ran on; None for this one.
    """
    machine = machine or read_machine(_ROOT)
    manifest = measured.manifest
    return Receipt(
        taken=taken,
        command=tuple(command),
        conditions=measured.series["frame"].conditions,
        series=measured.series,
        switches={**switches, "input": manifest.input_kind, "batch": str(manifest.batch)},
        findings={
            "load_ms": measured.load_ms,
            "first_ms": measured.first_ms,
            "after_idle_ms": list(measured.after_idle_ms),
            "drift_percent": measured.drift_percent,
            "overhead_us": measured.overhead_us,
            "notes": list(measured.notes),
            **findings_of(measured.observed),
        },
        trained=manifest.trained,
        manifest=manifest.as_json(),
        **machine_fields(machine, measured.observed),
    )


def machine_fields(machine: Machine, observed: Observed) -> dict[str, Any]:
    """Which machine, and its state: the fields of a receipt that are the same for whatever ran."""
    facts = asdict(machine)
    # What a release of JetPack holds is declared in a file of the package; it was not seen.
    (facts["jetson"] or {}).pop("stack", None)
    try:
        target = target_of(machine)
    except DeclaredError:
        target = None
    return {
        "target": target,
        "power_mode": observed.before.power_mode,
        "machine": _plain(facts),
        "before": _plain(asdict(observed.before)),
        "after": _plain(asdict(observed.after)),
    }


def findings_of(observed: Observed) -> dict[str, Any]:
    """What was seen of the machine while it ran."""
    return {
        "busy": observed.busy,
        "waited": observed.waited,
        "throttling": list(observed.throttling),
        "power_source": observed.power_source,
        "energy": {name: _plain(asdict(energy)) for name, energy in observed.energy.items()},
    }


def receipt_name(receipt: Receipt) -> str:
    """A file name: the artefact's, and when it was measured."""
    stamp = "".join(letter for letter in receipt.taken if letter.isalnum())
    return f"{receipt.conditions.artefact}.{stamp}.receipt.json"


def _plain(value: object) -> Any:  # noqa: ANN401 - as JSON has it: lists for tuples
    return json.loads(json.dumps(value))
