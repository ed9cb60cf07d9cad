"""Work on files from outside, in a child process with limits of time and memory.

Native parsers can be crashed by a hostile file (a chain of 4,000 nodes is enough for some), and a crash of the parser
must not be a crash of the command. The child gets the function and its arguments as JSON on standard input, and answers
with JSON in a file: whatever a library prints can't be taken for the answer. While it works it may tell how far it is,
by lines of JSON on a pipe of its own; who calls may listen, and a child whose caller is gone finds nobody there.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ChildFailure", "call_in_child", "own_command", "signal_name", "tell_parent"]

_DONE, _REFUSED = "done", "refused"
_TICK_S = 1.0
# A child that is asked to end by the silence of its caller gets this long before it is killed.
_GRACE_S = 3.0
_LONGEST_LINE = 1 << 16
_BLOCK = 1 << 16


class _OutOfTimeError(Exception):
    """The child's time is over; the reason in words."""


class ChildFailure(Exception):  # noqa: N818 - what became of the child; what it means is the caller's to say
    """The child gave no answer: `reason` says whether it ran out of time, was killed, or raised.

    Attributes:
        reason: in words.
        killed_by: the signal that ended it ("SIGKILL", say); None where none did.
    """

    def __init__(self, reason: str, *, killed_by: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.killed_by = killed_by


def call_in_child(
    function: str,
    *,
    timeout_s: float,
    memory_bytes: int | None = None,
    stall_s: float | None = None,
    progress: Callable[[Any], None] | None = None,
    interpreter: Path | None = None,
    **arguments: object,
) -> Any:  # noqa: ANN401 - JSON
    """Call `function` ("package.module:name") with keyword `arguments` in a fresh process; both ways it is JSON.

    Args:
        function: a module-level function of this package.
        timeout_s: wall-clock limit in seconds; the child is killed past it.
        memory_bytes: limit of what the child may allocate, in bytes, None for no limit. What a driver reserves of the
            address space without using it, gigabytes where there is a GPU, isn't counted.
        stall_s: the child is killed when it has neither computed nor said anything for so many seconds: a library that
            can't allocate may wait for itself for ever. None for work that rightly waits.
        progress: called with each value that the child hands to `tell_parent`, and with None about once a second while
            there is none. A child that talks crazily can't be believed: check what comes.
        interpreter: Python of another environment, which gets this package beside its own; None for this one.
        **arguments: passed on as keywords.

    Raises:
        ChildFailure: time out, killed by a signal, or an exception that isn't an `AmfacError`.
        AmfacError: one raised by the function itself, rebuilt here.
    """
    with tempfile.TemporaryDirectory(prefix="amfac-child-") as scratch:
        answer, said = Path(scratch) / "answer.json", Path(scratch) / "stderr"
        listening, telling = os.pipe()
        request: dict[str, object] = {
            "function": function,
            "arguments": arguments,
            "answer": str(answer),
            "memory_bytes": memory_bytes,
            "telling": telling,
        }
        with os.fdopen(listening, "rb", buffering=0) as pipe:
            process = _started(request, interpreter, Path(scratch), said, telling)
            try:
                for value in _told(process, pipe.fileno(), timeout_s, stall_s):
                    if progress is not None:
                        progress(value)
            except _OutOfTimeError as over:
                raise ChildFailure(str(over)) from None
            finally:
                pipe.close()
                _end(process, _GRACE_S if progress is not None else 0.0)
        if not answer.exists():
            raise _death(process.returncode, said.read_bytes())
        outcome = json.loads(answer.read_bytes())
    if _REFUSED in outcome:
        refused = outcome[_REFUSED]
        raise getattr(errors, refused["error"])(refused["problem"], cure=refused["cure"])
    return outcome[_DONE]


def own_command(call: str, interpreter: Path | None = None) -> list[str]:
    """Python's command for `call` ("package.module:name"), which finds no modules in the current folder.

    `python -m` would look there first, and run a user's own json.py in the place of Python's.
    """
    module, _, name = call.partition(":")
    program = f"import sys; sys.path[:] = filter(None, sys.path); from {module} import {name}; sys.exit({name}())"
    return [str(interpreter or sys.executable), "-c", program]


def signal_name(number: int) -> str:
    """SIGKILL, say; of one that has no name "signal 40"."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def tell_parent(value: object) -> bool:
    """Hand `value`, as JSON, to whoever called this process by `call_in_child`.

    Returns:
        False when the caller has given up or is gone: long work does well to end then. True otherwise, also in a
        process that is no such child.
    """
    if _Line.telling is None:
        return True
    line = memoryview(json.dumps(value).encode() + b"\n")
    with _Line.lock:
        try:
            while line:
                line = line[os.write(_Line.telling, line) :]
        except OSError:
            return False
    return True


class _Line:
    """The child's end of the pipe; a library may report from threads of its own."""

    telling: int | None = None
    lock = threading.Lock()


def _started(
    request: dict[str, object], interpreter: Path | None, scratch: Path, said: Path, telling: int
) -> subprocess.Popen[bytes]:
    asked = scratch / "request.json"
    asked.write_text(json.dumps(request))
    # Another environment must not find the libraries of this one.
    places = [entry for entry in sys.path if entry] if interpreter is None else [str(Path(__file__).parents[1])]
    try:
        with asked.open("rb") as words, said.open("wb") as errors_of_it:
            return subprocess.Popen(  # noqa: S603 - a Python that the caller names
                own_command("amfac_edge.children:_serve", interpreter),
                stdin=words,
                stdout=subprocess.DEVNULL,
                stderr=errors_of_it,
                pass_fds=[telling],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
            )
    finally:
        # The child's end is the child's alone: the pipe ends when it does.
        os.close(telling)


def _told(process: subprocess.Popen[bytes], pipe: int, timeout_s: float, stall_s: float | None) -> Iterator[Any]:
    """What comes through the pipe until the child ends, None where nothing came for a while."""
    rest = b""
    deadline = time.monotonic() + timeout_s
    computed, moved_at = 0, time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(min(left, _TICK_S)):
                if process.poll() is not None:
                    return
                before, computed = computed, _ticks(process.pid)
                moved_at = time.monotonic() if computed != before else moved_at
                if stall_s is not None and time.monotonic() - moved_at > stall_s:
                    raise _OutOfTimeError(f"it stood still for {stall_s:g} s")
                yield None
                continue
            block = os.read(pipe, _BLOCK)
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            moved_at = time.monotonic()
            rest = rest if len(rest) < _LONGEST_LINE else b""
            yield from filter(None, map(_value, lines))
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _OutOfTimeError(f"no end after {timeout_s:g} s") from None


def _ticks(pid: int) -> int:
    """CPU time that a process has used, in ticks; 0 where the system doesn't tell."""
    try:
        # The name in brackets may hold anything; utime and stime are the 14th and 15th field: proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return 0


def _value(line: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


def _death(returncode: int, stderr: bytes) -> ChildFailure:
    if returncode < 0:
        name = signal_name(-returncode)
        return ChildFailure(f"it was killed by {name}", killed_by=name)
    lines = stderr.decode(errors="replace").strip().splitlines()
    return ChildFailure(lines[-1] if lines else f"exit code {returncode} without a word")


def _serve() -> None:
    # A terminal's Ctrl-C reaches the caller as well, and it is the caller who ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = json.loads(sys.stdin.buffer.read())
    _Line.telling = request["telling"]
    if request["memory_bytes"] is not None:
        import resource  # noqa: PLC0415 - absent outside Unix, and needed only here

        resource.setrlimit(resource.RLIMIT_DATA, (request["memory_bytes"], request["memory_bytes"]))
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
