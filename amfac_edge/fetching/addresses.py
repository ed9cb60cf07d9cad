"""Which addresses are asked, and the opener that never leaves them.

HTTPS only: over plain HTTP anybody on the way can read what is fetched, and change it, which the digest would show only
after the whole download. The one exception is 127.0.0.1, which no network lies in between of. Proxies are those of the
environment (`https_proxy`, `no_proxy`), as urllib reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from typing import IO

__all__ = ["is_on_this_machine", "opener", "require_allowed"]

_LOOPBACK = "127.0.0.1"


def is_on_this_machine(url: str) -> bool:
    """Whether `url` is a plain HTTP address of this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname == _LOOPBACK


def require_allowed(url: str) -> None:
    """Check that `url` may be asked.

    Raises:
        InputError: neither HTTPS nor 127.0.0.1, or a name and password in it, or what no address can have.
    """
    if not url.isascii():
        raise InputError(
            f"{url!r} is no address: it has letters beyond ASCII",
            cure="Give it as a browser copies it, with %C3%A9 in place of é.",
        )
    try:
        parts = urlsplit(url)
        allowed = bool(parts.hostname) and (parts.scheme == "https" or is_on_this_machine(url))
        secret = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise InputError(f"{url!r} is no address: {error}", cure="Give an https:// address.") from error
    if not allowed:
        raise InputError(
            f"{url!r} is not asked: over anything but HTTPS, others on the way could read and change what is fetched",
            cure=f"Give its https:// address; plain http:// is accepted for {_LOOPBACK} alone.",
        )
    if secret:
        raise InputError(f"{parts.hostname!r}: a name or password in an address", cure="Give the address without it.")


def opener() -> OpenerDirector:
    """An opener with the environment's proxies, whose redirections are few and stay within what is allowed."""
    return build_opener(_Redirections)


class _Redirections(HTTPRedirectHandler):
    max_redirections = 5
    max_repeats = 2

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The next request, unless it leads to an address that is not asked, or from elsewhere to this machine."""
        if is_on_this_machine(newurl) and not is_on_this_machine(req.full_url):
            raise InputError(
                f"{req.full_url}: redirected to {newurl!r}, which is this machine",
                cure="Somebody else's server has no business here: check the address.",
            )
        try:
            require_allowed(newurl)
        except InputError as error:
            raise InputError(f"{req.full_url}: redirected; {error.problem}", cure=error.cure) from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)
