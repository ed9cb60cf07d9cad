from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from amfac_edge.errors import InputError, OutputError
from amfac_edge.files import (
    atomic_file,
    atomic_files,
    file_bytes,
    json_bytes,
    json_value,
    no_empty_folders,
    refuse_overwriting,
    sha256_of,
    writable_folder,
    write_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path


def interrupted(error: BaseException, *targets: Path) -> None:
    with atomic_files(*targets) as temporaries:
        temporaries[0].write_bytes(b"new")
        raise error


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.onnx"
    with atomic_file(target) as temporary:
        temporary.write_bytes(b"half")
        assert not target.exists()
        assert temporary.suffix == target.suffix  # some writers choose the format by it
    assert target.read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "a.onnx"
    target.write_bytes(b"old")
    with pytest.raises(type(error)):
        interrupted(error, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_files_that_belong_together_appear_together(tmp_path: Path) -> None:
    names = [tmp_path / "a.json", tmp_path / "a"]
    with pytest.raises(ValueError, match="between"):
        interrupted(ValueError("between"), *names)
    assert list(tmp_path.iterdir()) == []
    with atomic_files(*names) as temporaries:
        for temporary in temporaries:
            temporary.write_bytes(b"1")
    assert sorted(tmp_path.iterdir()) == sorted(names)


def test_files_that_belong_together_leave_nothing_where_one_can_not_begin(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"absent/a: can't be written"),
        atomic_files(tmp_path / "a.json", tmp_path / "absent" / "a"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    longest = "駅" * 83 + ".png"
    assert len(os.fsencode(longest)) == 253
    write_bytes(tmp_path / longest, b"1")
    assert [path.name for path in tmp_path.iterdir()] == [longest]
    with pytest.raises(OutputError, match="File name too long"), atomic_files(tmp_path / ("a" * 256)):
        pytest.fail("it was told too late")


def test_a_finished_file_has_the_rights_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_place_that_cant_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"absent/a: can't be written: No such file.*\n  Choose another"):
        write_bytes(tmp_path / "absent" / "a", b"1")
    with pytest.raises(OutputError, match=r"file/below: can't be written: Not a directory"):
        writable_folder(tmp_path / "file" / "below")


def test_a_folder_that_cant_be_written_to_is_named_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("amfac_edge.files.tempfile.mkstemp", refused)
    with pytest.raises(OutputError) as caught:
        writable_folder(tmp_path)
    assert caught.value.problem == f"{tmp_path}: can't be written: Permission denied"


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b")
    assert list(folder.iterdir()) == []
    assert writable_folder(folder) == folder


@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_that_stayed_empty_goes_again(*, fails: bool, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with suppress(KeyboardInterrupt), no_empty_folders():
        writable_folder(tmp_path / "mine")
        for words in ("mine/a/b", "mine/a/c", "kept/d"):
            writable_folder(tmp_path / words)
        (tmp_path / "kept" / "file").touch()
        if fails:
            raise KeyboardInterrupt
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {"mine", "kept", "kept/file"}


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a: can't be written: No space left on device\n.*free space"):
        interrupted(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError):
        interrupted(BrokenPipeError(), tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "absent: the manifest does not exist"),
        ("folder", "folder: the manifest is not a file"),
        ("large", r"large: 11 bytes are more than a manifest can have \(10\)"),
    ],
)
def test_a_file_that_cant_be_read_is_one_error(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match=message):
        file_bytes(tmp_path / name, limit=10, what="manifest")


def test_a_file_within_its_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert file_bytes(tmp_path / "a", limit=10, what="manifest") == b"x" * 10


def test_digests_are_sha256_of_bytes_and_files(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # longer than one block
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == sha256_of(content) == hashlib.sha256(content).hexdigest()


def test_json_is_readable_and_strict() -> None:
    assert json_bytes({"name": "Köln"}) == '{\n  "name": "Köln"\n}\n'.encode()
    assert json.loads(json_bytes([1, 2])) == [1, 2]
    with pytest.raises(ValueError, match="JSON compliant"):
        json_bytes(math.nan)


@pytest.mark.parametrize("text", [b"NaN", b'{"a": [-Infinity]}', b"1e999", b'{"a": -1e400}', b"[", b"\xff"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no number of JSON|Expecting value|can't decode byte"):
        json_value(text)
    assert json_value(b'{"a": [1.5, 2, true, null]}') == {"a": [1.5, 2, True, None]}


def test_outputs_are_neither_inputs_nor_each_other(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "read")
    inputs = [tmp_path / "read", tmp_path / "absent"]
    refuse_overwriting([tmp_path / "a", tmp_path / "b"], inputs)
    refuse_overwriting([], inputs)
    for output in (tmp_path / "read", tmp_path / "x" / ".." / "absent", tmp_path / "link"):
        with pytest.raises(OutputError, match="would overwrite what is read from there"):
            refuse_overwriting([tmp_path / "a", output], inputs)
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    with pytest.raises(OutputError, match="one: links that lead in a circle"):
        refuse_overwriting([tmp_path / "one"], inputs)
    with pytest.raises(InputError, match="other: links that lead in a circle"):
        refuse_overwriting([tmp_path / "a"], [tmp_path / "other"])
    with pytest.raises(OutputError, match="two outputs have this name"):
        refuse_overwriting([tmp_path / "a", tmp_path / "x" / ".." / "a"], inputs)
