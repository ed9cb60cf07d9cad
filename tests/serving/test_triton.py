from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.artefact import BatchRange, Manifest, TensorSpec, manifest_beside, read_manifest
from amfac_edge.errors import InputError, ModelFileError, OutputError
from amfac_edge.serving import triton, triton_name, write_triton
from amfac_edge.serving.triton_config import PLAN, engine_config, ensemble_config

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

NAME = "markers.cpu.fp32"
PARTS = [NAME, f"{NAME}_cut", f"{NAME}_frame", f"{NAME}_map", f"{NAME}_python"]


@pytest.fixture
def artefact(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / f"{NAME}.onnx", batch="1-4")
    return path


def _for_board(artefact: Path) -> None:
    path = artefact.with_name(artefact.name + ".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target": "orin-nano-8", "precision": "fp16"}))


def _plan(made_plans: ModuleType, path: Path, onnx: str, body: bytes = b"\2" * 500) -> Path:
    content = made_plans.plan(body)
    path.write_bytes(content)
    described = made_plans.manifest("orin-nano-8", made_plans.facts("orin-nano-8"), content).as_json()
    described["digests"]["onnx"] = onnx
    path.with_name(path.name + ".json").write_text(json.dumps(described))
    return path


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_repository_has_the_engine_an_ensemble_and_one_without_a_backend(artefact: Path, tmp_path: Path) -> None:
    models = write_triton(artefact, tmp_path / "repository", for_cpu=True)
    assert sorted(model.folder.name for model in models) == PARTS
    assert all((model.version, model.is_new, model.lacks_plan) == (1, True, False) for model in models)
    assert all((model.folder / "1").is_dir() and (model.folder / "config.pbtxt").is_file() for model in models)
    for name in (NAME, f"{NAME}_python"):
        assert read_manifest(tmp_path / "repository" / name / "1" / "model.onnx").name == "marker-64x48"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("why", ["device", "rights"])
