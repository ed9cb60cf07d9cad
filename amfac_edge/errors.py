"""Every error that this package raises on purpose.

    AmfacError                  exit code 2
    ├── InputError              2   something handed in is wrong: the message names it, the file and the cure
    │   ├── DeclaredError       2   a TOML or JSON declaration: all faults of the file at once, with key paths
    │   ├── CheckpointError     2   a checkpoint that can't be read, or fits no recipe
    │   ├── ModelFileError      2   an ONNX file, a plan or a manifest that can't be trusted
    │   ├── FrameError          2   a picture, a video or boxes that can't be used
    │   └── OutputError         2   a place that can't be written to
    ├── GateError               1   the work was done and the result is not good enough; nothing was kept
    └── MachineError            3   this machine lacks something
        └── MissingExtraError   3   ... a Python package: the message names the extra and the command

A message has two parts. `problem` says what is wrong, with the bad value in it; `cure` says what to do about it.
"""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from importlib import metadata
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "AmfacError",
    "CheckpointError",
    "DeclaredError",
    "FrameError",
    "GateError",
    "InputError",
    "MachineError",
    "MissingExtraError",
    "ModelFileError",
    "OutputError",
    "install_command",
    "near_names",
    "typed",
]


class AmfacError(Exception):
    """The root of the tree above; `exit_code` is what a command ends with.

    Args:
        problem: what is wrong, naming the bad value and the file.
        cure: what the reader can do about it.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, problem: str, *, cure: str) -> None:
        # Both go into args, so that an error survives pickling out of a worker process.
        super().__init__(problem, cure)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.problem}\n  {self.cure}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.problem, self.cure)

    def as_json(self) -> dict[str, object]:
        """The same for a program: kind, problem, cure, exit code."""
        return {"error": type(self).__name__, "problem": self.problem, "cure": self.cure, "exit_code": self.exit_code}


def _rebuilt(kind: type[AmfacError], problem: str, cure: str) -> AmfacError:
    return kind(problem, cure=cure)


class InputError(AmfacError):
    """Something handed in is wrong."""


class DeclaredError(InputError):
    """A declaration (TOML, or JSON metadata) with one or more faults, each with its key path."""


class CheckpointError(InputError):
    """A checkpoint that can't be read, or that fits no recipe."""


class ModelFileError(InputError):
    """An ONNX file, a plan or a manifest that can't be trusted."""


class FrameError(InputError):
    """A picture, a video or boxes that can't be used."""


class OutputError(InputError):
    """A place that can't be written to."""


class GateError(AmfacError):
    """The work was done, the result is over its budget, and nothing was kept."""

    exit_code: ClassVar[int] = 1


class MachineError(AmfacError):
    """This machine lacks something; the cure is the command that mends it."""

    exit_code: ClassVar[int] = 3


class MissingExtraError(MachineError):
    """A Python package of one of the extras is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, *, use: str) -> MissingExtraError:
        """The error for `package`, which comes with `extra` and is needed for `use`."""
        return cls(f"{use} needs the package {package}, which is not installed", cure=install_command(package, extra))


def install_command(package: str, extra: str) -> str:
    """What brings `package`: the extra where this package is installed, which pip then reads there, else it alone.

    A kit and a bare checkout are run as they lie; an index may have something else under this package's name.
    """
    try:
        metadata.distribution("amfac-edge")
    except metadata.PackageNotFoundError:
        return f"pip install {package}"
    return f'pip install "amfac-edge[{extra}]"'


def typed(path: Path | str) -> str:
    """A path as a word of a command line, for cures and next steps: it may have spaces."""
    return shlex.quote(str(path))


def near_names(wrong: str, known: Iterable[str]) -> str:
    """A half-sentence that helps after a wrong name: the nearest known ones, or all of them where none is near."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "known: " + (", ".join(names) or "none")
