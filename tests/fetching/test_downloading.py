"""Downloads against a real server: whole, broken off, changed under way, refused, endless."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import re
import urllib.request
from http.client import HTTPMessage
from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.public_model import KnownFile, load_public_model
from amfac_edge.errors import InputError, MachineError, ModelFileError, OutputError
from amfac_edge.fetching import Patience, Watch, addresses, downloading, fetch_model
from amfac_edge.fetching.downloading import download

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import SimpleNamespace

    from amfac_edge.declared.public_model import PublicModel

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
CONTENT = bytes(range(256)) * 1500
WHOLE = KnownFile(len(CONTENT))


@pytest.fixture
def fetch(publisher: SimpleNamespace, tmp_path: Path, watch: Watch, quick: Patience) -> Callable[..., Path]:
    """Download the publisher's file to a part file and return that."""
    publisher.files["/net.onnx"] = CONTENT

    def fetch(
        path: str = "/net.onnx",
        known: KnownFile = WHOLE,
        watch: Watch = watch,
        patience: Patience = quick,
    ) -> Path:
        part = tmp_path / "net.part"
        download(publisher.address + path, part, known, watch=watch, patience=patience)
        return part

    return fetch


def test_a_whole_file(fetch: Callable[..., Path], publisher: SimpleNamespace, said: list[str]) -> None:
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == [""]
    assert said == []


