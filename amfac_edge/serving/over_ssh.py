"""A plan that is built on the board itself: the kit goes there over the system's ssh, plan and manifest come back."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from amfac_edge.artefact import manifest_path, read_manifest, read_plan_header
from amfac_edge.artefact.plan_facts import DIGEST_CHAIN
from amfac_edge.compiler import BuiltPlan
from amfac_edge.compiler.forms import FLAG_FORM_FILE
from amfac_edge.errors import AmfacError, MachineError
from amfac_edge.files import atomic_files, refuse_overwriting, sha256_of
from amfac_edge.serving.kits import write_kit
from amfac_edge.serving.ssh_session import run_on_board

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from amfac_edge.artefact import Manifest
    from amfac_edge.declared.target import Target
    from amfac_edge.serving.boards import Board

__all__ = ["BroughtPlan", "plan_over_ssh"]

# The last resort: a build has a limit of its own there, and ssh gives up a dead connection in a minute.
_TIMEOUT_S = 86_400.0


@dataclass(frozen=True)
class BroughtPlan:
    """A plan that was built on a board and lies here.

    Attributes:
        plan: the plan with its manifest.
        board: that built it.
        beside: what else build.py left there (its log, layer information, measurements), beside the plan.
    """

    plan: BuiltPlan
    board: Board
    beside: tuple[Path, ...]


def plan_over_ssh(
    artefact: Path,
    target: Target,
    board: Board,
    *,
    build_arguments: Sequence[str] = (),
    beside: Mapping[str, bytes] = MappingProxyType({}),
    say: Callable[[str], None] = lambda _: None,
    timeout_s: float = _TIMEOUT_S,
) -> BroughtPlan:
    """Build the plan of `artefact` on a board, and write what comes back beside the artefact, all of it or nothing.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: what the board is; build.py there refuses another one.
        board: where ssh reaches it, with a key that needs no question.
        build_arguments: words for build.py there: `--workspace`, ...; tests, which have no board, say `--anyway`, or
            `--flavour tensorrt-rtx`.
        beside: for the kit, see `write_kit`.
        say: called with each line of progress.
        timeout_s: after which the build is given up.

    Raises:
        ModelFileError: the artefact is damaged or has no manifest, or the library there refuses it.
        MachineError: no connection, a connection that broke, a board that lacks something or is another one, or what
            came back is not the plan of this artefact.
        OutputError: the place can't be written to.
    """
    sent = read_manifest(artefact)
    with tempfile.TemporaryDirectory(prefix="amfac-on-") as scratch:
        kit = write_kit(artefact, target, Path(scratch) / "kit", beside=beside)
        received = Path(scratch) / "received"
        received.mkdir()
        size = kit.stat().st_size / 1e6
        say(f"{kit.name} ({size:.1f} MB) goes to {board}")
        names = run_on_board(board, kit, build_arguments, received, say=say, timeout_s=timeout_s)
        plan, manifest = _verified(received, names, _links(sent, beside), board)
        return _written(plan, manifest, names, artefact, board)


def _links(sent: Manifest, beside: Mapping[str, bytes]) -> dict[str, set[str]]:
    """What each digest of the plan's chain may be; the graph that it was built of is one of the two that were sent."""
    links = {name: {sent.digests[name]} for name in DIGEST_CHAIN if name in sent.digests and name != "artefact"}
    links["onnx"] = {sent.digests["artefact"]}
    if FLAG_FORM_FILE in beside:
        links["onnx"].add(sha256_of(beside[FLAG_FORM_FILE]))
    return links


def _verified(
    received: Path, names: Sequence[str], links: Mapping[str, set[str]], board: Board
) -> tuple[Path, Manifest]:
    """The plan among what came back, checked against its manifest and the artefact that was sent."""
    plans = [name for name in names if name.endswith(".plan")]
    if len(plans) != 1:
        raise MachineError(
            f"{board} sent {len(plans)} plans in place of one", cure="Look at what runs there as build.py."
        )
    path = received / plans[0]
    try:
        manifest = read_manifest(path)
    except AmfacError as error:
        problem = error.problem.replace(f"{received}/", "")
        raise MachineError(f"what came back from {board}: {problem}", cure="Build it there once more.") from error
    header = read_plan_header(path)
    differing = [name for name, values in links.items() if manifest.digests.get(name) not in values]
    flavour = manifest.plan.flavour if manifest.plan else None
    if differing or header.fault or header.flavour != flavour or flavour is None:
        what = f"another {' and '.join(differing)}" if differing else f"{header.title} {header.fault or ''}".rstrip()
        raise MachineError(
            f"what came back from {board} is not the plan of the artefact that was sent: {what}",
            cure="Build it there once more; if it stays so, look at what runs there as build.py.",
        )
    return path, manifest


def _written(plan: Path, manifest: Manifest, names: Sequence[str], artefact: Path, board: Board) -> BroughtPlan:
    path = artefact.with_name(plan.name)
    ends = [manifest_path(path).name, plan.name]
    beside = {name: artefact.with_name(_beside(name, plan.name)) for name in names if name not in ends}
    places = {manifest_path(plan).name: manifest_path(path), **beside, plan.name: path}
    refuse_overwriting(places.values(), [artefact, manifest_path(artefact)])
    with atomic_files(*places.values()) as parts:
        for name, part in zip(places, parts, strict=True):
            shutil.copyfile(plan.with_name(name), part)
    return BroughtPlan(BuiltPlan(path, manifest, ()), board, tuple(beside.values()))


def _beside(name: str, plan: str) -> str:
    """A name that says of which plan it is; build.log of two boards would otherwise be one file."""
    return name if name.startswith(plan.removesuffix(".plan")) else f"{plan}.{name}"
