"""amfac-fetch: pose models and person detectors that others publish, brought to this machine and checked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.cli.command import CommandParser, ProgressBar, run_command
from amfac_edge.declared.public_model import load_public_model, public_model_names
from amfac_edge.errors import InputError, typed
from amfac_edge.fetching import Watch, fetch_model, model_folder
from amfac_edge.fetching.models import part_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from amfac_edge.declared.public_model import PublicModel
    from amfac_edge.fetching import Fetched

__all__ = ["main"]

_PROG = "amfac-fetch"
_SCHEMA = "amfac-fetched/1"
_INTERRUPTED, _TERMINATED = 130, 143
_EXAMPLES = """examples:
  amfac-fetch --list                          what there is, on which terms, and what of it was verified
  amfac-fetch rtmpose-s-256x192               into the cache; the path is printed
  amfac-fetch rtmpose-s-256x192 --out models
  amfac-fetch rtmpose-s-256x192 --from usb/   a machine without a network: from a file, its archive, or their folder
  amfac-fetch mine.toml                       an entry of your own, as those in export/fetch
An interrupted download goes on where it ended. Proxies are those of the environment (https_proxy, no_proxy).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(_PROG, lambda: _fetch(_parser().parse_args(argv)), argv)


def _parser() -> CommandParser:
    parser = CommandParser(_PROG, __doc__, epilog=_EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the list, or a TOML of your own")
    parser.add_argument("--list", action="store_true", help="show the list and end")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="FILE|DIR", help="take it from there, without a network"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for NAME.onnx (default: the user's cache)")
    parser.add_argument("--sha256", metavar="HEX", default="", help="of the model, where the list has none")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def _fetch(arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _show_list(arguments)
    if not arguments.names:
        raise InputError("no model is named", cure="amfac-fetch --list shows what there is.")
    models = [load_public_model(name) for name in arguments.names]
    if len(models) > 1 and (arguments.sha256 or (arguments.source and not arguments.source.is_dir())):
        raise InputError("one file and one digest can't be those of several models", cure="Name one model.")
    done = []
    for model in models:
        try:
            fetched = _fetch_one(model, arguments)
        except KeyboardInterrupt as stop:
            _say_kept(model, arguments)
            # Ended here: the net of all commands would say that nothing unfinished was left.
            return _INTERRUPTED if type(stop) is KeyboardInterrupt else _TERMINATED
        facts = dataclasses.asdict(fetched) | {"path": str(fetched.path), "next": _next(model, fetched)}
        done.append(_facts(model) | facts)
        if not arguments.json:
            print(fetched.path, flush=True)
        _say(f"{_CAME[fetched.came_from]}; SHA-256 {fetched.sha256}", f"next: {_next(model, fetched)}")
    if arguments.json:
        print(json.dumps({"schema": _SCHEMA, "models": done}, indent=2))
    return 0


_CAME = {"cache": "it was here already", "file": "copied", "network": "fetched"}


def _say_kept(model: PublicModel, arguments: argparse.Namespace) -> None:
    part = part_of(model, arguments.out or model_folder(model.name))
    kept = f"what has come is kept ({part}); the same command goes on from there"
    _say(f"\n{_PROG}: stopped; {kept if part.is_file() else 'nothing had come yet'}")


def _fetch_one(model: PublicModel, arguments: argparse.Namespace) -> Fetched:
    _say(*_announcement(model))
    with contextlib.ExitStack() as until_done:
        bars: list[ProgressBar] = []

        def progress(done: int, total: int | None) -> None:
            if total is None:
                return  # a bar without an end tells nothing
            if not bars:
                bars.append(until_done.enter_context(ProgressBar(f"{model.name}, bytes", total, done=done)))
            bars[0].advance(done - bars[0].done)

        watch = Watch(say=_say, progress=progress)
        return fetch_model(model, folder=arguments.out, sha256=arguments.sha256, source=arguments.source, watch=watch)


def _announcement(model: PublicModel) -> list[str]:
    note = f"; {model.licence_note}" if model.licence_note else ""
    return [
        model.name if model.title == model.name else f"{model.name}: {model.title}",
        f"  from      {model.url}",
        f"  size      {_size(model)}",
        f"  licence   {model.licence or 'not known'} ({model.licence_source}){note}",
        f"  verified  {_state(model)}: {model.verified.what}",
    ]


def _size(model: PublicModel) -> str:
    size = model.download.size
    return "not known" if size is None else f"{size / 1e6:.1f} MB"


def _state(model: PublicModel) -> str:
    """How far the entry can be relied on, in few words."""
    verified = model.verified
    if not (model.licence and model.model.sha256):
        return "no, refused" if not model.licence else "no, refused without --sha256"
    if verified.complete:
        return f"yes, {verified.date}"
    return f"the file alone, {verified.date}" if verified.file else "no"


def _next(model: PublicModel, fetched: Fetched) -> str:
    if model.kind == "pose":
        return f"amfac-export {typed(fetched.path)} --recipe {model.recipe} --target cpu"
    return f"amfac-export {typed(fetched.path)} --target cpu"


def _facts(model: PublicModel) -> dict[str, Any]:
    return dataclasses.asdict(model) | {"state": _state(model)}


def _show_list(arguments: argparse.Namespace) -> int:
    models = [load_public_model(name) for name in arguments.names or public_model_names()]
    if arguments.json:
        print(json.dumps({"schema": _SCHEMA, "models": [_facts(model) for model in models]}, indent=2))
        return 0
    rows = [("name", "kind", "size", "licence", "verified", "")]
    rows += [(m.name, m.kind, _size(m), m.licence or "not known", _state(m), m.title) for m in models]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    _say("next: amfac-fetch NAME    (amfac-fetch --list --json has addresses, digests and terms)")
    return 0


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
