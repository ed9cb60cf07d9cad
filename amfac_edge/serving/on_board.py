"""The end of `over_ssh` that runs on the board: it is sent there as source, so it needs Python's own library alone.

Standard input brings one line of JSON (a `size` in bytes, the `arguments` of build.py) and a kit of that size, 0 where
it is only asked if a build could begin. It stays open for as long as somebody waits for the plan; when it ends, the
build is ended and the folder removed. Standard output gives frames, each a line of `FRAME` and a JSON object: `step`
that begins, `said` by build.py, `failed`, `files` (after which the content of each follows) and, at last, `removed`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["FRAME", "LOG_FILE", "serve"]

FRAME = b"amfac-on-board/1 "
LOG_FILE = "build.log"
_BLOCK = 1 << 16
_TOLD_LINES = 40
_GRACE_S, _TICK_S = 5.0, 0.5
# sshd may take hours to see that a cable was pulled; a kit on its way doesn't pause that long.
_SILENCE_S = 120


class _GoneError(Exception):
    """Nobody waits any more."""


def serve(commands: BinaryIO, answers: BinaryIO) -> None:
    """Receive a kit, build its plan in a folder of its own, send what came of it, and remove the folder."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _leave)
    # What a login script printed without a line's end must not swallow the first frame.
    answers.write(b"\n")
    folder: Path | None = None
    try:
        _tell(answers, step="copying")
        folder = Path(tempfile.mkdtemp(prefix="amfac-on-board-"))
        _work(folder, commands, answers)
    except (_GoneError, BrokenPipeError):
        pass
    except OSError as error:
        place = folder.parent if folder else Path("/tmp")  # noqa: S108 - named, not used
        free = shutil.disk_usage(place).free
        _tell(answers, failed={"errno": error.errno, "text": error.strerror, "folder": str(place), "free": free})
    finally:
        _clear(folder, answers)


def _work(folder: Path, commands: BinaryIO, answers: BinaryIO) -> None:
    signal.alarm(_SILENCE_S)
    request = json.loads(commands.readline())
    if not request["size"]:  # only asked whether it could begin
        return
    kit = _unpacked(_received(commands, request["size"], folder), folder)
    signal.alarm(0)
    _tell(answers, step="building")
    out = folder / "out"
    out.mkdir()
    if _built(kit, out, request["arguments"], commands.fileno(), answers):
        _tell(answers, step="bringing back")
        _send(answers, out)


def _clear(folder: Path | None, answers: BinaryIO) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        _tell(answers, removed=folder is None or not folder.exists())


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise _GoneError


def _tell(answers: BinaryIO, **frame: object) -> None:
    answers.write(FRAME + json.dumps(frame).encode() + b"\n")
    answers.flush()


def _received(commands: BinaryIO, size: int, folder: Path) -> Path:
    path = folder / "kit.tar.gz"
    with path.open("wb") as file:
        while size:
            signal.alarm(_SILENCE_S)
            block = commands.read(min(_BLOCK, size))
            if not block:
                raise _GoneError
            file.write(block)
            size -= len(block)
    return path


def _unpacked(path: Path, folder: Path) -> Path:
    """The kit's one folder; what is in it was written by the other end of this very connection."""
    top = folder
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
                top = folder / member.name.split("/", 1)[0]
    path.unlink()
    return top


def _built(kit: Path, out: Path, arguments: list[str], waiting: int, answers: BinaryIO) -> bool:
    said: deque[str] = deque(maxlen=_TOLD_LINES)
    least = shutil.disk_usage(out).free
    with (
        (out / LOG_FILE).open("wb") as log,
        subprocess.Popen(  # noqa: S603 - no shell; both ends are this package's
            [sys.executable, "build.py", "--out", str(out), *arguments],
            cwd=kit,
            env={**os.environ, "TMPDIR": str(out.parent)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        try:
            for line in _lines(process, waiting):
                # A program whose disk is full can't always say so, and clears up before it ends.
                least = min(least, shutil.disk_usage(out).free)
                if line is None:
                    continue
                log.write(line + b"\n")
                said.append(line.decode(errors="replace"))
                _tell(answers, said=said[-1])
            code = process.wait()
            least = min(least, shutil.disk_usage(out).free)
        finally:
            _end(process)
    if code:
        where = {"folder": str(out.parent.parent), "free": least}
        _tell(answers, failed={"code": code, "said": list(said), **where})
    return code == 0


def _lines(process: subprocess.Popen[bytes], waiting: int) -> Iterator[bytes | None]:
    """What build.py says, line by line, while the other end waits; None where it says nothing for a while."""
    assert process.stderr is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(waiting, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(_TICK_S)}
            if not ready:
                yield None
            if waiting in ready and not os.read(waiting, _BLOCK):
                raise _GoneError
            if process.stderr.fileno() in ready:
                block = os.read(process.stderr.fileno(), _BLOCK)
                *lines, rest = (rest + block).split(b"\n")
                yield from lines
                if not block:
                    break
    if rest:
        yield rest


def _end(process: subprocess.Popen[bytes]) -> None:
    """End build.py and the processes of its own that still run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def _send(answers: BinaryIO, out: Path) -> None:
    files = [path for path in sorted(out.iterdir()) if path.is_file() and not path.is_symlink()]
    sizes = [path.stat().st_size for path in files]
    _tell(answers, files=[[path.name, size] for path, size in zip(files, sizes, strict=True)])
    for path, size in zip(files, sizes, strict=True):
        with path.open("rb") as file:
            left = size
            while left:
                signal.alarm(_SILENCE_S)
                block = file.read(min(_BLOCK, left))
                if not block:
                    raise OSError(errno.EIO, f"{path.name} became shorter")
                answers.write(block)
                left -= len(block)
    answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
