from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from amfac_edge import sessions
from amfac_edge.artefact import manifest_path
from amfac_edge.children import ChildFailure
from amfac_edge.errors import InputError, MachineError, MissingExtraError, ModelFileError
from amfac_edge.sessions import onnxruntime_session, open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def test_joints_are_found_where_the_crop_has_them(markers: ModuleType, tmp_path: Path) -> None:
    places = markers.spread_places()
    with open_session(markers.write_artefact(tmp_path / "m.onnx")) as session:
        keypoints, scores = session.run(markers.painted_crop(places, green=51)[None])
    assert keypoints.dtype == scores.dtype == np.float32
    np.testing.assert_array_equal(keypoints[0], places)
    np.testing.assert_allclose(scores[0], 51 / 255, rtol=1e-6)


@pytest.mark.parametrize("batch", ["1", "3", "4", "1-2", "1-8", "2-3"])
@pytest.mark.parametrize("people", [1, 2, 3, 5])
def test_any_number_of_people_goes_through_any_batch(
    markers: ModuleType, tmp_path: Path, batch: str, people: int
) -> None:
    places = [markers.spread_places(seed) for seed in range(people)]
    crops = np.stack([markers.painted_crop(one, green=50 + index) for index, one in enumerate(places)])
    with open_session(markers.write_artefact(tmp_path / "m.onnx", batch=batch)) as session:
        keypoints, scores = session.run(crops)
    np.testing.assert_array_equal(keypoints, places)
    np.testing.assert_allclose(scores, np.tile((50 + np.arange(people))[:, None] / 255, 17), rtol=1e-6)


def test_many_threads_give_what_one_gives(markers: ModuleType, tmp_path: Path) -> None:
    places = [markers.spread_places(seed) for seed in range(64)]
    with open_session(markers.write_artefact(tmp_path / "m.onnx")) as session, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: session.run(markers.painted_crop(one)[None])[0][0], places))
    np.testing.assert_array_equal(found, places)


