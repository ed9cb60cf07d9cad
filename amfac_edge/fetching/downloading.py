"""One file from one address, which may take several tries.

Bytes go to a part file. What the server said of the file's identity (ETag or Last-Modified) lies beside it, so that the
next try asks for the rest on the condition that the file is still the same one (RFC 9110, 13.1.5 and 14.2). A server
that knows no ranges, or has another file by now, sends all of it, and the part starts anew.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import OpenerDirector, Request

from amfac_edge.errors import InputError, MachineError, ModelFileError, OutputError
from amfac_edge.fetching.addresses import opener, require_allowed

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPResponse
    from pathlib import Path
    from typing import BinaryIO

    from amfac_edge.declared.public_model import KnownFile

__all__ = ["LARGEST", "Patience", "Watch", "discard_part", "download"]

LARGEST = 512 << 20
"""Bytes that are taken of a file whose size nobody stated."""

_BLOCK = 1 << 18
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE, _PARTIAL_CONTENT = 416, 206
# Of an HTTP status: our words for it, since those of a server could steer a terminal.
_PHRASES = {status.value: f" ({status.phrase})" for status in HTTPStatus}
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(?:\d{1,15}|\*)", re.ASCII)
_CONTENT_LENGTH = re.compile(r"\d{1,15}", re.ASCII)
_ELSEWHERE = "Fetch it on a machine that can, and give the file with --from FILE."


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        tries: how many in a row, counted from the last one that brought a new byte.
        pause_s: seconds before the second try; doubled before each further one.
        timeout_s: seconds of silence after which a connection counts as lost.
    """

    tries: int = 5
    pause_s: float = 1.0
    timeout_s: float = 30.0


def _nothing(*_: object) -> None:
    return


@dataclass(frozen=True)
class Watch:
    """Who is told what happens.

    Attributes:
        say: takes a sentence for the user.
        progress: takes the bytes that are there and the bytes that there will be, None where nobody knows.
    """

    say: Callable[[str], None] = _nothing
    progress: Callable[[int, int | None], None] = _nothing


class _Again(Exception):  # noqa: N818 - no error yet: the next try may succeed
    """A try failed in a way that passes."""


def download(url: str, part: Path, known: KnownFile, *, watch: Watch, patience: Patience) -> None:
    """Bring the file at `url` to `part`, from where an earlier try ended.

    Whoever calls checks the digest. What has come stays in `part` when this is interrupted or fails; a file that can't
    become the known one is removed.

    Raises:
        InputError: an address that is not asked, or one where the server has no such file.
        ModelFileError: the server's file is longer than known, or than `LARGEST`.
        MachineError: the server can't be reached, or goes on failing.
        OutputError: the disk is full, or can't be written to.
    """
    require_allowed(url)
    asking = _Asking(url, part, known.size, watch, patience.timeout_s, opener())
    most, failures = _size(part), 0
    while trouble := asking.trouble():
        failures = 1 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        if failures >= patience.tries:
            raise MachineError(f"{url}: {trouble}, {failures} times in a row", cure=_ELSEWHERE)
        watch.say(f"{trouble}; asked again ({failures + 1} of {patience.tries})")
        time.sleep(patience.pause_s * 2 ** (failures - 1))


