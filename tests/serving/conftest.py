"""A board that ssh reaches: a real sshd on the loopback address, without rights, and nothing of the machine's own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TREE = Path(__file__).resolve().parents[2]
UNPACKED = TREE / ".make" / "sshd" / "usr"
UID = "64321"
# As root, sshd wants a user and a folder of the system's. In a user namespace it runs without rights, and `board` is
# someone who can log in wherever the tests run; a file system of 1 MiB can be mounted there too.
NAMESPACE = """
mount --bind passwd /etc/passwd && mount -t tmpfs -o size=1m none small && mount -t tmpfs -o size=8m none larger &&
exec unshare --user --map-user=$UID --map-group=$UID "$@"
"""


class BoardMachine:
    """sshd, and how ssh is told to reach it.

    Attributes:
        tmp: the board's temporary folder; `small` and `larger` are file systems of 1 and 8 MiB, in a namespace only.
    """

    def __init__(self, folder: Path, sshd: list[str]) -> None:
        self.folder = folder
        self.tmp = folder / "tmp"
        self.isolated = sshd[0] == "unshare"
        self.user = "board" if self.isolated else pwd.getpwuid(os.getuid()).pw_name
        for name in ("tmp", "home", "small", "larger", "bin"):
            (folder / name).mkdir()
        for name in ("host", "other_host", "user", "stranger"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
            subprocess.run(keygen, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._configure()
        self._log = (folder / "sshd.log").open("wb")
        self._process = subprocess.Popen(
            [*sshd, "-D", "-e", "-f", str(folder / "sshd_config")],
            cwd=folder,
            env={**os.environ, "UID": UID},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self.client()

    def _configure(self) -> None:
        folder = self.folder
        (folder / "authorized_keys").write_bytes((folder / "user.pub").read_bytes())
        (folder / "passwd").write_text(
            f"board:x:{UID}:{UID}::{folder / 'home'}:/bin/sh\n" + Path("/etc/passwd").read_text()
        )
        # From OpenSSH 9.8 on sshd starts programs of its own, by paths that an unpacked one isn't at.
        parts = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
        found = {option: UNPACKED / "lib" / "openssh" / name for option, name in parts.items()}
        apart = "".join(f"{option} {path}\n" for option, path in found.items() if path.is_file())
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\nAcceptEnv *\n"
            f"AuthorizedKeysFile {folder / 'authorized_keys'}\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\n{apart}"
        )

    def wait_until_it_listens(self) -> str | None:
        """None, or what it said when it ended instead."""
        log = self.folder / "sshd.log"
        for _ in range(400):
            if b"Server listening" in log.read_bytes():
                return None
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        return log.read_text().strip() or "no word within 20 s"

    def client(self, *lines: str, key: str = "user", host_key: str | None = "host", **environment: str) -> None:
        """What ~/.ssh/config would say; `environment` is that of the board's session."""
        known = self.folder / "known_hosts"
        known.unlink(missing_ok=True)
        if host_key is not None:
            public = (self.folder / f"{host_key}.pub").read_text()
            known.write_text(f"[127.0.0.1]:{self.port} {public}")
        variables = {"TMPDIR": str(self.tmp), "PYTHONDONTWRITEBYTECODE": "1", **environment}
        told = " ".join(f'{name}="{value}"' for name, value in variables.items())
        config = [
            *lines, "Host board 127.0.0.1", "HostName 127.0.0.1", f"Port {self.port}", f"User {self.user}",
            f"IdentityFile {self.folder / key}", "IdentitiesOnly yes", "IdentityAgent none",
            f"UserKnownHostsFile {known}", "GlobalKnownHostsFile none", f"SetEnv {told}",
        ]  # fmt: skip
        (self.folder / "ssh_config").write_text("\n".join(config) + "\n")
        program = self.folder / "bin" / "ssh"
        real = shutil.which("ssh", path=os.environ["PATH"].replace(str(program.parent), ""))
        program.write_text(f'#!/bin/sh\nexec "{real}" -F "{self.folder / "ssh_config"}" "$@"\n')
        program.chmod(0o755)

    def drop(self) -> None:
        """End the connection as a pulled plug would: nobody says goodbye."""
        serving, parents = {self._process.pid}, dict(each for each in map(_parent, _processes()) if each)
        while more := {process for process, parent in parents.items() if parent in serving} - serving:
            serving |= more
        for process in serving - {self._process.pid}:
            with suppress(ProcessLookupError):  # one that served another may end with it
                os.kill(process, signal.SIGKILL)

    def lying(self) -> list[str]:
        """What lies in the temporary folder."""
        return [path.name for path in self.tmp.iterdir()]

    def left_over(self) -> list[str]:
        """The same after the board had the time to remove it."""
        for _ in range(300):
            if not self.lying():
                break
            time.sleep(0.1)
        return self.lying()

    def stop(self) -> None:
        """End sshd and the connections that it serves."""
        self.drop()
        self._process.terminate()
        self._process.wait(60)
        self._log.close()
        sys.stdout.write((self.folder / "sshd.log").read_text())  # pytest shows it of a test that failed


def _processes() -> list[Path]:
    return list(Path("/proc").glob("[0-9]*"))


def _parent(process: Path) -> tuple[int, int] | None:
    """A process of sshd and its parent; None for another program."""
    try:
        name, _, rest = (process / "stat").read_text().rpartition(")")
    except OSError:
        return None
    return (int(process.name), int(rest.split()[1])) if "(sshd" in name else None


@pytest.fixture(scope="session")
def sshd_command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How an sshd is started here that needs no rights; skips with the reason where there is none."""
    unpacked = str(UNPACKED / "sbin" / "sshd")
    found = [os.environ.get("AMFAC_SSHD"), unpacked, shutil.which("sshd"), "/usr/sbin/sshd"]
    sshd = next((path for path in found if path and Path(path).is_file()), None)
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip("no sshd or ssh here: make sshd, apt install openssh-client")
    libraries = ":".join(str(folder) for folder in UNPACKED.glob("lib/*"))
    run = ["env", f"LD_LIBRARY_PATH={libraries}", sshd] if sshd == unpacked else [sshd]
    script = tmp_path_factory.mktemp("namespace") / "namespace.sh"
    script.write_text(NAMESPACE)
    tried = subprocess.run(
        ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt && unshare --user --map-user=$UID true"],  # noqa: S607
        env={**os.environ, "UID": UID},
        capture_output=True,
        check=False,
    )
    if tried.returncode == 0:
        return ["unshare", "-rm", "sh", str(script), *run]
    if os.getuid() == 0:
        pytest.skip("sshd as root needs namespaces, which this machine doesn't give")
    return run


@pytest.fixture
def board_machine(tmp_path: Path, sshd_command: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[BoardMachine]:
    """A machine that ssh reaches as "board"; its Python is this one."""
    folder = tmp_path / "machine"
    folder.mkdir()
    machine = BoardMachine(folder, sshd_command)
    try:
        fault = machine.wait_until_it_listens()
        if fault:
            pytest.skip(f"sshd doesn't run here: {fault}")
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        yield machine
    finally:
        machine.stop()


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script in the place of ssh: `fake_ssh("echo refused >&2; exit 255")`; its arguments go to a file."""
    folder = tmp_path / "fake"
    folder.mkdir()

    def write(script: str) -> Path:
        words = folder / "words"
        program = folder / "ssh"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{words}"\nfor command; do :; done\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("AMFAC_TEST_PYTHON", sys.executable)
        return words

    return write
