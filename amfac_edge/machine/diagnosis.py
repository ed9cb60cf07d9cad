"""What a machine can do, what it lacks, and the command that mends it.

Findings follow from facts that are handed in, so that a test can make them up. A cure is a line for a shell; what isn't
a command in it stands behind a "#".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.declared.versions import version_number
from amfac_edge.machine.jetson import BOARD_VARIABLE
from amfac_edge.machine.packages import (
    EXTRAS,
    OPENCV,
    TENSORRT_OF_PIP,
    Interpreter,
    Packages,
    State,
)
from amfac_edge.machine.this_machine import target_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from amfac_edge.machine.jetson import Jetson
    from amfac_edge.machine.this_machine import Machine

__all__ = ["Diagnosis", "Finding", "Mark", "diagnose"]

# By JetPack's major version: the versions in these extras are those that it works with.
_JETPACK_EXTRAS = {"6": "jetson", "7": "jetson7"}
_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_FLOOR = "3.10"
# Run over an existing environment, venv only opens it to the system's packages. ./amfac-edge is the checkout.
_ENVIRONMENT = "-m venv --system-site-packages .venv && . .venv/bin/activate && pip install ./amfac-edge"


class Mark(enum.Enum):
    """The state of a finding."""

    OK = "ok"
    MISSING = "missing"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        mark: its state.
        subject: what it is about.
        detail: what was found.
        cure: the command that mends it; empty where there is nothing to mend, or nothing that mends it.
    """

    mark: Mark
    subject: str
    detail: str
    cure: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """The findings on one machine.

    Attributes:
        target: what `--target auto` means; None where no declared target fits.
        extras: one finding an extra that this machine has a use for.
        abilities: one finding a kind of work; the first is what every machine is for, running an artefact on the CPU.
        problems: what goes wrong although everything is installed; empty where nothing was found.
    """

    target: str | None
    extras: tuple[Finding, ...]
    abilities: tuple[Finding, ...]
    problems: tuple[Finding, ...]

    @property
    def runs_on_cpu(self) -> bool:
        """Whether an artefact can be run on the CPU here."""
        return self.abilities[0].mark is Mark.OK


@dataclass(frozen=True)
class _Here:
    machine: Machine
    packages: Packages
    python: Interpreter
    root: Path

    def hides(self, module: str) -> bool:
        """Whether the board has `module` for this very Python, and this environment doesn't look there."""
        folder = self.root / f"usr/lib/python{self.python.minor}/dist-packages" / module
        return folder.is_dir() and not self.packages.importable(module)

    def board_python(self) -> str:
        """The Python that JetPack's own modules are for; this one where there is no JetPack, or an unknown one."""
        jetson = self.machine.jetson
        return jetson.stack.python if jetson and jetson.stack else self.python.minor


def diagnose(machine: Machine, packages: Packages, python: Interpreter, root: Path = Path("/")) -> Diagnosis:
    """The findings on `machine` with these packages and this Python; its file system begins at `root`."""
    here = _Here(machine, packages, python, root)
    extras = {name: _extra(name, here) for name in _useful_extras(machine)}
    problems = [*_clashes(here), *_cards(machine)]
    if machine.jetson:
        problems += [*_board(machine.jetson), *_board_python(machine.jetson, here), *_pip_over(machine.jetson, here)]
    return Diagnosis(target_of(machine), tuple(extras.values()), tuple(_abilities(extras, here)), tuple(problems))


def _useful_extras(machine: Machine) -> list[str]:
    names = ["base", "cpu", "export", "eval"]
    if machine.cards.cards:
        names += ["rtx", "cuda"]
    if machine.jetson and _major(machine.jetson) in _JETPACK_EXTRAS:
        names.append(_JETPACK_EXTRAS[_major(machine.jetson)])
    return names


def _extra(name: str, here: _Here) -> Finding:
    states = [here.packages.state(requirement) for requirement in EXTRAS[name]]
    lacking = [state for state in states if not state.fits]
    if not lacking:
        return Finding(Mark.OK, name, ", ".join(map(str, states)))
    fitting = ", ".join(str(state) for state in states if state.fits)
    detail = f"lacks {', '.join(map(str, lacking))}" + (f"; has {fitting}" if fitting else "")
    return Finding(Mark.MISSING, name, detail, _install(name, lacking, here))


