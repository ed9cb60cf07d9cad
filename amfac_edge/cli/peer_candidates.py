"""The candidates of `amfac-bench peers`: their files, their environments, and what a child runs of those in torch."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cli.bench_peers_options import CANDIDATES
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import InputError, near_names
from amfac_edge.performance.peers import OURS, Candidate, Times, time_by_hand
from amfac_edge.runtime.by_hand import HandWritten

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = ["asked_candidates", "make_candidates", "time_compiled", "time_eager"]

_PERFORMANCE = "amfac_edge.performance.peers"
_ENGINES = "amfac_edge.performance.peer_engines"


def asked_candidates(text: str | None) -> list[str]:
    """The names of `--beside`, all where it wasn't given.

    Raises:
        InputError: a name that there is not.
    """
    names = list(CANDIDATES) if text is None else list(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in CANDIDATES]
    if unknown:
        raise InputError(f'--beside "{unknown[0]}" is no candidate', cure=near_names(unknown[0], CANDIDATES))
    return names


def make_candidates(
    recipe: str, folder: Path, names: Sequence[str], environments: Path
) -> tuple[Path, list[Candidate]]:
    """In `folder`, fresh weights of `recipe`, their plain export and our artefact; the candidates, ours last."""
    import onnx

    from amfac_edge.artefact import BatchRange  # noqa: PLC0415 - with the rest
    from amfac_edge.declared.target import load_target  # noqa: PLC0415 - with the rest
    from amfac_edge.graph.exporting import onnx_from_network  # noqa: PLC0415 - loads torch
    from amfac_edge.networks import load_checkpoint  # noqa: PLC0415 - loads torch
    from amfac_edge.networks.fresh import fresh_checkpoint  # noqa: PLC0415 - loads torch
    from amfac_edge.pipeline import ExportRequest, export_artefacts, read_source  # noqa: PLC0415 - loads torch

    checkpoint = folder / f"{Path(recipe).stem}.pth"
    fresh_checkpoint(recipe, 0, checkpoint)
    plain = checkpoint.with_suffix(".plain.onnx")
    loaded = load_checkpoint(checkpoint, recipe=load_recipe(recipe))
    onnx.save(onnx_from_network(loaded.network, loaded.recipe, batch=BatchRange(1, 1, 1)), plain)
    source = read_source(checkpoint, recipe=recipe)
    ours = export_artefacts(source, [load_target("cpu")], ExportRequest(out=folder), stage=lambda _line: None)[0].path
    foreign = functools.partial(_foreign, path=plain, environments=environments)
    known = {
        "eager": Candidate("eager torch", f"{__name__}:{time_eager.__name__}", checkpoint),
        "compile": Candidate(
            "torch.compile",
            f"{__name__}:{time_compiled.__name__}",
            checkpoint,
            missing="" if shutil.which("g++") else "no C++ compiler here: apt install g++",
        ),
        "plain": Candidate("plain ONNX Runtime", f"{_PERFORMANCE}:time_plain", plain),
        "openvino": foreign("OpenVINO", "time_openvino", "openvino"),
        "openvino-default": foreign("OpenVINO as it comes", "time_openvino_default", "openvino", precision="its own"),
        "rtmlib": foreign("rtmlib", "time_rtmlib", "rtmlib"),
        "yolo": _yolo(environments),
    }
    return ours, [*(known[name] for name in names), Candidate(OURS, f"{_PERFORMANCE}:time_artefact", ours)]


def time_eager(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """The network as it was trained, in torch: what a child runs for "eager torch"."""
    del artefact  # the checkpoint knows its recipe
    return _in_torch(path, threads, seconds, compiled=False)


def time_compiled(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """The same through `torch.compile` with its own defaults; compiling is over before anything is timed."""
    del artefact  # as above
    return _in_torch(path, threads, seconds, compiled=True)


def _in_torch(path: str, threads: int, seconds: float, *, compiled: bool) -> Times:
    import torch

    from amfac_edge.networks import load_checkpoint  # noqa: PLC0415 - loads torch

    torch.set_num_threads(threads)
    loaded = load_checkpoint(Path(path))
    run = torch.compile(loaded.network, dynamic=False) if compiled else loaded.network

    def network(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            x, y = run(torch.from_numpy(image))
        return x.numpy(), y.numpy()

    pipeline = HandWritten(network, loaded.recipe)
    engine = f"torch {torch.__version__}, {'compiled' if compiled else 'eager'}"
    return time_by_hand(pipeline, seconds, engine)


def _foreign(
    name: str, function: str, environment: str, *, path: Path, environments: Path, precision: str = "fp32"
) -> Candidate:
    """In an environment of its own."""
    python = environments.absolute() / environment / "bin" / "python"
    missing = "" if python.exists() else f"{environments / environment} is absent: make peers"
    return Candidate(name, f"{_ENGINES}:{function}", path, python, missing, precision)


def _yolo(environments: Path) -> Candidate:
    """A program that the user installed; this Python starts it."""
    program = environments.absolute() / "yolo" / "bin" / "yolo"
    missing = "" if program.exists() else f"{environments / 'yolo'} is absent: make peers PEERS=yolo (AGPL, gigabytes)"
    return Candidate("YOLO pose", f"{_ENGINES}:time_yolo", program, None, missing, of_recipe=False)
