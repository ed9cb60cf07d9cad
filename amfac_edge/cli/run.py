"""amfac-run: the joints of the people in a picture, a folder of pictures, a video or in front of a camera."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cameras import shown_source
from amfac_edge.cli.as_typed import as_typed
from amfac_edge.cli.command import CommandParser, ProgressBar, run_command
from amfac_edge.cli.first_run import engine_to_run
from amfac_edge.cli.gpu_options import add_gpu_options, gpu_options
from amfac_edge.cli.run_archive import add_archive_options, archive_outputs, is_archive_run, run_archive
from amfac_edge.cli.run_live import add_live_options, check_live_options, source_of, stats_of
from amfac_edge.cli.run_people import add_people_options, check_people_options, detector_remark, people_of
from amfac_edge.cli.run_screen import Screens, add_screen_options, check_screen_options
from amfac_edge.errors import InputError, typed
from amfac_edge.files import refuse_overwriting, writable_folder
from amfac_edge.live import BoxFile, CocoResults, Overlay, PoseLines, Tally, bounded_frames, posed_frames
from amfac_edge.runtime import PoseEstimator

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from amfac_edge.cameras import FrameSource
    from amfac_edge.live import BoxSource, PosedFrame

__all__ = ["main"]

_UNTRAINED = "untrained weights: joints mean nothing"
_NAMED = 5
_EXAMPLES = """examples:
  amfac-run --engine model.onnx --source person.jpg --save poses.jpg
  amfac-run --engine model.onnx --source pictures/ --boxes detections.json --results poses.json --save drawn/
  amfac-run --engine model.onnx --source film.mp4 --detector rtmdet.onnx --save poses.mp4
  amfac-run --engine model.onnx --source film.mp4 --json | jq .people
  amfac-run --engine model.onnx --source archive/ --shard 0/16 --lines poses-00.jsonl --resume
  amfac-run --engine model.onnx --source v4l2:///dev/video0 --json --stats stats.jsonl
  amfac-run --engine model.onnx --source csi://0 --detector rtmdet.onnx --page 8080

cameras: csi://0?width=1280&height=720&fps=60, v4l2:///dev/video0?width=1280&height=720&fps=30, rtsp://host/path,
gst:PIPELINE. The newest frame is taken, older ones are dropped; a camera that is gone is connected to again.
an .onnx on the board or card that it was exported for, with TensorRT: the first run builds its plan and keeps it.
boxes: a COCO results list (bbox as x, y, width, height; image_id, file_name or frame) or a COCO data set.
ended by Ctrl-C or SIGTERM: the video and the pictures so far are kept; --results is written only when all is done.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-run", lambda: _run(_parser().parse_args(argv)), argv)