def test_progress_is_told_in_bytes(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    told: list[tuple[int, int | None]] = []
    publisher.drops = [100_000]
    fetch(watch=Watch(progress=lambda done, total: told.append((done, total))))
    assert told[0] == (0, len(CONTENT))
    assert (100_000, len(CONTENT)) in told
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_dropped_connection_is_taken_up_where_it_ended(
    fetch: Callable[..., Path], publisher: SimpleNamespace, said: list[str]
) -> None:
    publisher.drops = [100_000, 50_000]
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == ["", "bytes=100000-", "bytes=150000-"]
    assert said[0].startswith("the connection")
    assert said[0].endswith("; asked again (2 of 3)")


def test_the_next_run_goes_on_where_the_last_one_ended(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.drops = [100_000]
    with pytest.raises(MachineError):
        fetch(patience=Patience(tries=1))
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == ["", "bytes=100000-"]


def test_a_complete_part_asks_nothing(fetch: Callable[..., Path], publisher: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "net.part").write_bytes(CONTENT)
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == []


def test_a_complete_part_of_unknown_size_is_confirmed_by_the_server(
    fetch: Callable[..., Path], publisher: SimpleNamespace
) -> None:
    fetch(known=KnownFile())
    assert fetch(known=KnownFile()).read_bytes() == CONTENT
    assert publisher.asked == ["", f"bytes={len(CONTENT)}-"]


def test_a_server_without_ranges_starts_anew(
    fetch: Callable[..., Path], publisher: SimpleNamespace, said: list[str]
) -> None:
    publisher.ranges = False
    publisher.drops = [100_000]
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == ["", "bytes=100000-"]
    assert said[-1] == "the server sends the file from its beginning"


def test_a_file_that_changed_under_way_starts_anew(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.drops = [100_000]
    with pytest.raises(MachineError):
        fetch(patience=Patience(tries=1))
    publisher.etag, publisher.files["/net.onnx"] = '"second"', CONTENT[::-1]
    assert fetch().read_bytes() == CONTENT[::-1]


def test_a_part_that_nobody_can_vouch_for_starts_anew(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.etag, publisher.drops = "", [100_000]
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == ["", ""]


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"url": 1}', '{"url": "URL", "identity": "a\\r\\nHost: b"}'])
def test_what_lies_beside_the_part_is_not_trusted(
    fetch: Callable[..., Path], publisher: SimpleNamespace, tmp_path: Path, kept: str
) -> None:
    (tmp_path / "net.part").write_bytes(b"something else")
    (tmp_path / "net.part.json").write_text(kept.replace("URL", f"{publisher.address}/net.onnx"))
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == [""]


def test_a_part_of_another_address_is_not_gone_on_with(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.files["/other.onnx"], publisher.drops = CONTENT, [100_000]
    with pytest.raises(MachineError):
        fetch("/other.onnx", patience=Patience(tries=1))
    fetch()
    assert publisher.asked == ["", ""]


def test_a_part_that_is_longer_than_the_file_starts_anew(
    fetch: Callable[..., Path], publisher: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "net.part").write_bytes(CONTENT * 2)
    kept = {"url": f"{publisher.address}/net.onnx", "identity": publisher.etag}
    (tmp_path / "net.part.json").write_text(json.dumps(kept))
    assert fetch().read_bytes() == CONTENT
    assert publisher.asked == [f"bytes={2 * len(CONTENT)}-", ""]


def test_a_body_that_stays_short_gives_up_and_keeps_what_came(
    fetch: Callable[..., Path], publisher: SimpleNamespace, tmp_path: Path
) -> None:
    publisher.drops = [1000, 0, 0, 0, 0]
    with pytest.raises(MachineError, match=r"ended after|lost.*3 times in a row") as refused:
        fetch()
    assert "--from FILE" in refused.value.cure
    assert len(publisher.asked) == 3
    assert (tmp_path / "net.part").stat().st_size == 1000


def test_tries_that_bring_something_are_not_counted(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.drops = [20_000] * 19
    assert fetch().read_bytes() == CONTENT
    assert len(publisher.asked) == 20


@pytest.mark.parametrize("says", [None, 1000])
def test_another_length_than_the_listed_one_is_refused_and_removed(
    fetch: Callable[..., Path], publisher: SimpleNamespace, tmp_path: Path, says: int | None
) -> None:
    publisher.says = says
    with pytest.raises(ModelFileError, match=re.escape("the list says 999")):
        fetch(known=KnownFile(999))
    assert list(tmp_path.glob("net.part*")) == []


def test_an_endless_body_is_cut_off(
    fetch: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "LARGEST", 1000)
    with pytest.raises(ModelFileError, match="more than 1,000 are not taken unannounced"):
        fetch(known=KnownFile())
    assert list(tmp_path.glob("net.part*")) == []


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_not_asked_for_again(
    fetch: Callable[..., Path], publisher: SimpleNamespace, code: int
) -> None:
    publisher.refusals = [code]
    with pytest.raises(InputError, match=f"the server answers {code}"):
        fetch()
    assert len(publisher.asked) == 1


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(fetch: Callable[..., Path], publisher: SimpleNamespace, code: int) -> None:
    publisher.refusals = [code]
    assert fetch().read_bytes() == CONTENT
    publisher.refusals = [code] * 3
    fetch().unlink()
    with pytest.raises(MachineError, match=rf"answers {code} .*, 3 times in a row") as refused:
        fetch()
    assert refused.value.exit_code == 3


def test_a_servers_words_do_not_reach_the_terminal(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.refusals, publisher.phrase = [404, 302, 300], "\x1b]0;title\x07"
    for code in (404, 302, 300):
        with pytest.raises(InputError, match=str(code) if code == 404 else "redirected") as refused:
            fetch()
        assert str(refused.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("phrase", ["", None])
def test_an_answer_without_words(fetch: Callable[..., Path], publisher: SimpleNamespace, phrase: str | None) -> None:
    publisher.refusals, publisher.phrase = [300], phrase
    with pytest.raises(InputError, match="redirected as is not followed"):
        fetch()


def test_a_length_that_is_no_number_is_not_believed(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.says = "9" * 5000
    assert fetch().read_bytes() == CONTENT


def test_a_compressed_answer_is_refused(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.encoding = "gzip"
    with pytest.raises(ModelFileError, match="sent as 'gzip', which was not asked for"):
        fetch()


def test_a_silent_server_is_given_up(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.delay_s = 30.0
    with pytest.raises(MachineError, match="timed out"):
        fetch(patience=Patience(tries=2, pause_s=0.0, timeout_s=0.05))
    assert len(publisher.asked) == 2


def test_nobody_at_the_address(tmp_path: Path, watch: Watch) -> None:
    with pytest.raises(MachineError, match=r"no connection \(.*refused"):
        download("http://127.0.0.1:9/x", tmp_path / "x.part", KnownFile(), watch=watch, patience=Patience(1, 0.0, 2.0))


def test_a_redirection_is_followed_with_its_range(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.moved["/old.onnx"] = f"{publisher.address}/net.onnx"
    publisher.drops = [100_000]
    assert fetch("/old.onnx").read_bytes() == CONTENT
    assert publisher.asked == ["", "", "bytes=100000-", "bytes=100000-"]


def test_a_loop_of_redirections_ends(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.moved = {"/a": "/b", "/b": "/a"}
    with pytest.raises(InputError, match="redirected as is not followed"):
        fetch("/a")
    assert len(publisher.asked) < 8


def test_a_long_chain_of_redirections_ends(fetch: Callable[..., Path], publisher: SimpleNamespace) -> None:
    publisher.moved = {f"/{step}": f"/{step + 1}" for step in range(50)}
    with pytest.raises(InputError, match="redirected as is not followed"):
        fetch("/0")
    assert len(publisher.asked) < 8


@pytest.mark.parametrize("target", ["http://example.org/net.onnx", "ftp://example.org/x", "file:///etc/hostname"])
def test_a_redirection_to_an_open_way_is_refused(
    fetch: Callable[..., Path], publisher: SimpleNamespace, target: str
) -> None:
    publisher.moved["/old.onnx"] = target
    with pytest.raises(InputError, match=rf"redirected.*{re.escape(target)}"):
        fetch("/old.onnx")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.org/net.onnx", "over anything but HTTPS"),
        ("http://localhost/net.onnx", "over anything but HTTPS"),
        ("ftp://127.0.0.1/net.onnx", "over anything but HTTPS"),
        ("file:///etc/hostname", "over anything but HTTPS"),
        ("https:///net.onnx", "over anything but HTTPS"),
        ("https://me:secret@example.org/net.onnx", "a name or password"),
        ("https://[::1/net.onnx", "is no address"),
        ("https://example.org/né.onnx", "is no address: it has letters beyond ASCII"),
    ],
)
def test_addresses_that_are_not_asked(tmp_path: Path, watch: Watch, quick: Patience, url: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        download(url, tmp_path / "x.part", KnownFile(), watch=watch, patience=quick)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("target", ["http://127.0.0.1/x", "http://example.org/x", "https://me:secret@example.org/x"])
def test_https_does_not_lead_elsewhere(target: str) -> None:
    asked = urllib.request.Request("https://example.org/net.onnx")
    with pytest.raises(InputError, match="redirected"):
        addresses._Redirections().redirect_request(asked, io.BytesIO(), 302, "Found", HTTPMessage(), target)
    onward = addresses._Redirections().redirect_request(
        asked, io.BytesIO(), 302, "Found", HTTPMessage(), "https://example.com/y"
    )
    assert onward is not None
    assert onward.full_url == "https://example.com/y"


def test_a_full_disk_is_said_with_what_is_needed(fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloading._Asking, "_copy", full)
    with pytest.raises(OutputError, match=r"No space left on device \(384,000 bytes are needed in all\)"):
        fetch()


def test_too_little_space_is_said_before_the_download(
    model: PublicModel, publisher: SimpleNamespace, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = dataclasses.make_dataclass("Usage", ["total", "used", "free"])(10, 10, 5)
    monkeypatch.setattr("amfac_edge.fetching.models.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"5 bytes are free, 384,000 are needed"):
        fetch_model(model)
    assert publisher.asked == []
    assert cache.is_dir()


def test_the_environments_proxy_is_asked(
    entry: Callable[..., Path],
    publisher: SimpleNamespace,
    cache: Path,
    quick: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", publisher.address)
    publisher.files["http://127.0.0.1:9/net.onnx"] = CONTENT
    model = load_public_model(entry(download='url = "http://127.0.0.1:9/net.onnx"'))
    assert fetch_model(model, patience=quick).path.read_bytes() == CONTENT
    assert cache.is_dir()
