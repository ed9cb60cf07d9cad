"""The manifest of a plan: written and read back, older ones still read, faults with their key paths."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import manifest_beside, manifest_path, read_manifest
from amfac_edge.artefact.manifest_reading import manifest_from_json
from amfac_edge.artefact.plan_facts import DIGEST_CHAIN
from amfac_edge.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def written(made_plans: ModuleType) -> dict[str, Any]:
    """A manifest's JSON."""
    manifest = made_plans.manifest("orin-nx-16", made_plans.facts("orin-nx-16"), b"plan")
    fields: dict[str, Any] = json.loads(manifest.as_bytes())
    return fields


@pytest.mark.parametrize("target", ["orin-nano-8", "orin-nx-8", "orin-nx-16", "rtx-3060", "rtx-4090"])
def test_facts_survive_the_file(made_plans: ModuleType, tmp_path: Path, target: str) -> None:
    path = made_plans.write(tmp_path / "m.plan", target, made_plans.facts(target), made_plans.plan())
    manifest = read_manifest(path)
    assert manifest.plan == made_plans.facts(target)
    again = made_plans.manifest(target, made_plans.facts(target), made_plans.plan())
    assert manifest.as_json() == again.as_json()
    assert set(manifest.digests) <= set(DIGEST_CHAIN)


def test_a_manifest_without_a_plan_is_as_before(made_plans: ModuleType, written: dict[str, Any]) -> None:
    del written["plan"]
    manifest = manifest_from_json(written, where="m.json")
    assert manifest.plan is None
    assert "plan" not in manifest.as_json()
    assert manifest.as_json() == made_plans.manifest("orin-nx-16", None, b"plan").as_json()


def test_unknown_keys_of_the_same_major_are_kept(written: dict[str, Any]) -> None:
    written["plan"]["nvlink"] = [1, 2]
    written["later"] = "x"
    again = manifest_from_json(written, where="m.json").as_json()
    assert again["plan"]["nvlink"] == [1, 2]
    assert again["later"] == "x"


def test_a_plan_that_is_no_table(written: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match="plan: expected a table, got 3"):
        manifest_from_json(written | {"plan": 3}, where="m.json")


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("flavour", "torch", r'plan.flavour: "torch" is none of tensorrt, tensorrt-rtx'),
        ("tensorrt_version", 10.3, "plan.tensorrt_version: expected a string, got 10.3"),
        ("compute_capabilities", "8.7", 'plan.compute_capabilities: expected a list of strings, got "8.7"'),
        ("sm_count", 0, "plan.sm_count: 0 is not within 1"),
        ("clocks_mhz", {"gpu": "fast"}, 'plan.clocks_mhz.gpu: expected a number, got "fast"'),
        ("profile", {"crops": {"min": [1]}}, "plan.profile.crops.opt: this key is missing"),
        ("layer_precision", [], r"plan.layer_precision: expected a table, got \[\]"),
        ("host_code", "no", 'plan.host_code: expected true or false, got "no"'),
    ],
)
def test_faults_have_their_key_paths(written: dict[str, Any], key: str, value: object, fault: str) -> None:
    written["plan"][key] = value
    with pytest.raises(ModelFileError, match=fault):
        manifest_from_json(written, where="m.json")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "m.plan.json: not JSON"),
        (b"[" * 200_000, "m.plan.json: not JSON"),
        (b'{"schema": "amfac-manifest/2"}', 'schema "amfac-manifest/2" is not amfac-manifest/1'),
        (b"[]", "schema null is not amfac-manifest/1"),
        (b'{"schema": "amfac-manifest/1", "parity": NaN}', "m.plan.json: not JSON: NaN"),
        (b"\xff\xfe{", "m.plan.json: not JSON"),
        (b"9" * 5000, "m.plan.json: not JSON"),
    ],
)
def test_a_hostile_manifest_is_one_error(made_plans: ModuleType, tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "m.plan"
    path.write_bytes(made_plans.plan())
    manifest_path(path).write_bytes(content)
    with pytest.raises(ModelFileError, match=problem):
        manifest_beside(path)


def test_the_manifest_of_another_plan_is_told_by_its_digest(made_plans: ModuleType, tmp_path: Path) -> None:
    path = made_plans.write(tmp_path / "m.plan", "rtx-4090", made_plans.rtx_facts(), made_plans.rtx_plan())
    path.write_bytes(made_plans.rtx_plan(4))
    assert manifest_beside(path).plan == made_plans.rtx_facts()
    with pytest.raises(ModelFileError, match="one of the two was replaced"):
        read_manifest(path)
