"""Receipts: one JSON a run, with what was measured, on what, how, and every sample of it.

    {"schema": "amfac-receipt/1",
     "taken": "2026-11-28T12:00:00Z",    when it was begun, UTC
     "command": ["amfac-bench", ...],
     "target": "cpu",                    the declared target that the machine is; null where none fits
     "power_mode": null,                 nvpmodel's mode by name; null where there is none, or it can't be read
     "trained": false,                   whether the weights are trained; null where nobody knows
     "conditions": {...},                `Conditions`: artefact, digest, engine, threads, frame, people, versions
     "switches": {...},                  how the series were taken: seconds, warm-up, wait, graphs, transfers
     "machine": {...},                   what the machine is
     "before": {...}, "after": {...},    its state: clocks, temperatures, memory, load
     "findings": {...},                  cold start, drift, throttling, energy, what others took of the CPU
     "manifest": {...},                  of the artefact, with the costs of its layers; null for eager PyTorch
     "series": {"frame": {"statistics": {...}, "count": N, "coding": "ns-u64-planes-zlib-base64", "samples": "..."}},
     "digest": "..."}                    SHA-256 of all the rest, as canonical JSON

A receipt is hostile until it was read by `read_receipt`. The digest shows corruption and careless edits, not
authorship; to vouch for a receipt sign the file (`ssh-keygen -Y sign`). Keys that this version doesn't know are kept.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.declared.reading import Table, reading
from amfac_edge.errors import AmfacError, InputError, typed
from amfac_edge.files import file_bytes, json_value, sha256_of, write_bytes
from amfac_edge.performance.sample_coding import CODING, coded_samples, decoded_samples, whole_nanoseconds
from amfac_edge.performance.samples import Conditions, Measured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SCHEMA", "Receipt", "check_engine", "read_receipt", "receipt_from_json", "write_receipt"]

SCHEMA = "amfac-receipt/1"
_SIZE_LIMIT = 64 << 20
_AGAIN = "Copy it once more from where it was taken, or measure again with amfac-bench."
_DIGEST = "digest"
_ROUNDING = 1e-9
_TABLES = ("switches", "machine", "before", "after", "findings")


@dataclass(frozen=True)
class Receipt:
    """One run of the bench. `Measured` values only: a forecast has no samples and can't be in it.

    Attributes:
        taken: when it was begun, UTC: "2026-11-28T12:00:00Z".
        command: the words that were typed.
        conditions: what all of its series were measured on.
        series: by boundary; see `Measurement.series`.
        target: the declared target that the machine is; None where none fits.
        power_mode: nvpmodel's mode by name; None where there is none, or it can't be read.
        trained: whether the weights are trained; None where nobody knows.
        switches: how the series were taken.
        machine: what the machine is.
        before: its state before the series.
        after: its state after them.
        findings: what else was found: cold start, drift, throttling, energy, load.
        manifest: of the artefact as JSON (`artefact.manifest_from_json` reads it); None where there is none.
        extra: keys of the same schema major that this version doesn't know.
    """

    taken: str
    command: tuple[str, ...]
    conditions: Conditions
    series: Mapping[str, Measured]
    target: str | None = None
    power_mode: str | None = None
    trained: bool | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    findings: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.series or not all(isinstance(one, Measured) for one in self.series.values()):
            message = "a receipt without measured series is none"
            raise TypeError(message)

    def as_json(self) -> dict[str, Any]:
        """The receipt as a JSON object, with its digest."""
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "taken": self.taken,
            "command": list(self.command),
            "target": self.target,
            "power_mode": self.power_mode,
            "trained": self.trained,
            "conditions": asdict(self.conditions),
            **{name: dict(getattr(self, name)) for name in _TABLES},
            "manifest": None if self.manifest is None else dict(self.manifest),
            **self.extra,
            "series": {name: _series_json(measured) for name, measured in self.series.items()},
        }
        # What goes through JSON comes back as JSON has it, lists for tuples; the digest must be of that.
        return fields | {_DIGEST: _digest(json.loads(json.dumps(fields, allow_nan=False)))}

    def as_bytes(self) -> bytes:
        """The receipt as the content of its file, one line a key."""
        lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in self.as_json().items()]
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def write_receipt(receipt: Receipt, path: Path) -> None:
    """Write `receipt` to `path`, which is whole or as it was.

    Raises:
        OutputError: it can't be written there.
    """
    write_bytes(path, receipt.as_bytes())


def read_receipt(path: Path) -> Receipt:
    """Read a receipt from a file that may hold anything.

    Raises:
        InputError: absent, too large, no receipt, truncated, edited, of a newer schema, or faulty (all faults, with key
            paths).
    """
    content = file_bytes(path, limit=_SIZE_LIMIT, what="receipt")
    try:
        value = json_value(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no whole JSON, so no whole receipt: {error}", cure=_AGAIN) from error
    return receipt_from_json(value, where=str(path))


def receipt_from_json(value: object, *, where: str) -> Receipt:
    """Check what a receipt's JSON says.

    Raises:
        InputError: as `read_receipt`.
    """
    fields = value if isinstance(value, dict) else {}
    _check_schema(fields.get("schema"), where)
    try:
        digest = _digest(fields)
    except RecursionError:
        digest = ""
    if fields.get(_DIGEST) != digest:
        raise InputError(
            f"{where}: its digest is not that of its content: it was edited or damaged after it was taken", cure=_AGAIN
        )
    try:
        with reading(fields, where=where) as table:
            receipt = _receipt(table)
    except AmfacError as error:
        raise InputError(error.problem, cure=_AGAIN) from error
    digests = (receipt.manifest or {}).get("digests")
    if isinstance(digests, dict) and digests.get("artefact") not in (None, receipt.conditions.sha256):
        raise InputError(f"{where}: the manifest in it is that of another engine than was measured", cure=_AGAIN)
    return receipt


def check_engine(receipt: Receipt, engine: Path, *, where: str) -> None:
    """Check that `receipt` was taken of the very file `engine`.

    Raises:
        InputError: it was taken of another one.
    """
    found = sha256_of(engine)
    if found != receipt.conditions.sha256:
        raise InputError(
            f"{where}: it was taken of another engine: {receipt.conditions.artefact} of SHA-256 "
            f"{receipt.conditions.sha256[:16]}…, and {engine} has {found[:16]}…",
            cure=f"Measure it: amfac-bench {typed(engine)}",
        )


def _series_json(measured: Measured) -> dict[str, Any]:
    samples = whole_nanoseconds(measured.samples_ms)
    kept = Measured(measured.boundary, samples, measured.conditions)
    return {
        "statistics": asdict(kept.statistics),
        "count": len(samples),
        "coding": CODING,
        "samples": coded_samples(samples),
    }


def _digest(fields: Mapping[str, object]) -> str:
    rest = {key: value for key, value in fields.items() if key != _DIGEST}
    return sha256_of(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())


def _check_schema(schema: object, where: str) -> None:
    if schema == SCHEMA:
        return
    shown = json.dumps(schema, default=str)[:60]
    if isinstance(schema, str) and schema.startswith(SCHEMA.partition("/")[0] + "/"):
        raise InputError(
            f"{where}: schema {shown} is not {SCHEMA}, which this version reads",
            cure="Read it with the version of amfac-edge that took it, or a newer one.",
        )
    raise InputError(f"{where}: no receipt: its schema is {shown}, not {SCHEMA}", cure="Give a file of amfac-bench.")


def _receipt(table: Table) -> Receipt:
    table.ignore("schema", _DIGEST)
    conditions = _conditions(table.table("conditions"))
    series = table.table("series")
    if not series.keys():
        table.fault("series", "no series, so nothing was measured")
    receipt_fields: dict[str, Any] = {
        "taken": table.text("taken"),
        "command": table.texts("command"),
        "conditions": conditions,
        "series": {name: _measured(series.table(name), name, conditions) for name in series.keys()},  # noqa: SIM118 - a Table is no mapping
        "target": _optional(table, "target", str, "a string"),
        "power_mode": _optional(table, "power_mode", str, "a string"),
        "trained": _optional(table, "trained", bool, "true or false"),
        **{name: _optional(table, name, dict, "a table") or {} for name in _TABLES},
        "manifest": _optional(table, "manifest", dict, "a table"),
    }
    receipt_fields["extra"] = table.rest()
    return Receipt(**receipt_fields) if series.keys() else _NOTHING


def _conditions(table: Table) -> Conditions:
    versions = table.table("versions")
    governor = _optional(table, "governor", str, "a string")
    conditions = Conditions(
        processor=table.text("processor"),
        engine=table.text("engine"),
        provider=table.text("provider"),
        threads=table.integer("threads"),
        spinning=table.flag("spinning"),
        artefact=table.text("artefact"),
        sha256=table.text("sha256"),
        recipe=table.text("recipe"),
        precision=table.text("precision"),
        frame=table.text("frame"),
        people=table.integer("people", minimum=1),
        governor=governor,
        versions={name: versions.text(name) for name in versions.keys()},  # noqa: SIM118 - as above
    )
    table.rest()
    return conditions


def _measured(table: Table, name: str, conditions: Conditions) -> Measured:
    count = table.integer("count", minimum=1)
    table.text("coding", choices=[CODING])
    text, statistics = table.text("samples"), table.raw("statistics")
    table.rest()
    try:
        measured = Measured(name, decoded_samples(text, count), conditions)
    except ValueError as error:
        table.fault("samples", str(error))
        return Measured(name, (1.0,), conditions)
    if not _agree(statistics, asdict(measured.statistics)):
        table.fault("statistics", "they are not those of the samples")
    return measured


def _agree(told: object, found: Mapping[str, float | None]) -> bool:
    """Whether the statistics that stand beside the samples are theirs, but for the last digits of another Python."""
    return isinstance(told, dict) and all(
        value is told[key]
        or (
            isinstance(told[key], int | float)
            and abs(told[key]) <= sys.float_info.max
            and value is not None
            and math.isclose(told[key], value, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        )
        for key, value in found.items()
        if key in told
    )


def _optional(table: Table, key: str, kind: type, wanted: str) -> Any:  # noqa: ANN401 - of that kind
    value = table.raw(key)
    if value is not None and not isinstance(value, kind):
        table.fault(key, f"expected {wanted} or null, got {json.dumps(value)[:60]}")
        return None
    return value


_STAND_IN = Conditions("", "", "", 0, False, "", "", "", "", "", 1, None, {})  # noqa: FBT003 - spinning
# Stands where a fault is about to be raised.
_NOTHING = Receipt("", (), _STAND_IN, {"none": Measured("none", (1.0,), _STAND_IN)})
