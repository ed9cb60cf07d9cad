"""A Triton model repository around an artefact: its engine, an ensemble from frames to joints, one without a GPU.

    NAME            crops -> keypoints, scores: the plan by Triton's TensorRT backend, an ONNX by its ONNX Runtime's
    NAME_frame      frame, boxes -> keypoints, scores in frame pixels: NAME_cut, NAME, NAME_map
    NAME_python     the same by this package's own PoseEstimator and ONNX Runtime, in Triton's python backend

A model's folder appears whole or not at all. A newer artefact of the same name becomes a new version beside the old.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact import DetectorFacts, TensorSpec, manifest_beside, manifest_path, read_artefact
from amfac_edge.errors import ModelFileError, OutputError, typed
from amfac_edge.files import writable_folder
from amfac_edge.keypoints import skeleton
from amfac_edge.serving.triton_config import (
    ONNX,
    PLAN,
    Step,
    checked_name,
    engine_config,
    ensemble_config,
    python_config,
)
from amfac_edge.serving.triton_models import MANIFEST_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from amfac_edge.artefact import Manifest

__all__ = ["TritonModel", "triton_name", "write_triton"]

_CODE = '''"""Written by amfac-export --triton. Triton's Python must find the package amfac_edge."""

from amfac_edge.serving.triton_models import {kind} as TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
_NEXT = """The plan of this model doesn't exist yet: only the machine that it is for can build it. There:

  {build}

Then copy both of what it writes here:

  {copy}
"""
_PLAN_FILE, _NEXT_FILE = "model.plan", "NEXT.txt"
_WARM_FRAME, _WARM_BOX = (480, 640, 3), (160.0, 40.0, 480.0, 440.0)


@dataclass(frozen=True)
class TritonModel:
    """A model that was written.

    Attributes:
        folder: of the model.
        version: that holds what was given.
        is_new: whether this version was written now; the same content lay there already where not.
        lacks_plan: there is a place for its plan, and no plan.
    """

    folder: Path
    version: int
    is_new: bool
    lacks_plan: bool = False


@dataclass(frozen=True)
class _Draft:
    """A model that is to be written: its configuration, and files by name of a version and of its warm-up.

    `onnx` is the digest of what its plan must be built from.
    """

    name: str
    config: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    warmup: Mapping[str, bytes] = field(default_factory=dict)
    lacks_plan: bool = False
    onnx: str = ""


def triton_name(artefact: Path) -> str:
    """The engine's name in a repository: that of the artefact without its suffix.

    Raises:
        InputError: it can't be a model's name.
    """
    return checked_name(artefact.name.removesuffix(".onnx").removesuffix(".plan"))


def write_triton(
    artefact: Path, out: Path, *, for_cpu: bool, plan: Path | None = None, build: str = ""
) -> list[TritonModel]:
    """Write the models of an artefact into the repository `out`.

    Args:
        artefact: `.onnx` of amfac-export with its manifest, for a CPU, a board or a card.
        out: the repository, which may hold other models, and older versions of these.
        for_cpu: whether ONNX Runtime runs it, without a plan.
        plan: of TensorRT proper, with its manifest; for a board or card None means that none was built yet.
        build: the command that builds the plan, where there is none.

    Returns:
        The models, the engine first.

    Raises:
        ModelFileError: artefact or plan are damaged or have no manifest.
        InputError: a name that can't be a model's.
        OutputError: the place can't be written to, or holds something else under one of the names.
    """
    name = triton_name(artefact)
    content, manifest = read_artefact(artefact)
    drafts = list(_drafts(name, artefact, content, manifest, plan, build, for_cpu=for_cpu))
    writable_folder(out)
    try:
        with tempfile.TemporaryDirectory(
            prefix=f".{out.resolve().name}.", suffix=".part", dir=_beside(out), ignore_cleanup_errors=True
        ) as scratch:
            return [_published(draft, out, Path(scratch)) for draft in drafts]
    except OSError as error:
        raise OutputError(
            f"{out}: can't be written: {error.strerror or error}", cure="Choose another --triton folder, or free space."
        ) from error


