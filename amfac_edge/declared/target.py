"""A target: the machine that an artefact is made for (`engines/*.toml`).

Units are those of `target_parts`; power is in watts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from amfac_edge.declared.library import declared_names, declared_path
from amfac_edge.declared.reading import read_toml, reading
from amfac_edge.declared.target_parts import (
    BuilderLimits,
    Gpu,
    Memory,
    PowerMode,
    Stack,
    read_builder_limits,
    read_gpu,
    read_memory,
    read_power_mode,
    read_stack,
)
from amfac_edge.errors import DeclaredError, near_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from amfac_edge.declared.reading import Table

__all__ = ["Target", "load_target", "load_targets", "target_names"]

_SCHEMA = "amfac-target/1"
_KINDS = ("cpu", "jetson", "rtx")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_BATCH = re.compile(r"([1-9]\d*)(?:-([1-9]\d*))?")
_BOARD = re.compile(r"p\d{4}-\d{4}")


@dataclass(frozen=True)
class Target:
    """One machine to make artefacts for.

    Attributes:
        name: as in `--target` and in the artefact's file name.
        title: for people.
        kind: "cpu", "jetson" or "rtx" (an NVIDIA card in a desktop machine).
        aliases: other names that mean this target.
        default_precision: "fp32", "fp16" or "int8".
        default_batch: "N", or "MIN-MAX" for a profile whose optimum is MAX.
        paper_mode: the power mode that Table 4 of the AMFACPose paper is held against: Orin NX at "MAXN", since the
            boards' own 20W and 25W modes hold the GPU at 408 MHz and the printed ratios are those of the full clocks.
        power_w: lowest and highest power budget.
        board_ids: module numbers in the device tree ("p3767-0003").
        modes: power modes by name.
        sources: where the facts come from.
        unverified: what nobody has checked.
        table: all that as it was read, for machines that don't have the file.
    """

    name: str
    title: str
    kind: str
    default_precision: str
    default_batch: str
    aliases: tuple[str, ...] = ()
    paper_mode: str | None = None
    power_w: tuple[float, float] | None = None
    board_ids: tuple[str, ...] = ()
    gpu: Gpu | None = None
    memory: Memory | None = None
    builder: BuilderLimits = field(default_factory=BuilderLimits)
    stacks: tuple[Stack, ...] = ()
    modes: Mapping[str, PowerMode] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    table: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)

    def mode(self, name: str) -> PowerMode:
        """The power mode of that name.

        Raises:
            DeclaredError: there is none; the message has the near ones.
        """
        if name in self.modes:
            return self.modes[name]
        raise DeclaredError(f'{self.name} has no power mode "{name}"', cure=near_names(name, self.modes))

    def mode_on_board(self, nvpmodel: str, *, super_configuration: bool) -> PowerMode | None:
        """The mode that the board calls `nvpmodel`, in the configuration it runs; None for one that isn't declared."""
        named = [mode for mode in self.modes.values() if mode.nvpmodel == nvpmodel]
        named.sort(key=lambda mode: mode.super != super_configuration)
        return named[0] if named else None

    def gpu_clock_mhz(self, mode: str | None = None) -> float | None:
        """The highest GPU clock in `mode` (None: without a cap, not Super); None where it isn't known."""
        if self.gpu is None:
            return None
        if mode is None:
            return self.gpu.clock_mhz
        chosen = self.mode(mode)
        top = self.gpu.super_clock_mhz if chosen.super else self.gpu.clock_mhz
        return chosen.gpu_cap_mhz if chosen.gpu_cap_mhz is not None else top

    def fp32_tflops(self, mode: str | None = None) -> float | None:
        """Peak FP32 TFLOPS of the CUDA cores in `mode`, a multiply-accumulate being two operations."""
        return None if self.gpu is None else self._tera(2 * self.gpu.cuda_cores / self.gpu.sms, mode)

    def fp16_dense_tflops(self, mode: str | None = None) -> float | None:
        """Peak dense FP16 TFLOPS of the tensor cores in `mode`."""
        return None if self.gpu is None else self._tera(self.gpu.fp16_ops, mode)

    def int8_dense_tops(self, mode: str | None = None) -> float | None:
        """Peak dense INT8 TOPS of the GPU's tensor cores in `mode` (a DLA's are not among them)."""
        return None if self.gpu is None else self._tera(self.gpu.int8_ops, mode)

    def bandwidth_gbs(self, mode: str | None = None) -> float | None:
        """Peak memory bandwidth in `mode` in GB/s: two transfers a clock of the memory, over the whole bus."""
        if self.memory is None:
            return None
        if mode is None:
            return self.memory.bandwidth_gbs
        chosen = self.mode(mode)
        if chosen.emc_cap_mhz is not None and self.memory.bus_bits is not None:
            return 2 * chosen.emc_cap_mhz * self.memory.bus_bits / 8 / 1000
        return (self.memory.super_bandwidth_gbs if chosen.super else None) or self.memory.bandwidth_gbs

    def _tera(self, operations_per_sm: float | None, mode: str | None) -> float | None:
        if self.gpu is None or operations_per_sm is None:
            return None
        clock = self.gpu_clock_mhz(mode)
        sms = self.gpu.sms if mode is None else self.mode(mode).sms
        return None if clock is None or sms is None else operations_per_sm * sms * clock / 1e6


