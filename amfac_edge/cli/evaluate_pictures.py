"""amfac-eval's pictures: cases, the grid of poses, what the gates change; and where all of its outputs may go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.accuracy import attention_of, attention_sheet, case_sheet, pose_grid
from amfac_edge.datasets import read_data_source
from amfac_edge.drawing import require_picture_name, write_picture
from amfac_edge.errors import InputError, OutputError
from amfac_edge.files import refuse_overwriting, writable_folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from amfac_edge.accuracy import Predictions, Protocol
    from amfac_edge.cli.command import CommandParser
    from amfac_edge.datasets import DataSource, PeopleSet

__all__ = ["add_picture_options", "check_outputs", "check_pictures", "draw_attention", "draw_people"]

_GRID, _ROWS = 12, 6
_UNTRAINED = "UNTRAINED WEIGHTS. "


def add_picture_options(parser: CommandParser) -> None:
    """Add `--worst`, `--grid`, `--attention` and `--count`."""
    add = parser.add_argument
    add("--worst", type=Path, metavar="PICTURE", help="write a sheet of the worst and the best cases")
    add("--grid", type=Path, metavar="PICTURE", help="write whole pictures with the predicted poses")
    add("--attention", type=Path, metavar="PICTURE", help="write a checkpoint's activations with and without its DGCB")
    add("--count", type=int, metavar="N", help=f"pictures of --grid ({_GRID}), people of --attention ({_ROWS})")


def check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse, before anything is loaded, outputs that can't be written or would replace what is read or each other.

    Raises:
        InputError: options that don't go together.
        OutputError: a place that can't be written to, a file that is read, or two outputs of one name.
    """
    for picture in (arguments.worst, arguments.grid, arguments.attention, arguments.reliability):
        if picture is not None:
            require_picture_name(picture)
    if arguments.count is not None and not (arguments.count > 0 and (arguments.grid or arguments.attention)):
        raise InputError(f"--count {arguments.count}: of nothing", cure="Give 1 or more, with --grid or --attention.")
    if arguments.attention and (arguments.file is None or arguments.file.suffix.lower() in {".onnx", ".plan"}):
        raise InputError(
            f"--attention with {arguments.file or '--predictions'}: only a checkpoint's gates can be switched off",
            cure="Give a checkpoint: .pth, .pt or .safetensors.",
        )
    outputs = list(_outputs(arguments))
    refuse_overwriting(outputs, _inputs(arguments))
    for output in outputs:
        writable_folder(output.parent)


def check_pictures(arguments: argparse.Namespace, people: PeopleSet) -> None:
    """Refuse, before the work, pictures of people whose own pictures are not there, and outputs in place of those.

    Raises:
        InputError: the data were loaded without pictures.
        OutputError: an output is one of the data's pictures.
    """
    wanted = {"--worst": arguments.worst, "--grid": arguments.grid, "--attention": arguments.attention}
    given = [name for name, path in wanted.items() if path]
    if given and not people.stores:
        raise InputError(
            f"{', '.join(given)}: {people.name} was loaded without its pictures",
            cure="Give --images FOLDER or --images FILE.tar.",
        )
    source = _source(arguments)
    folder = arguments.images or (source.images if source else None)
    if folder is None or not folder.is_dir():
        return
    within = [output for output in _outputs(arguments) if output.resolve().is_relative_to(folder.resolve())]
    names = {name for record in people.images.values() for name in (record.file_name, Path(record.file_name).name)}
    for output in within:
        if output.resolve().relative_to(folder.resolve()).as_posix() in names:
            raise OutputError(f"{output}: would overwrite a picture of {people.name}", cure="Give it another name.")


def draw_attention(arguments: argparse.Namespace, people: PeopleSet) -> None:
    """Draw `--attention` where it was asked for.

    Raises:
        InputError: the network has no gates that could be switched off.
    """
    if not arguments.attention:
        return
    from amfac_edge.pipeline.attention import gates_from_checkpoint  # noqa: PLC0415 - torch, where it is needed

    gates = gates_from_checkpoint(arguments.file, recipe=arguments.recipe, key_map=arguments.key_map)
    attention = attention_of(
        people, gates.recipe, gates.gated, gates.ungated, count=arguments.count or _ROWS, seed=arguments.seed
    )
    caption = f"{_UNTRAINED if gates.trained is False else ''}{arguments.file.name} on {people.name}. {gates.caption}"
    write_picture(arguments.attention, attention_sheet(people, attention, caption))
    _say(f"saved {arguments.attention}: {len(attention.people)} people")


def draw_people(
    arguments: argparse.Namespace,
    people: PeopleSet,
    predictions: Predictions,
    protocol: Protocol,
    boxes: str,
    *,
    trained: bool | None,
) -> None:
    """Draw `--worst` and `--grid` where they were asked for."""
    if arguments.worst:
        write_picture(arguments.worst, case_sheet(people, predictions, protocol))
        _say(f"saved {arguments.worst}: truth on the left, prediction on the right")
    if arguments.grid:
        file = arguments.file or arguments.predictions
        source = f"{_UNTRAINED if trained is False else ''}{file.name}, boxes: {boxes},"
        count, seed = arguments.count or _GRID, arguments.seed
        write_picture(arguments.grid, pose_grid(people, predictions, count=count, seed=seed, source=source))
        _say(f"saved {arguments.grid}")


def _outputs(arguments: argparse.Namespace) -> Iterator[Path]:
    pictures = (arguments.worst, arguments.grid, arguments.attention, arguments.reliability)
    for output in (*pictures, arguments.save_predictions, arguments.robustness, arguments.calibrate_score):
        if output is not None:
            yield output
    if arguments.robustness:
        yield arguments.robustness.with_suffix(".png")


def _inputs(arguments: argparse.Namespace) -> Iterator[Path]:
    models = (arguments.file, arguments.predictions, arguments.key_map, arguments.against)
    named = (*models, arguments.data, arguments.images)
    listed = (Path(name) for name in (*(arguments.boxes or ()), arguments.recipe or "") if name)
    source = _source(arguments)
    from_table = () if source is None else (source.annotations, source.images)
    yield from (path for path in (*named, *listed, *from_table) if path is not None)
    if arguments.file is not None:
        yield arguments.file
        yield arguments.file.with_name(f"{arguments.file.name}.json")


def _source(arguments: argparse.Namespace) -> DataSource | None:
    """The data table, where the data are given by one."""
    return read_data_source(arguments.data) if arguments.data.suffix == ".toml" else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
