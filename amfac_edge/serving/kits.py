"""Board kits: an archive with an artefact, and all that builds its plan on the board but Python, NumPy and TensorRT.

Its one folder holds the artefact with its manifest, kit.json (for which target), build.py, and the lean rooms of this
package with the declared targets and recipes.
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

__all__ = ["KIT_FILE", "KIT_SCHEMA", "kit_name", "write_kit"]

KIT_FILE, KIT_SCHEMA = "kit.json", "amfac-kit/1"
_NOTHING: Mapping[str, bytes] = MappingProxyType({})

_COMMANDS = ("__init__", "bench", "build_kit", "doctor", "doctor_file", "info", "run")
_IMPORT = re.compile(r"^( *)from amfac_edge\.(\w+)(?:\.(\w+))?", re.MULTILINE)
_BUILD = '''"""Builds the plan of this kit on the machine that it is for: python3 build.py (--help tells more)."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from amfac_edge.cli.build_kit import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], HERE))
'''


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
    yield "build.py", _BUILD.encode()
    package = Path(amfac_edge.__file__).parent
    for source in sorted({package / "__init__.py", *_sources(package)}):
        yield f"amfac_edge/{source.relative_to(package).as_posix()}", source.read_bytes()
    for room in ("engines", "export"):
        for declared in sorted(declared_folder(room).glob("*.toml")):
            yield f"amfac_edge/_declared/{room}/{declared.name}", json_bytes(read_toml(declared))


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
                waiting += [*folder.rglob("*.py"), *folder.rglob("*.cu")] or [package / f"{room}.py"]
    return found