def _install(extra: str, lacking: list[State], here: _Here) -> str:
    gone = [state.distribution for state in lacking if state.distribution and not state.importable]
    if gone:
        return f"pip install --force-reinstall --no-deps {' '.join(gone)}"
    if here.machine.jetson:
        return _install_on_board(lacking, here)
    wrong = [name for state in lacking for name in here.packages.installed(state.requirement.wrong)]
    away = f"pip uninstall -y {' '.join(wrong)} && " if wrong else ""
    # An extra asks for its own choice of OpenCV and ONNX Runtime, which would land on top of another one.
    others = here.packages.installed((*OPENCV[1:], "onnxruntime-gpu"))
    # pip reads an extra from the installed package; there is none in a kit, or in a checkout that is run as it lies.
    alone = extra == "base" or others or here.packages.version("amfac-edge") is None
    return away + (_pip(lacking) if alone else _pip_extras(extra))


def _install_on_board(lacking: list[State], here: _Here) -> str:
    rest = [state for state in lacking if state.requirement.module != "cv2"]
    if len(rest) == len(lacking):
        return _pip(rest)
    own = here.board_python()
    if _too_old(own):
        return _pip(lacking)
    # An OpenCV from pip has no GStreamer and hides the board's own.
    elsewhere = own != here.python.minor or here.hides("cv2")
    first = f"python{own} {_ENVIRONMENT}" if elsewhere else "sudo apt install nvidia-jetpack"
    return f"{first} && {_pip(rest)}" if rest else first


def _too_old(python: str) -> bool:
    return version_number(python) < version_number(_FLOOR)


def _pip(states: list[State]) -> str:
    return "pip install " + " ".join(f'"{one.requirement.distribution}{one.requirement.limits}"' for one in states)


def _pip_extras(*names: str) -> str:
    return f'pip install "amfac-edge[{",".join(names)}]"'


def _abilities(extras: dict[str, Finding], here: _Here) -> Iterator[Finding]:
    run = [extras["base"], extras["cpu"]]
    export, score = [*run, extras["export"]], extras["eval"]
    yield _ability("amfac-run, amfac-bench", "run an artefact on the CPU", run)
    yield _ability("amfac-export", "make an artefact of a checkpoint", export)
    yield _ability("amfac-eval", "score an artefact or predictions by OKS", [*run, score])
    yield _ability("amfac-train", "train a network and score it by OKS", [*export, score])
    yield _tensorrt(extras, here)


def _ability(commands: str, what: str, needed: list[Finding]) -> Finding:
    lacking = [finding for finding in needed if finding.mark is not Mark.OK]
    if not lacking:
        return Finding(Mark.OK, commands, what)
    names = ", ".join(finding.subject for finding in lacking)
    whole = [each.subject for each in lacking if each.cure == _pip_extras(each.subject)]
    cures = [each.cure for each in lacking if each.subject not in whole]
    if whole:
        # The larger extras bring what cpu has.
        cures.append(_pip_extras(*([name for name in whole if name != "cpu"] or whole)))
    return Finding(Mark.MISSING, commands, f"{what}: lacks {names}", " && ".join(cures))


def _tensorrt(extras: dict[str, Finding], here: _Here) -> Finding:
    machine = here.machine
    if not (machine.jetson or machine.cards.cards):
        return Finding(Mark.MISSING, "TensorRT", "no NVIDIA GPU answers on this machine")
    found = _importable(here, ("cuda", "rtx"), ("tensorrt", "tensorrt_rtx"))
    if found:
        adapters = _importable(here, ("cuda", "pycuda"), ("cuda", "pycuda"))
        if not adapters:
            detail = f"run a plan: {' and '.join(found)} is here, and neither cuda-python nor pycuda"
            extra = _JETPACK_EXTRAS.get(_major(machine.jetson), "jetson") if machine.jetson else "cuda"
            (wanted,) = (one for one in EXTRAS[extra] if one.module == "cuda")
            return Finding(Mark.MISSING, "TensorRT", detail, f"pip install '{wanted.distribution}{wanted.limits}'")
        return Finding(Mark.OK, "TensorRT", f"run a plan by {' and '.join(found)} over {' or '.join(adapters)}")
    if not machine.jetson:
        return Finding(Mark.MISSING, "TensorRT", "no TensorRT for this Python", extras["cuda"].cure)
    if here.hides("tensorrt") or here.board_python() != here.python.minor:
        return Finding(Mark.MISSING, "TensorRT", "the board's TensorRT is out of this Python's reach, see below")
    return Finding(Mark.MISSING, "TensorRT", "no TensorRT for this Python", "sudo apt install python3-libnvinfer")


def _importable(here: _Here, extras: Sequence[str], modules: Sequence[str]) -> list[str]:
    """What of these modules can be imported here, with versions."""
    requirements = [one for extra in extras for one in EXTRAS[extra] if one.module in modules]
    return [str(state) for state in map(here.packages.state, requirements) if state.importable]


