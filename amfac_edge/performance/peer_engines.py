"""What other people's engines and pipelines take, each in its own environment: what a child runs there.

Those environments have this package beside them, and none of its other dependencies. The YOLO program is AGPL: it is
run from outside, as its users run it, and what it prints is read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import read_manifest
from amfac_edge.errors import MachineError
from amfac_edge.keypoints import load_opencv
from amfac_edge.performance.measuring import still_frame
from amfac_edge.performance.peers import Times, engine_version, time_by_hand, time_call, versions
from amfac_edge.performance.timing import with_others
from amfac_edge.runtime.by_hand import HandWritten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["time_openvino", "time_openvino_default", "time_rtmlib", "time_yolo"]

_YOLO_MODEL = "yolo11n-pose.yaml"
_YOLO_FRAMES = 16
_YOLO_S = 600.0
_SPEED = re.compile(r"Speed: ([\d.]+)ms preprocess, ([\d.]+)ms inference, ([\d.]+)ms postprocess")


def time_openvino(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """The plain export through OpenVINO in FP32, with a pipeline written by hand."""
    return _openvino(path, artefact, threads, seconds, {"INFERENCE_PRECISION_HINT": "f32"})


def time_openvino_default(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """The same in whatever precision OpenVINO takes by itself: bfloat16 on a processor that has it."""
    return _openvino(path, artefact, threads, seconds, {})


def time_rtmlib(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """The plain export within rtmlib's pose pipeline over ONNX Runtime, which gets `threads` in place of all cores."""
    import onnxruntime
    from rtmlib import RTMPose  # noqa: PLC0415 - of another environment

    crop = read_manifest(Path(artefact)).recipe.crop
    model: Any = RTMPose(path, model_input_size=(crop.width, crop.height), backend="onnxruntime", device="cpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    network, took = model.inference, [0.0]

    def timed(image: NDArray[np.float32]) -> Any:  # noqa: ANN401 - its own
        started = perf_counter()
        outputs = network(image)
        took[0] = (perf_counter() - started) * 1e3
        return outputs

    model.inference = timed

    def call(frame: NDArray[np.uint8], boxes: NDArray[np.float64]) -> float:
        model(frame, bboxes=boxes.tolist())
        return took[0]

    return time_call(call, seconds, f"{_named('rtmlib')}, {engine_version()}")


def time_yolo(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """A YOLO-pose program on the same frame without a box: it looks for the people itself.

    A round is one mean, the program's own: of its three parts for the frame, of its inference for the network. It is
    told `threads` in OMP_NUM_THREADS, and need not obey.

    Raises:
        MachineError: the program fails, or doesn't print what it took.
    """
    del artefact, seconds  # of no meaning to it
    with tempfile.TemporaryDirectory(prefix="amfac-yolo-") as scratch:
        frames = Path(scratch) / "frames"
        frames.mkdir()
        load_opencv("writing pictures").imwrite(str(frames / "0.png"), still_frame())
        for place in range(1, _YOLO_FRAMES):
            shutil.copy(frames / "0.png", frames / f"{place}.png")
        # PYTHONPATH would show it the libraries of this environment; its settings are not to stay in the user's home.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environ |= {"OMP_NUM_THREADS": str(threads), "YOLO_CONFIG_DIR": scratch}
        words = ["pose", "predict", f"model={_YOLO_MODEL}", f"source={frames}", "imgsz=640", "device=cpu", "save=False"]
        done, busy = with_others(
            lambda: subprocess.run(  # noqa: S603 - what the user installed
                [path, *words],
                cwd=scratch,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_YOLO_S,
                check=False,
            )
        )
    said = done.stdout + done.stderr
    found = _SPEED.search(said)
    if done.returncode or found is None:
        last = (said.strip().splitlines() or ["nothing"])[-1]
        raise MachineError(f"{path} said: {last[:200]}", cure="Run it by hand: yolo pose predict.")
    before, inference, after = map(float, found.groups())
    engine = f"YOLO program, {_YOLO_MODEL.partition('.')[0]} at 640, untrained"
    return {
        "frame_ms": [before + inference + after],
        "network_ms": [inference],
        "busy": busy,
        "engine": engine,
        "versions": versions(),
    }


def _openvino(path: str, artefact: str, threads: int, seconds: float, settings: dict[str, str]) -> Times:
    import openvino  # noqa: PLC0415 - of another environment

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads), **settings}
    compiled = openvino.Core().compile_model(path, "CPU", hints)
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    request = compiled.create_infer_request()

    def network(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found = request.infer({0: image})
        return found[0], found[1]

    engine = f"{_named('openvino')}, {precision}"
    return time_by_hand(HandWritten(network, read_manifest(Path(artefact)).recipe), seconds, engine)


def _named(package: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow to import, and needed only here

    return f"{package} {version(package)}"
