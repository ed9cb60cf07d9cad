"""Records what TensorRT's Python bindings have, from the wheels themselves, into tensorrt_api.json beside this file.

Of every class the names; of those that run plans the signatures too, as their docstrings give them.

    pip download --no-deps --dest WHEELS tensorrt-bindings==8.6.1
    pip download --no-deps --dest WHEELS tensorrt-cu12-bindings==10.3.0        (and the other versions)
    pip download --no-deps --dest WHEELS tensorrt-rtx-cu13-bindings==1.7.1.116
    python tests/facts/record_tensorrt_api.py WHEELS

The bindings need TensorRT's libraries, which are gigabytes and of no use here: each is replaced by an empty library
with the few symbols that the bindings ask the linker for. Importing then works without a GPU or a driver. It takes
Linux, the Python that the wheels are for, NumPy, gcc, nm and readelf.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

RECORD = Path(__file__).with_name("tensorrt_api.json")
# What the system has anyway.
SYSTEM = re.compile(r"lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so|ld-linux")
# Prints the public names of a module: what a class, an enumeration or the module itself has; and signatures.
LISTING = """
import importlib, json, re, sys
module = importlib.import_module(sys.argv[1])
names, signatures = {}, {}
for name, value in vars(module).items():
    if name.startswith("_"):
        continue
    inside = []
    if isinstance(value, type):
        inside = sorted(member for member in dir(value) if not member.startswith("_"))
    names[name] = inside
for name in ("Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache"):
    for member in names.get(name, ()):
        text = getattr(getattr(module, name), member).__doc__ or ""
        found = re.findall(r"^(?:[0-9]+[.] )?" + member + r"[(]self: [^,)]*(?:, )?(.*)[)] -> (.*)$", text, re.MULTILINE)
        if found:
            # As of any of them: modules have another name in each wheel, and integers are written in two ways.
            bare = [
                re.sub(r"\\b(?:[a-z_0-9]+(?:[.]|::))+(?=[A-Z])", "", f"({given}) -> {gives}") for given, gives in found
            ]
            signatures[f"{name}.{member}"] = [
                one.replace("SupportsInt", "int").replace("List[", "list[") for one in bare
            ]
json.dump({"version": module.__version__, "names": names, "signatures": signatures}, sys.stdout)
"""


def main() -> None:
    """Record the wheels of the folder that is given."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit(f"usage: {sys.argv[0]} FOLDER_OF_WHEELS\n{__doc__}")
    wheels = Path(sys.argv[1]).glob("tensorrt*_bindings-*.whl")
    recorded = dict(sorted(map(recorded_wheel, wheels), key=lambda pair: release(pair[0])))
    RECORD.write_text(json.dumps(merged(recorded), indent=1) + "\n")
    sys.stdout.write(f"{RECORD}: {', '.join(recorded)}\n")


def recorded_wheel(wheel: Path) -> tuple[str, dict[str, dict[str, list[str]]]]:
    """The version of a wheel, with "rtx-" before that of TensorRT-RTX; its names with their members, and signatures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root)
        binary = next(path for path in root.glob("*/tensorrt*.so"))
        make_stubs(binary, root / "stubs")
        answer = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LISTING, binary.parent.name],
            cwd=root,
            env={"LD_LIBRARY_PATH": str(root / "stubs"), "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
        )
    listing = json.loads(answer.stdout)
    prefix = "rtx-" if "rtx" in wheel.name else ""
    return prefix + listing["version"], {"names": listing["names"], "signatures": listing["signatures"]}


def release(version: str) -> tuple[int, list[int]]:
    """Something to sort versions by: those of TensorRT first."""
    return version.count("rtx"), [int(part) for part in version.removeprefix("rtx-").split(".")]


def make_stubs(binary: Path, folder: Path) -> None:
    """Write a library for each one that `binary` needs; the first has all the symbols."""
    folder.mkdir()
    needed: list[str] = re.findall(r"Shared library: \[(.*)\]", output("readelf", "-d", binary))
    symbols = [
        name.partition("@")[0]
        for name in re.findall(r"^\s+U (\S+)$", output("nm", "-D", binary), re.MULTILINE)
        if "@" not in name and not name.startswith(("Py", "_Py"))
    ]
    source = folder / "stub.c"
    for library in [name for name in needed if not SYSTEM.match(name)]:
        source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in symbols))
        symbols = []
        command: list[str | Path] = [
            "gcc",
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{library}",
            "-o",
            folder / library,
            source,
        ]
        subprocess.run(command, check=True)


def output(*command: str | Path) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def merged(recorded: dict[str, dict[str, dict[str, list[str]]]]) -> dict[str, object]:
    """Names by class ("" for the module itself), signatures by method, and both by the versions that have them."""
    names = {version: {"": sorted(one["names"]), **one["names"]} for version, one in recorded.items()}
    owned = grouped(names, len(recorded))
    signatures = grouped({version: one["signatures"] for version, one in recorded.items()}, len(recorded))
    return {
        "versions": list(recorded),
        "names": {
            owner: {key: " ".join(members) for key, members in groups.items()} for owner, groups in owned.items()
        },
        "signatures": signatures,
    }


def grouped(recorded: dict[str, dict[str, list[str]]], count: int) -> dict[str, dict[str, list[str]]]:
    """What each owner has, by the versions that have it, "all" for every one of `count`."""
    owners: dict[str, dict[str, list[str]]] = {}
    for version, had in recorded.items():
        for owner, members in had.items():
            for member in members:
                owners.setdefault(owner, {}).setdefault(member, []).append(version)
    found: dict[str, dict[str, list[str]]] = {}
    for owner, members_of in sorted(owners.items()):
        groups = found.setdefault(owner, {})
        for member, versions in sorted(members_of.items()):
            groups.setdefault("all" if len(versions) == count else " ".join(versions), []).append(member)
    return found


if __name__ == "__main__":
    main()
