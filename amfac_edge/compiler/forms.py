"""Building by TensorRT proper where the plan shall run: built, tried on the spot, and only then written.

Releases before 10.12 take FP16 in two forms, a typed graph, which is young there, and a float32 graph with a flag; both
are built, tried, and the faster one that finds the network's joints is kept. Nobody has seen this run on a board.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.artefact import FP16, TENSORRT, DetectorFacts, manifest_path, read_manifest, takes_both_forms
from amfac_edge.artefact.trial import crops_in_a_frame, read_trial
from amfac_edge.compiler.layers import layers_path
from amfac_edge.compiler.plans import BuiltPlan, islands_of, plan_from_artefact, plan_name, profile_of, write_plan
from amfac_edge.errors import GateError, MachineError, ModelFileError
from amfac_edge.files import refuse_overwriting, writable_folder
from amfac_edge.sessions.host import this_host
from amfac_edge.sessions.trtexec import find_trtexec, run_with_trtexec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from amfac_edge.artefact import Manifest
    from amfac_edge.artefact.trial import Judgement, Trial
    from amfac_edge.compiler.options import BuildOptions
    from amfac_edge.compiler.progress import BuildProgress
    from amfac_edge.declared.target import Target
    from amfac_edge.errors import AmfacError
    from amfac_edge.sessions.trtexec import TrtexecRun

__all__ = ["FLAG_FORM_FILE", "TRIAL_FILE", "plan_for_this_machine"]

TRIAL_FILE, FLAG_FORM_FILE = "trial.npz", "flag-form.onnx"
_TYPED, _FLAG = "typed", "flag"
_UNTRIED = "Give --no-trial to build without trying."


def plan_for_this_machine(
    artefact: Path,
    target: Target,
    out: Path,
    *,
    beside: Path,
    options: BuildOptions,
    progress: Callable[[BuildProgress], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> BuiltPlan:
    """Build the plan of an artefact by this machine's TensorRT, try it, and write it with its manifest.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: what this machine is.
        out: folder for the plan.
        beside: folder that may hold the `TRIAL_FILE` of the artefact, and its other form, the `FLAG_FORM_FILE`.
        options: what the build is told.
        progress: as of `plan_from_artefact`.
        say: called with a line at the start of each build and each trial.

    Raises:
        GateError: what was built doesn't find what the network does; nothing was written.
        AmfacError: as `plan_from_artefact`.
    """
    path = writable_folder(out) / plan_name(artefact, TENSORRT, [target])
    refuse_overwriting([path, manifest_path(path), layers_path(path)], [artefact, manifest_path(artefact)])
    trial = beside / TRIAL_FILE
    with tempfile.TemporaryDirectory(prefix=".amfac-forms-", dir=out) as scratch:
        build = functools.partial(
            plan_from_artefact,
            targets=[target],
            flavour=TENSORRT,
            options=options,
            progress=progress,
            # The flag form is the same graph before its conversion, and knows no islands of its own.
            islands=islands_of(read_manifest(artefact)),
        )
        plans, failed = _built(_forms(artefact, beside), Path(scratch), build, say)
        attempts = [_Attempt(form, plan) for form, plan in plans.items()]
        if options.trial and trial.is_file():
            attempts = _tried(attempts, read_trial(trial), say)
        kept = _kept(attempts, name=path.name)
        manifest = _described(kept, attempts, failed)
        layers = layers_path(kept.plan.path)
        write_plan(path, kept.plan.path.read_bytes(), manifest, layers.read_bytes() if layers.is_file() else None)
    failures = [f"the {form} form was not built: {reason}" for form, reason in failed.items()]
    return BuiltPlan(path, manifest, (*kept.plan.notes, *failures, *(one.sentence for one in attempts)))


def _forms(artefact: Path, beside: Path) -> dict[str, Path]:
    forms = {_TYPED: artefact}
    flagged = beside / FLAG_FORM_FILE
    version = this_host().libraries.get(TENSORRT, "")
    if flagged.is_file() and takes_both_forms(version) and read_manifest(artefact).precision == FP16:
        forms[_FLAG] = flagged
    return forms


def _built(
    forms: Mapping[str, Path], scratch: Path, build: Callable[..., BuiltPlan], say: Callable[[str], None]
) -> tuple[dict[str, BuiltPlan], dict[str, str]]:
    """The plans by form, and why others were not built; an error where none was."""
    plans: dict[str, BuiltPlan] = {}
    failed: dict[str, AmfacError] = {}
    for form, source in forms.items():
        if len(forms) > 1:
            say(f"the {form} form, one of {len(forms)} that this TensorRT takes")
        try:
            plans[form] = build(source, out=scratch / form, typed=form == _TYPED)
        except (MachineError, ModelFileError) as error:
            failed[form] = error
    if not plans:
        raise failed[_TYPED]
    return plans, {form: error.problem for form, error in failed.items()}


@dataclass(frozen=True)
class _Attempt:
    """A form that was built, and how its trial ended.

    Attributes:
        form: "typed" or "flag".
        plan: in its own folder.
        judgement: None where it couldn't be tried.
        compute_ms: median time on the GPU of one call.
        reason: why it couldn't be tried.
    """

    form: str
    plan: BuiltPlan
    judgement: Judgement | None = None
    compute_ms: float | None = None
    reason: str = "it was not tried"

    @property
    def what(self) -> str:
        return "boxes" if isinstance(self.plan.manifest.model, DetectorFacts) else "joints"

    @property
    def sentence(self) -> str:
        if self.judgement is None or self.compute_ms is None:
            return f"the {self.form} form was built, and nobody has seen it run: {self.reason}"
        found = f"{self.judgement.moved} of {self.judgement.joints} {self.what} moved, {self.compute_ms:.3f} ms a call"
        return f"the {self.form} form, tried here by trtexec: {found}"

    def as_json(self) -> dict[str, Any]:
        if self.judgement is None:
            return {"form": self.form, "tried": False, "reason": self.reason}
        return {"form": self.form, "tried": True, "compute_ms": self.compute_ms, **self.judgement.as_json()}


def _tried(attempts: Sequence[_Attempt], trial: Trial, say: Callable[[str], None]) -> list[_Attempt]:
    program = find_trtexec()
    if program is None:
        reason = "there is no trtexec here (JetPack's package libnvinfer-bin has it)"
        return [dataclasses.replace(one, reason=reason) for one in attempts]
    tried = []
    for one in attempts:
        say(f"trying the {one.form} form by {program}")
        try:
            tried.append(_outcome(one, trial, program))
        except MachineError as error:
            tried.append(dataclasses.replace(one, reason=error.problem))
    return tried


def _outcome(one: _Attempt, trial: Trial, program: Path) -> _Attempt:
    manifest = one.plan.manifest
    size, count = manifest.batch.optimum, len(trial.crops)
    host_code = manifest.plan is not None and manifest.plan.host_code
    run = functools.partial(run_with_trtexec, program, one.plan.path, dynamic=profile_of(manifest), host_code=host_code)
    # The last call is filled up with the last crop; only the first one is timed.
    chunks = [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, count, size)]
    runs: list[TrtexecRun] = []
    found, sure = [], []
    for chunk in chunks:
        inputs, origins = _inputs(manifest, trial.crops[chunk])
        runs.append(run(inputs, duration_s=0.0 if runs else 3.0))
        keypoints = _output(runs[-1], manifest.outputs[0].name)
        if origins is not None and keypoints.shape[0] == len(origins):
            keypoints = keypoints - origins
        found.append(keypoints)
        sure.append(_output(runs[-1], manifest.outputs[1].name))
    keypoints, scores = np.concatenate(found)[:count], np.concatenate(sure)[:count]
    if keypoints.shape != trial.keypoints.shape or scores.shape != trial.scores.shape:
        raise MachineError(
            f"trtexec gave {manifest.outputs[0].name} {keypoints.shape} for {trial.keypoints.shape}",
            cure="Give --no-trial to build without.",
        )
    return dataclasses.replace(
        one, judgement=trial.judge(keypoints, scores), compute_ms=statistics.median(runs[0].compute_ms)
    )


def _inputs(manifest: Manifest, crops: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32] | None]:
    """What the plan takes for crops (N,H,W,3); and for one of frames, where each of them begins in it (N,1,2)."""
    names = [tensor.name for tensor in manifest.inputs]
    if manifest.input_kind != "frame":
        return {names[0]: crops}, None
    least, _, most = profile_of(manifest)[names[0]]
    frame, affines = crops_in_a_frame(crops, (least[0], least[1]), (most[0], most[1]))
    return dict(zip(names, (frame, affines), strict=True)), affines[:, None, :, 2]


def _output(run: TrtexecRun, name: str) -> NDArray[np.float32]:
    if name not in run.outputs:
        raise MachineError(
            f"trtexec gave the outputs {', '.join(run.outputs) or 'none'}, not {name}",
            cure="Give --no-trial to build without.",
        )
    return run.outputs[name]


def _kept(attempts: Sequence[_Attempt], *, name: str) -> _Attempt:
    """The fastest that holds; untried, the flag, which NVIDIA's notes advise where there is a choice."""
    right = [one for one in attempts if one.judgement is not None and one.judgement.holds]
    if right:
        return min(right, key=lambda one: one.compute_ms or 0.0)
    untried = [one for one in attempts if one.judgement is None]
    if untried:
        return untried[-1]
    told = "; ".join(one.sentence for one in attempts)
    raise GateError(
        f"{name}: what was built doesn't find the network's {attempts[0].what}: {told}",
        cure="Nothing was written. Build with --precision fp32, or report it with this board and TensorRT.",
    )


def _described(kept: _Attempt, attempts: Sequence[_Attempt], failed: Mapping[str, str]) -> Manifest:
    """The kept one's manifest: FP16 whichever form told it, and how all of them did."""
    others = [one.as_json() for one in attempts if one is not kept]
    others += [{"form": form, "built": False, "reason": reason} for form, reason in failed.items()]
    manifest = kept.plan.manifest
    assert manifest.plan is not None
    settings = {**manifest.plan.settings, "trial": kept.as_json(), "other_forms": others}
    facts = dataclasses.replace(manifest.plan, settings=settings)
    return dataclasses.replace(manifest, plan=facts, precision=FP16 if kept.form == _FLAG else manifest.precision)
