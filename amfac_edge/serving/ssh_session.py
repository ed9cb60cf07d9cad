"""One connection of the system's ssh: a kit goes to a board, build.py runs there, and what it left comes back.

There is one connection for all of it. While it lasts, `on_board` runs on the board; when it ends, however it ends,
`on_board` reads the end of its input, ends the build and removes its folder: nobody has to reach the board for that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from amfac_edge.errors import MachineError, OutputError
from amfac_edge.serving import on_board
from amfac_edge.serving.ssh_failures import TOO_OLD, board_failure, connection_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from amfac_edge.serving.boards import Board

__all__ = ["check_board", "run_on_board"]

_OPTIONS = (
    "-T", "-a", "-x",
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=15",
    # A connection that is dead is given up after a minute.
    "-o", "ServerAliveInterval=15",
    "-o", "ServerAliveCountMax=4",
    # What the user's configuration may ask of an interactive session would be in the way.
    "-o", "ControlMaster=no",
    "-o", "ClearAllForwardings=yes",
    "-o", "RemoteCommand=none",
)  # fmt: skip
# Older Pythons don't understand on_board, but this line. It has no character that a login shell takes for its own.
_BOOTSTRAP = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    'sys.version_info < {floor} and sys.exit("{too_old}" + sys.version.split()[0]); '
    'exec(compile(sys.stdin.buffer.read({size}), "on_board.py", "exec"))'
)
_FLOOR = (3, 10)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}", re.ASCII)
_MOST_FILES, _MOST_BYTES = 64, 4 << 30
_LONGEST_LINE, _BLOCK, _KEPT_LINES = 1 << 20, 1 << 20, 200
_GRACE_S = 10.0


def run_on_board(
    board: Board, kit: Path, arguments: Sequence[str], received: Path, *, say: Callable[[str], None], timeout_s: float
) -> tuple[str, ...]:
    """Build the plan of a kit on a board, and bring back what build.py left there.

    Args:
        board: where.
        kit: archive of `write_kit`.
        arguments: of build.py there, besides `--out`.
        received: existing folder for what comes back.
        say: called with each line of progress.
        timeout_s: after which the build is given up.

    Returns:
        The names of the files in `received`.

    Raises:
        MachineError: no connection, a connection that broke, or a board that lacks something.
        AmfacError: what build.py there refuses.
        OutputError: `received` can't be written to.
    """
    with _Connection(board, timeout_s) as connection:
        connection.send(kit, arguments)
        names: tuple[str, ...] | None = None
        failure: Exception | None = None
        for frame in connection.frames():
            if "said" in frame:
                say(_printable(str(frame["said"])))
            elif "failed" in frame:
                failure = board_failure(board, frame["failed"], connection.step)
            elif "files" in frame:
                names = connection.receive(frame["files"], received)
            elif "removed" in frame:
                if not frame["removed"]:
                    say(f"the temporary folder on {board} could not be removed: amfac-on-board-* in its TMPDIR")
                break
        if failure is not None:
            raise failure
        if names is None:
            raise connection.failure()
    return names


def check_board(board: Board, *, timeout_s: float = 60.0) -> None:
    """Connect to a board and see that a build could begin there; before anybody works on what shall be built.

    Raises:
        MachineError: no connection, no Python there, or no place for temporary files.
    """
    with _Connection(board, timeout_s) as connection:
        connection.send(None, ())
        for frame in connection.frames():
            if "failed" in frame:
                raise board_failure(board, frame["failed"], None)
            if "removed" in frame:
                return
        raise connection.failure()


def _printable(line: str) -> str:
    """A line of the board without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in line).rstrip()