def target_names() -> list[str]:
    """The names of the declared targets, sorted."""
    return declared_names("engines")


def load_target(name: str | Path) -> Target:
    """The target of a declared name or alias, or of a TOML file of the user's own.

    Raises:
        DeclaredError: an unknown name (near ones are shown), one that fits several targets (all are shown), or a
            faulty file (all faults are shown).
    """
    path = _path_of(str(name))
    data = read_toml(path)
    with reading(data, where=str(path)) as table:
        table.text("schema", choices=[_SCHEMA])
        target = _read_target(table, path.stem)
    return replace(target, table=data)


def load_targets(names: str) -> tuple[Target, ...]:
    """The targets of a comma list, in its order; one that comes twice (by an alias, say) is given once.

    Raises:
        DeclaredError: as `load_target`; or two different targets have one name, so that their artefacts would overwrite
            each other.
    """
    found: dict[str, Target] = {}
    for name in names.split(","):
        target = load_target(name.strip())
        if found.setdefault(target.name, target) != target:
            raise DeclaredError(
                f'{names}: two different targets are named "{target.name}"', cure="Rename one of the files."
            )
    return tuple(found.values())


def _path_of(name: str) -> Path:
    known = target_names()
    if name in known or name.endswith(".toml") or "/" in name:
        return declared_path("engines", name, noun="target")
    aliases = {alias: target for target in known for alias in load_target(target).aliases}
    if name in aliases:
        return declared_path("engines", aliases[name], noun="target")
    longer = sorted(
        (target for target in known if target.startswith(f"{name}-")), key=lambda target: (len(target), target)
    )
    if len(longer) > 1:
        raise DeclaredError(f'the target "{name}" is ambiguous', cure=f"Give one of {', '.join(longer)}.")
    raise DeclaredError(f'unknown target "{name}"', cure=near_names(name, [*known, *aliases]))


def _read_target(table: Table, stem: str) -> Target:
    name = table.text("name", default=stem)
    if not _NAME.fullmatch(name):
        table.fault(
            "name", f'"{name}" must be lower-case words and numbers joined by hyphens, since file names carry it'
        )
    kind = table.text("kind", choices=_KINDS)
    modes = table.table("modes", required=False)
    has_gpu = kind in {"jetson", "rtx"}
    target = Target(
        name=name,
        title=table.text("title"),
        kind=kind,
        aliases=table.texts("aliases", default=()),
        default_precision=table.text("default_precision", choices=("fp32", "fp16", "int8")),
        default_batch=table.text("default_batch"),
        paper_mode=_optional_text(table, "paper_mode"),
        power_w=_power(table),
        board_ids=table.texts("board_ids", default=()),
        gpu=read_gpu(table.table("gpu")) if has_gpu or "gpu" in table else None,
        memory=read_memory(table.table("memory")) if has_gpu or "memory" in table else None,
        builder=read_builder_limits(table.table("builder", required=False)),
        stacks=tuple(read_stack(stack) for stack in table.tables("stacks")),
        modes={key: read_power_mode(modes.table(key), key) for key in modes.keys()},  # noqa: SIM118 - a Table is no mapping
        sources=table.texts("sources", default=()),
        unverified=table.texts("unverified", default=()),
    )
    _check(table, target)
    return target


def _check(table: Table, target: Target) -> None:
    batch = _BATCH.fullmatch(target.default_batch)
    if target.default_batch and (not batch or int(batch[2] or batch[1]) < int(batch[1])):
        table.fault("default_batch", f'"{target.default_batch}" is neither N nor MIN-MAX')
    if target.paper_mode is not None and target.paper_mode not in target.modes:
        table.fault(
            "paper_mode",
            f'"{target.paper_mode}" is no mode of this file; {near_names(target.paper_mode, target.modes)}',
        )
    for board in target.board_ids:
        if not _BOARD.fullmatch(board):
            table.fault("board_ids", f'"{board}" is not of the form p3767-0003')
    for mode in target.modes.values():
        # 1 is the stand-in of a faulty gpu.sms, which has its own line already.
        if target.gpu and mode.sms is not None and 1 < target.gpu.sms < mode.sms:
            table.fault(f"modes.{mode.name}.sms", f"{mode.sms} are more than the {target.gpu.sms} of gpu.sms")


def _power(table: Table) -> tuple[float, float] | None:
    if "power_w" not in table:
        return None
    low, high = table.numbers("power_w", count=2)
    if not 0 < low <= high:
        table.fault("power_w", f"[{low:g}, {high:g}] is not [lowest, highest]")
    return low, high


def _optional_text(table: Table, key: str) -> str | None:
    return table.text(key) if table.raw(key) is not None else None
