"""How far a build is, for people: one live line on a terminal, elsewhere a line for each stage and a sign of life."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

    from amfac_edge.compiler import BuildProgress

__all__ = ["BuildLine"]

_INDENT = "      "
_BEAT_S = 30.0


class BuildLine:
    """What `plan_from_artefact` calls with its progress; as a context manager it leaves a clean line behind.

    Args:
        stream: where it is shown, stderr by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._stage = ""
        self._said_at = 0.0

    def __enter__(self) -> BuildLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._write("\r\x1b[K")

    def __call__(self, progress: BuildProgress) -> None:
        """Show it."""
        if self._live:
            # A line that wraps can't be drawn over.
            line = f"{_INDENT}{_sentence(progress)}"[: shutil.get_terminal_size().columns - 1]
            self._write(f"\r{line}\x1b[K")
        elif progress.stage != self._stage or progress.elapsed_s - self._said_at >= _BEAT_S:
            self._said_at = progress.elapsed_s
            self._write(f"{_INDENT}{_sentence(progress)}\n")
        self._stage = progress.stage

    def say(self, text: str) -> None:
        """Say something that stays, above the live line."""
        self._write(f"\r\x1b[K{_INDENT}{text}\n" if self._live else f"{_INDENT}{text}\n")
        self._stage = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _sentence(progress: BuildProgress) -> str:
    minutes, seconds = divmod(int(progress.elapsed_s), 60)
    phase = f", {progress.phase[:1].lower()}{progress.phase[1:]}" if progress.phase else ""
    steps = f" {progress.step}/{progress.steps}" if progress.phase and progress.steps > 1 else ""
    return f"{minutes}:{seconds:02} {progress.stage}{phase}{steps}"
