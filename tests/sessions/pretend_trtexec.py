"""A stand-in for trtexec: options and files as NVIDIA's has them, numbers from ONNX Runtime.

Its "plan" is 64 bytes of head and the ONNX itself; `HOST_CODE` in the head stands for a version-compatible plan, which
the real one loads with --versionCompatible alone. Options that it doesn't know are refused, as the real one refuses
them. `PRETEND_MS` says how long an inference takes by a plan's name, `PRETEND_WRONG` which plan computes nonsense.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime

HOST_CODE = b"lean runtime"
KNOWN = {
    "loadEngine",
    "versionCompatible",
    "loadInputs",
    "shapes",
    "exportOutput",
    "exportTimes",
    "warmUp",
    "duration",
    "iterations",
}


def main() -> int:
    given = {name: value for name, _, value in (word.removeprefix("--").partition("=") for word in sys.argv[1:])}
    if set(given) - KNOWN:
        sys.stdout.write(f"[E] Unknown option: {set(given) - KNOWN}\n")
        return 1
    plan = Path(given["loadEngine"])
    content = plan.read_bytes()
    if content[:4] != b"ftrt":
        sys.stdout.write("[E] Error[1]: Serialization assertion plan->header.magicTag == kPLAN_MAGIC_TAG failed.\n")
        return 1
    if HOST_CODE in content[:64] and "versionCompatible" not in given:
        sys.stdout.write("[E] IRuntime::deserializeCudaEngine: Error Code 3: engine host code is not allowed\n")
        return 1
    session = onnxruntime.InferenceSession(content[64:], providers=["CPUExecutionProvider"])
    files = dict(pair.split(":", 1) for pair in given["loadInputs"].split(","))
    shapes = dict(pair.split(":") for pair in given["shapes"].split(",")) if "shapes" in given else {}
    sources = {source.name: source for source in session.get_inputs()}
    assert files.keys() == sources.keys()
    assert shapes.keys() == {name for name, source in sources.items() if any(isinstance(s, str) for s in source.shape)}
    feeds = {}
    for name, source in sources.items():
        shape = [int(side) for side in shapes[name].split("x")] if name in shapes else source.shape
        dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[source.type]
        feeds[name] = np.fromfile(files[name], dtype).reshape(shape)
    results = session.run(None, feeds)
    if os.environ.get("PRETEND_WRONG", "never") in plan.name:
        results[0] = results[0] + 7
    # Like the stream that NVIDIA's program writes them with: six digits.
    outputs = [
        {
            "name": output.name,
            "dimensions": "x".join(map(str, found.shape)),
            "values": [float(f"{value:.6g}") for value in found.ravel().tolist()],
        }
        for output, found in zip(session.get_outputs(), results, strict=True)
    ]
    Path(given["exportOutput"]).write_text(json.dumps(outputs))
    slow = dict(pair.split("=") for pair in os.environ.get("PRETEND_MS", "").split(",") if pair)
    milliseconds = next((float(ms) for part, ms in slow.items() if part in plan.name), 1.0)
    count = int(given["iterations"])
    Path(given["exportTimes"]).write_text(json.dumps([{"startEnqMs": 0.0, "computeMs": milliseconds}] * count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
