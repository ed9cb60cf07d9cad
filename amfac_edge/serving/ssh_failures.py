"""Why a build over ssh failed, in this package's words: what ssh says, and what happened on the board."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any

from amfac_edge.children import signal_name
from amfac_edge.errors import AmfacError, GateError, MachineError, ModelFileError
from amfac_edge.serving.kits import JETPACK_5

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.serving.boards import Board

__all__ = ["TOO_OLD", "board_failure", "connection_failure"]

TOO_OLD = "amfac-edge found Python "
_SSH_FAILED, _NOT_RUNNABLE, _NOT_FOUND = 255, 126, 127
_MIB = 1 << 20
# In the order of what explains most: a changed host key ends in "Permission denied" or "verification failed" as well.
_RULES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed",
        "{board} shows another host key than the one that is known of it",
        "Was it installed anew? Then: ssh-keygen -R {known}; {ssh}. If not, something else answers in its place.",
    ),
    (
        r"Host key verification failed|host key is known for|authenticity of host",
        "the host key of {board} is not known here",
        "Connect once by hand and compare its fingerprint: {ssh}",
    ),
    (
        r"Permission denied|Too many authentication failures|No supported authentication methods",
        "{board} lets nobody in with the keys at hand ({said})",
        "Nobody is asked for a password: ssh-copy-id puts your key there; {ssh} true shows whether it works.",
    ),
    (
        r"Could not resolve hostname",
        "no machine of the name {board.host} is known here ({said})",
        "Check the name, or give its address: --on user@192.168.1.20",
    ),
    (
        r"Connection refused",
        "on {board} no ssh server answers ({said})",
        "There: sudo systemctl enable --now ssh; another port is named by --on user@board:2222",
    ),
    (
        r"timed out|No route to host|Network is unreachable|Host is down",
        "{board} doesn't answer ({said})",
        "Check that it is on and in a network that reaches this machine.",
    ),
    (
        r"[Bb]ad configuration option|Bad owner or permissions|terminating, \d+ bad|keyword .* extra arguments",
        "ssh refuses its own configuration ({said})",
        "Mend that file; {ssh} true shows whether it works.",
    ),
)
_BUILT_NOTHING = "Nothing was written here."


def connection_failure(board: Board, step: str | None, code: int, said: Sequence[str]) -> MachineError:
    """The error for an ssh that ended before the plan was here.

    Args:
        board: where to.
        step: that the board had begun last; None if nothing ran there yet.
        code: that ssh ended with.
        said: what came on its stderr, in lines.
    """
    text = "\n".join(said)
    last = next((line for line in reversed(said) if line.strip()), f"ssh ended with code {code}").strip()
    if step is not None:
        return MachineError(
            f"the connection to {board} broke while {_STEPS.get(step, step)} ({last})",
            cure=f"{_BUILT_NOTHING} The board ends the build when it notices. Try again once ssh holds.",
        )
    if code != _SSH_FAILED:
        return _python_failure(board, code, text, last)
    told = {"board": board, "said": last, "ssh": "ssh " + " ".join(_by_hand(board)), "known": _known_host(board)}
    for pattern, problem, cure in _RULES:
        found = re.search(pattern, text)
        if found:
            line = next(line for line in said if found.group() in line).strip()
            told["said"] = line
            return MachineError(problem.format(**told), cure=cure.format(**told))
    return MachineError(f"no connection to {board}: {last}", cure="{ssh} true shows more.".format(**told))


_STEPS = {
    "copying": "the kit was copied there",
    "building": "the plan was built there",
    "bringing back": "the plan was brought back",
}


def _by_hand(board: Board) -> tuple[str, ...]:
    return tuple(word for word in board.words if word != "--")


def _known_host(board: Board) -> str:
    return f'"[{board.host}]:{board.port}"' if board.port else board.host


def _python_failure(board: Board, code: int, text: str, last: str) -> MachineError:
    cure = "It needs Python 3.10 or newer there: --remote-python PATH names one; JetPack 6 and 7 bring one as python3."
    if TOO_OLD in text:
        cure += f" {JETPACK_5}"
        version = text.partition(TOO_OLD)[2].split()[0]
        return MachineError(f"{board.python} on {board} is Python {version}, older than 3.10", cure=cure)
    if code in (_NOT_FOUND, _NOT_RUNNABLE):
        return MachineError(f"{board} has no {board.python} that runs ({last})", cure=cure)
    return MachineError(f"{board.python} on {board} ended with code {code} ({last})", cure=cure)


def board_failure(board: Board, failed: Any, step: str | None) -> AmfacError:  # noqa: ANN401 - JSON
    """The error for what the board says of itself: a file that couldn't be written there, or a build that failed."""
    try:
        return _board_failure(board, failed, step)
    except (KeyError, TypeError, ValueError):
        return MachineError(
            f"what {board} says of its failure is no answer of this package: {str(failed)[:80]!r}",
            cure="Look at what runs there as build.py.",
        )


def _board_failure(board: Board, failed: Mapping[str, Any], step: str | None) -> AmfacError:
    if "code" not in failed:
        return _file_failure(board, failed, step)
    code, said = failed["code"], [str(line) for line in failed["said"]]
    text = "\n".join(said)
    if "No space left on device" in text or failed["free"] < _MIB:
        return _full(board, failed, "the plan was built there")
    if code < 0:
        return MachineError(
            f"the build on {board} was killed by {signal_name(-code)}",
            cure="Most likely memory ran out: close other programs there, or give a smaller --workspace.",
        )
    package = re.search(r"No module named '?([\w.]+)", text)
    marks = [place for place, line in enumerate(said) if line.startswith(_OWN)]
    if not marks and package:
        return MachineError(
            f"{board.python} on {board} has no package {package[1]}",
            cure=f"There: sudo apt install python3-{package[1]}; another Python is named by --remote-python PATH.",
        )
    if not marks:
        return MachineError(
            f"the build on {board} ended with code {code}: {said[-1] if said else 'without a word'}",
            cure=_BUILT_NOTHING,
        )
    problem, _, cure = "\n".join(said[marks[-1] :]).removeprefix(_OWN).rpartition("\n")
    kind = {1: GateError, 2: ModelFileError}.get(code, MachineError)
    return kind(f"on {board}: {problem or cure.strip()}", cure=cure.strip())


_OWN = "build.py: error: "


def _file_failure(board: Board, failed: Mapping[str, Any], step: str | None) -> MachineError:
    during = _STEPS.get(step or "", "it began there")
    if failed["errno"] in (errno.ENOSPC, errno.EDQUOT):
        return _full(board, failed, during)
    return MachineError(
        f"{board}: {failed['folder']} can't be used: {failed['text']}, while {during}",
        cure="Mend that there; another folder is named by TMPDIR in the environment that ssh gives there.",
    )


def _full(board: Board, failed: Mapping[str, Any], during: str) -> MachineError:
    return MachineError(
        f"the disk of {board} is full ({failed['folder']}, {failed['free'] // _MIB} MiB free), while {during}",
        cure=f"Free space there: df -h shows where. {_BUILT_NOTHING}",
    )
