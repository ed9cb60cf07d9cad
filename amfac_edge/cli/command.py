"""What every command shares.

A parser that helps after a typing error, one place where errors become lines and exit codes, and progress for people.

A command is a module with `main(argv: Sequence[str] | None = None) -> int`:

    def main(argv: Sequence[str] | None = None) -> int:
        return run_command("amfac-info", lambda: _info(_parser().parse_args(argv)), argv)

Exit codes: 0 done, 1 a gate failed (or a fault of ours), 2 bad input or usage, 3 this machine lacks something, 130
interrupted, 143 terminated; 141 when the reader of our output went away, as the shell reports it for any program.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

import amfac_edge
from amfac_edge.cli.as_typed import as_typed
from amfac_edge.errors import AmfacError, InputError, MachineError, MissingExtraError, near_names
from amfac_edge.files import no_empty_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType, TracebackType
    from typing import Any, TextIO

__all__ = ["CommandParser", "ProgressBar", "Steps", "run_command", "say_left_out"]

_SHOWN_FAULTS = 5
_INTERRUPTED, _PIPE_CLOSED, _TERMINATED = 130, 141, 143
# Import names of the extras' packages: a room that forgot to look for one still ends in the command that installs it.
_EXTRA_OF = {
    "cv2": ("opencv-python", "cpu"),
    "onnxruntime": ("onnxruntime", "cpu"),
    "torch": ("torch", "export"),
    "onnx": ("onnx", "export"),
    "onnxscript": ("onnxscript", "export"),
    "onnxsim": ("onnxsim", "export"),
    "safetensors": ("safetensors", "export"),
    "pycocotools": ("pycocotools", "eval"),
    "tensorrt_rtx": ("tensorrt-rtx", "rtx"),
    "tensorrt": ("tensorrt", "cuda"),
    "cuda": ("cuda-python", "cuda"),
    "pycuda": ("pycuda", "pycuda"),
}


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose mistakes end in one clear line and exit code 2, and that has `--version`.

    Args:
        prog: the command's name, as it is typed.
        description: what the command does; `epilog` may hold examples, whose line breaks are kept.
        **options: the rest of argparse's own.
    """

    def __init__(
        self,
        prog: str | None = None,
        description: str | None = None,
        **options: Any,  # noqa: ANN401 - argparse's own
    ) -> None:
        options = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **options}
        super().__init__(prog=prog, description=description, **options)
        text = "show the version and end"
        self.add_argument("--version", action=_Version, dest=argparse.SUPPRESS, nargs=0, help=text)
        self._json_asked = False

    # argparse overloads it by the namespace's type, which nobody here passes.
    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        args: Iterable[str] | None = None,
        namespace: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """As argparse does, after a look at the options' names: a misspelt one beats "--target is required"."""
        words = list(sys.argv[1:] if args is None else args)
        self._json_asked = "--json" in words
        if "" in words:
            place = words.index("")
            self.error(
                f"{words[place - 1] if place else 'the first word'} is empty: a variable that is not set, perhaps"
            )
        known = {name for name in self._option_string_actions if name.startswith("--")}
        for word in self._own(words):
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in name and name not in known:
                self.error(f"{name} is no option; {near_names(name, known)}")
        return super().parse_known_args(words, namespace)

    def _own(self, words: list[str]) -> list[str]:
        """The words before "--" and before a sub-command, which looks at the rest itself."""
        commands = [set(action.choices) for action in self._actions if isinstance(action.choices, dict)]
        ends = {"--"}.union(*commands)
        return words[: next((place for place, word in enumerate(words) if word in ends), None)]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and end with exit code 2."""
        mistake = InputError(message, cure=f"{self.prog} --help lists what it takes.")
        _report(self.prog, mistake, as_json=self._json_asked)
        raise SystemExit(InputError.exit_code)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        # Read only here: looking up the metadata takes milliseconds that no other run should pay.
        print(f"{parser.prog} {amfac_edge.__version__}")
        raise SystemExit(0)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as an interruption: what cleans up after Ctrl-C cleans up after it."""


