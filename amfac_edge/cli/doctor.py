"""amfac-doctor: what this machine can do, what it lacks, and the command that mends it; of a file: whether it loads."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import amfac_edge
from amfac_edge.cli.as_typed import as_typed
from amfac_edge.cli.command import CommandParser, run_command
from amfac_edge.cli.layout import coloured, section, wrapped
from amfac_edge.declared.target import load_target
from amfac_edge.machine.diagnosis import Diagnosis, Finding, Mark, diagnose
from amfac_edge.machine.packages import EXTRAS, Interpreter, Packages
from amfac_edge.machine.this_machine import Machine, read_machine

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from amfac_edge.machine.jetson import Jetson

__all__ = ["main"]

_PROG = "amfac-doctor"
_SCHEMA = "amfac-doctor/1"
_LACKS = 3
_COLOURS = {Mark.OK: "32", Mark.MISSING: "31", Mark.WARNING: "33"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 if an artefact can be run on the CPU here (or FILE loads), else the command that mends it."""
    parser = CommandParser(
        prog=_PROG,
        description="Say what this machine can do, what it lacks, and the command that mends it. Nothing is changed.\n"
        "With FILE, a plan or an ONNX artefact: whether it will load here. It is read, never loaded.",
        epilog="exit code: 0 an artefact can be run on the CPU here; 3 it can't, the output says why and what to type\n"
        "with FILE: 0 nothing speaks against it; 2 the file is at fault; 3 it isn't for this machine",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="say whether this file will load here")
    parser.add_argument(
        "--allow-host-code",
        action="store_true",
        help="FILE may bring code for the CPU, as a version-compatible plan does: only if you trust its maker",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return run_command(_PROG, lambda: _doctor(parser.parse_args(argv)), argv)


def _doctor(options: argparse.Namespace) -> int:
    if options.file is not None:
        # It needs NumPy, which a look at the machine must do without.
        from amfac_edge.cli.doctor_file import report_on_file  # noqa: PLC0415

        return report_on_file(options.file, as_json=options.json, host_code_allowed=options.allow_host_code)
    machine, packages, python = read_machine(), Packages(), Interpreter.running()
    diagnosis = diagnose(machine, packages, python)
    code = 0 if diagnosis.runs_on_cpu else _LACKS
    if options.json:
        print(json.dumps(_as_json(machine, python, diagnosis, code), indent=2))
        return code
    print("\n".join(_table(machine, python, diagnosis)))
    print(f"\n{as_typed(_next_step(diagnosis))}", file=sys.stderr)
    return code


def _next_step(diagnosis: Diagnosis) -> str:
    run, export, *others = diagnosis.abilities
    if run.mark is not Mark.OK and any(one.subject == "TensorRT" and one.mark is Mark.OK for one in others):
        # A board that runs plans alone lacks nothing that it needs.
        return "Next: amfac-doctor MODEL.plan"
    if run.mark is not Mark.OK:
        return f"To mend it: {run.cure}"
    if export.mark is not Mark.OK:
        return "Next: amfac-run --engine ARTEFACT.onnx --source PICTURE"
    return "Next: amfac-export CHECKPOINT --target cpu"


def _as_json(machine: Machine, python: Interpreter, diagnosis: Diagnosis, code: int) -> dict[str, object]:
    def listed(findings: Iterable[Finding]) -> list[dict[str, str]]:
        return [dataclasses.asdict(finding) | {"mark": finding.mark.value} for finding in findings]

    return {
        "schema": _SCHEMA,
        "version": amfac_edge.__version__,
        "target": diagnosis.target,
        "machine": dataclasses.asdict(machine),
        "python": dataclasses.asdict(python),
        "extras": listed(diagnosis.extras),
        "abilities": listed(diagnosis.abilities),
        "problems": listed(diagnosis.problems),
        "exit_code": code,
    }


def _table(machine: Machine, python: Interpreter, diagnosis: Diagnosis) -> Iterator[str]:
    yield f"{_PROG}, amfac-edge {amfac_edge.__version__}"
    yield from section("Machine")
    facts = [*_machine_facts(machine), ("target", _target_line(diagnosis.target))]
    width = max(len(name) for name, _ in facts)
    for name, fact in facts:
        yield from wrapped(f"  {name:<{width}}  ", fact)
    shown: set[str] = set()
    yield from section("Packages")
    environment = "virtual environment" if python.virtual else "no virtual environment"
    yield from wrapped("  ", f"Python {python.version}, {python.executable} ({environment})")
    yield from _findings(diagnosis.extras, shown)
    unused = [name for name in EXTRAS if name not in {finding.subject for finding in diagnosis.extras}]
    if unused:
        yield from wrapped("  ", f"Not asked for on this machine: {', '.join(unused)}")
    yield from section("What works here")
    yield from _findings(diagnosis.abilities, shown)
    yield from section("Problems")
    yield from _findings(diagnosis.problems, set())
    if not diagnosis.problems:
        yield "  none found"


def _findings(findings: Sequence[Finding], shown: set[str]) -> Iterator[str]:
    """A line a finding, and its cure below unless it is among those `shown` further up."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        mark = coloured(f"{finding.mark.value:<7}", _COLOURS[finding.mark])
        head = f"  {finding.mark.value:<7}  {finding.subject:<{width}}  "
        first, *rest = wrapped(head, finding.detail)
        yield first.replace(f"{finding.mark.value:<7}", mark, 1)
        yield from rest
        if finding.cure and finding.cure not in shown:
            shown.add(finding.cure)
            # Never wrapped: it is there to be copied.
            yield " " * len(head) + coloured(finding.cure, "36")


def _machine_facts(machine: Machine) -> Iterator[tuple[str, str]]:
    if machine.jetson:
        yield from _board_facts(machine.jetson)
    processor, memory = machine.processor, machine.memory
    features = f"; {', '.join(processor.features)}" if processor.features else ""
    threads = f"{processor.threads} hardware thread{'s' if processor.threads > 1 else ''}"
    yield "processor", f"{processor.name}, {threads}, {processor.architecture}{features}"
    if processor.governor:
        yield "governor", processor.governor
    swap = f"{_gib(memory.swap_free_mib)} of swap free" if memory.swap_free_mib else "no swap"
    yield "memory", f"{_gib(memory.total_mib)}, {_gib(memory.available_mib)} available, {swap}"
    yield "system", ", ".join(part for part in (machine.system, f"Linux {machine.kernel}") if part)
    if not machine.jetson:
        yield "NVIDIA GPU", _card_line(machine)


def _board_facts(jetson: Jetson) -> Iterator[tuple[str, str]]:
    yield "board", f"{jetson.title} ({jetson.board_id or 'module not seen in the device tree'})"
    release = f"L4T {jetson.l4t}" if jetson.l4t else "release file not found"
    if jetson.stack and jetson.jetpack == jetson.stack.jetpack:
        release += f", TensorRT {jetson.stack.tensorrt}, CUDA {jetson.stack.cuda}, Python {jetson.stack.python}"
    elif jetson.l4t:
        release += ", a release that this version of amfac-edge doesn't know"
    yield "JetPack", f"{jetson.jetpack or 'unknown'} ({release})"
    mode = jetson.power_mode or "unknown (nvpmodel's status can't be read)"
    yield "power mode", mode + (", Super configuration" if jetson.super_configuration else "") + _cap(jetson)
    if jetson.gpu_clock:
        clock = jetson.gpu_clock
        yield "GPU clock", f"{clock.now_mhz:g} MHz now, {clock.min_mhz:g} to {clock.max_mhz:g} MHz allowed"


def _cap(jetson: Jetson) -> str:
    """What the power mode leaves of the GPU: the surprise of a 25W mode that holds it at 408 MHz should be seen."""
    target = load_target(jetson.target) if jetson.target else None
    if target is None or jetson.power_mode is None:
        return ""
    mode = target.mode_on_board(jetson.power_mode, super_configuration=jetson.super_configuration)
    if mode is None or target.gpu is None:
        return ""
    clock = target.gpu_clock_mhz(mode.name)
    top = (target.gpu.super_clock_mhz if jetson.super_configuration else None) or target.gpu.clock_mhz
    if clock is None or top is None:
        return ""
    sms = "" if mode.sms is None else f" on {mode.sms} of {target.gpu.sms} SMs"
    return f": GPU up to {clock:g} of {top:g} MHz{sms}"


def _card_line(machine: Machine) -> str:
    cards = machine.cards
    if not cards.cards:
        return "none that answers" if cards.driver or cards.on_bus else "none"
    names = [
        f"{card.name}, compute capability {card.compute_capability}"
        + (f", {_gib(card.memory_mib)}" if card.memory_mib else "")
        for card in cards.cards
    ]
    return f"{'; '.join(names)}; driver {cards.driver or 'unknown'}"


def _target_line(target: str | None) -> str:
    if target is None:
        return "none that is declared: --target auto won't work here"
    return f"{target}, which --target auto stands for here"


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB"


if __name__ == "__main__":
    sys.exit(main())
