from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.errors import InputError, OutputError
from amfac_edge.live import LineJournal, is_complete

if TYPE_CHECKING:
    from pathlib import Path

FACTS = {"engine": "abc", "shard": "0/2"}


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def test_the_file_is_there_when_all_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with LineJournal(path, FACTS, resume=False) as journal:
        journal.add("one")
        assert _part(path).read_text() == "one\n"
        assert not path.exists()
        assert not is_complete(path, FACTS)
        journal.add("two")
        journal.finish()
    assert path.read_text() == "one\ntwo\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lines", "lines.json"]
    assert is_complete(path, FACTS)


def test_a_torn_line_is_dropped_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with LineJournal(path, FACTS, resume=True) as journal:
        for line in ("one", "two", "three"):
            journal.add(line)
    with _part(path).open("ab") as stream:
        stream.write(b"fou")
    with LineJournal(path, FACTS, resume=True) as journal:
        assert list(journal.lines()) == [b"one\n", b"two\n", b"three\n"]
        journal.keep(2)
        journal.add("3")
        journal.finish()
    assert path.read_text() == "one\ntwo\n3\n"


def test_an_unfinished_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    with LineJournal(tmp_path / "lines", FACTS, resume=False) as journal:
        journal.add("one")
    with pytest.raises(InputError, match="an unfinished run lies here"):
        LineJournal(tmp_path / "lines", FACTS, resume=False)
    assert _part(tmp_path / "lines").read_text() == "one\n"


def test_lines_of_something_else_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with LineJournal(path, FACTS, resume=False) as journal:
        journal.add("one")
    with pytest.raises(InputError, match=r"its engine is abc, and now xyz is asked for"):
        LineJournal(path, {**FACTS, "engine": "xyz"}, resume=True)
    with LineJournal(path, FACTS, resume=True) as journal:
        journal.finish()
    with pytest.raises(InputError, match=r"its shard is 0/2, and now 1/2 is asked for"):
        is_complete(path, {**FACTS, "shard": "1/2"})


def test_lines_that_nothing_describes_are_not_gone_on_with(tmp_path: Path) -> None:
    _part(tmp_path / "lines").write_text("one\n")
    with pytest.raises(InputError, match="nothing says what its lines are of"):
        LineJournal(tmp_path / "lines", FACTS, resume=True)
    (tmp_path / "lines.part.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        LineJournal(tmp_path / "lines", FACTS, resume=True)


def test_two_processes_do_not_write_the_same(tmp_path: Path) -> None:
    with LineJournal(tmp_path / "lines", FACTS, resume=True) as journal:
        journal.add("one")
        with pytest.raises(OutputError, match="another process is writing it"):
            LineJournal(tmp_path / "lines", FACTS, resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_who_is_refused_has_changed_nothing(tmp_path: Path, *, resume: bool) -> None:
    """Else the lines of one run would be called another's, and finished for it."""
    path, other = tmp_path / "lines", {**FACTS, "engine": "xyz"}
    with LineJournal(path, FACTS, resume=False) as journal:
        with pytest.raises(OutputError, match="another process is writing it"):
            LineJournal(path, other, resume=resume)
        journal.add("one")
        journal.finish()
    assert is_complete(path, FACTS)
    with pytest.raises(InputError, match="its engine is abc, and now xyz"):
        is_complete(path, other)


def test_a_run_that_can_not_say_what_it_is_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OutputError("lines.part.json: can't be written: No space left on device", cure="Free space.")

    monkeypatch.setattr("amfac_edge.live.journal.write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        LineJournal(tmp_path / "lines", FACTS, resume=False)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        LineJournal(tmp_path / "absent" / "lines", FACTS, resume=False)
    (tmp_path / "lines.part").mkdir()
    with pytest.raises((OutputError, InputError)):
        LineJournal(tmp_path / "lines", FACTS, resume=False)
