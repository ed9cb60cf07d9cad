"""Work on files from outside, in a child process with limits of time and memory.

Native parsers can be crashed by a hostile file (a chain of 4,000 nodes is enough for some), and a crash of the parser
must not be a crash of the command. The child runs `python -m amfac_edge.children` with the function and its arguments
as JSON on standard input, and answers with JSON in a file: whatever a library prints can't be taken for the answer.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from amfac_edge import errors

__all__ = ["ChildFailure", "call_in_child"]

_DONE, _REFUSED = "done", "refused"


class ChildFailure(Exception):  # noqa: N818 - what became of the child; what it means is the caller's to say
    """The child gave no answer: `reason` says whether it ran out of time, was killed, or raised."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def call_in_child(function: str, *, timeout_s: float, memory_bytes: int | None = None, **arguments: object) -> Any:  # noqa: ANN401 - JSON
    """Call `function` ("package.module:name") with keyword `arguments` in a fresh process; both ways it is JSON.

    Args:
        function: a module-level function of this package.
        timeout_s: wall-clock limit in seconds; the child is killed past it.
        memory_bytes: limit of the child's address space in bytes, None for no limit.
        **arguments: passed on as keywords.

    Raises:
        ChildFailure: time out, killed by a signal, or an exception that isn't an `AmfacError`.
        AmfacError: one raised by the function itself, rebuilt here.
    """
    with tempfile.TemporaryDirectory(prefix="amfac-child-") as scratch:
        answer = Path(scratch) / "answer.json"
        request = {"function": function, "arguments": arguments, "answer": str(answer), "memory_bytes": memory_bytes}
        try:
            finished = subprocess.run(
                [sys.executable, "-m", "amfac_edge.children"],
                input=json.dumps(request).encode(),
                capture_output=True,
                timeout=timeout_s,
                check=False,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            )
        except subprocess.TimeoutExpired:
            raise ChildFailure(f"no end after {timeout_s:g} s") from None
        if not answer.exists():
            raise ChildFailure(_death(finished.returncode, finished.stderr))
        outcome = json.loads(answer.read_bytes())
    if _REFUSED in outcome:
        refused = outcome[_REFUSED]
        raise getattr(errors, refused["error"])(refused["problem"], cure=refused["cure"])
    return outcome[_DONE]


def _death(returncode: int, stderr: bytes) -> str:
    if returncode < 0:
        return f"it was killed by {signal.Signals(-returncode).name}"
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {returncode} without a word"


def _serve() -> None:
    request = json.loads(sys.stdin.buffer.read())
    if request["memory_bytes"] is not None:
        import resource  # noqa: PLC0415 - absent outside Unix, and needed only here

        resource.setrlimit(resource.RLIMIT_AS, (request["memory_bytes"], request["memory_bytes"]))
    module, _, name = request["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    try:
        outcome: dict[str, object] = {_DONE: function(**request["arguments"])}
    except errors.AmfacError as error:
        outcome = {_REFUSED: error.as_json()}
    answer = Path(request["answer"])
    part = answer.with_suffix(".part")
    part.write_text(json.dumps(outcome))
    part.replace(answer)


if __name__ == "__main__":
    _serve()
