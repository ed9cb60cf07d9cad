"""The engine model: a roofline over fused kernels, with what engines attain learnt from whoever timed one.

First comes a declared prior of the machine's kind, then RTMPose's published TensorRT latencies on an Orin NX and an RTX
3090 (their layers built from its public description), then the receipts of the very board. RTMPose's rows don't say
which Orin NX and which power mode: the 16 GB module with its full clocks is taken, whose fit strains the prior least.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from amfac_edge.declared.library import declared_folder
from amfac_edge.declared.published import load_published
from amfac_edge.declared.reading import read_toml, reading
from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError
from amfac_edge.performance.forecast.fitting import Belief, TimedRun, learnt
from amfac_edge.performance.forecast.forecasts import ENGINE, Forecast
from amfac_edge.performance.forecast.kernels import fused_kernels
from amfac_edge.performance.forecast.roofline import PRECISIONS, Load, Peaks, Shares, peaks_of
from amfac_edge.performance.forecast.rtmpose import rtmpose_layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.declared.target import Target
    from amfac_edge.performance.forecast.subjects import Subject

__all__ = ["ROWS", "believed", "forecast_engine", "kind_of", "prior_of", "published_runs", "subject_run"]

ROWS = "rtmpose-tensorrt"
"""The published table that the model learns from."""

# Which target stands for a device of that table, and in which mode.
_STAND_INS = {"orin-nx": ("orin-nx-16", "MAXN"), "rtx-3090": (None, None)}
_SCHEMA = "amfac-forecast/1"
_RUNS = ("run", "runs")
_NUMBERS = ("bandwidth", "compute", "launch_us", "host_ms")
# Of a CPU no peaks are declared: the numbers themselves are GB/s and GMAC/s.
_UNIT = Peaks(1.0, 1.0)
# What a process holds beside the engine: the CUDA context and TensorRT's libraries; what a Jetson's system takes.
_CONTEXT_MIB, _SYSTEM_MIB = 300.0, 1500.0
# Live at one time: what the largest kernel reads and writes, and a skipped connection beside it.
_LIVE = 1.5
_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
_MIB = 1 << 20


def forecast_engine(
    subject: Subject,
    target: Target,
    *,
    mode: str | None = None,
    precision: str | None = None,
    batch: int = 1,
    runs: Sequence[TimedRun] = (),
) -> Forecast:
    """What an engine of `subject` is expected to take on `target`.

    Args:
        subject: the network.
        target: the machine; for a CPU `runs` are needed.
        mode: a power mode; None for the one that Table 4 is held against, full clocks elsewhere.
        precision: of the engine; None for the file's own, else the target's default.
        batch: crops in one run.
        runs: timed on the same machine in the same mode, of `subject_run`.

    Raises:
        InputError: what is needed of the target isn't known, or an argument is out of range.
    """
    precision = precision or subject.precision or target.default_precision
    if precision not in PRECISIONS or batch < 1:
        raise InputError(f"no engine of {precision}, batch {batch}", cure=f"Give one of {', '.join(PRECISIONS)}, 1.")
    mode = _mode(target, mode)
    belief = learnt(_for_board(target), runs, source=f"{len(runs)} {_RUNS[len(runs) > 1]} timed on this machine")
    if target.kind == "cpu" and not runs:
        raise InputError(
            f"{target.name}: processors differ too much to forecast one that nothing was measured on",
            cure="Measure one or two models on it (amfac-bench run) and give their receipts with --calibrate.",
        )
    load = _load(subject, target, precision, batch)
    low, mid, high, binds = belief.forecast(load, _peaks(target, mode, precision))
    memory, fits = _memory(subject, target, precision, batch)
    return Forecast(
        model=ENGINE,
        subject=subject.name,
        target=target.name,
        mode=mode,
        precision=precision,
        batch=batch,
        low_ms=low,
        mid_ms=mid,
        high_ms=high,
        binds=binds,
        memory_mib=memory,
        fits=fits,
        basis=(*belief.sources, *subject.remarks(target)),
    )


def subject_run(
    subject: Subject, target: Target, ms: float, *, mode: str | None = None, precision: str, batch: int = 1
) -> TimedRun:
    """A run of `subject` that was timed on `target`."""
    load, peaks = _load(subject, target, precision, batch), _peaks(target, _mode(target, mode), precision)
    return TimedRun(subject.name, load, peaks, ms)


@cache
def prior_of(kind: str) -> tuple[Belief, float]:
    """What engines of a kind of machine attain before anything was timed, and the spread between its boards."""
    path = declared_folder("bench") / "forecast" / "prior.toml"
    with reading(read_toml(path), where=str(path)) as table:
        table.text("schema", choices=[_SCHEMA])
        table.ignore(*(name for name in table.keys() if name != kind))  # noqa: SIM118 - a Table is no mapping
        section = table.table(kind)
        ranges = [section.numbers(name, count=3) for name in _NUMBERS]
        shares = Shares(section.number("direct", minimum=1e-3), section.number("fp32", minimum=1e-3))
        board_sd = section.number("board_sd", minimum=0)
    source = "prior: shares of the peaks that engines usually attain" if kind != "cpu" else "prior: any processor"
    return Belief.prior([(low, mid, high) for low, mid, high in ranges], shares=shares, source=source), board_sd


@cache
def published_runs() -> Mapping[str, tuple[TimedRun, ...]]:
    """RTMPose's published rows by kind of machine."""
    found: dict[str, list[TimedRun]] = {}
    for row in load_published(ROWS).rows:
        device, ms = str(row.values["device"]), row.number("ms")
        height, width = (round(row.number(name) or 0) for name in ("input_height", "input_width"))
        kernels = fused_kernels(rtmpose_layers(str(row.values["model"]).rpartition("-")[2], height, width))
        target, mode = _stand_in(device)
        assert ms is not None
        run = TimedRun(row.label, Load.of(kernels, "fp16"), peaks_of(target, mode, "fp16"), ms)
        found.setdefault(target.kind, []).append(run)
    return {kind: tuple(runs) for kind, runs in found.items()}