def test_a_repository_that_nothing_may_lie_beside(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A volume of its own, or one that belongs to another user's folder."""
    repository = tmp_path / "volume" / "repository"
    repository.mkdir(parents=True)
    made: list[Path] = []
    honest = tempfile.TemporaryDirectory

    def kept(**words: Any) -> tempfile.TemporaryDirectory[str]:  # noqa: ANN401
        made.append(words["dir"])
        return honest(**words)

    monkeypatch.setattr(tempfile, "TemporaryDirectory", kept)
    if why == "rights":
        monkeypatch.setattr(os, "access", lambda *_: False)
    else:
        monkeypatch.setattr(triton, "_device", lambda path: path.name)
    write_triton(artefact, repository, for_cpu=True)
    assert made == [repository]
    assert sorted(path.name for path in repository.iterdir()) == PARTS


def test_a_place_that_can_not_be_written_to_is_told(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refused)
    with pytest.raises(OutputError, match="repository: can't be written: Permission denied"):
        write_triton(artefact, tmp_path / "repository", for_cpu=True)


def test_the_configuration_holds_the_manifest_s_facts(artefact: Path, tmp_path: Path) -> None:
    write_triton(artefact, tmp_path / "repository", for_cpu=True)
    config = (tmp_path / "repository" / NAME / "config.pbtxt").read_text()
    assert config.startswith(f'name: "{NAME}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 4\n')
    assert '{ name: "crops", data_type: TYPE_UINT8, dims: [ 64, 48, 3 ] }' in config
    assert '{ name: "keypoints", data_type: TYPE_FP32, dims: [ 17, 2 ] }' in config
    assert "preferred_batch_size: [ 4 ]" in config
    assert "kind: KIND_CPU" in config
    assert [batch for batch in range(1, 9) if f'"batch {batch}", batch_size: {batch},' in config] == [1, 4]


def test_a_cpu_of_ones_own_has_its_engine(artefact: Path, tmp_path: Path) -> None:
    _for_board(artefact)
    models = write_triton(artefact, tmp_path / "repository", for_cpu=True)
    assert not models[0].lacks_plan
    assert (tmp_path / "repository" / NAME / "1" / "model.onnx").is_file()


def test_a_fixed_batch_is_a_model_without_batching(markers: ModuleType, tmp_path: Path) -> None:
    write_triton(markers.write_artefact(tmp_path / "fixed.onnx", batch="2"), tmp_path / "repository", for_cpu=True)
    config = (tmp_path / "repository" / "fixed" / "config.pbtxt").read_text()
    assert "max_batch_size: 0" in config
    assert "dims: [ 2, 64, 48, 3 ]" in config
    assert "dynamic_batching" not in config


def test_a_graph_of_frames_has_no_batch_axis_and_cuts_by_itself(markers: ModuleType) -> None:
    affines = TensorSpec("affines", "float32", ("N", 2, 3))
    manifest = Manifest(
        target="orin-nano-8",
        precision="fp16",
        input_kind="frame",
        batch=BatchRange(1, 4, 4),
        model=markers.RECIPE,
        inputs=(TensorSpec("frame", "uint8", ("frame_height", "frame_width", 3)), affines),
        outputs=(TensorSpec("keypoints", "float32", ("N", 17, 2)), TensorSpec("scores", "float32", ("N", 17))),
    )
    config = engine_config("frames", manifest, PLAN)
    assert "max_batch_size: 0" in config
    assert '{ name: "frame", data_type: TYPE_UINT8, dims: [ -1, -1, 3 ] }' in config
    assert "dims: [ 480, 640, 3 ], zero_data: true" in config
    assert "kind: KIND_GPU" in config


def test_a_second_time_nothing_is_written(artefact: Path, tmp_path: Path) -> None:
    write_triton(artefact, tmp_path / "repository", for_cpu=True)
    before = _tree(tmp_path / "repository")
    assert [
        (model.version, model.is_new) for model in write_triton(artefact, tmp_path / "repository", for_cpu=True)
    ] == [(1, False)] * 5
    assert _tree(tmp_path / "repository") == before


def test_a_newer_artefact_is_a_new_version(markers: ModuleType, artefact: Path, tmp_path: Path) -> None:
    write_triton(artefact, tmp_path / "repository", for_cpu=True)
    first = (tmp_path / "repository" / NAME / "1" / "model.onnx").read_bytes()
    markers.write_artefact(artefact, batch="1-4", trained=True)
    models = {
        model.folder.name: model.version for model in write_triton(artefact, tmp_path / "repository", for_cpu=True)
    }
    assert models == {NAME: 2, f"{NAME}_python": 2, f"{NAME}_cut": 2, f"{NAME}_map": 1, f"{NAME}_frame": 1}
    assert (tmp_path / "repository" / NAME / "1" / "model.onnx").read_bytes() == first


def test_another_configuration_of_the_same_name_is_not_overwritten(
    markers: ModuleType, artefact: Path, tmp_path: Path
) -> None:
    write_triton(artefact, tmp_path / "repository", for_cpu=True)
    before = _tree(tmp_path / "repository")
    markers.write_artefact(artefact, batch="1-8")
    with pytest.raises(OutputError, match=r"it was edited, or is of another model"):
        write_triton(artefact, tmp_path / "repository", for_cpu=True)
    assert _tree(tmp_path / "repository") == before


def test_a_board_without_a_plan_has_a_place_for_it_and_the_next_step(
    made_plans: ModuleType, artefact: Path, tmp_path: Path
) -> None:
    _for_board(artefact)
    repository = tmp_path / "repository"
    engine = write_triton(artefact, repository, build="python3 kit/build.py", for_cpu=False)[0]
    assert engine.lacks_plan
    assert [path.name for path in (engine.folder / "1").iterdir()] == ["NEXT.txt"]
    text = (engine.folder / "1" / "NEXT.txt").read_text()
    assert "python3 kit/build.py" in text
    assert f"cp {NAME}/{NAME}.plan REPOSITORY/{NAME}/1/model.plan && cp {NAME}/{NAME}.plan.json" in text
    onnx = read_manifest(artefact).digests["artefact"]
    plan = _plan(made_plans, tmp_path / "built.plan", onnx)
    engine = write_triton(artefact, repository, plan=plan, for_cpu=False)[0]
    assert (engine.version, engine.is_new, engine.lacks_plan) == (1, True, False)
    assert read_manifest(engine.folder / "1" / "model.plan").target == "orin-nano-8"
    assert sorted(path.name for path in engine.folder.iterdir()) == ["1", "config.pbtxt"]
    again = write_triton(artefact, repository, for_cpu=False)[0]
    assert (again.version, again.is_new, again.lacks_plan) == (1, False, False)


def test_a_plan_of_an_older_artefact_stays_and_is_told(
    markers: ModuleType, made_plans: ModuleType, artefact: Path, tmp_path: Path
) -> None:
    _for_board(artefact)
    onnx = manifest_beside(artefact).digests["artefact"]
    write_triton(
        artefact, tmp_path / "repository", plan=_plan(made_plans, tmp_path / "built.plan", onnx), for_cpu=False
    )
    markers.write_artefact(artefact, batch="1-4", trained=True)
    _for_board(artefact)
    engine = write_triton(artefact, tmp_path / "repository", for_cpu=False)[0]
    assert (engine.version, engine.is_new, engine.lacks_plan) == (1, False, True)


@pytest.mark.parametrize("name", ['a" platform: "x', "a\nb", "..", ".hidden", "a/b", "a b", "ü", "x" * 201, ""])
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="can't be the name of a Triton model"):
        ensemble_config(name, [], [], [])


def test_the_name_of_a_file_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    assert triton_name(tmp_path / "model.cpu.fp32.onnx") == "model.cpu.fp32"
    with pytest.raises(InputError, match=r"'a model.cpu' can't be the name"):
        write_triton(tmp_path / "a model.cpu.onnx", tmp_path / "repository", for_cpu=True)


def test_nothing_in_a_tensor_s_name_ends_its_string() -> None:
    hostile = TensorSpec('a" } dims: [ 1 ] #\n\\\x07', "uint8", (1,))
    config = ensemble_config("model", [hostile], [], [])
    assert '{ name: "a\\" } dims: [ 1 ] #\\n\\\\\\U00000007", data_type: TYPE_UINT8, dims: [ 1 ] }' in config


def test_a_type_that_is_not_known_is_named() -> None:
    with pytest.raises(InputError, match="crops: Triton has no complex64"):
        ensemble_config("model", [TensorSpec("crops", "complex64", (1,))], [], [])


def test_a_damaged_artefact_writes_nothing(artefact: Path, tmp_path: Path) -> None:
    artefact.write_bytes(artefact.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelFileError):
        write_triton(artefact, tmp_path / "repository", for_cpu=True)
    assert not (tmp_path / "repository").exists()


def test_the_warm_up_is_a_person_within_its_frame(artefact: Path, tmp_path: Path) -> None:
    write_triton(artefact, tmp_path / "repository", for_cpu=True)
    folder = tmp_path / "repository" / f"{NAME}_python"
    x1, y1, x2, y2 = np.fromfile(folder / "warmup" / "boxes", np.float32)
    assert 0 < x1 < x2 < 640
    assert 0 < y1 < y2 < 480
    assert 'input_data_file: "boxes"' in (folder / "config.pbtxt").read_text()
