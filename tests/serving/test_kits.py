"""A board kit: complete, the same each time, and its builder builds where there is neither torch nor this checkout."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX, Host, HostGpu, manifest_path, read_manifest, read_plan_header
from amfac_edge.cli import build_kit
from amfac_edge.compiler import has_builder
from amfac_edge.declared.target import load_target
from amfac_edge.errors import MachineError, ModelFileError, OutputError
from amfac_edge.serving import write_kit

if TYPE_CHECKING:
    from types import ModuleType

# Runs a program of the kit where this package and all that a board lacks can't be imported.
BARE = """
import runpy, sys
absent = "torch onnx onnxscript onnxsim onnxruntime cv2 safetensors pycocotools tomli tomllib"
for name in absent.split():
    sys.modules[name] = None
sys.path = [entry for entry in sys.path if entry not in {sys.argv[1], ""}]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# Runs one in another Python than this, or where a module is absent, as far as it can be pretended.
PRETENDED = """
import runpy, sys
{pretend}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_KIT_OF = '{"schema": "amfac-kit/1", "artefact": "x.onnx", "target": "%s"}'
SCRIPTS = ["bench.py", "build.py", "doctor.py", "info.py", "run.py"]
EVERY_MODULE = """
import importlib, json, sys
from pathlib import Path
kit = Path(sys.argv[1])
sys.path.insert(0, str(kit))
for source in sorted(kit.glob("amfac_edge/**/*.py")):
    importlib.import_module(".".join(source.relative_to(kit).with_suffix("").parts).removesuffix(".__init__"))
