"""Receipts become runs of the machine that they were taken on, or an error that says why not."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import BatchRange, LayerCost, Manifest
from amfac_edge.artefact.manifest_reading import manifest_from_json
from amfac_edge.cli.bench import main
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError
from amfac_edge.performance import Conditions, Measured, Receipt, write_receipt
from amfac_edge.performance.forecast import forecast_engine, subject_of_manifest, subject_of_recipe
from amfac_edge.performance.forecast.calibrating import measured_engines, timed_runs
from amfac_edge.performance.forecast.engine import subject_run
from amfac_edge.performance.forecast.recorded import recorded_kernels

if TYPE_CHECKING:
    from pathlib import Path

RECIPES = ("amfacpose-r34-384x288", "amfacpose-r34-256x256", "amfacpose-r18-384x288", "amfacpose-r18-256x256")
CPU, NANO = load_target("cpu"), load_target("orin-nano")


def receipt(recipe: str, ms: float, **changes: Any) -> Receipt:  # noqa: ANN401 - of any field
    """Of an artefact with one layer for each kernel that is recorded of `recipe`."""
    conditions = Conditions(
        processor=changes.pop("processor", "a processor"),
        engine="onnxruntime 1.31",
        provider="CPU",
        threads=changes.pop("threads", 2),
        spinning=True,
        artefact=f"{recipe}.onnx",
        sha256="ab" * 32,
        recipe=recipe,
        precision="fp32",
        frame="1920x1080",
        people=1,
        governor=None,
        versions={},
    )
    layers = tuple(
        LayerCost(f"n{place}", kernel.name, kernel.macs, kernel.bytes, "float32")
        for kernel in recorded_kernels()[recipe, "cpu"]
        for place in range(kernel.count)
    )
    manifest = Manifest(
        target=changes.get("target", "cpu"),
        precision="fp32",
        input_kind="crops",
        batch=BatchRange(1, 1, 1),
        model=load_recipe(recipe),
        inputs=(),
        outputs=(),
        digests={"artefact": conditions.sha256},
        layers=layers,
    )
    taken = Receipt(
        taken="2026-11-28T12:00:00Z",
        command=("amfac-bench", "run", conditions.artefact),
        conditions=conditions,
        series={"engine": Measured("engine", (ms, ms), conditions)},
        target="cpu",
        manifest=json.loads(manifest.as_bytes()),
    )
    return dataclasses.replace(taken, **changes)


def test_a_receipt_of_a_cpu_forecasts_its_other_models() -> None:
    runs = timed_runs([("a.json", receipt("amfacpose-r18-256x256", 15.0))], CPU)
    (run,) = runs
    assert run.ms == 15.0
    same = forecast_engine(subject_of_recipe("amfacpose-r18-256x256"), CPU, runs=runs)
    assert same.mid_ms == pytest.approx(15.0, rel=0.1)
    assert "1 run timed on this machine" in same.basis


def test_a_receipt_of_a_board_narrows_its_forecast() -> None:
    subject = subject_of_recipe("amfacpose-r34-384x288")
    before = forecast_engine(subject, NANO, precision="fp32")
    taken = receipt("amfacpose-r34-256x256", 40.0, target="orin-nano-8", power_mode="15W")
    after = forecast_engine(subject, NANO, precision="fp32", runs=timed_runs([("a.json", taken)], NANO))
    assert after.high_ms / after.low_ms < before.high_ms / before.low_ms


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"target": "orin-nx-8"}, "a.json: it was taken on orin-nx-8, not on orin-nano-8"),
        ({"target": None}, "no known target"),
        ({"power_mode": "7W"}, "in the power mode 7W, not in 15W"),
        ({"power_mode": None}, "that nobody could read"),
        # That board's 15W is another one.
        (
            {"machine": {"jetson": {"super_configuration": True}}},
            r"in the power mode 15W-super, not in 15W\n.*15W-super",
        ),
        (
            {"findings": {"throttling": ["power cap"]}},
            "a.json: the machine was throttled while it was taken: power cap",
        ),
        ({"manifest": None}, "no manifest"),
    ],
)
def test_a_receipt_of_something_else_is_refused(changes: dict[str, Any], problem: str) -> None:
    taken = receipt("amfacpose-r18-256x256", 15.0, **({"target": "orin-nano-8", "power_mode": "15W"} | changes))
    with pytest.raises(InputError, match=problem):
        timed_runs([("a.json", taken)], NANO)


def test_a_receipt_without_the_engine_is_refused() -> None:
    taken = receipt("amfacpose-r18-256x256", 15.0)
    frame = Measured("frame", (15.0,), taken.conditions)
    with pytest.raises(InputError, match="no series of the engine, only frame"):
        timed_runs([("a.json", dataclasses.replace(taken, series={"frame": frame}))], CPU)


def test_receipts_of_two_processors_teach_nothing_of_either() -> None:
    pair = [("a.json", receipt(RECIPES[0], 40.0)), ("b.json", receipt(RECIPES[1], 30.0, threads=1))]
    with pytest.raises(InputError, match="different machines"):
        timed_runs(pair, CPU)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_shared_weights_of_a_batch_count_once(precision: str) -> None:
    taken = receipt("amfacpose-r18-256x256", 15.0, target="orin-nano-8", power_mode="15W")
    conditions = dataclasses.replace(taken.conditions, precision=precision, people=8)
    manifest = dict(taken.manifest or {}) | {"precision": precision}
    (run,) = timed_runs([("a.json", dataclasses.replace(taken, conditions=conditions, manifest=manifest))], NANO)
    of_file = subject_of_manifest(manifest_from_json(manifest, where="a.json"), "a", 0)
    weights = subject_of_recipe("amfacpose-r18-256x256").weight_bytes
    once, twice = (
        subject_run(
            dataclasses.replace(of_file, weight_bytes=part * weights),
            NANO,
            15.0,
            mode="15W",
            precision=precision,
            batch=8,
        )
        for part in (1, 2)
    )
    assert run.load.gigabytes.tolist() == once.load.gigabytes.tolist() != twice.load.gigabytes.tolist()


def test_only_single_crops_are_engine_times() -> None:
    single = receipt("amfacpose-r18-256x256", 15.0)
    assert list(measured_engines([single])) == [("amfacpose-r18-256x256", "fp32")]
    crowd = dataclasses.replace(single, conditions=dataclasses.replace(single.conditions, people=5))
    assert measured_engines([crowd]) == {}


def test_the_command_takes_receipts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for name, ms in zip(RECIPES, (44.0, 26.0, 33.0, 16.0), strict=True):
        paths.append(str(tmp_path / f"{name}.json"))
        write_receipt(receipt(name, ms), tmp_path / f"{name}.json")
    assert main(["forecast", RECIPES[0], "--target", "cpu", "--calibrate", paths[3], "--json"]) == 0
    said = capsys.readouterr()
    (found,) = json.loads(said.out)["forecasts"]
    assert found["mid_ms"] > 16
    assert said.err == f"doubt: {paths[3]} doesn't know what others took of the CPU\n"
    assert main(["forecast", "--errors", "--calibrate", *paths]) == 0
    assert "engine: half of the measured models from the other half" in capsys.readouterr().out
    assert main(["forecast", "--errors", "--calibrate", paths[0]]) == 2
    assert "no halves" in capsys.readouterr().err
    assert main(["choose", RECIPES[0], "--target", "cpu", "--budget-ms", "30", "--calibrate", *paths, "--json"]) == 0
    chosen = json.loads(capsys.readouterr().out)["chosen"]
    assert (chosen["recipe"], chosen["measured"]) == ("amfacpose-r34-256x256", True)


def test_the_errors_of_a_board_flashed_as_super_are_of_its_own_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for name, ms in zip(RECIPES[:2], (20.0, 13.0), strict=True):
        paths.append(str(tmp_path / f"{name}.json"))
        taken = receipt(
            name, ms, target="orin-nano-8", power_mode="15W", machine={"jetson": {"super_configuration": True}}
        )
        write_receipt(taken, tmp_path / f"{name}.json")
    assert main(["forecast", "--errors", "--calibrate", *paths]) == 0
    assert "engine: half of the measured models from the other half" in capsys.readouterr().out
