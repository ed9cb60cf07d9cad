"""Repositories in a real Triton server, where `make triton` has brought one."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.files import sha256_of
from amfac_edge.serving import write_triton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from numpy.typing import NDArray

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

TREE = Path(__file__).resolve().parents[2]
ENVIRONMENT = TREE / ".make" / "triton"
TYPES = {"uint8": "UINT8", "float32": "FP32"}
# What the estimator itself gives, with the libraries that the server has.
EXPECTED = """
import sys
import numpy as np
from amfac_edge import PoseEstimator

asked = np.load(sys.argv[2])
with PoseEstimator(sys.argv[1], threads=1) as estimator:
    found = {}
    for number in range(len(asked.files) // 2):
        poses = estimator(asked[f"frame{number}"], asked[f"boxes{number}"])
        found |= {f"keypoints{number}": poses.keypoints, f"scores{number}": poses.scores}
np.savez(sys.argv[3], **found)
"""
# In the place of a backend that this server lacks: the same artefact, called as that backend would call it.
STAND_IN = """
import numpy as np
import triton_python_backend_utils as pb_utils
from amfac_edge.sessions import open_session


class TritonPythonModel:
    def initialize(self, args):
        self.session = open_session(f"{args['model_repository']}/{args['model_version']}/model.onnx", threads=1)

    def execute(self, requests):
        answers = []
        for request in requests:
            found = self.session.run(pb_utils.get_input_tensor_by_name(request, "crops").as_numpy())
            tensors = [pb_utils.Tensor(name, array) for name, array in zip(("keypoints", "scores"), found)]
            answers.append(pb_utils.InferenceResponse(tensors))
        return answers
"""


class Server:
    """tritonserver over a repository, on free ports of the loopback address."""

    def __init__(self, folder: Path, repository: Path, words: list[str]) -> None:
        site = next(ENVIRONMENT.glob("lib/python3*/site-packages"))
        server = site / "pytriton" / "tritonserver"
        version = site.parent.name.removeprefix("python")
        stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.is_file():
            pytest.skip(f"this Triton server has no Python {version}")
        backend = folder / "backends" / "python"
        shutil.copytree(server / "backends" / "python", backend, dirs_exist_ok=True)
        shutil.copy(stub, backend)
        # Models run in an interpreter that ignores PYTHONPATH, and has this folder on its path.
        (backend / "amfac_edge").symlink_to(TREE / "amfac_edge")
        python = ENVIRONMENT / "bin" / "python"
        where = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
        libraries = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
        self.port, grpc = (_free_port() for _ in range(2))
        self.log = folder / "server.log"
        self._stream = self.log.open("wb")
        words = [*words, f"--model-repository={repository}", f"--backend-directory={backend.parent}"]
        words += ["--http-address=127.0.0.1", f"--http-port={self.port}", "--allow-metrics=false"]
        words += ["--grpc-address=127.0.0.1", f"--grpc-port={grpc}"]
        self.process = subprocess.Popen(
            [server / "bin" / "tritonserver", *words],
            env={
                **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
                "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
                "LD_LIBRARY_PATH": f"{libraries}:{site / 'nvidia_pytriton.libs'}",
            },
            stdin=subprocess.DEVNULL,
            stdout=self._stream,
            stderr=self._stream,
        )

    def wait(self, *, until_ready: bool) -> str:
        """Until it serves, or until it has given up; what it said by then."""
        for _ in range(600):
            if self.process.poll() is not None or (until_ready and self._is_ready()):
                break
            time.sleep(0.1)
        text = self.log.read_text(errors="replace")
        assert (self.process.poll() is None) == until_ready, text[-3000:]
        return text

    def ask(self, model: str, **arrays: NDArray[Any]) -> tuple[int, dict[str, NDArray[np.float32]] | str]:
        """Status, and the outputs by name or the error."""
        inputs = []
        for name, array in arrays.items():
            described = {"name": name, "shape": array.shape, "datatype": TYPES[str(array.dtype)]}
            inputs.append({**described, "parameters": {"binary_data_size": array.nbytes}})
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        body = head + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Inference-Header-Content-Length": str(len(head))}
        connection.request("POST", f"/v2/models/{model}/infer", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != http.client.OK:
            return answer.status, json.loads(content)["error"]
        # Outputs without people have no bytes, and then there is no such header.
        place = int(answer.getheader("Inference-Header-Content-Length") or len(content))
        found = {}
        for output in json.loads(content[:place])["outputs"]:
            size = output.get("parameters", {}).get("binary_data_size", 0)
            found[output["name"]] = np.frombuffer(content[place : place + size], np.float32).reshape(output["shape"])
            place += size
        return answer.status, found

    def close(self) -> None:
        # Killed at once, it would leave the processes of its Python models behind.
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stream.close()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    if not (ENVIRONMENT / ".installed").is_file():
        pytest.skip("no Triton server here: make triton brings one")
    servers: list[Server] = []

    def start(repository: Path, *words: str) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, repository, list(words)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def _asked(most: int) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Frames of several sizes with nobody to `most` people."""
    rng = np.random.default_rng(0)
    asked = []
    for number in range(12):
        height, width = rng.integers(80, 300, 2).tolist()
        frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        boxes = [[7 * person, 3, 7 * person + 40, 70] for person in range(number % (most + 1))]
        asked.append((frame, np.array(boxes, np.float32).reshape(-1, 4)))
    return asked


def _expected(
    artefact: Path, asked: list[tuple[NDArray[np.uint8], NDArray[np.float32]]], folder: Path
) -> list[dict[str, NDArray[np.float32]]]:
    arrays: dict[str, Any] = {}
    for number, (frame, boxes) in enumerate(asked):
        arrays |= {f"frame{number}": frame, f"boxes{number}": boxes}
    np.savez(folder / "asked.npz", **arrays)
    python, files = ENVIRONMENT / "bin" / "python", (folder / "asked.npz", folder / "found.npz")
    subprocess.run([str(python), "-c", EXPECTED, str(artefact), *map(str, files)], check=True, cwd=TREE)
    found = np.load(folder / "found.npz")
    return [{name: found[f"{name}{number}"] for name in ("keypoints", "scores")} for number in range(len(asked))]


def _artefact(markers: ModuleType, folder: Path, batch: str = "1-4") -> Path:
    path: Path = markers.write_artefact(folder / "markers.cpu.fp32.onnx", batch=batch)
    return path


@pytest.mark.parametrize("model", ["python", "frame"])
def test_keypoints_under_concurrent_clients_are_those_of_the_estimator(
    markers: ModuleType, tmp_path: Path, serve: Callable[..., Server], model: str
) -> None:
    artefact, repository = _artefact(markers, tmp_path), tmp_path / "repository"
    write_triton(artefact, repository, for_cpu=True)
    name = "markers.cpu.fp32"
    if model == "frame":
        _stand_in(repository / name)
    server = serve(repository, "--model-control-mode=explicit", f"--load-model={name}_{model}")
    server.wait(until_ready=True)
    asked = _asked(4)
    with ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(lambda pair: server.ask(f"{name}_{model}", frame=pair[0], boxes=pair[1]), asked))
    for (status, found), expected in zip(answers, _expected(artefact, asked, tmp_path), strict=True):
        assert status == 200, found
        assert isinstance(found, dict)
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key], array)
    frame = asked[0][0]
    status, error = server.ask(f"{name}_{model}", frame=frame, boxes=np.array([[5, 5, 5, 5]], np.float32))
    assert (status, "has no area" in str(error)) == (500, True)
    crowd = np.tile(np.array([[5, 5, 45, 70]], np.float32), (5, 1))
    status, error = server.ask(f"{name}_{model}", frame=frame, boxes=crowd)
    assert status == 200 if model == "python" else "5 people in a request, and the engine takes 4" in str(error)


