"""Building over ssh without an sshd: what may name a board, what ssh says, and what a board may send."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import manifest_path
from amfac_edge.cli.export import main
from amfac_edge.declared.target import load_target
from amfac_edge.errors import AmfacError, GateError, InputError, MachineError, ModelFileError
from amfac_edge.serving import Board, check_board, on_board, plan_over_ssh
from amfac_edge.serving.on_board import FRAME
from amfac_edge.serving.ssh_failures import board_failure, connection_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

BOARD = Board("orin", "me", 2222)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("orin", "-- orin"),
        ("me@orin.local", "-l me -- orin.local"),
        ("me@orin:2222", "-p 2222 -l me -- orin"),
        ("ssh://me@orin:2222", "-p 2222 -l me -- orin"),
        ("ssh://orin/", "-- orin"),
        ("me@192.168.55.1", "-l me -- 192.168.55.1"),
        ("me@[fe80::1%eth0]:22", "-p 22 -l me -- fe80::1%eth0"),
    ],
)
def test_places(text: str, words: str) -> None:
    board = Board.parse(text)
    assert " ".join(board.words) == words
    assert Board.parse(str(board)) == board


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-oProxyCommand=id", "-oProxyCommand=id@orin", "me@-oProxyCommand=id", "me@orin;id", "me@orin id",
        "$(id)@orin", "me@$(id)", "me@`id`", "me@orin|id", "me@orin\nid", "me@orin\n", "me@@orin", "a@b@c", "me@",
        "@orin", "me@orin:", "me@orin:0", "me@orin:65536", "me@orin:22a", "me@fe80::1", "me@[orin]", "me@orin/x",
        "ftp://orin", "me'@orin", 'me"@orin', "me@orin%h", "më@orin",
    ],
)  # fmt: skip
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InputError, match=rf"--on {re.escape(repr(text))} is no place that ssh reaches\n"):
        Board.parse(text)


@pytest.mark.parametrize("python", ["", "-c", "python3 -c", "python3;id", "$(id)", "~/python", "python3\n"])
def test_what_is_no_python(python: str) -> None:
    with pytest.raises(InputError, match=r"--remote-python .* is no path of a program"):
        Board.parse("orin", python=python)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--on", "me@orin;id", "--target", "orin-nano"], "is no place that ssh reaches"),
        (["--on=-oProxyCommand=id", "--target", "orin-nano"], "is no place that ssh reaches"),
        (["--on", "orin", "--target", "cpu"], "--on orin builds for one board or card; --target names none"),
        (["--on", "orin", "--target", "orin-nano,rtx-4090"], "--target names orin-nano-8, rtx-4090"),
    ],
)
def test_words_of_the_command_that_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "model.pth"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_board_that_is_not_reached_is_told_before_anything_is_read(
    tmp_path: Path, fake_ssh: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_ssh('echo "ssh: connect to host orin port 22: No route to host" >&2; exit 255')
    words = [str(tmp_path / "absent.pth"), "--target", "orin-nano", "--on", "me@orin", "--json"]
    assert main(words) == 3
    told, said = capsys.readouterr()
    assert json.loads(told)["problem"].startswith("me@orin doesn't answer (ssh: connect to host orin")
    assert "absent.pth" not in said


# As OpenSSH 9.2 wrote them, but for names.
SSH = {
    "ssh: Could not resolve hostname orin: Name or service not known": "no machine of the name orin is known here",
    "ssh: connect to host orin port 2222: Connection refused": "no ssh server answers",
    "ssh: connect to host orin port 2222: Connection timed out": "doesn't answer",
    "ssh: connect to host orin port 2222: No route to host": "doesn't answer",
    "me@orin: Permission denied (publickey,password).": "lets nobody in with the keys at hand",
    "Received disconnect from 10.0.0.2 port 22:2: Too many authentication failures": "lets nobody in",
    "No ED25519 host key is known for orin and you have requested strict checking.\nHost key verification failed.": (
        "the host key of me@orin:2222 is not known here\n  Connect once by hand and compare its fingerprint: "
        "ssh -p 2222 -l me orin"
    ),
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.": (
        "shows another host key than the one that is known of it\n  Was it installed anew? Then: "
        'ssh-keygen -R "[orin]:2222"; ssh -p 2222 -l me orin.'
    ),
    "/etc/ssh/ssh_config: line 3: Bad configuration option: colour": "ssh refuses its own configuration",
    "kex_exchange_identification: Connection closed by remote host": "no connection to me@orin:2222: kex_exchange",
}  # fmt: skip


@pytest.mark.parametrize("said", SSH)
def test_what_ssh_says_before_anything_runs(said: str) -> None:
    assert SSH[said] in str(connection_failure(BOARD, None, 255, said.splitlines()))


@pytest.mark.parametrize(
    ("step", "doing"),
    [
        ("copying", "the kit was copied there"),
        ("building", "the plan was built there"),
        ("bringing back", "the plan was brought back"),
    ],
)
def test_a_connection_that_breaks_says_when(step: str, doing: str) -> None:
    error = connection_failure(BOARD, step, 255, ["client_loop: send disconnect: Broken pipe"])
    assert str(error).startswith(f"the connection to me@orin:2222 broke while {doing} (client_loop: send disconnect")
    assert error.cure.startswith("Nothing was written here.")


@pytest.mark.parametrize(
    ("failed", "kind", "message"),
    [
        (
            {"code": 3, "said": ["building", "build.py: error: no such board", "  Buy one."]},
            MachineError,
            r"^on me@orin:2222: no such board\n  Buy one\.$",
        ),
        ({"code": 2, "said": ["build.py: error: a\nb: bad", "  Mend it."]}, ModelFileError, r": a\nb: bad\n  Mend it"),
        ({"code": 1, "said": ["build.py: error: off by 9 pixels", "  Rebuild."]}, GateError, "off by 9 pixels"),
        ({"code": 1, "said": ["Traceback", "OSError: [Errno 28] No space left on device"]}, MachineError, "is full"),
        ({"code": 1, "said": ["exit code 120"], "free": 4096}, MachineError, r"is full \(/tmp, 0 MiB free\)"),
        ({"code": -9, "said": ["building"]}, MachineError, "was killed by SIGKILL\n  Most likely memory ran out"),
        ({"code": 1, "said": ["ModuleNotFoundError: No module named 'numpy'"]}, MachineError, "no package numpy"),
        ({"code": 5, "said": []}, MachineError, "ended with code 5: without a word"),
        ({"errno": 28, "text": "No space left on device"}, MachineError, "is full .*while the kit was copied there"),
        ({"code": "three", "said": 7}, MachineError, "is no answer of this package"),
        ({"errno": 30, "text": "Read-only file system"}, MachineError, "can't be used: Read-only file system"),
    ],
)
def test_what_a_board_says_of_itself(failed: dict[str, object], kind: type[AmfacError], message: str) -> None:
    error = board_failure(BOARD, {"folder": "/tmp", "free": 1 << 30, **failed}, "copying")  # noqa: S108 - the board's
    assert type(error) is kind
    assert re.search(message, str(error)), error


def frames(*told: object) -> bytes:
    return b"".join(each if isinstance(each, bytes) else FRAME + json.dumps(each).encode() + b"\n" for each in told)


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    (tmp_path / "here").mkdir()
    path: Path = markers.write_artefact(tmp_path / "here" / "marker.rtx-4090.fp32.onnx")
    return path


def refused(artefact: Path, fake_ssh: Callable[[str], Path], answer: bytes) -> str:
    """What is said of a board that answers this; nothing is written."""
    (artefact.parent.parent / "answer").write_bytes(answer)
    fake_ssh(f'cat "{artefact.parent.parent / "answer"}"')
    with pytest.raises(MachineError) as caught:
        plan_over_ssh(artefact, load_target("rtx-4090"), BOARD)
    assert sorted(artefact.parent.iterdir()) == [artefact, manifest_path(artefact)]
    return str(caught.value)


@pytest.mark.parametrize("name", ["../x.plan", "/x.plan", "..", ".ssh", "a/b.plan", "a\nb", "", "x" * 300, "-rf"])
def test_names_with_a_way_out_are_refused(artefact: Path, fake_ssh: Callable[[str], Path], name: str) -> None:
    said = refused(artefact, fake_ssh, frames({"files": [[name, 3]]}, b"abc"))
    assert f"what me@orin:2222 wants to send is refused: {[name, 3]!r}"[:100] in said


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ([["a.plan", 1 << 40]], "1 files of 1,099,511,627,776 bytes"),
        ([["a.plan", -1]], "['a.plan', -1]"),
        ([["a.plan", True]], "['a.plan', True]"),
        ([["a.plan", 9], ["b.plan"]], "['b.plan']"),
        ([["a.plan", 9], 7], "7"),
        ([["a.plan", 1], ["a.plan", 1]], "2 files of 2 bytes"),
        ([[f"{index}.txt", 0] for index in range(65)], "65 files of 0 bytes"),
    ],
)
def test_sizes_and_numbers_are_limited(
    artefact: Path, fake_ssh: Callable[[str], Path], files: list[object], what: str
) -> None:
    assert f"refused: {what}" in refused(artefact, fake_ssh, frames({"files": files}))


def test_what_comes_back_is_checked(artefact: Path, fake_ssh: Callable[[str], Path]) -> None:
    manifest = manifest_path(artefact).read_bytes()
    none = refused(artefact, fake_ssh, frames({"files": [["build.log", 2]]}, b"ok", {"removed": True}))
    assert "sent 0 plans in place of one" in none
    files = {"files": [["a.plan", 4], ["a.plan.json", len(manifest)]]}
    other = refused(artefact, fake_ssh, frames(files, b"ftrt", manifest, {"removed": True}))
    assert "what came back from me@orin:2222: a.plan: its SHA-256 is" in other
    same = artefact.read_bytes()
    files = {"files": [["a.plan", len(same)], ["a.plan.json", len(manifest)]]}
    foreign = refused(artefact, fake_ssh, frames(files, same, manifest, {"removed": True}))
    assert "is not the plan of the artefact that was sent: another onnx" in foreign
    assert "a.plan.json: not JSON" in refused(
        artefact, fake_ssh, frames({"files": [["a.plan", 1], ["a.plan.json", 1]]}, b"aa")
    )
    cut = refused(artefact, fake_ssh, frames({"step": "bringing back"}, {"files": [["a.plan", 9]]}, b"four"))
    assert "broke while the plan was brought back" in cut


def test_noise_and_what_a_terminal_would_obey(
    artefact: Path, fake_ssh: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = b"Welcome\n" + FRAME + b"[" * 100_000 + b"\n" + FRAME + b'"text"\n' + bytes(range(256))
    (tmp_path / "answer").write_bytes(noise + b"\n" + frames({"said": "\x1b[2Jlayer 3\r\n"}))
    fake_ssh(f'cat "{tmp_path / "answer"}"')
    with pytest.raises(MachineError):
        plan_over_ssh(artefact, load_target("rtx-4090"), BOARD, say=print)
    assert capsys.readouterr().out.splitlines()[1:] == [" [2Jlayer 3"]


def test_how_ssh_is_called(fake_ssh: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    words = fake_ssh('exec sh -c "$command"')
    check_board(Board("orin", "me", 2222, sys.executable))
    told = words.read_text().splitlines()
    assert told[-7:-1] == ["-p", "2222", "-l", "me", "--", "orin"]
    assert {"BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=15"} <= set(told)
    assert told[-1].startswith(f"exec {sys.executable} -c ")
    assert not list(tmp_path.glob("amfac-on-board-*"))


def test_the_command_is_one_line_that_any_login_shell_takes_as_it_is(fake_ssh: Callable[[str], Path]) -> None:
    words = fake_ssh("exit 255")
    with pytest.raises(MachineError):
        check_board(Board("orin", python="/opt/venv/bin/python3"))
    command = words.read_text().splitlines()[-1]
    assert command.count("'") == 2
    assert not set("!\\`$") & set(command)


def test_without_ssh_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"needs ssh, which is not here\n.*openssh-client"):
        check_board(BOARD)


def test_a_kit_that_stops_on_its_way_is_given_up_there_too(tmp_path: Path) -> None:
    source = Path(on_board.__file__).read_text()
    assert "_SILENCE_S = 120" in source
    command = [sys.executable, "-c", source.replace("_SILENCE_S = 120", "_SILENCE_S = 1")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"size": 1000000, "arguments": []}\nsome of it')
        process.stdin.flush()
        assert process.stdout.readlines()[-1] == FRAME + b'{"removed": true}\n'
        assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []
