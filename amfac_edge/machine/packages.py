"""Which Python packages are here, and which of our extras they fill; nothing is imported to find out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import Distribution
from types import MappingProxyType
from typing import TYPE_CHECKING

from amfac_edge.declared.versions import version_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EXTRAS", "OPENCV", "TENSORRT_OF_PIP", "Interpreter", "Packages", "Requirement", "State"]

OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
# What pip's "tensorrt" brings along, and a board's own TensorRT doesn't have.
TENSORRT_OF_PIP = ("tensorrt-cu12", "tensorrt-cu13", "tensorrt-cu12-bindings", "tensorrt-cu13-bindings")


@dataclass(frozen=True)
class Requirement:
    """One package of an extra.

    Attributes:
        module: the name to import.
        distribution: the name to install.
        at_least: lowest version that will do.
        below: first version that won't.
        pinned: no version but `at_least` will do.
        instead: other distributions with the same module, which will do too.
        wrong: other distributions with the same module, which won't.
    """

    module: str
    distribution: str
    at_least: str
    below: str | None = None
    pinned: bool = False
    instead: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def limits(self) -> str:
        """The versions that will do, as pip takes them: ">=12.6,<13"."""
        if self.pinned:
            return f"=={self.at_least}"
        return f">={self.at_least}" + (f",<{self.below}" if self.below else "")

    def allows(self, version: str) -> bool:
        """Whether `version` will do."""
        number, least = version_number(version), version_number(self.at_least)
        if self.pinned:
            return number == least
        return least <= number and (self.below is None or number < version_number(self.below))


_NUMPY = Requirement("numpy", "numpy", "1.21")
_ONNXRUNTIME = Requirement("onnxruntime", "onnxruntime", "1.18", instead=("onnxruntime-gpu",))
_OPENCV = Requirement("cv2", "opencv-python", "4.5", instead=OPENCV[1:])
_ONNXSIM = (
    Requirement("onnxsim", "onnxsim", "0.8.1")
    if sys.version_info >= (3, 11)
    else Requirement("onnxsim", "onnxsim", "0.7.3", pinned=True)
)
_CUDA_PYTHON = Requirement("cuda", "cuda-python", "12.6")

# The optional dependencies of the package as modules; "base" is what every installation has.
EXTRAS: Mapping[str, tuple[Requirement, ...]] = MappingProxyType(
    {
        "base": (_NUMPY,),
        "cpu": (_ONNXRUNTIME, _OPENCV),
        "export": (
            Requirement("torch", "torch", "2.9"),
            Requirement("onnx", "onnx", "1.17"),
            Requirement("onnxscript", "onnxscript", "0.5"),
            _ONNXSIM,
            Requirement("safetensors", "safetensors", "0.4"),
        ),
        "eval": (Requirement("pycocotools", "pycocotools", "2.0.8"),),
        "rtx": (Requirement("tensorrt_rtx", "tensorrt-rtx", "1.7.1.116", pinned=True), _CUDA_PYTHON, _OPENCV),
        "cuda": (
            Requirement("tensorrt", "tensorrt", "10.3"),
            _CUDA_PYTHON,
            Requirement("onnxruntime", "onnxruntime-gpu", "1.18", wrong=("onnxruntime",)),
            _OPENCV,
        ),
        "pycuda": (Requirement("pycuda", "pycuda", "2024.1"),),
        "jetson": (
            Requirement("numpy", "numpy", "1.21", "2"),
            Requirement("cuda", "cuda-python", "12.6", "12.7"),
        ),
        "jetson7": (
            Requirement("numpy", "numpy", "1.21", "2"),
            Requirement("cuda", "cuda-python", "13.0", "13.3"),
        ),
        "mqtt": (Requirement("paho", "paho-mqtt", "2.0"),),
        "supervision": (Requirement("supervision", "supervision", "0.20"),),
    }
)


@dataclass(frozen=True)
class Interpreter:
    """The running Python: its version ("3.10.12"), its program, and whether it is a virtual environment's."""

    version: str
    executable: str
    virtual: bool

    @classmethod
    def running(cls) -> Interpreter:
        """The one that runs this."""
        version = ".".join(map(str, sys.version_info[:3]))
        return cls(version, sys.executable, virtual=sys.prefix != sys.base_prefix)

    @property
    def minor(self) -> str:
        """The version without its last part, which is what compiled modules are bound to: "3.10"."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True)
class State:
    """How a requirement stands.

    Attributes:
        requirement: the one asked about.
        distribution: the installed one; None for none, or for a module that the system brings without pip's records.
        version: of it.
        importable: the module's files are there.
    """

    requirement: Requirement
    distribution: str | None
    version: str | None
    importable: bool

    @property
    def fits(self) -> bool:
        """It can be imported, and its version, where it is known, is within the requirement's limits."""
        return self.importable and (self.version is None or self.requirement.allows(self.version))

    def __str__(self) -> str:
        name = self.distribution or self.requirement.distribution
        if not self.importable:
            return f"{name} (its files are gone)" if self.distribution else name
        if not self.fits:
            return f"{name} {self.version} (needs {self.requirement.limits})"
        return f"{name} {self.version}" if self.version else f"{self.requirement.module} (the system's own)"


class Packages:
    """The packages that Python finds.

    Args:
        path: folders to look in, in order; None for `sys.path`.
    """

    def __init__(self, path: Sequence[str] | None = None) -> None:
        self._path = list(sys.path if path is None else path)

    def version(self, distribution: str) -> str | None:
        """The installed version of a distribution, None where pip's records don't have it."""
        found = next(iter(Distribution.discover(name=distribution, path=self._path)), None)
        return (found.version or "of unknown version") if found else None

    def installed(self, distributions: Sequence[str]) -> dict[str, str]:
        """Those of `distributions` that are installed, with their versions."""
        versions = {name: self.version(name) for name in distributions}
        return {name: version for name, version in versions.items() if version}

    def state(self, requirement: Requirement) -> State:
        """How a requirement stands here."""
        installed = self.installed((requirement.distribution, *requirement.instead))
        distribution, version = next(iter(installed.items()), (None, None))
        importable = self.importable(requirement.module, namespace=distribution is not None)
        taken = distribution is None and bool(self.installed(requirement.wrong))
        return State(requirement, distribution, version, importable and not taken)

    def importable(self, module: str, *, namespace: bool = False) -> bool:
        """Whether there is a module of that name.

        A folder of that name without a module in it (in the current folder, say) makes a namespace, which counts where
        `namespace` says so.
        """
        found = PathFinder.find_spec(module, self._path)
        return found is not None and (namespace or found.origin is not None)
