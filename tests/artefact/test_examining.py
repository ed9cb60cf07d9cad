"""Files as they come: whole, cut, flipped, of somebody else, replaced; none of them raises what isn't ours."""

from __future__ import annotations

import contextlib
import json
import os
import random
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import Host, HostGpu, Outcome, examine, manifest_path
from amfac_edge.artefact.identify import identify
from amfac_edge.errors import AmfacError, InputError
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

CARD = Host(
    "linux",
    "x86_64",
    "rtx-4090",
    (HostGpu("8.9", "NVIDIA GeForce RTX 4090"),),
    {"tensorrt": "10.3.0", "tensorrt-rtx": "1.7.1.116", "onnxruntime": "1.20"},
    driver="560.35.03",
)


@pytest.fixture
def path(made_plans: ModuleType, tmp_path: Path) -> Path:
    """A whole plan of TensorRT-RTX that fits the card."""
    written: Path = made_plans.write(tmp_path / "m.rtx.plan", "rtx-4090", made_plans.rtx_facts(), made_plans.rtx_plan())
    return written


def _refused(path: Path) -> list[str]:
    return [check.subject for check in examine(path, CARD).verdict.of(Outcome.REFUSED)]


def test_the_bytes_that_were_judged_are_the_bytes_that_load(made_plans: ModuleType, path: Path) -> None:
    examined = examine(path, CARD)
    assert examined.verdict.sentence == "it fits this machine"
    path.write_bytes(b"something else by now")
    assert examined.content is not None
    assert examined.content == made_plans.rtx_plan()
    assert examined.manifest is not None
    assert sha256_of(examined.content) == examined.manifest.digests["artefact"]


def test_a_flipped_byte_anywhere_is_seen(made_plans: ModuleType, path: Path) -> None:
    whole = made_plans.rtx_plan()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        assert "SHA-256" in _refused(path) or "kind" in _refused(path)


@pytest.mark.parametrize("keep", [0, 3, 4, 40, 64, 300])
def test_a_file_cut_short_is_seen(path: Path, keep: int) -> None:
    os.truncate(path, keep)
    assert _refused(path)


def test_a_manifest_of_another_plan(made_plans: ModuleType, path: Path, tmp_path: Path) -> None:
    other = made_plans.write(tmp_path / "o.plan", "rtx-3060", made_plans.rtx_facts("8.6"), made_plans.rtx_plan(4))
    manifest_path(other).replace(manifest_path(path))
    assert _refused(path) == ["SHA-256", "compute capability in the header"]


@pytest.mark.parametrize(
    "content", [b"", b"[" * 200_000, b'{"schema": "amfac-manifest/2"}', b"null", b"\xff", b'{"schema": ["x"]}']
)
def test_a_hostile_manifest_refuses_the_plan(path: Path, content: bytes) -> None:
    manifest_path(path).write_bytes(content)
    assert _refused(path) == ["manifest"]


def test_an_edited_manifest_is_seen(path: Path) -> None:
    beside = manifest_path(path)
    fields = json.loads(beside.read_bytes())
    fields["digests"]["artefact"] = "0" * 64
    beside.write_text(json.dumps(fields))
    assert _refused(path) == ["SHA-256"]


def test_a_manifest_without_a_digest_vouches_for_nothing(path: Path) -> None:
    beside = manifest_path(path)
    fields = json.loads(beside.read_bytes())
    del fields["digests"]["artefact"]
    beside.write_text(json.dumps(fields))
    assert _refused(path) == ["SHA-256"]


def test_a_plan_that_lost_its_manifest_says_what_it_is(made_plans: ModuleType, path: Path) -> None:
    manifest_path(path).unlink()
    examined = examine(path, CARD)
    assert not examined.verdict.of(Outcome.REFUSED)
    assert examined.header.engine_name == made_plans.NAME


def test_a_huge_sparse_file_is_not_read(path: Path) -> None:
    os.truncate(path, 10 << 30)
    examined = examine(path, CARD)
    assert examined.content is None
    assert [check.subject for check in examined.verdict.of(Outcome.REFUSED)] == ["length"]


def test_a_huge_plan_without_a_length_in_its_head(made_plans: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "m.plan"
    path.write_bytes(made_plans.plan())
    os.truncate(path, 10 << 30)
    examined = examine(path, CARD)
    assert examined.content is None
    assert "size" in [check.subject for check in examined.verdict.of(Outcome.REFUSED)]


@pytest.mark.parametrize("manifest", [True, False])
def test_an_onnx_artefact_is_judged_too(markers: ModuleType, tmp_path: Path, manifest: bool) -> None:  # noqa: FBT001
    path = markers.write_artefact(tmp_path / "m.onnx", manifest=manifest)
    examined = examine(path, CARD)
    assert examined.manifest is not None
    assert examined.verdict.sentence == "it fits this machine"
    (lacking,) = examine(path, Host("linux", "x86_64")).verdict.of(Outcome.REFUSED)
    assert (lacking.subject, lacking.cure) == ("library", 'pip install "amfac-edge[cpu]"')
    if manifest:
        path.write_bytes(path.read_bytes() + b"\0")
        assert _refused(path) == ["SHA-256"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.plan")
    with pytest.raises(InputError, match="is not a file"):
        examine(tmp_path / "m.plan", CARD)


def _mutated(content: bytes, rng: random.Random) -> bytes:
    """A copy with a few bytes flipped, cut out, doubled, zeroed or put in."""
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(damaged) + 1)
        end = min(len(damaged), start + rng.choice([1, 1, 2, 8, 64]))
        damaged[start:end] = rng.choice(
            [rng.randbytes(end - start), b"", damaged[start:end] * 2, bytes(end - start), b'"', b"{", b"1e999"]
        )
    return bytes(damaged)


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_mutation_of_plan_or_manifest_gets_through_or_crashes(path: Path, count: int) -> None:
    rng = random.Random(count)  # noqa: S311 - the same mutations every time
    plan, manifest = path.read_bytes(), manifest_path(path).read_bytes()
    for _ in range(count):
        damaged = _mutated(plan, rng)
        path.write_bytes(damaged)
        manifest_path(path).write_bytes(manifest)
        assert damaged == plan or examine(path, CARD).verdict.of(Outcome.REFUSED)
        path.write_bytes(plan)
        manifest_path(path).write_bytes(_mutated(manifest, rng))
        examined = examine(path, CARD)
        json.dumps(examined.verdict.as_json(), allow_nan=False)
        if examined.manifest is not None:
            examined.manifest.as_bytes()
        for file in (path, manifest_path(path)):
            with contextlib.suppress(AmfacError):
                json.dumps(identify(file).facts, allow_nan=False)
