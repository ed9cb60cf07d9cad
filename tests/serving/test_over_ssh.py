"""Plans built over ssh, by a real sshd on the loopback address; TensorRT-RTX's builder stands for the board's."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX, manifest_path, read_manifest, read_plan_header
from amfac_edge.compiler import has_builder
from amfac_edge.declared.target import load_target
from amfac_edge.errors import MachineError
from amfac_edge.serving import Board, check_board, plan_over_ssh, ssh_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.serving.conftest import BoardMachine

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
needs_rtx = pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")

BOARD = Board("board", python=sys.executable)
STAND_IN = ("--flavour", "tensorrt-rtx")
OLD = {"marker.rtx-4090.fp32.rtx.plan": b"the old plan", "marker.rtx-4090.fp32.rtx.plan.json": b"and its manifest"}


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    (tmp_path / "here").mkdir()
    path: Path = markers.write_artefact(tmp_path / "here" / "marker.rtx-4090.fp32.onnx", batch="1-4")
    return path


@pytest.fixture
def old_pair(artefact: Path) -> Path:
    """An artefact beside which a plan of an earlier build lies."""
    for name, content in OLD.items():
        artefact.with_name(name).write_bytes(content)
    return artefact


def build(artefact: Path, *words: str, board: Board = BOARD, **options: object) -> str:
    """The message of the error that a build ends in; what lay there before is as it was."""
    before = {path.name: path.read_bytes() for path in artefact.parent.iterdir()}
    with pytest.raises(MachineError) as caught:
        plan_over_ssh(artefact, load_target("rtx-4090"), board, build_arguments=words, **options)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in artefact.parent.iterdir()} == before
    return str(caught.value)


def modules(machine: BoardMachine, **sources: str) -> str:
    """A folder of modules that Python there finds before all others."""
    folder = machine.folder / "modules"
    folder.mkdir(exist_ok=True)
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    return str(folder)


@needs_rtx
def test_a_plan_is_built_there_and_brought_back(old_pair: Path, board_machine: BoardMachine) -> None:
    artefact, said = old_pair, list[str]()
    brought = plan_over_ssh(artefact, load_target("rtx-4090"), BOARD, build_arguments=STAND_IN, say=said.append)
    plan = brought.plan.path
    assert plan == artefact.with_name("marker.rtx-4090.fp32.rtx.plan")
    assert read_manifest(plan) == brought.plan.manifest
    assert read_manifest(plan).digests["onnx"] == read_manifest(artefact).digests["artefact"]
    assert read_plan_header(plan).compute_capabilities == ("8.9",)
    log = artefact.with_name(f"{plan.name}.build.log")
    assert brought.beside == (log,)
    assert any("building for GeForce RTX 4090" in line for line in said)
    assert "building for GeForce RTX 4090" in log.read_text()
    assert {path.name for path in artefact.parent.iterdir()} == {
        *OLD, artefact.name, manifest_path(artefact).name, log.name,
    }  # fmt: skip
    assert board_machine.left_over() == []


@needs_rtx
def test_every_plain_file_that_a_build_leaves_comes_along(artefact: Path, board_machine: BoardMachine) -> None:
    leaves = (
        "import os, sys\n"
        "if 'build.py' in sys.orig_argv:\n"
        "    out = sys.orig_argv[sys.orig_argv.index('--out') + 1]\n"
        "    open(os.path.join(out, 'parity.json'), 'w').write('{}')\n"
        "    os.symlink('/etc/passwd', os.path.join(out, 'link.json'))\n"
        "    os.mkdir(os.path.join(out, 'folder'))\n"
    )
    board_machine.client(PYTHONPATH=modules(board_machine, sitecustomize=leaves))
    brought = plan_over_ssh(artefact, load_target("rtx-4090"), BOARD, build_arguments=STAND_IN)
    plan = brought.plan.path.name
    assert [path.name for path in brought.beside] == [f"{plan}.build.log", f"{plan}.parity.json"]
    assert brought.beside[1].read_text() == "{}"


def test_what_runs_there_is_the_kits_own_package(artefact: Path, board_machine: BoardMachine) -> None:
    spy = "import pathlib, amfac_edge; raise RuntimeError('from ' + str(pathlib.Path(amfac_edge.__file__).parents[1]))"
    board_machine.client(PYTHONPATH=modules(board_machine, tensorrt=spy))
    said = build(artefact, "--anyway")
    assert re.search(rf"from {board_machine.tmp}/amfac-on-board-\w+/marker\.rtx-4090\.fp32", said), said


def slow_build(machine: BoardMachine) -> None:
    """TensorRT takes its time there."""
    source = "import pathlib, time; pathlib.Path(__file__).with_name('began').touch(); time.sleep(120)"
    machine.client(PYTHONPATH=modules(machine, tensorrt=source))


def when(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    def watch() -> None:
        for _ in range(1200):
            if condition():
                act()
                return
            time.sleep(0.05)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def builders(machine: BoardMachine) -> list[str]:
    """Command lines of the processes that work for the board."""
    return [words for words in map(_words, Path("/proc").glob("[0-9]*")) if f"{machine.tmp}/" in words]


def _words(process: Path) -> str:
    try:
        return f"{(process / 'cwd').readlink()}/ {(process / 'cmdline').read_text()}"
    except OSError:
        return ""


def test_a_connection_that_breaks_while_building(old_pair: Path, board_machine: BoardMachine) -> None:
    slow_build(board_machine)
    watcher = when((board_machine.folder / "modules" / "began").exists, board_machine.drop)
    started = time.monotonic()
    said = build(old_pair, "--anyway")
    watcher.join()
    assert "the connection to board broke while the plan was built there" in said
    assert time.monotonic() - started < 60
    assert board_machine.left_over() == []
    assert builders(board_machine) == []


def test_a_connection_that_breaks_while_copying(
    old_pair: Path, board_machine: BoardMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, sent = os.write, 0

    def dropping(descriptor: int, block: bytes) -> int:
        nonlocal sent
        if not isinstance(block, memoryview):  # somebody else's
            return write(descriptor, block)
        if sent > 60_000 and board_machine.lying():
            board_machine.drop()
        written = write(descriptor, block[:10_000])
        sent += written
        time.sleep(0.1)
        return written

    monkeypatch.setattr(os, "write", dropping)
    said = build(old_pair, "--anyway")
    assert "the connection to board broke while the kit was copied there" in said
    assert board_machine.left_over() == []


def test_ctrl_c_ends_the_build_there(old_pair: Path, board_machine: BoardMachine) -> None:
    slow_build(board_machine)
    program = (
        "import sys; from pathlib import Path; from amfac_edge.serving import Board, plan_over_ssh\n"
        "from amfac_edge.declared.target import load_target\n"
        "board = Board('board', python=sys.executable)\n"
        "plan_over_ssh(Path(sys.argv[1]), load_target('rtx-4090'), board, build_arguments=['--anyway'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(old_pair)], stderr=subprocess.DEVNULL) as process:
        watcher = when((board_machine.folder / "modules" / "began").exists, lambda: process.send_signal(signal.SIGINT))
        assert process.wait(60) == -signal.SIGINT
    watcher.join()
    assert board_machine.left_over() == []
    assert builders(board_machine) == []
    assert {name: old_pair.with_name(name).read_bytes() for name in OLD} == OLD


def test_a_build_that_does_not_end(old_pair: Path, board_machine: BoardMachine) -> None:
    slow_build(board_machine)
    assert "did not end within 3 s; it was given up" in build(old_pair, "--anyway", timeout_s=3.0)
    assert board_machine.left_over() == []
    assert builders(board_machine) == []


def small_disk(machine: BoardMachine, name: str, **environment: str) -> Path:
    if not machine.isolated:
        pytest.skip("a full disk needs a file system of its own: no namespaces here")
    folder = machine.folder / name
    machine.client(TMPDIR=str(folder), **environment)
    return folder


def left_on(folder: Path) -> str:
    """What lies on a disk that only the board has mounted."""
    done = subprocess.run(["ssh", "board", "ls", "-A", str(folder)], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout


def test_a_disk_that_is_full_while_copying(old_pair: Path, board_machine: BoardMachine) -> None:
    disk = small_disk(board_machine, "small")
    said = build(old_pair, "--anyway")
    assert re.search(rf"the disk of board is full \({disk}, \d MiB free\), while the kit was copied there", said), said
    assert left_on(disk) == ""


@needs_rtx
def test_a_disk_that_is_full_while_building(old_pair: Path, board_machine: BoardMachine) -> None:
    # Somebody else fills it while the builder, the real one, begins.
    filler = (
        "import os, sys, tempfile\n"
        "if 'amfac_edge.children' in ' '.join(sys.orig_argv):\n"
        "    with open(os.path.join(tempfile.gettempdir(), 'filler'), 'wb', buffering=0) as file:\n"
        "        try:\n"
        "            while True: file.write(bytes(4096))\n"
        "        except OSError: pass\n"
    )
    disk = small_disk(board_machine, "larger", PYTHONPATH=modules(board_machine, sitecustomize=filler))
    said = build(old_pair, *STAND_IN)
    assert re.search(rf"the disk of board is full \({disk}, 0 MiB free\), while the plan was built there", said), said
    assert left_on(disk) == ""


def test_keys_that_are_refused(artefact: Path, board_machine: BoardMachine) -> None:
    board_machine.client(key="stranger")
    said = build(artefact)
    assert "board lets nobody in with the keys at hand" in said
    assert "Permission denied (publickey)" in said
    assert "ssh-copy-id" in said


def test_a_host_key_that_is_unknown(board_machine: BoardMachine) -> None:
    board_machine.client(host_key=None)
    with pytest.raises(MachineError, match=r"the host key of board is not known here\n.* by hand .*: ssh board"):
        check_board(BOARD)


def test_a_host_key_that_changed(board_machine: BoardMachine) -> None:
    board_machine.client(host_key="other_host")
    with pytest.raises(MachineError, match=r"board shows another host key .*\n.*ssh-keygen -R board"):
        check_board(BOARD)


def test_a_port_where_nobody_listens(board_machine: BoardMachine) -> None:
    board_machine.stop()
    with pytest.raises(MachineError, match=r"on board no ssh server answers \(.*Connection refused"):
        check_board(BOARD)


def test_user_and_port_are_passed_on(board_machine: BoardMachine) -> None:
    check_board(Board.parse(f"{board_machine.user}@127.0.0.1:{board_machine.port}", python=sys.executable))
    assert board_machine.left_over() == []


def test_a_python_that_is_not_there(board_machine: BoardMachine) -> None:
    with pytest.raises(
        MachineError, match=r"board has no python3\.99 that runs \(.*not found\)\n.*--remote-python PATH"
    ):
        check_board(Board("board", python="python3.99"))
    with pytest.raises(MachineError, match=r"board has no /etc/passwd that runs"):
        check_board(Board("board", python="/etc/passwd"))
    assert board_machine.left_over() == []


def test_a_python_that_is_too_old(board_machine: BoardMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_session, "_FLOOR", (3, 99))
    with pytest.raises(MachineError, match=rf"on board is Python {sys.version.split()[0]}, older than"):
        check_board(BOARD)
    assert board_machine.left_over() == []


@pytest.mark.parametrize("package", ["numpy", "tensorrt"])
def test_a_package_that_is_not_there(artefact: Path, board_machine: BoardMachine, package: str) -> None:
    absent = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')"
    board_machine.client(PYTHONPATH=modules(board_machine, **{package: absent}))
    said = build(artefact, "--anyway")
    known = {
        "numpy": "on board: NumPy can't be imported: No module named 'numpy'\n  sudo apt install python3-numpy",
        "tensorrt": "TensorRT's Python bindings, which are not here\n  On a Jetson: sudo apt install",
    }
    assert known[package] in said
    assert board_machine.left_over() == []


def test_another_board_than_the_target(artefact: Path, board_machine: BoardMachine) -> None:
    said = build(artefact)
    assert said.startswith("on board: this kit is for GeForce RTX 4090")
    assert "says what this one is" in said
    assert board_machine.left_over() == []


def test_a_login_script_that_talks(board_machine: BoardMachine) -> None:
    (board_machine.folder / "authorized_keys").write_text(
        'command="printf Welcome; eval $SSH_ORIGINAL_COMMAND" ' + (board_machine.folder / "user.pub").read_text()
    )
    check_board(BOARD)


def test_the_users_configuration_is_not_in_the_way(board_machine: BoardMachine) -> None:
    board_machine.client(
        "Host board", "RemoteCommand date", "RequestTTY force", f"LocalForward {board_machine.port} x:1"
    )
    check_board(BOARD)
