"""amfac-run over an archive: one shard of a folder of pictures and videos, which goes on where it was killed."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import amfac_edge
from amfac_edge.cameras import Archive, Shard, camera_address, open_source, shown_source
from amfac_edge.cli.command import ProgressBar
from amfac_edge.cli.run_people import people_of
from amfac_edge.errors import FrameError, InputError
from amfac_edge.files import sha256_of, writable_folder
from amfac_edge.live import (
    CocoResults,
    LineJournal,
    Overlay,
    PoseLines,
    Position,
    Tally,
    is_complete,
    pose_line,
    posed_archive,
    posed_frames,
    position_after,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from amfac_edge.cameras import ArchiveFile, Frame
    from amfac_edge.live import BoxSource, PosedFrame
    from amfac_edge.people import PeopleFollower
    from amfac_edge.runtime import PoseEstimator

__all__ = ["add_archive_options", "archive_outputs", "is_archive_run", "run_archive"]

_WHOLE = Shard(0, 1)
_FULL = "full"
_SHOWN = 5
_OF_CAMERAS = ("--frames", "--duration", "--stats", "--stats-every", "--give-up", "--draw-stats")


def add_archive_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that `run_archive` reads."""
    group = parser.add_argument_group(
        "archives: folders of pictures and videos, split over machines (docs/scale-out.md)"
    )
    group.add_argument(
        "--lines", type=Path, metavar="FILE", help="write the pose lines to FILE, which is there when all of them are"
    )
    group.add_argument(
        "--shard", type=Shard.parse, metavar="I/N", help="do part I of N of the folder's files, counted from 0"
    )
    group.add_argument(
        "--resume", action="store_true", help="go on behind the --lines that a killed run left; done already: nothing"
    )


def is_archive_run(arguments: argparse.Namespace) -> bool:
    """Whether one of the options was given."""
    return bool(arguments.lines or arguments.shard or arguments.resume)


def archive_outputs(arguments: argparse.Namespace) -> list[Path]:
    """What the options write, for a look whether it would overwrite something that is read."""
    return [arguments.lines] if arguments.lines else []


def run_archive(arguments: argparse.Namespace, open_estimator: Callable[[], PoseEstimator]) -> int:
    """Run one shard; return the exit code.

    Args:
        arguments: of `add_archive_options`, and of amfac-run.
        open_estimator: called once there is something to do.

    Raises:
        AmfacError: a source, options or an unfinished run that don't fit each other.
    """
    shard = arguments.shard or _WHOLE
    _check_kind(arguments)
    archive = Archive(Path(arguments.source))
    _check(arguments, archive)
    facts = _facts(arguments, archive, shard)
    if arguments.lines:
        writable_folder(arguments.lines.parent)
        if arguments.resume and is_complete(arguments.lines, facts):
            _say(f"{arguments.lines}: complete already; nothing to do")
            return 0
    with open_estimator() as estimator, contextlib.ExitStack() as until_done:
        run = _Run(arguments, archive, shard, estimator, facts, until_done)
        try:
            run.run()
        except KeyboardInterrupt:
            _say(f"\nstopped after {run.position.lines + run.tally.frames:,} frames of shard {shard}")
            if arguments.lines:
                _say(f"kept {arguments.lines}.part: the same command with --resume goes on")
            raise
        run.finish()
    run.report()
    return 0