def discard_part(part: Path) -> None:
    """Remove a part file and what lies beside it."""
    for path in (part, _identity_path(part)):
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Asking:
    """One download: asked as often as its caller likes."""

    url: str
    part: Path
    size: int | None
    watch: Watch
    timeout_s: float
    opener: OpenerDirector

    def trouble(self) -> str:
        """Ask once; why it should be tried again, empty where the file is complete."""
        try:
            self._ask()
        except _Again as trouble:
            return str(trouble)
        return ""

    def _ask(self) -> None:
        start = _size(self.part)
        if start and start == self.size:
            return
        identity = _read_identity(self.part, self.url)
        if start and not identity:
            start = 0  # nobody could say whether the rest belongs to it
        request = Request(self.url, headers={"User-Agent": "amfac-edge", "Accept-Encoding": "identity"})  # noqa: S310 - checked by require_allowed
        if start:
            request.add_header("Range", f"bytes={start}-")
            request.add_header("If-Range", identity)
        response = self._response(request, start)
        if response is not None:
            with response:
                self._take(response, start, identity)

    def _response(self, request: Request, start: int) -> HTTPResponse | None:
        """The server's answer; None where it says that the part is the whole file."""
        try:
            response: HTTPResponse = self.opener.open(request, timeout=self.timeout_s)
        except HTTPError as error:
            with error:
                if error.code == _RANGE_NOT_SATISFIABLE and start:
                    if error.headers.get("Content-Range") == f"bytes */{start}":
                        return None
                    discard_part(self.part)
                    raise _Again("the server's file is shorter than the part that is here") from error
                raise self._refusal(error) from error
        except URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise MachineError(
                    f"{self.url}: the server's certificate is not trusted here: {error.reason.verify_message}",
                    cure="Check the clock and the certificates of this machine (SSL_CERT_FILE), or the proxy.",
                ) from error
            raise _Again(f"no connection ({error.reason})") from error
        except (OSError, HTTPException) as error:
            raise _Again(f"no answer ({_told(error)})") from error
        return response

    def _refusal(self, error: HTTPError) -> Exception:
        answer = f"the server answers {error.code}{_PHRASES.get(error.code, '')}"
        if error.code in _LATER:
            return _Again(answer)
        if error.code in range(300, 400):
            return InputError(
                f"{self.url}: redirected as is not followed, at {error.url!r}: {error.reason!r}",
                cure="Check the address: a handful of redirections is followed, to https:// alone. " + _ELSEWHERE,
            )
        return InputError(f"{self.url}: {answer}", cure=_ELSEWHERE)

    def _take(self, response: HTTPResponse, start: int, identity: str) -> None:
        resumed = response.status == _PARTIAL_CONTENT
        if resumed:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != start or _identity(response) not in {"", identity}:
                discard_part(self.part)
                raise _Again("the server sent another part than the one that was asked for")
        elif start:
            self.watch.say("the server sends the file from its beginning")
        start = start if resumed else 0
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise ModelFileError(f"{self.url}: sent as {encoding!r}, which was not asked for", cure=_ELSEWHERE)
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if _CONTENT_LENGTH.fullmatch(length) else None
        self._require_size(total)
        try:
            if not resumed:
                _write_identity(self.part, self.url, _identity(response))
            with self.part.open("ab" if resumed else "wb") as stream:
                done = self._copy(response, stream, start, total)
        except OSError as error:
            free = "" if self.size is None else f" ({self.size:,} bytes are needed in all)"
            raise OutputError(
                f"{self.part}: can't be written: {error.strerror or error}{free}",
                cure="Free space and rights there, or choose another folder with --out; what has come is kept.",
            ) from error
        if done < (total or self.size or 0):
            raise _Again(f"the connection ended after {done:,} of {total or self.size:,} bytes")

    def _copy(self, response: HTTPResponse, stream: BinaryIO, done: int, total: int | None) -> int:
        self.watch.progress(done, total or self.size)
        while block := _next_block(response):
            done += len(block)
            if done > (self.size or LARGEST):
                self._require_size(done)
            stream.write(block)
            self.watch.progress(done, total or self.size)
        return done

    def _require_size(self, size: int | None) -> None:
        """Refuse a length that can't be right, and drop what has come of it."""
        if size is None or (size <= LARGEST if self.size is None else size == self.size):
            return
        discard_part(self.part)
        known = f"the list says {self.size:,}" if self.size else f"more than {LARGEST:,} are not taken unannounced"
        raise ModelFileError(
            f"{self.url}: the server sends {size:,} bytes or more, {known}",
            cure="The publisher changed the file, or this is not it: check the address before trusting either.",
        )


def _next_block(response: HTTPResponse) -> bytes:
    try:
        # What is there by now, so that a slow download grows, and is kept when it is stopped.
        return response.read1(_BLOCK)
    except (OSError, HTTPException) as error:
        raise _Again(f"the connection was lost ({_told(error)})") from error


def _told(error: Exception) -> str:
    """The system's words, or the kind of the error: what http.client says quotes the server."""
    return str(error) if isinstance(error, OSError) and str(error).isprintable() else type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _identity_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _identity(response: HTTPResponse) -> str:
    """What If-Range may be given: a strong ETag, else the date of the last change."""
    tag: str = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else str(response.headers.get("Last-Modified", ""))


def _read_identity(part: Path, url: str) -> str:
    """What the server said when the part was begun; empty where it said nothing, or where it is of another address."""
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(_identity_path(part).read_bytes())
        if isinstance(kept, dict) and kept.get("url") == url and isinstance(kept.get("identity"), str):
            # One line of latin-1, or it would be no header.
            return str(kept["identity"]) if kept["identity"].isprintable() else ""
    return ""


def _write_identity(part: Path, url: str, identity: str) -> None:
    _identity_path(part).write_text(json.dumps({"url": url, "identity": identity}))