class _Connection:
    """A running ssh; leaving the block ends it, and gives the board the time to clean up."""

    def __init__(self, board: Board, timeout_s: float) -> None:
        ssh = shutil.which("ssh")
        if ssh is None:
            raise MachineError(
                "building on a board needs ssh, which is not here", cure="sudo apt install openssh-client"
            )
        self._program = Path(on_board.__file__).read_bytes()
        bootstrap = _BOOTSTRAP.format(floor=_FLOOR, too_old=TOO_OLD, size=len(self._program))
        command = f"exec {shlex.quote(board.python)} -c {shlex.quote(bootstrap)}"
        self._board, self._timeout_s = board, timeout_s
        self._timed_out = False
        self._sent = threading.Event()
        self.step: str | None = None
        # In a session of its own Ctrl-C doesn't reach it: it is ended in order, below.
        self._process = subprocess.Popen(  # noqa: S603 - words that Board has checked
            [ssh, *_OPTIONS, *board.words, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._writer: threading.Thread | None = None
        self._timer = threading.Timer(timeout_s, self._give_up)
        self._timer.daemon = True

    def __enter__(self) -> _Connection:
        self._listener.start()
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            if self._sent.is_set():
                self._input.close()
            else:  # the kit is still on its way: nothing runs there yet
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        finally:
            self._process.kill()
            self._process.wait()
            if self._writer is not None:
                self._writer.join()
            self._input.close()
            # A program that ssh left behind (a shared connection's) may hold stderr open.
            self._listener.join(1.0)
            self._output.close()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def send(self, kit: Path | None, arguments: Sequence[str]) -> None:
        """Begin to send `on_board`, what it shall do, and the kit; the input stays open after them."""
        size = kit.stat().st_size if kit else 0
        request = json.dumps({"size": size, "arguments": list(arguments)}).encode() + b"\n"

        def write() -> None:
            # Around Python's buffer, which another thread couldn't close meanwhile. Whoever reads sees what went wrong.
            with contextlib.suppress(OSError), (kit or Path(os.devnull)).open("rb") as file:
                block = memoryview(self._program + request)
                while block:
                    block = block[os.write(self._input.fileno(), block) :] or memoryview(file.read(_BLOCK))
            self._sent.set()

        self._writer = threading.Thread(target=write, daemon=True)
        self._writer.start()

    def frames(self) -> Iterator[dict[str, Any]]:
        """What `on_board` tells; lines that are none of its frames are some login script's."""
        while line := self._output.readline(_LONGEST_LINE):
            if not line.startswith(on_board.FRAME):
                continue
            try:
                frame = json.loads(line[len(on_board.FRAME) :])
            except (ValueError, RecursionError):
                continue
            if isinstance(frame, dict):
                self.step = str(frame["step"]) if "step" in frame else self.step
                yield frame

    def receive(self, files: object, folder: Path) -> tuple[str, ...]:
        """Write the files that follow a frame `files` into `folder`; a name with a folder in it is refused."""
        listed = _checked(files, self._board)
        name = ""
        try:
            for name, size in listed:
                with (folder / name).open("wb") as file:
                    self._copy(size, file)
        except OSError as error:
            raise OutputError(
                f"{folder / name}: what came back from {self._board} can't be written: {error.strerror or error}",
                cure="Free space there, or name another folder by TMPDIR.",
            ) from error
        return tuple(name for name, _ in listed)

    def _copy(self, size: int, file: IO[bytes]) -> None:
        while size:
            block = self._output.read(min(_BLOCK, size))
            if not block:
                raise self.failure()
            file.write(block)
            size -= len(block)

    def failure(self) -> MachineError:
        """Why there is nothing more to read."""
        if self._timed_out:
            return MachineError(
                f"the build on {self._board} did not end within {self._timeout_s:g} s; it was given up",
                cure="Close other programs there, and try again with a smaller --workspace.",
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self._listener.join(1.0)
        return connection_failure(self._board, self.step, self._process.poll() or 0, tuple(self._said))

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._said.append(_printable(line.decode(errors="replace")))

    def _give_up(self) -> None:
        self._timed_out = True
        self._process.kill()


def _checked(files: object, board: Board) -> list[tuple[str, int]]:
    rows: list[Any] = files if isinstance(files, list) else [files]
    wrong = [row for row in rows if not _is_plain_file(row)]
    listed = [] if wrong else [(str(name), int(size)) for name, size in rows]
    total = sum(size for _, size in listed)
    if wrong or len(dict(listed)) != len(listed) or len(listed) > _MOST_FILES or total > _MOST_BYTES:
        what = repr(wrong[0])[:80] if wrong else f"{len(listed)} files of {total:,} bytes"
        raise MachineError(
            f"what {board} wants to send is refused: {what}", cure="Look at what runs there as build.py."
        )
    return listed


def _is_plain_file(row: object) -> bool:
    if not isinstance(row, list) or [type(each) for each in row] != [str, int]:
        return False
    return _PLAIN_NAME.fullmatch(row[0]) is not None and row[1] >= 0
