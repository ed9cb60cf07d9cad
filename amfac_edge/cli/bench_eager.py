"""`amfac-bench FILE --eager`: eager PyTorch, measured in a process of its own that may load torch.

Two boundaries: "eager" is the network on a tensor that lies on its device, with the device waited for; "eager_frame" is
a frame of pixels and boxes to joints, with the pre- and post-processing that people write by hand, copies included.
"""

from __future__ import annotations

import dataclasses
import platform
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import amfac_edge
from amfac_edge.children import ChildFailure, call_in_child, tell_parent
from amfac_edge.declared.recipe import load_recipe, recipe_names
from amfac_edge.errors import MachineError
from amfac_edge.files import sha256_of
from amfac_edge.keypoints import load_opencv
from amfac_edge.machine.processor import read_processor
from amfac_edge.machine.this_machine import read_machine
from amfac_edge.performance.measuring import people_boxes, still_frame
from amfac_edge.performance.observing import Observing
from amfac_edge.performance.receipts import Receipt, receipt_from_json
from amfac_edge.performance.recording import findings_of, machine_fields
from amfac_edge.performance.samples import Conditions, Measured
from amfac_edge.performance.steadiness import drift_percent
from amfac_edge.performance.timing import Limits, overhead_us, series
from amfac_edge.runtime.by_hand import HandWritten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from amfac_edge.networks import LoadedCheckpoint

__all__ = ["count_network", "eager_receipt", "measure_eager"]

_SLOWEST_S = 7200.0
_SEED = 0


def eager_receipt(path: Path, *, stage: Callable[[str], object], **request: Any) -> Receipt:  # noqa: ANN401 - JSON
    """Measure a checkpoint, or fresh weights of a recipe's name, in eager PyTorch.

    Args:
        path: of the checkpoint, or the name of a recipe.
        stage: is told the name of each series before it begins.
        **request: the arguments of `measure_eager`, as JSON.

    Raises:
        AmfacError: of the checkpoint, or of the device.
        MachineError: the process gave no answer.
    """

    def progress(told: object) -> None:
        if isinstance(told, str):
            stage(told)

    try:
        answer = call_in_child(
            f"{__name__}:{measure_eager.__name__}",
            timeout_s=_SLOWEST_S,
            progress=progress,
            path=str(path),
            **request,
        )
    except ChildFailure as failure:
        raise MachineError(
            f"{path}: eager PyTorch could not be timed: {failure.reason}",
            cure='pip install "amfac-edge[export]" brings torch; where memory is short, use a smaller input.',
        ) from failure
    return receipt_from_json(answer, where=f"the measurement of {path}")


def count_network(recipe: str) -> dict[str, float]:
    """Parameters in millions and multiply-accumulates in thousands of millions of a recipe: what a child runs."""
    import torch

    from amfac_edge.networks import build_network, count_complexity  # noqa: PLC0415 - loads torch

    with torch.device("meta"):
        counted = count_complexity(build_network(load_recipe(recipe)), load_recipe(recipe))
    return {"params_m": counted.parameters / 1e6, "gflops": counted.printed_macs / 1e9}


