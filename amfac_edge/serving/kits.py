"""Board kits: an archive with an artefact, and all that builds its plan on the board but Python, NumPy and TensorRT.

Its one folder holds the artefact with its manifest, kit.json (for which target), build.py, the commands that look at
the plan, measure and run it, and the lean rooms of this package with the declared targets and recipes.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import amfac_edge
from amfac_edge.artefact import manifest_path, read_artefact
from amfac_edge.declared.library import declared_folder
from amfac_edge.declared.reading import read_toml
from amfac_edge.files import json_bytes, refuse_overwriting, sha256_of, writable_folder, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from amfac_edge.artefact import Manifest
    from amfac_edge.declared.target import Target

__all__ = ["JETPACK_5", "KIT_FILE", "KIT_SCHEMA", "kit_name", "target_in_kit", "write_kit"]

KIT_FILE, KIT_SCHEMA = "kit.json", "amfac-kit/1"
_NOTHING: Mapping[str, bytes] = MappingProxyType({})

_COMMANDS = ("__init__", "bench", "build_kit", "doctor", "doctor_file", "info", "run")
_IMPORT = re.compile(r"^( *)from amfac_edge\.(\w+)(?:\.(\w+))?", re.MULTILINE)
JETPACK_5 = (
    "JetPack 5 has none: its own trtexec may take what amfac-export --opset 17 writes "
    "(trtexec --onnx=MODEL.onnx --saveEngine=MODEL.plan --fp16; the shapes are in docs/targets.md)."
)
_NEEDS = f"It needs Python 3.10 or newer, which JetPack 6 and 7 bring as python3. {JETPACK_5}"
_NUMPY = "sudo apt install python3-numpy, on a Jetson; elsewhere pip install numpy"
# What is before the package's import is read by any Python since 2.7.
_SCRIPT = '''"""{does}"""

import sys


def lack():
    if sys.version_info < (3, 10):
        return "this is Python %d.%d" % sys.version_info[:2], {needs!r}
    try:
        import numpy
    except ImportError as error:
        return "NumPy can't be imported: %s" % error, {numpy!r}
    return None


if __name__ == "__main__":
    lacking = lack()
    if lacking:
        sys.stderr.write("{name}.py: error: %s\\n  %s\\n" % lacking)
        sys.exit(3)

    from pathlib import Path

    kit = Path(__file__).resolve().parent
    sys.path.insert(0, str(kit))

    {imported}

    sys.exit(main({arguments}))
'''
_SCRIPTS = {
    "build": "Builds the plan of this kit on the machine that it is for: python3 build.py (--help tells more).",
    "bench": "Measures a plan on this machine: amfac-bench, out of the kit.",
    "doctor": "Says whether a plan will load on this machine: amfac-doctor, out of the kit.",
    "info": "Says what a plan is: amfac-info, out of the kit.",
    "run": "Finds people's joints by a plan: amfac-run, out of the kit.",
}


def kit_name(artefact: Path) -> str:
    """The archive's name: that of the artefact with .kit.tar.gz."""
    return artefact.name.removesuffix(".onnx") + ".kit.tar.gz"


def write_kit(
    artefact: Path,
    target: Target,
    out: Path,
    *,
    words: Sequence[str] = (),
    beside: Mapping[str, bytes] = _NOTHING,
) -> Path:
    """Write the kit that builds the plan of `artefact` on `target`; the same artefact and package give the same bytes.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: the board or card.
        out: folder for the archive.
        words: options that its build.py is given before those of whoever runs it.
        beside: what `compiler.forms.plan_for_this_machine` finds beside the artefact, by name.

    Returns:
        The archive's path.

    Raises:
        ModelFileError: the artefact is damaged or has no manifest.
        OutputError: the place can't be written to.
    """
    content, manifest = read_artefact(artefact)
    path = writable_folder(out) / kit_name(artefact)
    refuse_overwriting([path], [artefact, manifest_path(artefact)])
    stem = path.name.removesuffix(".kit.tar.gz")
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, inside in _members(artefact, content, manifest, target, words, beside):
            member = tarfile.TarInfo(f"{stem}/{name}")
            member.size, member.mode = len(inside), 0o644
            archive.addfile(member, io.BytesIO(inside))
    write_bytes(path, stream.getvalue())
    return path


def _members(
    artefact: Path,
    content: bytes,
    manifest: Manifest,
    target: Target,
    words: Sequence[str],
    beside: Mapping[str, bytes],
) -> Iterator[tuple[str, bytes]]:
    description = {
        "schema": KIT_SCHEMA,
        "artefact": artefact.name,
        "target": target.name,
        "options": list(words),
        "beside": {name: sha256_of(inside) for name, inside in beside.items()},
        "sha256": manifest.digests["artefact"],
        "version": amfac_edge.__version__,
    }
    yield KIT_FILE, json_bytes(description)
    yield artefact.name, content
    # As it lies there, to the byte: a signature beside it is of these.
    yield manifest_path(artefact).name, manifest_path(artefact).read_bytes()
    yield from beside.items()
    for name, does in _SCRIPTS.items():
        yield f"{name}.py", _script(name, does)
    package = Path(amfac_edge.__file__).parent
    for source in sorted({package / "__init__.py", *_sources(package)}):
        yield f"amfac_edge/{source.relative_to(package).as_posix()}", source.read_bytes()
    # The target may be a file of the user's own, also one by the name of a declared target.
    own = target_in_kit(target.name)
    yield own, json_bytes(target.table)
    for room in ("bench/forecast", "bench/published", "engines", "export"):
        for declared in sorted(declared_folder(room).iterdir()):
            place = f"amfac_edge/_declared/{room}/{declared.name}"
            if declared.suffix == ".csv":
                yield place, declared.read_bytes()
            elif declared.suffix == ".toml" and place != own:
                yield place, json_bytes(read_toml(declared))


def target_in_kit(name: str) -> str:
    """Where a kit has the declaration of the target that it is for."""
    return f"amfac_edge/_declared/engines/{name}.toml"


def _script(name: str, does: str) -> bytes:
    module, arguments = ("build_kit", "sys.argv[1:], kit") if name == "build" else (name, "")
    return _SCRIPT.format(
        does=does,
        name=name,
        needs=_NEEDS,
        numpy=_NUMPY,
        imported=f"from amfac_edge.cli.{module} import main",
        arguments=arguments,
    ).encode()


def _sources(package: Path) -> set[Path]:
    """The commands of a board and what they import: single files of their own room, other rooms as a whole."""
    found: set[Path] = set()
    waiting = [package / "cli" / f"{name}.py" for name in _COMMANDS]
    while waiting:
        source = waiting.pop()
        if source in found:
            continue
        found.add(source)
        is_command = source.parent.name == "cli"
        for indent, room, module in _IMPORT.findall(source.read_text()):
            if is_command and indent:  # for some ways through a command, which a board may lack
                continue
            folder = package / room
            if room == "cli":
                waiting.append(folder / f"{module}.py")
            else:
                # Kernels, pages and style sheets too.
                files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
                waiting += files or [package / f"{room}.py"]
    return found