def _clashes(here: _Here) -> Iterator[Finding]:
    runtimes = here.packages.installed(_ONNXRUNTIMES)
    if len(runtimes) > 1:
        yield _overwriting(runtimes, "onnxruntime-gpu" if here.machine.cards.cards else "onnxruntime")
    opencvs = here.packages.installed(OPENCV)
    if len(opencvs) > 1:
        # The fullest one, and of two the one that needs no window system.
        yield _overwriting(opencvs, max(opencvs, key=lambda name: ("contrib" in name, "headless" in name)))


def _overwriting(installed: dict[str, str], keep: str) -> Finding:
    names = " and ".join(f"{name} {version}" for name, version in installed.items())
    detail = f"{names} overwrite each other's files, so which one runs is chance"
    return Finding(Mark.WARNING, keep, detail, f"pip uninstall -y {' '.join(installed)} && pip install {keep}")


def _cards(machine: Machine) -> Iterator[Finding]:
    cards = machine.cards
    if not cards.cards and cards.driver:
        detail = f"driver {cards.driver} is loaded, but nvidia-smi gives no answer"
        yield Finding(
            Mark.WARNING, "NVIDIA driver", detail, "nvidia-smi  # says what is wrong; often a reboot mends it"
        )
    elif not cards.cards and cards.on_bus:
        detail = "this machine has an NVIDIA card, but no driver for it is loaded"
        yield Finding(Mark.WARNING, "NVIDIA driver", detail, "sudo ubuntu-drivers install  # or your system's own way")
    elif cards.cards and target_of(machine) is None:
        names = ", ".join(f"{card.name} (compute capability {card.compute_capability})" for card in cards.cards)
        cure = "amfac-info  # lists the targets: name one, or give a TOML file of your own as --target"
        yield Finding(Mark.WARNING, "target", f"no declared target for {names}", cure)


def _board(jetson: Jetson) -> Iterator[Finding]:
    if jetson.target is None:
        detail = f"{jetson.title} is none of the declared boards, or its device tree can't be seen from a container"
        cure = f"export {BOARD_VARIABLE}=orin-nano-8  # or your board; amfac-info lists the targets"
        yield Finding(Mark.WARNING, "board", detail, cure)


def _board_python(jetson: Jetson, here: _Here) -> Iterator[Finding]:
    """JetPack's modules belong to one Python, and to those environments that look into the system's folder."""
    if jetson.stack is None:
        return
    own, jetpack = here.board_python(), f"JetPack {jetson.jetpack}"
    if _too_old(own):
        detail = f"its own Python {own} is below {_FLOOR}, the oldest for amfac-edge, so its TensorRT is out of reach"
        cure = "# flash JetPack 6 or 7.2; until then: the CPU, or JetPack's own trtexec: docs/targets.md"
        yield Finding(Mark.WARNING, jetpack, detail, cure)
    elif own != here.python.minor:
        detail = f"this is Python {here.python.minor}, but {jetpack}'s TensorRT and OpenCV are for Python {own}"
        yield Finding(Mark.WARNING, "Python", detail, f"python{own} {_ENVIRONMENT}")
    else:
        hidden = [module for module in ("tensorrt", "cv2") if here.hides(module)]
        if hidden:
            detail = f"{jetpack}'s {' and '.join(hidden)} can't be seen from this virtual environment"
            yield Finding(Mark.WARNING, "Python", detail, f"python{own} {_ENVIRONMENT}")


def _pip_over(jetson: Jetson, here: _Here) -> Iterator[Finding]:
    """What pip brought and the board has better."""
    tensorrt = here.packages.installed(TENSORRT_OF_PIP)
    if tensorrt and _major(jetson) in {"5", "6"}:
        detail = f"{' and '.join(tensorrt)} of pip is built for servers and has no code for this board's GPU"
        yield Finding(Mark.WARNING, "TensorRT", detail, f"pip uninstall -y tensorrt {' '.join(tensorrt)}")
    if here.board_python() != here.python.minor:
        return
    opencv = here.packages.installed(OPENCV)
    if opencv:
        detail = f"{' and '.join(opencv)} of pip hides JetPack's OpenCV, which reads cameras through GStreamer"
        yield Finding(Mark.WARNING, "OpenCV", detail, f"pip uninstall -y {' '.join(opencv)}")
    numpy = here.packages.version("numpy")
    if numpy and _major(jetson) == "6" and version_number(numpy) >= (2,):
        detail = f"numpy {numpy}: JetPack 6's OpenCV and most wheels for it need NumPy 1"
        yield Finding(Mark.WARNING, "numpy", detail, 'pip install "numpy<2"')


def _major(jetson: Jetson) -> str:
    return (jetson.jetpack or "").split(".")[0]
