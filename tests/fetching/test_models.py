"""A listed model is here afterwards and is the listed one, or nothing is."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.public_model import load_public_model
from amfac_edge.errors import DeclaredError, InputError, ModelFileError, OutputError
from amfac_edge.fetching import Patience, Watch, fetch_model, model_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import SimpleNamespace

    from amfac_edge.declared.public_model import PublicModel

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
MODEL = bytes(range(256)) * 1500
DIGEST = hashlib.sha256(MODEL).hexdigest()


def zipped(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def archived(entry: Callable[..., Path], publisher: SimpleNamespace) -> Callable[..., PublicModel]:
    """A listed model in the given archive."""

    def archived(content: bytes, known: str = "", **tables: str | None) -> PublicModel:
        publisher.files["/net.zip"] = content
        address = f'url = "{publisher.address}/net.zip"\nmember = "end2end.onnx"\n{known}'
        return load_public_model(entry(download=address, **tables))

    return archived


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_model_comes_into_the_cache_once(model: PublicModel, publisher: SimpleNamespace, cache: Path) -> None:
    first, second = fetch_model(model), fetch_model(model)
    assert first.path == second.path == cache / "net" / "net.onnx"
    assert first.path.read_bytes() == MODEL
    assert (first.came_from, second.came_from) == ("network", "cache")
    assert (second.sha256, second.size) == (DIGEST, len(MODEL))
    assert publisher.asked == [""]
    assert names_in(cache) == ["net.onnx"]


def test_a_damaged_file_in_the_cache_is_fetched_anew(model: PublicModel, said: list[str], watch: Watch) -> None:
    path = fetch_model(model).path
    path.write_bytes(MODEL[:-1])
    assert fetch_model(model, watch=watch).came_from == "network"
    assert path.read_bytes() == MODEL
    assert "not the listed file" in said[0]


def test_a_folder_of_ones_own_is_served_by_the_cache(
    model: PublicModel, publisher: SimpleNamespace, cache: Path, tmp_path: Path
) -> None:
    first = fetch_model(model, folder=tmp_path / "out")
    assert first.path == tmp_path / "out" / "net.onnx"
    assert not cache.exists()
    fetch_model(model)
    assert fetch_model(model, folder=tmp_path / "other").came_from == "file"
    assert len(publisher.asked) == 2


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for stated in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", stated)
        assert model_folder("net") == tmp_path / ".cache" / "amfac-edge" / "models" / "net"


def test_a_file_of_another_digest_is_removed_and_both_are_named(
    model: PublicModel, publisher: SimpleNamespace, cache: Path
) -> None:
    wrong = MODEL[::-1]
    publisher.files["/net.onnx"] = wrong
    with pytest.raises(ModelFileError, match=rf"is {hashlib.sha256(wrong).hexdigest()}, expected {DIGEST}"):
        fetch_model(model)
    assert names_in(cache) == []


def test_an_archive_gives_its_model(archived: Callable[..., PublicModel], cache: Path) -> None:
    packed = zipped(("20230831/net/end2end.onnx", MODEL), ("20230831/net/pipeline.json", b"{}"))
    assert fetch_model(archived(packed)).path.read_bytes() == MODEL
    assert names_in(cache) == ["net.onnx"]


def test_an_archive_of_another_digest_is_not_opened(archived: Callable[..., PublicModel], cache: Path) -> None:
    stated = f'sha256 = "{"0" * 64}"'
    with pytest.raises(ModelFileError, match=f"expected {'0' * 64}"):
        fetch_model(archived(zipped(("end2end.onnx", MODEL)), stated))
    assert names_in(cache) == []


def test_a_model_of_another_digest_in_an_archive_is_removed(archived: Callable[..., PublicModel], cache: Path) -> None:
    with pytest.raises(ModelFileError, match=rf"net\.zip: end2end\.onnx: not the listed file.*expected {DIGEST}"):
        fetch_model(archived(zipped(("end2end.onnx", MODEL[::-1]))))
    assert names_in(cache) == []


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (zipped(("../end2end.onnx", MODEL)), r"'\.\./end2end\.onnx' in it leads out of its folder"),
        (zipped(("end2end.onnx", MODEL), ("a/../../x", b"")), "leads out of its folder"),
        (zipped(("/end2end.onnx", MODEL)), "leads out of its folder"),
        (zipped(("other.onnx", MODEL)), "0 files in it are named 'end2end.onnx'"),
        (zipped(("a/end2end.onnx", MODEL), ("b/end2end.onnx", MODEL)), "2 files in it are named"),
        (zipped(("end2end.onnx", MODEL + b"more")), "has more than 384,000 bytes"),
        (zipped(("end2end.onnx", MODEL))[:-30], "the archive can't be read"),
        (b"no archive at all", "the archive can't be read"),
        (
            zipped(("end2end.onnx", MODEL)).replace(
                b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
            ),
            "encrypted",
        ),
    ],
    ids=["above", "above-too", "absolute", "none", "two", "larger", "cut", "text", "encrypted"],
)
def test_an_archive_that_is_not_as_it_should_be(
    archived: Callable[..., PublicModel], cache: Path, tmp_path: Path, packed: bytes, problem: str
) -> None:
    model = archived(packed)
    before = names_in(tmp_path)
    with pytest.raises(ModelFileError, match=problem):
        fetch_model(model)
    assert names_in(tmp_path) == before
    assert names_in(cache) == []


def test_a_bomb_whose_header_lies_is_stopped(archived: Callable[..., PublicModel], cache: Path) -> None:
    packed = zipped(("end2end.onnx", bytes(50_000_000)))
    assert len(packed) < 100_000
    said, true = (1000).to_bytes(4, "little"), (50_000_000).to_bytes(4, "little")
    assert packed.count(true) == 2
    with pytest.raises(ModelFileError):
        fetch_model(archived(packed.replace(true, said)))
    with pytest.raises(ModelFileError, match="has more than 384,000 bytes"):
        fetch_model(archived(packed))
    assert names_in(cache) == []


def test_without_a_digest_nothing_is_asked(entry: Callable[..., Path], publisher: SimpleNamespace, cache: Path) -> None:
    publisher.files["/net.onnx"] = MODEL
    model = load_public_model(entry(model=None))
    with pytest.raises(InputError, match=r"net: not fetched, digest missing") as refused:
        fetch_model(model)
    assert "--sha256 HEX" in refused.value.cure
    assert (publisher.asked, cache.exists()) == ([], False)
    with pytest.raises(ModelFileError, match=f"is {DIGEST}, expected {'1' * 64}"):
        fetch_model(model, sha256="1" * 64)
    assert fetch_model(model, sha256=DIGEST.upper()).path.read_bytes() == MODEL


def test_without_a_licence_nothing_is_asked(entry: Callable[..., Path], publisher: SimpleNamespace) -> None:
    model = load_public_model(entry(licence=None))
    for given in ("", DIGEST):
        with pytest.raises(InputError, match="net: not fetched, licence missing"):
            fetch_model(model, sha256=given)
    assert publisher.asked == []


@pytest.mark.parametrize("given", ["abc", "0" * 63, "g" * 64, "0" * 65])
def test_a_digest_that_is_none(model: PublicModel, given: str) -> None:
    with pytest.raises(InputError, match="is no SHA-256 in 64 hex digits"):
        fetch_model(model, sha256=given)


def test_a_digest_does_not_overrule_the_list(model: PublicModel) -> None:
    with pytest.raises(InputError, match=f"--sha256 says {'0' * 64}, the list says {DIGEST}"):
        fetch_model(model, sha256="0" * 64)
    assert fetch_model(model, sha256=DIGEST).came_from == "network"


@pytest.mark.parametrize("name", ["net.onnx", "net.zip", "whatever.onnx", "whatever.zip"])
def test_a_machine_without_a_network(
    archived: Callable[..., PublicModel], publisher: SimpleNamespace, tmp_path: Path, cache: Path, name: str
) -> None:
    packed = zipped(("a/end2end.onnx", MODEL))
    model = archived(packed, f'sha256 = "{hashlib.sha256(packed).hexdigest()}"')
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "another.onnx").write_bytes(b"something else")
    (stick / name).write_bytes(packed if name.endswith("zip") else MODEL)
    for source in (stick / name, stick):
        fetched = fetch_model(model, source=source)
        assert fetched.path.read_bytes() == MODEL
        assert fetched.came_from == "file"
        fetched.path.unlink()
    assert (stick / name).is_file()
    assert publisher.asked == []
    assert names_in(cache) == []


def test_a_given_file_that_is_another_one_stays_and_is_not_taken(model: PublicModel, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"something else")
    with pytest.raises(ModelFileError, match=rf"wrong\.onnx: not the listed file.*expected {DIGEST}"):
        fetch_model(model, source=wrong)
    assert wrong.read_bytes() == b"something else"
    assert not (model_folder("net") / "net.onnx").exists()


def test_a_given_place_without_the_file(model: PublicModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.onnx: no such file"):
        fetch_model(model, source=tmp_path / "absent.onnx")
    with pytest.raises(InputError, match=r"neither net\.onnx is in it, nor another file of that digest"):
        fetch_model(model, source=tmp_path)


def test_two_processes_at_once_both_end_well(
    entry: Callable[..., Path], publisher: SimpleNamespace, cache: Path, tmp_path: Path
) -> None:
    publisher.files["/net.onnx"], publisher.delay_s = MODEL, 0.5
    program = "import sys; from amfac_edge.cli.fetch import main; sys.exit(main())"
    command = [sys.executable, "-c", program, str(entry())]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert {out for out, _ in answers} == {f"{cache / 'net' / 'net.onnx'}\n"}
    assert publisher.asked == [""]
    assert tmp_path.is_dir()


def test_one_waits_for_the_other(model: PublicModel, publisher: SimpleNamespace, said: list[str], watch: Watch) -> None:
    publisher.delay_s = 0.3
    first = threading.Thread(target=fetch_model, args=(model,))
    first.start()
    assert publisher.began.wait(10)
    assert fetch_model(model, watch=watch).came_from == "cache"
    first.join()
    assert "another amfac-fetch is at work there" in said[0]


def test_a_folder_that_can_t_be_made(model: PublicModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="can't be written"):
        fetch_model(model, folder=tmp_path / "file" / "below")


def test_a_server_that_recovers(model: PublicModel, publisher: SimpleNamespace, quick: Patience) -> None:
    publisher.refusals = [503, 503]
    assert fetch_model(model, patience=quick).came_from == "network"


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ({"model": 'sha256 = "ABC"'}, 'model.sha256: "ABC" is no SHA-256'),
        ({"model": "bytes = 0"}, "model.bytes: 0 is not within 1"),
        ({"download": 'url = "net.onnx"'}, 'download.url: "net.onnx" names no host'),
        ({"download": 'url = "https://[bad/net.onnx"'}, 'download.url: "https://\\[bad/net.onnx" names no host'),
        ({"download": 'url = "https://a/b.zip"\nmember = "a/b.onnx"'}, "download.member: .* has a folder in it"),
        ({"download": 'url = "https://a/b"\nsha256 = "0"'}, "download.sha256: unknown key"),
        ({"licence": 'spdx = "MIT"'}, "licence.source: where the licence is stated"),
        ({"model": "", "verified": "file = true"}, "verified.file: a file that was at hand has a digest"),
    ],
)
def test_an_entry_with_a_fault(entry: Callable[..., Path], tables: dict[str, str], fault: str) -> None:
    with pytest.raises(DeclaredError, match=fault):
        load_public_model(entry(**tables))
