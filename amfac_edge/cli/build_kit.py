"""Builds the plan of a board kit where it shall run: `python3 build.py` in the unpacked kit ends here.

It needs Python 3.10, NumPy and the board's own TensorRT; all else is in the kit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.cli.bench import main as bench
from amfac_edge.cli.build_options import add_build_options, build_options
from amfac_edge.cli.build_progress import BuildLine
from amfac_edge.cli.command import CommandParser, run_command
from amfac_edge.compiler import plan_from_artefact
from amfac_edge.compiler.forms import plan_for_this_machine
from amfac_edge.declared.reading import reading
from amfac_edge.declared.target import load_target
from amfac_edge.errors import AmfacError, MachineError, ModelFileError
from amfac_edge.files import file_bytes, json_value, sha256_of, write_bytes
from amfac_edge.serving.kits import KIT_FILE, KIT_SCHEMA, target_in_kit
from amfac_edge.sessions.host import this_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.compiler import BuildOptions
    from amfac_edge.declared.target import Target

__all__ = ["kit_around", "main"]

_SIZE_LIMIT = 1 << 20
_DOCTOR = "doctor.py"  # of the kit
_UNPACK = "Unpack the kit once more, or copy it again."


def main(argv: Sequence[str], kit: Path) -> int:
    """Build the plan of the kit in folder `kit`; return the exit code."""
    return run_command("build.py", lambda: _build(argv, kit), argv)


def _parser(kit: Path) -> CommandParser:
    parser = CommandParser("build.py", "Build the TensorRT plan of this kit, here.")
    add = parser.add_argument
    add("--out", type=Path, default=kit, metavar="DIR", help="folder for the plan (default: the kit's)")
    add("--flavour", choices=(TENSORRT, RTX), default=TENSORRT, help="the library (default: TensorRT proper)")
    add("--anyway", action="store_true", help="build although this machine is not the kit's target")
    add("--bench", action="store_true", help="measure the plan too, by amfac-bench, into PLAN.bench.json")
    add_build_options(parser)
    return parser


def _build(argv: Sequence[str], kit: Path) -> int:
    artefact, target, words = _contents(kit)
    arguments = _parser(kit).parse_args([*words, *argv])
    proper = arguments.flavour == TENSORRT
    if proper and not arguments.anyway:
        _check_machine(target)
    options = dataclasses.replace(build_options(arguments), any_gpu=arguments.anyway)
    given = f" ({' '.join(words)})" if words else ""
    print(f"building for {target.title}{given}; on a board this takes minutes", file=sys.stderr, flush=True)
    with BuildLine() as line:
        if proper:
            built = plan_for_this_machine(
                artefact, target, arguments.out, beside=kit, options=options, progress=line, say=line.say
            )
        else:
            built = plan_from_artefact(artefact, [target], arguments.out, options=options, progress=line)
    for note in built.notes:
        print(f"  {note}", file=sys.stderr)
    if arguments.bench:
        _measure(built.path)
    print(built.path)
    if arguments.out.resolve() == kit.resolve():  # over ssh the plan goes home, and is looked at there
        print(f"next: {shlex.join([sys.executable, str(kit / _DOCTOR), str(built.path)])}", file=sys.stderr)
    return 0


def _measure(plan: Path) -> None:
    """What amfac-bench says of the plan, beside it; a machine that can't run it has its plan all the same."""
    said, path = io.StringIO(), plan.with_name(f"{plan.name}.bench.json")
    path.unlink(missing_ok=True)  # of the plan that lay there before
    print(f"measuring {plan.name}", file=sys.stderr, flush=True)
    with contextlib.redirect_stdout(said):
        code = bench(["run", str(plan), "--json"])
    if code == 0:
        write_bytes(path, said.getvalue().encode())
    else:
        print("  the plan was built, and not measured, for the reason above", file=sys.stderr)


def kit_around(artefact: Path) -> tuple[Path, Target, BuildOptions] | None:
    """The unpacked kit that `artefact` is of, its target and what its builds are told; None where it lies elsewhere.

    Raises:
        ModelFileError: it is of a kit that was changed.
    """
    folder = artefact.parent
    try:
        described = json_value(file_bytes(folder / KIT_FILE, limit=_SIZE_LIMIT, what="kit's description"))
    except (AmfacError, ValueError, RecursionError):
        return None
    # Other programs may have a kit.json too.
    if not isinstance(described, dict) or described.get("schema") != KIT_SCHEMA:
        return None
    own, target, words = _contents(folder)
    return (folder, target, build_options(_parser(folder).parse_args(words))) if own.name == artefact.name else None


def _contents(kit: Path) -> tuple[Path, Target, tuple[str, ...]]:
    path = kit / KIT_FILE
    try:
        data = json_value(file_bytes(path, limit=_SIZE_LIMIT, what="kit's description"))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not JSON: {error}", cure=_UNPACK) from error
    with reading(data, where=str(path)) as table:
        table.text("schema", choices=(KIT_SCHEMA,))
        name, target = table.text("artefact"), table.text("target")
        words = table.texts("options", default=())
        beside = table.table("beside", required=False)
        digests = {each: beside.text(each) for each in beside.keys()}  # noqa: SIM118 - a Table is no mapping
        table.rest()
        if "/" in name or not name.endswith(".onnx"):
            table.fault("artefact", f"{json.dumps(name)} is no ONNX file of this folder")
        if "/" in target:
            table.fault("target", f"{json.dumps(target)} is no target's name")
    for each, digest in digests.items():
        _check_beside(kit / Path(each).name, digest)
    # Its own declaration, as far as it lies there: the target may be no one's but the user's.
    declared = kit / target_in_kit(target)
    return kit / name, load_target(declared if declared.is_file() else target), words


def _check_beside(path: Path, digest: str) -> None:
    if not path.is_file() or sha256_of(path) != digest:
        raise ModelFileError(f"{path}: not the file that the kit was packed with", cure=_UNPACK)


def _same_board(name: str | None, target: Target) -> bool:
    """Whether the board of that name is the target's, which may be another declaration of it."""
    return name is not None and not set(load_target(name).board_ids).isdisjoint(target.board_ids)


def _check_machine(target: Target) -> None:
    host = this_host()
    found = {gpu.compute_capability for gpu in host.gpus}
    wanted = target.gpu.compute_capability if target.gpu else ""
    # Jetsons share a compute capability, and not their speed: what was timed on another module is not this one's plan.
    other_module = target.kind == "jetson" and not _same_board(host.target, target)
    if host.target != target.name and (other_module or wanted not in found):
        here = host.target or f"no board or card that is known ({', '.join(sorted(found)) or 'no GPU answers'})"
        raise MachineError(
            f"this kit is for {target.title} (compute capability {wanted}); here is {here}",
            cure=f"Run it on that machine. amfac-doctor (here {_DOCTOR}) says what this one is; --anyway builds all "
            "the same.",
        )
