from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from amfac_edge.errors import InputError
from amfac_edge.live import PageAccess, page_address, read_token

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "Zk3-" * 6
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here
pytestmark = pytest.mark.allow_hosts(["127.0.0.1", EVERYWHERE])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", ("127.0.0.1", 8080)),
        (":0", ("127.0.0.1", 0)),
        ("0.0.0.0:80", (EVERYWHERE, 80)),
        ("[::1]:8080", ("::1", 8080)),
        ("board.local:65535", ("board.local", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert page_address(text) == address


@pytest.mark.parametrize("text", ["", "65536", "host", "::1:8080", "8080 ", "-1", "host:", "1e3", "٣"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(InputError, match="is no address") as caught:
        page_address(text)
    assert f'"{text}"' in caught.value.problem


def test_wider_than_this_machine_a_token_is_needed() -> None:
    with pytest.raises(InputError, match=r"--page 0\.0\.0\.0:80 shows people .* no token") as caught:
        PageAccess(EVERYWHERE, 80, None)
    assert "--page-token FILE" in caught.value.cure
    assert PageAccess(EVERYWHERE, 80, TOKEN).address == (EVERYWHERE, 80)
    assert PageAccess("127.0.0.1", 80, None).admits(None, None)


def test_an_unknown_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match=r'the host "no\.such" is unknown'):
        PageAccess("no.such", 80, TOKEN)


def test_a_token_is_one_line_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert read_token(file) == TOKEN
    for text in ("secret", "two words of a secret", "secret-secret-se\nsecret-secret-se", "é" * 20, ""):
        file.write_text(text)
        with pytest.raises(InputError, match="a token is one line of 16 to 256") as caught:
            read_token(file)
        assert "secret" not in caught.value.problem
    with pytest.raises(InputError, match="does not exist"):
        read_token(tmp_path / "none")


@pytest.mark.parametrize(
    ("header", "here", "wide"),
    [
        ("127.0.0.1:8080", True, True),
        ("localhost:9000", True, True),  # the other end of ssh -L
        ("LOCALHOST", True, True),
        ("[::1]:8080", True, True),
        ("192.168.1.5:8080", False, True),
        ("evil.example:8080", False, False),
        ("localhost.evil.example", False, False),
        ("board", False, True),
        ("board.local:80", False, True),
        ("127.0.0.1@evil.example", False, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_names_of_others_are_not_answered(
    header: str | None, *, here: bool, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "board")
    assert PageAccess("127.0.0.1", 80, None).knows_host(header) is here
    assert PageAccess(EVERYWHERE, 80, TOKEN).knows_host(header) is wide


def test_the_token_or_its_cookie_admits_and_nothing_else() -> None:
    access = PageAccess(EVERYWHERE, 8080, TOKEN)
    cookie = access.cookie()
    pair = cookie.partition(";")[0]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert access.admits(f"Bearer {TOKEN}", None)
    assert access.admits(None, f"other=1; {pair}")
    # An app that starts again admits who was logged in; one with another token does not.
    assert PageAccess(EVERYWHERE, 8080, TOKEN).admits(None, pair)
    assert not PageAccess(EVERYWHERE, 8080, TOKEN + "x").admits(None, pair)
    for authorization, kept in (
        (None, None),
        (f"Bearer {TOKEN}x", None),
        (f"Basic {TOKEN}", None),
        ("Bearer", None),
        ("Bearer ÿ", None),
        (None, pair[:-1]),
        (None, f"amfac_page_8080={TOKEN}"),
        (None, "amfac_page_8080=ÿ"),
        (None, "\x00=;;"),
        (None, 'a="' + "\\" * 15_000),
        (None, f'amfac_page_8080="{pair.partition("=")[2]}'),
    ):
        assert not access.admits(authorization, kept)