def run_command(prog: str, body: Callable[[], int], argv: Sequence[str] | None = None) -> int:
    """Run a command's `body` and return its exit code; whatever goes wrong becomes lines on stderr, never a traceback.

    Args:
        prog: the command's name, as it is typed.
        body: parses, works and prints; its result is the exit code.
        argv: the words after the command's name, None for `sys.argv`; with `--json` among them an error is also printed
            as one JSON object on stdout.
    """
    as_json = "--json" in (sys.argv[1:] if argv is None else argv)
    try:
        with _sigterm_as_interrupt(), no_empty_folders():
            code = body()
            sys.stdout.flush()
            return code
    except SystemExit as end:  # argparse after --help, --version and usage errors
        return end.code if isinstance(end.code, int) else InputError.exit_code
    except _Terminated:
        return _ended(prog, "terminated", _TERMINATED)
    except KeyboardInterrupt:
        return _ended(prog, "interrupted", _INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        return _PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the last net before the user
        return _reported(prog, error, as_json=as_json)


def _reported(prog: str, error: Exception, *, as_json: bool) -> int:
    if os.environ.get("AMFAC_TRACEBACK") == "1":
        traceback.print_exception(error)
    known = _as_amfac_error(error)
    if known is not None:
        _report(prog, known, as_json=as_json)
        return known.exit_code
    text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
    cure = "please report it, with AMFAC_TRACEBACK=1 set for the traceback"
    _say(f"{prog}: internal error: {text}\n  {cure}")
    if as_json:
        _print_json({"error": "InternalError", "problem": text, "cure": cure, "exit_code": 1})
    return 1


def _as_amfac_error(error: Exception) -> AmfacError | None:
    if isinstance(error, AmfacError):
        return error
    if isinstance(error, MemoryError):
        return MachineError(
            "this machine has too little free memory for the work",
            cure="Close other programs, or use a smaller batch or input.",
        )
    if isinstance(error, RecursionError):
        return InputError(
            "the input is nested more deeply than can be followed", cure="Check that it is what it should be."
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return InputError(f"{error.filename or 'a path'}: {error.strerror}", cure="Give a shorter name.")
    if isinstance(error, ImportError):
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        return extra and MissingExtraError.of(*extra, use="this command")
    return None


def _report(prog: str, error: AmfacError, *, as_json: bool) -> None:
    _say(f"{prog}: error: {as_typed(str(error))}")
    if as_json:
        _print_json(error.as_json())


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody is left to hear it
        print(text, file=sys.stderr, flush=True)


def _print_json(value: dict[str, object]) -> None:
    try:
        print(json.dumps(value), flush=True)
    except OSError:
        _discard_output()


def _ended(prog: str, how: str, code: int) -> int:
    _say(f"\n{prog}: {how}; nothing unfinished was left")
    return code


def _discard_output() -> None:
    """Point stdout at nothing: the interpreter flushes it once more at its end, and would complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are the app's own there
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say_left_out(faults: Sequence[str]) -> None:
    """Name the first few of what was left out of the data on stderr, and count the rest."""
    for fault in faults[:_SHOWN_FAULTS]:
        _say(f"left out: {fault}")
    if len(faults) > _SHOWN_FAULTS:
        _say(f"left out: {len(faults) - _SHOWN_FAULTS:,} more")


class Steps:
    """Numbered lines for long work: each call prints "[2/6] simplifying".

    Args:
        total: how many steps there are.
        stream: where the lines go, stderr by default.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self._stream = stream

    def __call__(self, name: str) -> None:
        """Begin the step `name`."""
        self.done += 1
        print(f"[{self.done}/{self.total}] {name}", file=self._stream or sys.stderr, flush=True)


class ProgressBar:
    """A bar that is redrawn in place on a terminal, and nothing at all in a pipe or a file.

    Args:
        label: what is being done.
        total: how many pieces there are.
        stream: the terminal, stderr by default.
        done: how many of them were done before.
    """

    _WIDTH, _REDRAW_S = 28, 0.1

    def __init__(self, label: str, total: int, stream: TextIO | None = None, *, done: int = 0) -> None:
        self.label = label
        self.total = total
        self.done = done
        self._before = done
        self._began = time.monotonic()
        self._note = ""
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._drawn_at = -self._REDRAW_S

    def __enter__(self) -> ProgressBar:
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw()
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()

    def advance(self, pieces: int = 1, note: str = "") -> None:
        """Count `pieces` as done, with a few words to show; the bar is redrawn ten times a second at most."""
        self.done += pieces
        self._note = note
        if time.monotonic() - self._drawn_at >= self._REDRAW_S:
            self._draw()

    def _draw(self) -> None:
        if not self._shown:
            return
        self._drawn_at = time.monotonic()
        part = min(self.done / self.total, 1.0) if self.total else 1.0
        filled = round(part * self._WIDTH)
        bar = f"{self.label} [{'#' * filled}{'.' * (self._WIDTH - filled)}] {self.done}/{self.total}"
        # \x1b[K clears what a longer line left behind.
        self._stream.write(f"\r{bar}{self._left()}{self._note and ', ' + self._note}\x1b[K")
        self._stream.flush()

    def _left(self) -> str:
        """The time that the rest takes at the pace so far; nothing before the first piece and after the last."""
        done = self.done - self._before
        if done <= 0 or self.done >= self.total:
            return ""
        seconds = round((time.monotonic() - self._began) / done * (self.total - self.done))
        hours, minutes = divmod(seconds // 60, 60)
        return f", {hours}:{minutes:02}:{seconds % 60:02} left"
