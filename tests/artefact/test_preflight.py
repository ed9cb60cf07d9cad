"""One rule of the verdict each, and how it is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import Host, HostGpu, Outcome, Verdict, plan_header_of, preflight
from amfac_edge.errors import MachineError, ModelFileError
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from types import ModuleType

NX = Host(
    "linux", "aarch64", "orin-nx-16", (HostGpu("8.7", None, 8),), {"tensorrt": "10.3.0"}, "36.4.7", power_mode="MAXN"
)
CARD = Host(
    "linux",
    "x86_64",
    "rtx-4090",
    (HostGpu("8.9", "NVIDIA GeForce RTX 4090"),),
    {"tensorrt": "10.3.0", "tensorrt-rtx": "1.7.1.116"},
    driver="560.35.03",
)


@pytest.fixture
def judged(made_plans: ModuleType) -> Any:  # noqa: ANN401 - a function of many keywords
    """The verdict on a plan of `target` whose facts are changed, on `host`."""

    def judge(target: str, host: Host, **changes: object) -> Verdict:
        content = made_plans.plan()
        manifest = made_plans.manifest(target, made_plans.facts(target, **changes), content)
        return preflight(
            plan_header_of(content), host, manifest=manifest, manifest_fault=None, digest=sha256_of(content)
        )

    return judge


def _refused(verdict: Verdict) -> list[tuple[str, str, str]]:
    return [(check.subject, check.expected, check.found) for check in verdict.of(Outcome.REFUSED)]


@pytest.mark.parametrize(("target", "host"), [("orin-nx-16", NX), ("rtx-4090", CARD)])
def test_a_plan_fits_the_machine_that_built_it(judged: Any, target: str, host: Host) -> None:  # noqa: ANN401
    verdict = judged(target, host)
    assert verdict.sentence == "it fits this machine"
    assert {check.outcome for check in verdict.checks} == {Outcome.FITS}
    verdict.require(Path("m.plan"))
    assert verdict.as_json()["loads"] is True
    assert verdict.as_json()["certain"] is True


@pytest.mark.parametrize(
    ("built", "here", "host_code", "fits"),
    [
        ("10.3.0", "10.3.0", False, True),
        ("10.3.0.30", "10.3.0", False, True),
        ("10.3.0", "10.3.0.30", False, True),
        ("10.13.3.9", "10.13.3.8", False, False),
        ("10.3.0", "10.3.1", False, False),
        ("10.3.0", "10.16.1", False, False),
        ("10.3.0", "10.16.1", True, True),
        ("10.16.1", "10.3.0", True, False),
        ("8.6.1", "10.3.0", True, True),
        ("8.6.1", "11.4.0", True, False),
        ("10.3.0", "11.4.0", True, True),
        ("nonsense", "10.3.0", False, False),
    ],
)
def test_versions_of_tensorrt(judged: Any, built: str, here: str, host_code: bool, fits: bool) -> None:  # noqa: ANN401, FBT001
    host = dataclasses.replace(NX, libraries={"tensorrt": here}, host_code_allowed=True)
    verdict = judged("orin-nx-16", host, tensorrt_version=built, host_code=host_code)
    wrong = [] if fits else [("library", f"TensorRT {built}", f"TensorRT {here}")]
    assert _refused(verdict) == wrong


@pytest.mark.parametrize("here", ["1.7.1.115", "1.7.1", "1.8.0.1", "1.7.1.116"])
def test_a_plan_of_tensorrt_rtx_stays_within_its_release(made_plans: ModuleType, here: str) -> None:
    host = dataclasses.replace(CARD, libraries={"tensorrt-rtx": here})
    verdict = preflight(plan_header_of(made_plans.rtx_plan()), host, manifest=None, manifest_fault=None, digest=None)
    refused = verdict.of(Outcome.REFUSED)
    assert [check.cure for check in refused] == ['pip install "tensorrt-rtx==1.7.1.116"'] * (here != "1.7.1.116")


def test_a_missing_library_is_the_machines_fault(judged: Any) -> None:  # noqa: ANN401
    with pytest.raises(MachineError, match=r"m\.plan: it can't be loaded here: library: expected TensorRT 10\.3\.0"):
        judged("rtx-4090", dataclasses.replace(CARD, libraries={})).require(Path("m.plan"))
    error = judged("orin-nx-16", dataclasses.replace(NX, libraries={})).error(Path("m.plan"))
    assert error.cure == "sudo apt install python3-libnvinfer"
    assert error.exit_code == 3


def test_the_next_card_takes_a_plan_of_the_hardware_compatible_form(judged: Any) -> None:  # noqa: ANN401
    verdict = judged("rtx-3060", CARD, hardware_compatibility="ampere_plus")
    assert not verdict.of(Outcome.REFUSED)
    assert [check.subject for check in verdict.of(Outcome.DIFFERS)] == ["GPU"]
    assert _refused(judged("rtx-3060", CARD)) == [("compute capability", "8.6", "8.9")]
    # NVIDIA doesn't support that form on JetPack.
    board = dataclasses.replace(NX, architecture="x86_64")
    assert _refused(judged("rtx-3060", board, hardware_compatibility="ampere_plus"))


def test_another_model_of_the_same_architecture_is_a_warning(judged: Any) -> None:  # noqa: ANN401
    verdict = judged("orin-nano-8", NX)
    assert verdict.sentence == "it fits this machine, but look at: board"
    (board,) = verdict.of(Outcome.DIFFERS)
    assert (board.expected, board.found) == ("orin-nano-8", "orin-nx-16")
    assert board.cure == "amfac-export MODEL --target orin-nx-16"
    verdict.require(Path("m.plan"))


def test_what_may_differ_is_told(judged: Any) -> None:  # noqa: ANN401
    verdict = judged("orin-nx-16", dataclasses.replace(NX, l4t="36.4.4", power_mode="15W"), sm_count=4)
    assert [check.subject for check in verdict.of(Outcome.DIFFERS)] == ["SMs", "L4T", "power mode"]
    older = judged("rtx-4090", dataclasses.replace(CARD, driver="550.54"))
    assert [check.subject for check in older.of(Outcome.DIFFERS)] == ["driver"]


def test_code_for_the_cpu_takes_trust(judged: Any) -> None:  # noqa: ANN401
    verdict = judged("orin-nx-16", NX, host_code=True)
    assert [subject for subject, *_ in _refused(verdict)] == ["host code"]
    (check,) = verdict.of(Outcome.REFUSED)
    assert "runs code of its own on the CPU" in check.expected
    assert check.cure.endswith("# without --version-compatible; or allow it: --allow-host-code")
    assert not _refused(judged("orin-nx-16", dataclasses.replace(NX, host_code_allowed=True), host_code=True))


def test_no_driver_no_load(judged: Any) -> None:  # noqa: ANN401
    verdict = judged("rtx-4090", dataclasses.replace(CARD, gpus=()))
    assert _refused(verdict) == [("compute capability", "8.9", "no NVIDIA GPU that answers")]
    unknown = judged("orin-nx-16", dataclasses.replace(NX, gpus=(HostGpu(""),)))
    assert unknown.sentence.endswith("this is not known: compute capability")


def test_a_plan_without_its_manifest_may_load(made_plans: ModuleType) -> None:
    verdict = preflight(plan_header_of(made_plans.plan()), NX, manifest=None, manifest_fault=None, digest="0" * 64)
    assert [check.subject for check in verdict.of(Outcome.UNKNOWN)] == [
        "manifest",
        "system",
        "library",
        "compute capability",
    ]
    assert verdict.error(Path("m.plan")) is None
    assert verdict.as_json()["certain"] is False
    json.dumps(verdict.as_json())


def test_what_an_rtx_plan_says_itself_beats_its_manifest(made_plans: ModuleType) -> None:
    content = made_plans.rtx_plan(8)
    edited = made_plans.manifest("rtx-3060", made_plans.rtx_facts("8.6"), content)
    verdict = preflight(plan_header_of(content), CARD, manifest=edited, manifest_fault=None, digest=sha256_of(content))
    assert _refused(verdict) == [("compute capability in the header", "8.6", "8.9")]
    with pytest.raises(ModelFileError):
        verdict.require(Path("m.rtx.plan"))


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"flavour": "tensorrt-rtx"}, "flavour"),
        ({"engine_name": "amfac/1 other 0000000000000000"}, "engine name"),
    ],
)
def test_a_manifest_that_contradicts_its_plan(judged: Any, change: dict[str, object], subject: str) -> None:  # noqa: ANN401
    assert subject in [name for name, *_ in _refused(judged("orin-nx-16", NX, **change))]


def test_a_manifest_of_another_file_and_a_faulty_one(made_plans: ModuleType) -> None:
    header = plan_header_of(made_plans.plan())
    manifest = made_plans.manifest("orin-nx-16", made_plans.facts("orin-nx-16"), b"other")
    verdict = preflight(header, NX, manifest=manifest, manifest_fault=None, digest="f" * 64)
    assert [subject for subject, *_ in _refused(verdict)] == ["SHA-256"]
    verdict = preflight(header, NX, manifest=None, manifest_fault="m.plan.json: not JSON", digest="f" * 64)
    assert _refused(verdict) == [("manifest", "one that can be read", "m.plan.json: not JSON")]