def measure_eager(  # noqa: PLR0913 - JSON's keywords
    *,
    path: str,
    recipe: str | None,
    device: str | None,
    precision: str,
    height: int,
    width: int,
    people: int,
    threads: int | None,
    limits: Mapping[str, Any],
    command: list[str],
    taken: str,
) -> dict[str, Any]:
    """The receipt of eager PyTorch as JSON: what a child runs.

    Args:
        path: of a checkpoint, or a recipe's name.
        recipe: of a checkpoint that doesn't tell its own.
        device: "cpu" or "cuda"; None for a card where there is one.
        precision: "fp32" or "fp16".
        height: of the frame.
        width: of the frame.
        people: boxes in it.
        threads: of torch on the CPU; None for its own choice.
        limits: fields of `Limits`.
        command: the words that were typed.
        taken: when it was begun.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    place = _device(device)
    started = time.perf_counter()
    loaded, artefact, digest = _loaded(path, recipe)
    kind = torch.float16 if precision == "fp16" else torch.float32
    network = loaded.network.eval().to(place, kind)
    load_ms = (time.perf_counter() - started) * 1e3

    def finish() -> None:
        if place == "cuda":
            torch.cuda.synchronize()

    def by_hand(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            x, y = network(torch.from_numpy(image).to(place, kind))
        return x.float().cpu().numpy(), y.float().cpu().numpy()

    crop = loaded.recipe.crop
    ready = torch.zeros(people, 3, crop.height, crop.width, device=place, dtype=kind)

    def alone() -> None:
        with torch.inference_mode():
            network(ready)
        finish()

    pipeline, frame = HandWritten(by_hand, loaded.recipe), still_frame(height, width)
    boxes = people_boxes(people, height, width)
    first = time.perf_counter()
    pipeline.timed(frame, boxes)
    first_ms = (time.perf_counter() - first) * 1e3
    asked = Limits(**limits)
    with Observing(stage=tell_parent) as observing:
        samples = observing.timed("eager", lambda: {"eager": series(alone, asked)})
        samples |= observing.timed(
            "eager_frame", lambda: {"eager_frame": series(lambda: pipeline.timed(frame, boxes), asked)}
        )
    conditions = _conditions(loaded, artefact, digest, place, precision, frame, people)
    observed = observing.result()
    receipt = Receipt(
        taken=taken,
        command=tuple(command),
        conditions=conditions,
        series={name: Measured(name, tuple(values), conditions) for name, values in samples.items()},
        trained=loaded.trained,
        switches={
            "mode": "eager",
            **dataclasses.asdict(asked),
            "input": "crops",
            "device": place,
            "tf32": bool(torch.backends.cudnn.allow_tf32) if place == "cuda" else None,
            "cudnn_benchmark": bool(torch.backends.cudnn.benchmark) if place == "cuda" else None,
        },
        findings={
            "load_ms": load_ms,
            "first_ms": first_ms,
            "drift_percent": drift_percent(samples["eager_frame"]),
            "overhead_us": overhead_us(),
            "weights": loaded.metadata.get("weights_sha256"),
            **findings_of(observed),
        },
        **machine_fields(read_machine(), observed),
    )
    return receipt.as_json()


def _device(asked: str | None) -> str:
    import torch

    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise MachineError(
            "--device cuda: this PyTorch sees no CUDA device",
            cure="Install PyTorch's build for the card or board, or give --device cpu.",
        )
    return asked or ("cuda" if there else "cpu")


def _loaded(path: str, recipe: str | None) -> tuple[LoadedCheckpoint, str, str]:
    """The network, what to call its file, and the file's SHA-256."""
    from amfac_edge.networks import load_checkpoint  # noqa: PLC0415 - loads torch
    from amfac_edge.networks.fresh import fresh_checkpoint  # noqa: PLC0415 - loads torch

    if not Path(path).exists() and path in recipe_names():
        with tempfile.TemporaryDirectory(prefix="amfac-eager-") as folder:
            fresh = Path(folder) / "fresh.pth"
            fresh_checkpoint(path, _SEED, fresh)
            return load_checkpoint(fresh), f"{path} (seed {_SEED})", sha256_of(fresh)
    chosen = load_recipe(recipe) if recipe is not None else None
    return load_checkpoint(Path(path), recipe=chosen), Path(path).name, sha256_of(Path(path))


def _conditions(
    loaded: LoadedCheckpoint,
    artefact: str,
    digest: str,
    place: str,
    precision: str,
    frame: NDArray[np.uint8],
    people: int,
) -> Conditions:
    """Of a frame (H,W,3)."""
    import torch

    processor = read_processor(Path("/"))
    versions = {
        "amfac-edge": amfac_edge.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": load_opencv("cutting crops").__version__,
        "torch": str(torch.__version__),
    }
    if place == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call] # as torch has it
        versions |= {"cuda": str(torch.version.cuda), "cudnn": str(cudnn)}
    return Conditions(
        processor=processor.name,
        engine=f"torch {torch.__version__}, eager",
        provider=torch.cuda.get_device_name() if place == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        spinning=False,
        artefact=artefact,
        sha256=digest,
        recipe=loaded.recipe.name,
        precision=precision,
        frame=f"{frame.shape[1]}x{frame.shape[0]}",
        people=people,
        governor=processor.governor,
        versions=versions,
    )