class _Run:
    """What is open while a shard is done."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        archive: Archive,
        shard: Shard,
        estimator: PoseEstimator,
        facts: dict[str, Any],
        until_done: contextlib.ExitStack,
    ) -> None:
        self._files, self._ignored = archive.part(shard), archive.ignored
        self._arguments, self._estimator, self._shard = arguments, estimator, shard
        self.tally, self.position = Tally(), Position()
        self._faults: list[tuple[str, str]] = []
        # Pictures have nothing to do with each other, so one detector serves them all; what is wrong is told now.
        first_picture = next((file for file in archive.files if not file.video), None)
        self._of_pictures = self._people(first_picture, until_done) if first_picture else None
        self._lines = self._entries = None
        self._results: CocoResults | None = None
        if arguments.lines:
            self._lines = until_done.enter_context(LineJournal(arguments.lines, facts, resume=arguments.resume))
        if arguments.results:
            single_video = archive.videos == 1
            self._results = CocoResults(arguments.results, video=single_video)
            if self._lines:
                self._entries = until_done.enter_context(LineJournal(arguments.results, facts, resume=arguments.resume))
        self._listeners: list[Callable[[PosedFrame], None]] = []
        if arguments.save:
            self._listeners.append(_overlay(arguments, estimator).add)
        # The pose line comes last: what it stands for is done.
        self._listeners += [self._add_results, self._add_line]
        if arguments.json:
            self._listeners.append(PoseLines(sys.stdout).add)
        self._listeners.append(self.tally.add)
        if self._lines:
            self._go_on(self._lines)
        self._bar = until_done.enter_context(ProgressBar("files", len(self._files), done=self.position.file))

    def run(self) -> None:
        """Do what is left."""
        for posed in posed_archive(self._files, self.position, self._poses, self._ended):
            for listener in self._listeners:
                listener(posed)

    def finish(self) -> None:
        """Everything was done: the outputs get their names."""
        if self._files and not self.position.lines + self.tally.frames:
            name, reason = (*self._faults, ("", "no frames"))[0]
            raise FrameError(
                f"none of the {len(self._files):,} files of this shard can be read; the first, {name}: {reason}",
                cure="Check where the files come from.",
            )
        if self._results:
            with self._results:
                pass
        if self._lines:
            self._lines.finish()
        if self._entries:
            self._entries.discard()

    def report(self) -> None:
        """Say what came of it."""
        frames, before = self.tally.frames, self.position.lines
        earlier = f" behind the {before:,} of an earlier run" if before else ""
        _say(
            f"{self._estimator.manifest.name}: shard {self._shard}, {len(self._files):,} files, {frames:,} frames"
            f"{earlier}, {self.tally.people:,} people"
        )
        if self._estimator.manifest.trained is False:
            _say("untrained weights: joints mean nothing")
        for name in self.position.without:
            _say(f"skipped by an earlier run: {name}")
        for name, reason in self._faults:
            _say(f"skipped {name}: {reason}")
        if self._ignored:
            more = f" and {len(self._ignored) - _SHOWN:,} more" if len(self._ignored) > _SHOWN else ""
            _say(f"neither pictures nor videos: {', '.join(self._ignored[:_SHOWN])}{more}")
        if self._arguments.boxes not in {None, _FULL} and frames and not self.tally.people:
            _say(f"{self._arguments.boxes}: no box of it is of one of these frames")
        for journal in (self._lines, self._results):
            if journal:
                _say(f"saved {journal.path}")

    def _go_on(self, lines: LineJournal) -> None:
        """Find the place, and drop from every output what lies behind it."""
        limit = sum(1 for _ in self._entries.lines()) if self._entries else None
        found = lines.lines() if limit is None else (line for _, line in zip(range(limit), lines.lines(), strict=False))
        self.position = position_after(found, self._files, whole_videos=_is_followed(self._arguments))
        lines.keep(self.position.lines)
        if self._entries and self._results:
            self._entries.keep(self.position.lines)
            for line in self._entries.lines():
                self._results.restore([json.dumps(entry) for entry in json.loads(line)])

    def _poses(self, file: ArchiveFile, frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        with contextlib.ExitStack() as with_detector:
            known = None if file.video else self._of_pictures
            boxes, follower = known or self._people(file, with_detector)
            yield from posed_frames(frames, self._estimator, boxes, follower)

    def _people(self, file: ArchiveFile, until_done: contextlib.ExitStack) -> tuple[BoxSource, PeopleFollower | None]:
        return people_of(self._arguments, file, self._estimator, until_done)

    def _ended(self, _file: ArchiveFile, faults: Sequence[tuple[str, str]]) -> None:
        self._faults += faults
        self._bar.advance()

    def _add_results(self, posed: PosedFrame) -> None:
        if self._results:
            entries = self._results.entries_of(posed)
            self._results.restore(entries)
            if self._entries:
                self._entries.add("[" + ", ".join(entries) + "]")

    def _add_line(self, posed: PosedFrame) -> None:
        if self._lines:
            self._lines.add(json.dumps(pose_line(posed), allow_nan=False))


def _check_kind(arguments: argparse.Namespace) -> None:
    """Refuse cameras, and what is for watching them: nothing that was asked for is passed over."""
    if camera_address(arguments.source) is not None:
        raise InputError(
            f"{shown_source(arguments.source)} is a camera, and --lines, --shard and --resume are about files",
            cure="Give a folder or a file; of a camera --json writes the lines.",
        )
    for option in _OF_CAMERAS:
        value = getattr(arguments, option.removeprefix("--").replace("-", "_"), None)
        if value is not None and value is not False:
            raise InputError(
                f"{option} does not go with --lines, --shard and --resume", cure=f"Leave {option} out, or those three."
            )


def _check(arguments: argparse.Namespace, archive: Archive) -> None:
    if arguments.resume and not arguments.lines:
        raise InputError(
            "--resume needs --lines FILE: what was done is read from there", cure="Give the FILE of the run to go on."
        )
    if arguments.shard and not archive.is_folder:
        raise InputError(
            f"--shard {arguments.shard} splits a folder by its files, and {arguments.source} is one file",
            cure="Give the folder, or leave --shard out.",
        )
    if not (arguments.lines or arguments.json or arguments.results or arguments.save):
        raise InputError(f"--shard {arguments.shard} has no output", cure="Give --lines FILE.")
    if arguments.deadline is not None:
        raise InputError(
            f"--deadline {arguments.deadline:g} makes the clock decide who is served, and no run would be like another",
            cure="Leave it out; --max-people N limits a crowd.",
        )
    several = archive.videos and len(archive.files) > 1
    if archive.videos and arguments.save:
        raise InputError(
            f"--save can't go on with a video that was begun, and {arguments.source} has {_videos(archive.videos)}",
            cure="Leave it out, or draw one video: --source VIDEO --save PATH, without --lines and --shard.",
        )
    if several and arguments.results:
        raise InputError(
            f"COCO results have no place for the frames of several files, and {arguments.source} has "
            f"{_videos(archive.videos)} among {len(archive.files):,}",
            cure="Give --lines FILE: each line names its file.",
        )
    if several and arguments.boxes not in {None, _FULL}:
        raise InputError(
            f"--boxes FILE names the frames of one video or of pictures, and {arguments.source} has "
            f"{_videos(archive.videos)} among {len(archive.files):,}",
            cure="Run one video at a time, each with its own boxes.",
        )


def _facts(arguments: argparse.Namespace, archive: Archive, shard: Shard) -> dict[str, Any]:
    """What the lines depend on; whoever goes on must give the same."""
    return {
        "schema": "amfac-lines/1",
        "engine": _digest(arguments.engine),
        "archive": archive.digest(),
        "files": len(archive.files),
        "shard": str(shard),
        "boxes": _FULL if arguments.boxes in {None, _FULL} else _digest(Path(arguments.boxes)),
        "detector": _digest(arguments.detector) if arguments.detector else None,
        **{key: getattr(arguments, key) for key in ("every", "detector_score", "smooth", "max_people")},
        "results": arguments.results is not None,
        "save": arguments.save is not None,
        "version": amfac_edge.__version__,
    }


def _is_followed(arguments: argparse.Namespace) -> bool:
    """Whether the people of a frame depend on the frames before."""
    return bool(arguments.detector or arguments.smooth or arguments.max_people)


def _digest(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: no such file", cure="Give the path of an existing file.")
    return sha256_of(path)


def _overlay(arguments: argparse.Namespace, estimator: PoseEstimator) -> Overlay:
    note = "" if estimator.manifest.trained is not False else "untrained weights: joints mean nothing"
    return Overlay(
        arguments.save,
        open_source(arguments.source),
        folder=Path(arguments.source).is_dir(),
        skeleton=estimator.skeleton,
        min_score=arguments.min_score,
        note=note,
        figures=arguments.draw_stats,
    )


def _videos(count: int) -> str:
    return "a video" if count == 1 else f"{count:,} videos"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