def test_settings_are_recorded(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    with open_session(artefact, threads=1, spinning=False) as session:
        assert (session.settings.threads, session.settings.spinning) == (1, False)
        assert session.settings.engine.startswith("onnxruntime 1.")
        assert session.settings.provider == "CPUExecutionProvider"
    with open_session(artefact) as session:
        assert session.settings.threads == sessions.usable_cores()


def test_a_manifest_that_was_lost_is_read_from_the_metadata(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx", manifest=False, batch="1-2", trained=False)
    with open_session(artefact) as session:
        assert session.manifest.recipe == markers.RECIPE
        assert (str(session.manifest.batch), session.manifest.trained) == ("1-2", False)
        assert session.run(markers.painted_crop(markers.spread_places())[None])[1].shape == (1, 17)


def test_a_matching_manifest_spares_the_child_process(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_session, "call_in_child", lambda *_, **__: pytest.fail("a child was started"))
    open_session(markers.write_artefact(tmp_path / "m.onnx")).close()


def test_a_crash_of_the_parser_is_an_error(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashing(*_: object, **__: object) -> None:
        raise ChildFailure("it was killed by SIGSEGV")

    artefact = markers.write_artefact(tmp_path / "m.onnx", manifest=False)
    monkeypatch.setattr(onnxruntime_session, "call_in_child", crashing)
    with pytest.raises(ModelFileError, match=r"m.onnx: not a usable ONNX file: .*killed by SIGSEGV"):
        open_session(artefact)


def test_a_chain_of_4000_nodes_is_an_error_not_a_crash(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", [f"t{index}"], [f"t{index + 1}"]) for index in range(4000)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("t0", "t4000")]
    model = helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:]))
    model.ir_version = 10
    (tmp_path / "chain.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"chain\.onnx: "):
        open_session(tmp_path / "chain.onnx")


def _without_initializer(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    del model.graph.initializer[0]
    return bytes(model.SerializeToString())


def _with_wrong_dims(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    model.graph.initializer[0].dims[1] = 30
    return bytes(model.SerializeToString())


def _with_cycle(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    model.graph.node[0].input[0] = "xy"
    return bytes(model.SerializeToString())


_DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "random bytes": lambda content: np.random.default_rng(0).bytes(len(content)),
    "missing initializer": _without_initializer,
    "wrong dims": _with_wrong_dims,
    "cycle": _with_cycle,
}


@pytest.mark.parametrize(
    ("name", "content", "cure"),
    [
        ("w.safetensors", b"\x02\0\0\0\0\0\0\0{}", "amfac-export .* --target auto makes an artefact of it"),
        ("m.fp16.kit.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0", "It is a board kit: tar xzf"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", "Give the .onnx or .plan"),
    ],
)
def test_what_is_no_artefact_is_told_so(tmp_path: Path, name: str, content: bytes, cure: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"{name}: no artefact: .*\n  {cure}"):
        open_session(path)


def test_a_manifest_is_not_its_artefact(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"m\.onnx\.json: no artefact: .*\n  Give the artefact .*m\.onnx, say"):
        open_session(manifest_path(artefact))


def test_far_more_threads_than_cores_are_refused(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    monkeypatch.setattr(onnxruntime_session, "usable_cores", lambda: 1)
    with pytest.raises(InputError, match="threads=5 would wait for each other on 1 core\n"):
        open_session(artefact, threads=5)
    with open_session(artefact, threads=4) as session:
        assert session.settings.threads == 4


@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES.keys())
def test_a_damaged_file_is_one_clear_error(
    markers: ModuleType, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx", manifest=False)
    artefact.write_bytes(damage(artefact.read_bytes()))
    with pytest.raises(ModelFileError, match=r"m\.onnx: (the file is empty|onnxruntime can't load it: .+)\n  Copy"):
        open_session(artefact)


def test_a_file_that_differs_from_its_manifest_is_refused(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    artefact.write_bytes(artefact.read_bytes() + b"\0")
    with pytest.raises(ModelFileError, match="one of the two was replaced"):
        open_session(artefact)


def test_a_foreign_onnx_is_told_to_be_exported(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx", manifest=False, metadata=False)
    with pytest.raises(ModelFileError, match=r"not an artefact .*: no m\.onnx\.json .*\n.*amfac-export .*m\.onnx"):
        open_session(artefact)


def test_metadata_without_a_whole_recipe_are_refused(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx", manifest=False)
    model = onnx.load(artefact)
    next(entry for entry in model.metadata_props if entry.key == "amfac.recipe").value = "[" * 100_000
    artefact.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"amfac\.recipe is not JSON"):
        open_session(artefact)


def test_another_kind_of_input_is_refused(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    manifest = manifest_path(artefact)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"input_kind": "raw"}))
    with pytest.raises(ModelFileError, match=r'of the kind "raw".*\n.*beside the raw twin of --raw-logits'):
        open_session(artefact)


def test_crops_under_a_frames_manifest_are_refused(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    manifest = manifest_path(artefact)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"input_kind": "frame"}))
    with pytest.raises(ModelFileError, match=r"frame is missing.*affines is missing.*crops is not known"):
        open_session(artefact)


def test_a_frame_for_an_artefact_of_crops_is_refused(markers: ModuleType, tmp_path: Path) -> None:
    frame, affines = np.zeros((9, 9, 3), np.uint8), np.zeros((1, 2, 3), np.float32)
    with (
        onnxruntime_session.OnnxRuntimeSession(markers.write_artefact(tmp_path / "m.onnx")) as session,
        pytest.raises(InputError, match=r"m\.onnx: it takes run\(crops\) and was given a frame"),
    ):
        session.run_frame(frame, affines)


def test_tensors_that_differ_from_the_manifest_are_named(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    manifest = manifest_path(artefact)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"batch": "1-4"}))
    with pytest.raises(ModelFileError, match=r"crops is uint8 \(1, 64, 48, 3\), not uint8 \(N, 64, 48, 3\); key"):
        open_session(artefact)
    markers.write_artefact(artefact, skeleton="crowdpose-14", manifest=False)
    recipe = dataclasses.replace(markers.RECIPE, skeleton="coco-17")
    model = onnx.load(artefact)
    next(entry for entry in model.metadata_props if entry.key == "amfac.recipe").value = json.dumps(recipe.as_json())
    artefact.write_bytes(model.SerializeToString())
    manifest.unlink()
    with pytest.raises(ModelFileError, match=r"scores is float32 \(1, 14\), not float32 \(1, 17\)"):
        open_session(artefact)


@pytest.mark.parametrize(
    ("crops", "shown"),
    [
        (np.zeros((1, 64, 48, 3), np.float32), r"float32 \(1, 64, 48, 3\)"),
        (np.zeros((1, 48, 64, 3), np.uint8), r"uint8 \(1, 48, 64, 3\)"),
        (np.zeros((0, 64, 48, 3), np.uint8), r"uint8 \(0, 64, 48, 3\)"),
        (np.zeros((64, 48, 3), np.uint8), r"uint8 \(64, 48, 3\)"),
        (np.zeros((1, 64, 48, 4), np.uint8)[..., :3], r"uint8 \(1, 64, 48, 3\), not contiguous"),
    ],
)
def test_crops_that_the_network_can_not_take_are_refused(
    markers: ModuleType, tmp_path: Path, crops: np.ndarray, shown: str
) -> None:
    with open_session(markers.write_artefact(tmp_path / "m.onnx")) as session, pytest.raises(InputError, match=shown):
        session.run(crops)


def test_a_closed_session_says_so(markers: ModuleType, tmp_path: Path) -> None:
    session = open_session(markers.write_artefact(tmp_path / "m.onnx"))
    session.close()
    session.close()
    with pytest.raises(InputError, match=r"m\.onnx: this session is closed"):
        session.run(np.zeros((1, 64, 48, 3), np.uint8))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.onnx: no such file"):
        open_session(tmp_path / "none.onnx")
    with pytest.raises(ModelFileError, match="not a file"):
        open_session(str(tmp_path))


def test_a_provider_that_is_not_known_is_refused(markers: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='provider="tpu" is not known'):
        open_session(markers.write_artefact(tmp_path / "m.onnx"), provider="tpu")


class _GpuBuild:
    """onnxruntime-gpu: it offers CUDA, and where CUDA doesn't work its sessions run on the CPU without a word."""

    def __init__(self, *, works: bool, finds: str = "cuda") -> None:
        self._works, self._finds = works, finds
        self.loaded = 0

    def __getattr__(self, name: str) -> object:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        self.loaded += 1
        if self._finds != "cuda":
            sys.stdout.write(f"Failed to load {self._finds}: no such file\nPlease follow the guide\n")

    def InferenceSession(self, path: str, options: object, providers: list[str]) -> object:  # noqa: N802 - onnxruntime's
        engine = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        if self._works and self.loaded:
            engine.get_providers = lambda: list(providers)
        return engine


def test_the_card_is_taken_where_it_works(markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact, places = markers.write_artefact(tmp_path / "m.onnx"), markers.spread_places()
    build = _GpuBuild(works=True)
    monkeypatch.setitem(sys.modules, "onnxruntime", build)
    open_session(artefact).close()
    assert build.loaded == 0
    with open_session(artefact, provider="cuda") as session:
        assert build.loaded == 1
        assert session.settings.provider == "CUDAExecutionProvider"
        np.testing.assert_array_equal(session.run(markers.painted_crop(places)[None])[0][0], places)


def test_a_silent_fall_back_to_the_cpu_is_an_error(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    with pytest.raises(
        MachineError, match=r"this onnxruntime 1\..* is not for NVIDIA cards: it has no CUDAExecutionPro"
    ):
        open_session(artefact, provider="cuda")
    monkeypatch.setitem(sys.modules, "onnxruntime", _GpuBuild(works=False))
    with pytest.raises(
        MachineError,
        match=r'would have run on CPUExecutionProvider\n  pip install "onnxruntime-gpu\[cuda,cudnn\]" brings',
    ):
        open_session(artefact, provider="cuda")


def test_what_its_cuda_lacks_is_told_in_the_error_alone(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", _GpuBuild(works=False, finds="libcudart.so.13"))
    with pytest.raises(
        MachineError, match=r"on CPUExecutionProvider: Failed to load libcudart\.so\.13: no such file\n"
    ):
        open_session(markers.write_artefact(tmp_path / "m.onnx"), provider="cuda")
    assert capsys.readouterr().out == ""


def test_an_onnxruntime_before_1_21_finds_its_cuda_by_itself(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = _GpuBuild(works=True)
    build.loaded = 1
    monkeypatch.setattr(build, "preload_dlls", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", build)
    with open_session(markers.write_artefact(tmp_path / "m.onnx"), provider="cuda") as session:
        assert session.settings.provider == "CUDAExecutionProvider"


@pytest.mark.parametrize("threads", [0, -1, 1 << 20])
def test_impossible_thread_counts_are_refused(markers: ModuleType, tmp_path: Path, threads: int) -> None:
    with pytest.raises(InputError, match=f"threads={threads} is not within 1 and 1024"):
        open_session(markers.write_artefact(tmp_path / "m.onnx"), threads=threads)


def test_a_missing_onnxruntime_names_the_extra(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r'onnxruntime, which .*\n  pip install "amfac-edge\[cpu\]"'):
        open_session(artefact)


@pytest.mark.parametrize(("set_before", "told"), [(None, "1"), ("0", "0")])
def test_no_telemetry_unless_somebody_chose_it(
    markers: ModuleType, tmp_path: Path, set_before: str | None, told: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environ = {name: value for name, value in os.environ.items() if name not in {"XDG_CACHE_HOME", _TELEMETRY}}
    environ |= {"HOME": str(home)} | ({} if set_before is None else {_TELEMETRY: set_before})
    # With somebody's own choice nothing is opened here: what ONNX Runtime would do then is theirs.
    opened = "amfac_edge.PoseEstimator(sys.argv[1]).close()" if set_before is None else ""
    program = f"import os, sys, amfac_edge; {opened}\nprint(os.environ[{_TELEMETRY!r}])"
    artefact = markers.write_artefact(tmp_path / "engine.onnx")
    done = subprocess.run(
        [sys.executable, "-c", program, str(artefact)], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [told]
    assert list(home.rglob("*")) == []