@cache
def believed(kind: str) -> Belief:
    """What engines of a kind attain, the published rows taken in."""
    prior, _ = prior_of(kind)
    runs = published_runs().get(kind, ())
    return learnt(prior, runs, source=f"RTMPose's {len(runs)} published TensorRT latencies")


def kind_of(target: Target) -> str:
    """The form of its graphs: "cpu" or "gpu"."""
    return "cpu" if target.kind == "cpu" else "gpu"


def _for_board(target: Target) -> Belief:
    return believed(target.kind).widened(prior_of(target.kind)[1])


def _stand_in(device: str) -> tuple[Target, str | None]:
    name, mode = _STAND_INS[device]
    declared = declared_folder("bench") / "forecast" / f"{device}.toml"
    return load_target(name or declared), mode


def _mode(target: Target, mode: str | None) -> str | None:
    if mode is not None:
        target.mode(mode)
    return mode or target.paper_mode


def _peaks(target: Target, mode: str | None, precision: str) -> Peaks:
    return _UNIT if target.kind == "cpu" else peaks_of(target, mode, precision)


def _load(subject: Subject, target: Target, precision: str, batch: int) -> Load:
    kernels = subject.kernels[kind_of(target)]
    # ONNX Runtime's INT8 kernels on a CPU aside, a CPU computes in float32.
    return Load.of(kernels, precision, batch=batch, weights=subject.weight_bytes)


def _memory(subject: Subject, target: Target, precision: str, batch: int) -> tuple[float | None, bool | None]:
    """MiB, and whether the target has them beside its system."""
    if target.memory is None:
        return None, None
    largest = max((kernel.bytes for kernel in subject.kernels[kind_of(target)]), default=0)
    values = subject.weight_bytes + _LIVE * largest * batch
    need = values / 4 * _BYTES[precision] / _MIB + _CONTEXT_MIB
    free = target.memory.gb * 1e9 / _MIB - (_SYSTEM_MIB if target.memory.unified else 0.0)
    return need, need <= free