def _stand_in(engine: Path) -> None:
    config = engine / "config.pbtxt"
    text = config.read_text()
    assert 'platform: "onnxruntime_onnx"' in text
    config.write_text(text.replace('platform: "onnxruntime_onnx"', 'backend: "python"'))
    (engine / "1" / "model.py").write_text(STAND_IN)


def test_the_configuration_of_a_plan_is_read_and_stops_at_the_missing_backend(
    made_plans: ModuleType, markers: ModuleType, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    artefact = _artefact(markers, tmp_path)
    _for_target(artefact, "orin-nano-8")
    content = made_plans.plan()
    plan = tmp_path / "markers.plan"
    plan.write_bytes(content)
    described = made_plans.manifest("orin-nano-8", made_plans.facts("orin-nano-8"), content)
    (tmp_path / "markers.plan.json").write_bytes(described.as_bytes())
    repository = tmp_path / "repository"
    (engine, *_) = write_triton(artefact, repository, for_cpu=False, plan=plan)
    words = ("--model-control-mode=explicit", f"--load-model={engine.folder.name}")
    said = serve(repository, *words).wait(until_ready=False)
    assert "unable to find backend library for backend 'tensorrt'" in said
    config = engine.folder / "config.pbtxt"
    lines = config.read_text().splitlines()
    place = lines.index("input [")
    lines[place] = "inputt ["
    config.write_text("\n".join(lines))
    said = serve(repository, *words).wait(until_ready=False)
    assert f"{place + 1}:8: Message type" in said
    assert 'has no field named "inputt"' in said


def _for_target(artefact: Path, target: str) -> None:
    """Let the artefact be one for a board."""
    described = json.loads(artefact.with_name(artefact.name + ".json").read_text())
    described |= {"target": target, "precision": "fp16"}
    assert described["digests"]["artefact"] == sha256_of(artefact)
    artefact.with_name(artefact.name + ".json").write_text(json.dumps(described))


def test_this_interpreter_is_not_the_server_s() -> None:
    """The server's environment has NumPy 1; nothing of it must reach the tests' own."""
    assert str(ENVIRONMENT) not in sys.prefix
