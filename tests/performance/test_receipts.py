"""A receipt comes back as it was written, or not at all."""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.errors import InputError
from amfac_edge.performance import Conditions, Measured, Receipt, read_receipt, write_receipt
from amfac_edge.performance.receipts import _digest, check_engine, receipt_from_json
from amfac_edge.performance.sample_coding import coded_samples, decoded_samples, whole_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONDITIONS = Conditions(
    processor="p",
    engine="e 1",
    provider="CPU",
    threads=2,
    spinning=True,
    artefact="a.onnx",
    sha256="ab" * 32,
    recipe="r",
    precision="fp32",
    frame="1920x1080",
    people=1,
    governor=None,
    versions={"python": "3.11"},
)
SAMPLES = tuple(5 + (index * 7919 % 1000) / 999 for index in range(700))


def made(**changes: Any) -> Receipt:  # noqa: ANN401 - of any field
    series = {name: Measured(name, whole_nanoseconds(SAMPLES), CONDITIONS) for name in ("frame", "engine")}
    receipt = Receipt(
        taken="2026-11-28T12:00:00Z",
        command=("amfac-bench", "run", "a.onnx"),
        conditions=CONDITIONS,
        series=series,
        target="cpu",
        switches={"seconds": 3.0},
        before={"clocks": [1, 2]},
        findings={"load_ms": 4.0},
        manifest={"digests": {"artefact": CONDITIONS.sha256}},
    )
    return dataclasses.replace(receipt, **changes)


def sealed(receipt: Receipt, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The JSON of a receipt that somebody changed, and gave the right digest again."""
    fields: dict[str, Any] = json.loads(receipt.as_bytes())
    change(fields)
    return fields | {"digest": _digest(fields)}


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_receipt(made(), path)
    assert read_receipt(path) == made()
    # Written once more it is the same file, bit for bit.
    assert read_receipt(path).as_bytes() == path.read_bytes()


def test_samples_take_few_characters() -> None:
    text = coded_samples(SAMPLES)
    assert len(text) < 6 * len(SAMPLES)
    assert decoded_samples(text, len(SAMPLES)) == whole_nanoseconds(SAMPLES)


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    later = sealed(made(), lambda fields: fields.update(colour={"of": "the case"}))
    receipt = receipt_from_json(later, where="r.json")
    assert receipt.extra == {"colour": {"of": "the case"}}
    write_receipt(receipt, tmp_path / "again.json")
    assert read_receipt(tmp_path / "again.json") == receipt


def test_an_edit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(made().as_bytes().replace(b'"cpu"', b'"thor"'))
    with pytest.raises(InputError, match=r"r\.json: its digest is not that of its content"):
        read_receipt(path)


@pytest.mark.parametrize("size", [0, 1, 500, -2])
def test_a_part_of_a_receipt_is_none(tmp_path: Path, size: int) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(made().as_bytes()[:size])
    with pytest.raises(InputError, match=r"r\.json: no whole JSON"):
        read_receipt(path)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("amfac-receipt/2", r'schema "amfac-receipt/2" is not amfac-receipt/1, which this version reads'),
        ("amfac-manifest/1", r'no receipt: its schema is "amfac-manifest/1"'),
        (None, "no receipt: its schema is null"),
        ([["amfac-receipt/1"]], "no receipt"),
    ],
)
def test_another_schema_is_refused_by_name(schema: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        receipt_from_json(sealed(made(), lambda fields: fields.update(schema=schema)), where="r.json")


@pytest.mark.parametrize("content", [b"[]", b"7", b"null", b"[" * 100_000, b'{"schema": NaN}', b"\xff\xfe"])
def test_what_is_no_receipt_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"r\.json: no (whole JSON|receipt)"):
        read_receipt(path)
    with pytest.raises(InputError, match="does not exist"):
        read_receipt(tmp_path / "none.json")


def test_a_receipt_of_another_engine(tmp_path: Path) -> None:
    other = sealed(made(), lambda fields: fields["manifest"].update(digests={"artefact": "cd" * 32}))
    with pytest.raises(InputError, match=r"r\.json: the manifest in it is that of another engine"):
        receipt_from_json(other, where="r.json")
    engine = tmp_path / "b.onnx"
    engine.write_bytes(b"another one")
    with pytest.raises(InputError, match=r"r\.json: it was taken of another engine: a\.onnx of SHA-256 abab"):
        check_engine(made(), engine, where="r.json")


def _bomb() -> str:
    return base64.b64encode(zlib.compress(bytes(64 << 20), 9)).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update(series={}), "series: no series"),
        (lambda f: f.update(series=7), "series: expected a table"),
        (lambda f: f["series"]["frame"].update(count=0), "series.frame.count: 0 is not within"),
        (lambda f: f["series"]["frame"].update(count=10**15), "series.frame.count"),
        (lambda f: f["series"]["frame"].update(count=701), "series.frame.samples: they are not 701 samples"),
        (lambda f: f["series"]["frame"].update(samples="?"), "series.frame.samples: they can't be decompressed"),
        (lambda f: f["series"]["frame"].update(samples=_bomb()), "series.frame.samples: they are not 700 samples"),
        (
            lambda f: f["series"]["frame"].update(samples=coded_samples([0.0] * 700)),
            "0 ns as the longest of 700 samples",
        ),
        (lambda f: f["series"]["frame"].update(coding="pickle"), '"pickle" is none of'),
        (
            lambda f: f["series"]["frame"]["statistics"].update(median=1.0),
            "series.frame.statistics: they are not those of the samples",
        ),
        (
            lambda f: f["series"]["frame"]["statistics"].update(median=10**400),
            "frame.statistics: they are not those of the samples",
        ),
        (lambda f: f["series"]["frame"].update(statistics=None), "series.frame.statistics"),
        (lambda f: f["conditions"].update(people=0), "conditions.people"),
        (lambda f: f["conditions"].update(versions=[]), "conditions.versions"),
        (lambda f: f["conditions"].update(governor=3), "conditions.governor: expected a string or null"),
        (lambda f: f.update(trained="yes"), "trained: expected true or false or null"),
        (lambda f: f.update(machine=[]), "machine: expected a table or null"),
        (lambda f: f.update(command="rm"), "command: expected a list of strings"),
        (lambda f: f.pop("conditions"), "conditions: this table is missing"),
    ],
)
def test_faults_are_told_with_their_places(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        receipt_from_json(sealed(made(), change), where="r.json")
    assert raised.value.problem.startswith("r.json: ")


@pytest.mark.parametrize("depth", [100, 900, 5_000, 20_000])
def test_nesting_ends_in_a_sentence_or_a_receipt(depth: int, tmp_path: Path) -> None:
    deep = b"[" * depth + b"]" * depth
    path = tmp_path / "r.json"
    path.write_bytes(made().as_bytes().replace(b"[1, 2]", deep))
    with pytest.raises(InputError, match=r"its digest is not|no whole JSON"):
        read_receipt(path)


def test_a_manifest_of_any_form_is_the_readers_affair() -> None:
    for manifest in ({"digests": [1]}, {"digests": None}, {}):
        fields = sealed(made(), lambda fields, new=manifest: fields.update(manifest=new))  # type: ignore[misc]
        assert receipt_from_json(fields, where="r.json").manifest == manifest


def test_a_receipt_holds_measured_values_alone() -> None:
    forecast: Any = {"frame": {"mid_ms": 7.0}}
    with pytest.raises(TypeError, match="without measured series"):
        made(series=forecast)
    with pytest.raises(TypeError, match="without measured series"):
        made(series={})