import amfac_edge
print(Path(amfac_edge.__file__).parent.parent.resolve() == kit.resolve())
"""


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    path: Path = markers.write_artefact(tmp_path / "marker.orin-nano-8.fp32.onnx", batch="1-4")
    return path


@pytest.fixture
def unpacked(artefact: Path, tmp_path: Path) -> Path:
    kit = write_kit(artefact, load_target("orin-nano-8"), tmp_path / "kits")
    with tarfile.open(kit) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    return tmp_path / "board" / "marker.orin-nano-8.fp32"


def bare(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    tree = str(Path(__file__).resolve().parents[2])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", BARE, tree, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kit_has_what_its_builder_needs(artefact: Path, unpacked: Path) -> None:
    assert (unpacked / artefact.name).read_bytes() == artefact.read_bytes()
    assert read_manifest(unpacked / artefact.name) == read_manifest(artefact)
    told = json.loads((unpacked / "kit.json").read_text())
    assert told["target"] == "orin-nano-8"
    assert told["sha256"] == read_manifest(artefact).digests["artefact"]
    assert not list(unpacked.glob("amfac_edge/**/networks"))
    script = unpacked.parent / "every.py"
    script.write_text(EVERY_MODULE)
    done = bare(str(script), str(unpacked), cwd=unpacked)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    ("pretend", "problem", "cure"),
    [
        ("sys.version_info = (3, 8, 10)", "this is Python 3.8", "JetPack 5 has none: its own trtexec may take"),
        ("sys.version_info = (2, 7, 18)", "this is Python 2.7", "needs Python 3.10 or newer"),
        ("sys.modules['numpy'] = None", "NumPy can't be imported: import of numpy", "sudo apt install python3-numpy"),
    ],
)
def test_a_python_that_cannot_run_it_is_told_so(
    unpacked: Path, name: str, pretend: str, problem: str, cure: str
) -> None:
    words = [sys.executable, "-c", PRETENDED.format(pretend=pretend), name]
    done = subprocess.run(words, cwd=unpacked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{name}: error: {problem}")
    assert cure in second


def test_its_bench_knows_the_papers_and_the_forecasts(unpacked: Path) -> None:
    for words in (
        ["forecast", "--table4"],
        ["choose", "amfacpose-r18-256x256", "--target", "orin-nano", "--budget-ms", "30"],
    ):
        done = bare("bench.py", *words, cwd=unpacked)
        assert done.returncode in {0, 1}, done.stderr
        assert "internal" not in done.stderr
    for words in (["peers", "--quick"], ["amfacpose-r18-256x256", "--eager"]):
        done = bare("bench.py", *words, cwd=unpacked)
        assert done.returncode == 3
        assert "is not in a kit" in done.stderr


def test_what_a_page_and_a_report_are_made_of_is_in_it(unpacked: Path) -> None:
    package = Path(build_kit.__file__).parents[1]
    for room in ("live", "performance", "sessions"):
        files = {path.relative_to(package) for path in (package / room).rglob("*") if path.is_file()}
        expected = {path for path in files if "__pycache__" not in path.parts}
        there = {path.relative_to(unpacked / "amfac_edge") for path in (unpacked / "amfac_edge" / room).rglob("*")}
        assert expected <= there


def test_old_pythons_can_read_its_scripts(unpacked: Path) -> None:
    assert sorted(path.name for path in unpacked.glob("*.py")) == SCRIPTS
    for name in SCRIPTS:
        text = (unpacked / name).read_text()
        assert text.isascii()
        ast.parse(text, feature_version=(3, 4))


def test_the_artefact_is_looked_at_out_of_the_kit(unpacked: Path, artefact: Path) -> None:
    told = bare("info.py", artefact.name, cwd=unpacked)
    assert told.returncode == 0, told.stderr
    assert "orin-nano-8" in told.stdout
    # What is said next is typed as it stands there, wherever that is.
    assert f"\n  python3 run.py --engine {artefact.name} " in told.stderr
    wrong = bare(str(unpacked / "info.py"), str(unpacked / "info.py"), cwd=unpacked.parent)
    assert f"python3 {unpacked / 'info.py'} " in wrong.stderr
    looked = bare("doctor.py", artefact.name, cwd=unpacked)
    assert looked.returncode in {0, 3}, looked.stderr  # 3 where there is no ONNX Runtime
    assert "ONNX Runtime" in looked.stdout
    for name, option in (("run.py", "--source"), ("bench.py", "--help")):
        assert option in bare(name, "--help", cwd=unpacked).stdout


def test_the_same_artefact_gives_the_same_bytes(artefact: Path, tmp_path: Path) -> None:
    one, other = (write_kit(artefact, load_target("orin-nano-8"), tmp_path / name) for name in "ab")
    assert one.name == "marker.orin-nano-8.fp32.kit.tar.gz"
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
def test_its_builder_builds_with_tensorrt_rtx_in_the_boards_place(tmp_path: Path, markers: ModuleType) -> None:
    artefact = markers.write_artefact(tmp_path / "marker.rtx-4090.fp32.onnx", batch="1-4")
    kit = write_kit(artefact, load_target("rtx-4090"), tmp_path)
    with tarfile.open(kit) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    folder = tmp_path / "board" / "marker.rtx-4090.fp32"
    done = bare("build.py", "--flavour", "tensorrt-rtx", cwd=folder)
    assert done.returncode == 0, done.stderr
    plan = Path(done.stdout.strip())
    # The next command, which is the kit's own.
    told = shlex.split(done.stderr.splitlines()[-1].partition("next: ")[2])
    assert [Path(word).name for word in told[1:]] == ["doctor.py", plan.name]
    assert subprocess.run(told, cwd=folder, capture_output=True, check=False).returncode in {0, 3}
    assert plan == folder / "marker.rtx-4090.fp32.rtx.plan"
    assert read_plan_header(plan).compute_capabilities == ("8.9",)
    assert read_manifest(plan).plan is not None


def test_what_lies_beside_the_artefact_goes_along_and_is_checked(artefact: Path, tmp_path: Path) -> None:
    beside = {"trial.npz": b"a trial", "flag-form.onnx": b"a graph"}
    kit = write_kit(artefact, load_target("orin-nano-8"), tmp_path, beside=beside)
    with tarfile.open(kit) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    folder = tmp_path / "board" / "marker.orin-nano-8.fp32"
    assert (folder / "flag-form.onnx").read_bytes() == b"a graph"
    (folder / "trial.npz").write_bytes(b"another")
    refused = bare("build.py", "--anyway", cwd=folder)
    assert refused.returncode == 2
    assert "trial.npz: not the file that the kit was packed with" in refused.stderr
    (folder / "flag-form.onnx").unlink()
    (folder / "trial.npz").write_bytes(b"a trial")
    assert "flag-form.onnx: not the file" in bare("build.py", "--anyway", cwd=folder).stderr


def test_options_that_the_kit_was_made_with_come_first(artefact: Path, tmp_path: Path) -> None:
    kit = write_kit(artefact, load_target("orin-nano-8"), tmp_path, words=("--optimization-level", "9"))
    with tarfile.open(kit) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    folder = tmp_path / "board" / "marker.orin-nano-8.fp32"
    refused = bare("build.py", "--anyway", cwd=folder)
    assert refused.returncode == 2
    assert "optimisation level 9 is not 0 to 5" in refused.stderr
    assert "optimisation level 7 is" in bare("build.py", "--anyway", "--optimization-level", "7", cwd=folder).stderr


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
def test_a_plan_is_measured_where_it_was_built(
    tmp_path: Path, markers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = markers.write_artefact(tmp_path / "marker.rtx-4090.fp32.onnx", batch="1-4")
    with tarfile.open(write_kit(artefact, load_target("rtx-4090"), tmp_path)) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    folder = tmp_path / "board" / "marker.rtx-4090.fp32"

    def measures(words: list[str]) -> int:
        sys.stdout.write(json.dumps({"measured": words}))
        return code

    monkeypatch.setattr(build_kit, "bench", measures)
    words = ["--flavour", "tensorrt-rtx", "--bench"]
    code = 0
    assert build_kit.main(words, folder) == 0
    plan = capsys.readouterr().out.strip()
    measured = Path(f"{plan}.bench.json")
    assert json.loads(measured.read_text()) == {"measured": ["run", plan, "--json"]}
    code = 3
    assert build_kit.main(words, folder) == 0
    assert not measured.exists()
    assert "built, and not measured" in capsys.readouterr().err


def test_another_machine_is_told_so(unpacked: Path) -> None:
    done = bare("build.py", cwd=unpacked)
    assert done.returncode == 3
    assert "this kit is for" in done.stderr
    assert "Orin Nano" in done.stderr
    assert not list(unpacked.glob("*.plan"))


@pytest.mark.parametrize(
    ("target", "here", "capability", "fits"),
    [
        ("orin-nano-8", "orin-nano-8", "8.7", True),
        ("orin-nano-8", "orin-nx-16", "8.7", False),
        ("orin-nano-8", None, "8.7", False),
        ("rtx-4090", None, "8.9", True),
        ("rtx-4090", "rtx-3060", "8.6", False),
    ],
)
def test_a_jetson_is_its_module_and_a_card_its_architecture(
    monkeypatch: pytest.MonkeyPatch, target: str, here: str | None, capability: str, *, fits: bool
) -> None:
    host = Host("linux", "aarch64", here, gpus=(HostGpu(capability),))
    monkeypatch.setattr(build_kit, "this_host", lambda: host)
    expected = contextlib.nullcontext() if fits else pytest.raises(MachineError, match="this kit is for")
    with expected:
        build_kit._check_machine(load_target(target))


@pytest.mark.parametrize("stem", ["my-board", "orin-nano-8"])
def test_a_target_of_ones_own_goes_along(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stem: str
) -> None:
    """Also one by the name of a declared target."""
    own = tmp_path / f"{stem}.toml"
    declared = Path(__file__).parents[2] / "engines" / "orin-nano-8.toml"
    own.write_text(declared.read_text().replace("workspace_mib = 512", "workspace_mib = 300"))
    target = load_target(own)
    assert (target.name, target.builder.workspace_mib) == (stem, 300)
    with tarfile.open(write_kit(artefact, target, tmp_path / "kits")) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    kit = tmp_path / "board" / artefact.name.removesuffix(".onnx")
    # Out of the kit, and by an installed package that looks at it.
    assert "this kit is for" in bare("build.py", cwd=kit).stderr
    found = build_kit.kit_around(kit / artefact.name)
    assert found is not None
    assert found[1] == target
    # The same board by another declaration.
    host = Host("linux", "aarch64", "orin-nano-8", gpus=(HostGpu("8.7"),))
    monkeypatch.setattr(build_kit, "this_host", lambda: host)
    build_kit._check_machine(found[1])


def test_a_kit_that_was_changed_is_not_built(unpacked: Path, artefact: Path) -> None:
    (unpacked / artefact.name).write_bytes(artefact.read_bytes() + b"\0")
    done = bare("build.py", "--anyway", cwd=unpacked)
    assert done.returncode == 2
    assert "its manifest says" in done.stderr
    (unpacked / "kit.json").write_text('{"schema": "amfac-kit/1", "artefact": "../x.onnx", "target": "orin-nano-8"}')
    assert "is no ONNX file of this folder" in bare("build.py", "--anyway", cwd=unpacked).stderr
    for content, said in (("", "not JSON"), ('{"schema": "amf', "not JSON"), (_KIT_OF % "../x", "is no target's name")):
        (unpacked / "kit.json").write_text(content)
        done = bare("build.py", "--anyway", cwd=unpacked)
        assert done.returncode == 2
        assert said in done.stderr


def test_an_artefact_without_its_manifest_makes_no_kit(artefact: Path, tmp_path: Path) -> None:
    manifest_path(artefact).unlink()
    with pytest.raises(ModelFileError, match="the manifest does not exist"):
        write_kit(artefact, load_target("orin-nano-8"), tmp_path / "kits")


def test_a_place_that_cannot_be_written_to(artefact: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        write_kit(artefact, load_target("orin-nano-8"), tmp_path / "file")
