"""Where a board is reached over ssh, read from what a user writes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from amfac_edge.errors import InputError

__all__ = ["Board"]

# What is left out can't reach a shell, an option of ssh or a command of the user's ssh configuration.
_PLACE = re.compile(
    r"""
    (?:ssh://)?
    (?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63})@)?
    (?: (?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}) | \[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\] )
    (?: :(?P<port>[0-9]{1,5}) )?
    /?
    """,
    re.VERBOSE | re.ASCII,
)
_PYTHON = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*", re.ASCII)
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Board:
    """A machine that ssh reaches.

    Attributes:
        host: its name, an alias of the user's ssh configuration, or its address.
        user: who logs in; None for what the configuration says.
        port: of its ssh server; None for what the configuration says.
        python: the Python there.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"

    @classmethod
    def parse(cls, text: str, *, python: str = "python3") -> Board:
        """Read "user@board", "board", "user@board:2222", "user@[fe80::1]:2222" or the same behind "ssh://".

        Raises:
            InputError: another form, or a Python that is no plain path.
        """
        found = _PLACE.fullmatch(text)
        port = int(found["port"]) if found and found["port"] else None
        if found is None or (port is not None and not 1 <= port <= _HIGHEST_PORT):
            raise InputError(
                f"--on {text!r} is no place that ssh reaches",
                cure="Write user@board, user@board:2222 or, of an IPv6 address, user@[fe80::1]:2222.",
            )
        if not _PYTHON.fullmatch(python):
            raise InputError(
                f"--remote-python {python!r} is no path of a program",
                cure="Write python3.10 or a path like /opt/venv/bin/python, without spaces.",
            )
        return cls(found["host"] or found["ipv6"], found["user"], port, python)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")

    @property
    def words(self) -> tuple[str, ...]:
        """The same in words for ssh, without options that a host's name could be taken for."""
        port = ("-p", str(self.port)) if self.port else ()
        user = ("-l", self.user) if self.user else ()
        return (*port, *user, "--", self.host)