def _parser() -> CommandParser:
    parser = CommandParser("amfac-run", __doc__, epilog=_EXAMPLES)
    parser.add_argument(
        "--engine", required=True, type=Path, metavar="FILE", help="an .onnx or .plan that amfac-export wrote"
    )
    parser.add_argument("--source", required=True, metavar="PATH|URI", help="a picture, a folder, a video or a camera")
    add_people_options(parser)
    add_live_options(parser)
    parser.add_argument(
        "--save", type=Path, metavar="PATH", help="draw: a picture, a folder, or .mp4 or .avi for a video"
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="write a COCO results list")
    parser.add_argument("--json", action="store_true", help="one JSON line a frame on standard output")
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="X", help="draw joints from this score on (default: all)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of an .onnx (default: this machine's cores)")
    add_gpu_options(parser)
    add_screen_options(parser)
    add_archive_options(parser)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    if is_archive_run(arguments):
        return run_archive(arguments, lambda: _estimator(arguments))
    tally = Tally()
    with contextlib.ExitStack() as opened:
        source = source_of(arguments, opened)
        estimator = opened.enter_context(_estimator(arguments))
        boxes, follower = people_of(arguments, source, estimator, opened)
        files = _files(arguments, source, estimator)
        if arguments.boxes is None and arguments.detector is None:
            _say(
                f"each whole {_noun(source)} is taken as one person; --detector FILE or --boxes FILE says who is in it"
            )
        try:
            with contextlib.ExitStack() as until_done:
                screens = Screens(arguments, source, estimator, _note(estimator), until_done)
                listeners = [tally.add, screens.add, *_listeners(arguments, source, files, until_done)]
                frames = bounded_frames(source, frames=arguments.frames, seconds=arguments.duration)
                for posed in screens.until_ended(posed_frames(frames, estimator, boxes, follower)):
                    for listener in listeners:
                        listener(posed)
        except KeyboardInterrupt:
            _say(f"\nstopped after {_count(tally.frames, _noun(source))}")
            _say_saved(files, finished=False)
            raise
        _say_engine(estimator, source, tally)
        if arguments.detector:
            _say(detector_remark(tally, _noun(source)))
    _say_saved(files, finished=True)
    _say_remarks(source, boxes, whole=arguments.frames is None and arguments.duration is None)
    _say_next(arguments)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is loaded."""
    if not 0 <= arguments.min_score <= 1:
        raise InputError(
            f"--min-score {arguments.min_score:g} is not within 0 and 1", cure="Scores lie within 0 and 1."
        )
    check_people_options(arguments)
    check_live_options(arguments)
    check_screen_options(arguments, archive=is_archive_run(arguments))
    outputs = [output for output in (arguments.save, arguments.results) if output is not None]
    outputs += archive_outputs(arguments)
    outputs += [Path(arguments.stats)] if arguments.stats not in {None, "-"} else []
    inputs = (arguments.engine, arguments.source, arguments.boxes or arguments.detector or arguments.engine)
    refuse_overwriting(outputs, map(Path, inputs))
    if arguments.results:
        writable_folder(arguments.results.parent)


def _estimator(arguments: argparse.Namespace) -> PoseEstimator:
    # Threads and providers are ONNX Runtime's: who names one wants that.
    if arguments.provider is None and arguments.threads is None:
        arguments.engine = engine_to_run(arguments.engine)
    return PoseEstimator(arguments.engine, threads=arguments.threads, **gpu_options(arguments))


def _listeners(
    arguments: argparse.Namespace,
    source: FrameSource,
    files: Sequence[Overlay | CocoResults],
    until_done: contextlib.ExitStack,
) -> list[Callable[[PosedFrame], None]]:
    """Who is told of every frame; `until_done` ends them."""
    for file in files:
        until_done.enter_context(file)
    listeners: list[Callable[[PosedFrame], None]] = [file.add for file in files]
    if arguments.json:
        listeners.append(PoseLines(sys.stdout).add)
    elif source.length and source.length > 1:
        bar = until_done.enter_context(ProgressBar("poses", source.length))
        listeners.append(lambda _: bar.advance())
    stats = stats_of(arguments, source, until_done)
    return listeners if stats is None else [*listeners, stats.add]


def _files(arguments: argparse.Namespace, source: FrameSource, estimator: PoseEstimator) -> list[Overlay | CocoResults]:
    files: list[Overlay | CocoResults] = []
    if arguments.save:
        folder = Path(arguments.source).is_dir()
        files.append(
            Overlay(
                arguments.save,
                source,
                folder=folder,
                skeleton=estimator.skeleton,
                min_score=arguments.min_score,
                note=_note(estimator),
                figures=arguments.draw_stats,
            )
        )
    if arguments.results:
        files.append(CocoResults(arguments.results, video=source.video))
    return files


def _note(estimator: PoseEstimator) -> str:
    """What every picture says."""
    return _UNTRAINED if estimator.manifest.trained is False else ""


def _say_engine(estimator: PoseEstimator, source: FrameSource, tally: Tally) -> None:
    manifest, threads = estimator.manifest, estimator.settings.threads
    people = _count(tally.people, "person", "people")
    line = (
        f"{manifest.recipe.name} ({manifest.target}, {manifest.precision}, {_count(threads, 'thread')}): "
        f"{_count(tally.frames, _noun(source))}, {people}"
    )
    times = tally.median_times()
    if times is not None:
        line += (
            f"; median ms of a {_noun(source)} with people: crop {times.crop_ms:.2f}, network {times.network_ms:.2f}, "
            f"decode {times.decode_ms:.2f}"
        )
    _say(line)
    if manifest.trained is False:
        _say(_UNTRAINED)


def _say_remarks(source: FrameSource, boxes: BoxSource, *, whole: bool) -> None:
    for name, reason in source.skipped:
        _say(f"skipped {name}: {reason}")
    if source.ignored:
        _say(f"not pictures: {_named(source.ignored)}")
    if isinstance(boxes, BoxFile):
        unmatched = boxes.unmatched()
        if whole and unmatched and not boxes.matched:
            raise InputError(
                f"{boxes.path}: none of its boxes is of a frame of the source: they are of {_named(list(unmatched))}",
                cure="Give the boxes of these very pictures or this video, or --detector FILE.",
            )
        if unmatched:
            amount = _count(sum(unmatched.values()), "box", "boxes")
            _say(f"{amount} of frames that are not in the source: {_named(list(unmatched))}")
        if boxes.left_out:
            _say(f"{_count(boxes.left_out, 'box', 'boxes')} of crowds or of other things than people left out")


def _say_saved(files: Sequence[Overlay | CocoResults], *, finished: bool) -> None:
    for file in files:
        kept = file.count if file.keeps_parts else finished
        _say(f"saved {file.path}: {_count(file.count, *file.nouns)}" if kept else f"not written: {file.path}")


def _say_next(arguments: argparse.Namespace) -> None:
    engine, source = typed(arguments.engine), typed(shown_source(arguments.source))
    commands = [f"amfac-bench {engine}", f"amfac-info {engine}"]
    if not arguments.save:
        commands.insert(0, f"amfac-run --engine {engine} --source {source} --save PATH")
    _say(as_typed("next:\n  " + "\n  ".join(commands)))


def _noun(source: FrameSource) -> str:
    return "frame" if source.video else "picture"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
