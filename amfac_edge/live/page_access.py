"""Who may see the page: where it listens, by which names it is asked, and the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from amfac_edge.errors import InputError
from amfac_edge.files import file_bytes

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PageAccess", "page_address", "read_token"]

_LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65_535
_LARGEST_FILE = 4096
# 16 characters of hex or base64 are 64 bits or more: nobody guesses them over HTTP.
_SHORTEST, _LONGEST = 16, 256
_TOKEN = re.compile(rf"[!-~]{{{_SHORTEST},{_LONGEST}}}")
_MAKE_ONE = "Make one: (umask 077; python3 -c 'import secrets; print(secrets.token_urlsafe(24))' > page-token)"


def page_address(text: str) -> tuple[str, int]:
    """Host and port of "8080", "192.168.1.5:8080", "[::1]:8080" or "0.0.0.0:8080"; port 0 takes a free one.

    Raises:
        InputError: none of these.
    """
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _HIGHEST_PORT or (":" in bare and bare == host):
        raise InputError(
            f'--page "{text}" is no address', cure="Give a port, or host:port: 8080, 0.0.0.0:8080, [::1]:8080."
        )
    return bare or _LOOPBACK, int(port)


def read_token(path: Path) -> str:
    """The token in a file: its one line.

    Raises:
        InputError: no such file, or what is in it is no token. Its text is in no message.
    """
    text = file_bytes(path, limit=_LARGEST_FILE, what="page token").decode("latin-1").strip()
    if not _TOKEN.fullmatch(text):
        raise InputError(
            f"{path}: a token is one line of {_SHORTEST} to {_LONGEST} ASCII characters without spaces; this is "
            f"{len(text)} characters in {len(text.splitlines())} lines",
            cure=_MAKE_ONE,
        )
    return text


class PageAccess:
    """Decides which requests are answered.

    Args:
        host: to listen on, a name or an address.
        port: to listen on.
        token: that whoever watches must know; None for everybody on this machine.

    Attributes:
        family: of the socket.
        address: (host, port) to bind.
        token: as given.

    Raises:
        InputError: a host that this machine doesn't know, or one that others reach, without a token.
    """

    def __init__(self, host: str, port: int, token: str | None) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise InputError(
                f'--page: the host "{host}" is unknown here', cure="Give an address of this machine, or a port alone."
            ) from error
        self.family = found[0][0]
        self.address = (str(found[0][4][0]), port)
        self.token = token
        self._loopback = ipaddress.ip_address(self.address[0].partition("%")[0]).is_loopback
        if not self._loopback and token is None:
            raise InputError(
                f"--page {host}:{port} shows people to whoever reaches this machine, and no token was given",
                cure=f"Give --page-token FILE, or the port alone to serve this machine only. {_MAKE_ONE}",
            )
        own = socket.gethostname().lower()
        self._names = {"localhost"} | (set() if self._loopback else {own, f"{own}.local", host.lower()})

    def knows_host(self, header: str | None) -> bool:
        """Whether a Host header means this machine.

        A page of an attacker can point a name of its own at this machine (DNS rebinding), and a browser then takes
        what we serve for a part of that page. It can't do so with an address, nor with our own names.
        """
        host = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(:[0-9]{1,5})?", header or "")
        if host is None:
            return False
        name = host[1].strip("[]").rstrip(".").lower()
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._loopback

    def is_token(self, text: str) -> bool:
        """Whether `text` is the token; it takes the same time for every wrong one."""
        return self.token is None or hmac.compare_digest(text.encode(), self.token.encode())

    def admits(self, authorization: str | None, cookie: str | None) -> bool:
        """Whether a request with these headers knows the token: "Bearer TOKEN", or the cookie of an earlier log-in."""
        if self.token is None:
            return True
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(text.strip()):
            return True
        # Ours needs no quotes. Python's own reader of cookies takes minutes for some (CVE-2024-7592).
        parts = [part.strip().partition("=") for part in (cookie or "").split(";")]
        kept = next((value for name, _, value in parts if name == self._cookie_name), "")
        return hmac.compare_digest(kept.encode(), self._proof.encode())

    def cookie(self) -> str:
        """The Set-Cookie header of a log-in: a proof that the token was known, and not the token."""
        return f"{self._cookie_name}={self._proof}; Path=/; HttpOnly; SameSite=Strict"

    @property
    def _cookie_name(self) -> str:
        # Cookies are shared by all ports of a host.
        return f"amfac_page_{self.address[1]}"

    @property
    def _proof(self) -> str:
        # Of the token alone, so that browsers stay logged in when the app starts again.
        return hmac.new((self.token or "").encode(), b"amfac-run --page", hashlib.sha256).hexdigest()