def _beside(out: Path) -> Path:
    """Where half a model may lie: beside the repository, since a server that polls it would see it there.

    Within it all the same where it is a volume of its own, or nobody may write beside it: such a server then says that
    it has seen a folder without a model.
    """
    parent = out.resolve().parent
    return parent if _device(parent) == _device(out) and os.access(parent, os.W_OK | os.X_OK) else out


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def _drafts(
    name: str, artefact: Path, content: bytes, manifest: Manifest, plan: Path | None, build: str, *, for_cpu: bool
) -> Iterator[_Draft]:
    described = manifest_path(artefact).read_bytes()
    if for_cpu:
        files = {"model.onnx": content, "model.onnx.json": described}
        yield _Draft(name, engine_config(name, manifest, ONNX), files)
    else:
        yield _planned(name, manifest, plan, build)
    if isinstance(manifest.model, DetectorFacts):
        return
    joints = len(skeleton(manifest.recipe.skeleton).joints)
    frame, boxes = TensorSpec("frame", "uint8", ("Hf", "Wf", 3)), TensorSpec("boxes", "float32", ("N", 4))
    keypoints, scores = (
        TensorSpec("keypoints", "float32", ("N", joints, 2)),
        TensorSpec("scores", "float32", ("N", joints)),
    )
    yield _Draft(
        f"{name}_python",
        python_config(
            f"{name}_python",
            [frame, boxes],
            [keypoints, scores],
            parameters={"threads": "1"},
            warm_zeros={"frame": _WARM_FRAME},
            warm_files={"boxes": (1, 4)},
        ),
        {"model.py": _code("PoseModel"), "model.onnx": content, "model.onnx.json": described},
        {"boxes": np.array([_WARM_BOX], np.float32).tobytes()},
    )
    if manifest.input_kind != "crops":
        return
    crop = manifest.recipe.crop
    crops = TensorSpec("crops", "uint8", ("M", crop.height, crop.width, 3))
    affines = TensorSpec("affines", "float64", ("N", 2, 3))
    of_crops = [
        TensorSpec("crop_keypoints", "float32", ("M", joints, 2)), TensorSpec("crop_scores", "float32", ("M", joints)),
    ]  # fmt: skip
    yield _Draft(
        f"{name}_cut",
        python_config(f"{name}_cut", [frame, boxes], [crops, affines]),
        {"model.py": _code("CutModel"), MANIFEST_FILE: described},
    )
    yield _Draft(
        f"{name}_map",
        python_config(f"{name}_map", [*of_crops, affines], [keypoints, scores]),
        {"model.py": _code("MapModel")},
    )
    inside = {"keypoints": "crop_keypoints", "scores": "crop_scores"}
    steps = [
        Step(f"{name}_cut", {"frame": "frame", "boxes": "boxes"}, {"crops": "crops", "affines": "affines"}),
        Step(name, {"crops": "crops"}, inside),
        Step(
            f"{name}_map",
            {"crop_keypoints": "crop_keypoints", "crop_scores": "crop_scores", "affines": "affines"},
            {"keypoints": "keypoints", "scores": "scores"},
        ),
    ]
    yield _Draft(f"{name}_frame", ensemble_config(f"{name}_frame", [frame, boxes], [keypoints, scores], steps))


def _planned(name: str, manifest: Manifest, plan: Path | None, build: str) -> _Draft:
    config = engine_config(name, manifest, PLAN)
    if plan is None:
        # The folder that a kit unpacks to, and where its build.py writes, has the artefact's name.
        built, place = f"{name}/{name}.plan", f"REPOSITORY/{name}/1/model.plan"
        copy = f"cp {built} {place} && cp {built}.json {place}.json"
        return _Draft(
            name,
            config,
            {_NEXT_FILE: _NEXT.format(build=build, copy=copy).encode()},
            lacks_plan=True,
            onnx=manifest.digests["artefact"],
        )
    content, _ = read_artefact(plan)
    return _Draft(name, config, {_PLAN_FILE: content, f"{_PLAN_FILE}.json": manifest_path(plan).read_bytes()})


def _code(kind: str) -> bytes:
    return _CODE.format(kind=kind).encode()


def _published(draft: _Draft, out: Path, scratch: Path) -> TritonModel:
    folder = out / draft.name
    if not folder.exists():
        made = scratch / draft.name
        made.mkdir()
        (made / "config.pbtxt").write_text(draft.config, encoding="utf-8")
        _fill(made / "1", draft.files)
        if draft.warmup:
            _fill(made / "warmup", draft.warmup)
        made.chmod(0o755)
        made.replace(folder)
        return TritonModel(folder, 1, is_new=True, lacks_plan=draft.lacks_plan)
    config = folder / "config.pbtxt"
    if not config.is_file() or config.read_text(encoding="utf-8", errors="replace") != draft.config:
        raise OutputError(
            f"{config}: not the configuration that the model {draft.name} needs: it was edited, or is of another model",
            cure=f"Give another --triton folder, or move this one away: mv {typed(folder)} ELSEWHERE",
        )
    versions = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir()]
    latest = max(versions, default=0)
    newest = folder / str(latest)
    if latest and draft.lacks_plan and (newest / _PLAN_FILE).is_file():
        return TritonModel(folder, latest, is_new=False, lacks_plan=not _is_built_from(newest / _PLAN_FILE, draft))
    if latest and _content(newest) == dict(draft.files):
        return TritonModel(folder, latest, is_new=False, lacks_plan=draft.lacks_plan)
    # A place that was kept for a plan is taken by it.
    place = latest if (newest / _NEXT_FILE).is_file() and not (newest / _PLAN_FILE).exists() else latest + 1
    made = scratch / f"{draft.name}.{place}"
    _fill(made, draft.files)
    if place == latest:
        newest.replace(scratch / f"{draft.name}.empty")
    made.replace(folder / str(place))
    return TritonModel(folder, place, is_new=True, lacks_plan=draft.lacks_plan)


def _is_built_from(plan: Path, draft: _Draft) -> bool:
    try:
        return manifest_beside(plan).digests.get("onnx") == draft.onnx
    except ModelFileError:
        return False


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
