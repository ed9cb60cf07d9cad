"""A listed model on this machine: from the cache, from a file of the user's, or from its publisher.

A file gets its name only when its digest is the listed one. Models lie in `$XDG_CACHE_HOME/amfac-edge/models/<name>/`,
a folder each, which is locked while its model is fetched: a second process waits and finds it there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from amfac_edge.declared.public_model import is_sha256
from amfac_edge.errors import InputError, ModelFileError, OutputError
from amfac_edge.fetching.archives import extract_member, is_archive
from amfac_edge.fetching.downloading import LARGEST, Patience, Watch, discard_part, download
from amfac_edge.files import atomic_file, cache_folder, sha256_of, writable_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amfac_edge.declared.public_model import PublicModel

__all__ = ["Fetched", "fetch_model", "model_folder", "part_of"]


@dataclass(frozen=True)
class Fetched:
    """A model that is here.

    Attributes:
        path: of the ONNX.
        sha256: of the ONNX, checked now.
        size: in bytes.
        came_from: "cache", "file" or "network".
    """

    path: Path
    sha256: str
    size: int
    came_from: str


def model_folder(name: str) -> Path:
    """The folder in the user's cache where a model of this name lies."""
    return cache_folder("models") / name


def part_of(model: PublicModel, folder: Path) -> Path:
    """Where a download grows: kept when it is interrupted, for the next try to go on from."""
    return folder / f"{model.name}{'.zip' if model.member else '.onnx'}.part"


def fetch_model(
    model: PublicModel,
    *,
    folder: Path | None = None,
    sha256: str = "",
    source: Path | None = None,
    watch: Watch | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Make sure that a model is here and is the listed one.

    Args:
        model: what to fetch.
        folder: where to put `<name>.onnx`; None for the user's cache.
        sha256: the model's digest, where the list has none: the user answers for it.
        source: a file, or a folder with the file in it, in place of the network: the model, or its archive.
        watch: who is told what happens.
        patience: with the server.

    Raises:
        InputError: no licence or no digest is known, or the address or the source can't be used.
        ModelFileError: the file is not the listed one.
        MachineError: the server can't be reached, or goes on failing.
        OutputError: the folder can't be written to.
    """
    watch = watch or Watch()
    digest = _required_digest(model, sha256)
    place = writable_folder(folder or model_folder(model.name))
    target = place / f"{model.name}.onnx"
    with _alone_in(place, watch):
        came_from = "cache"
        if not _is(target, digest):
            if target.exists():
                watch.say(f"{target}: not the listed file; it is fetched anew")
            cached = model_folder(model.name) / target.name
            if source is None and folder is not None and _is(cached, digest):
                source = cached
            came_from = "network" if source is None else "file"
            if source is None:
                _from_network(model, digest, target, watch, patience or Patience())
            else:
                _from_file(model, digest, target, source)
    return Fetched(target, digest, target.stat().st_size, came_from)


def _required_digest(model: PublicModel, given: str) -> str:
    """The digest that the model must have; without one, or without a licence, nothing is fetched."""
    if not model.licence:
        raise InputError(
            f"{model.name}: not fetched, licence missing: nobody states on which terms it may be used",
            cure=f"Ask its publisher ({model.url}); a file of your own goes to amfac-export directly.",
        )
    listed = model.model.sha256
    if given and not is_sha256(given.lower()):
        raise InputError(f'--sha256 "{given}" is no SHA-256 in 64 hex digits', cure="sha256sum FILE prints it.")
    if given and listed and given.lower() != listed:
        raise InputError(
            f"{model.name}: --sha256 says {given.lower()}, the list says {listed}",
            cure="Leave --sha256 out; a file of your own goes to amfac-export directly.",
        )
    if not (listed or given):
        raise InputError(
            f"{model.name}: not fetched, digest missing: nothing would show whether {model.url} gives the right file",
            cure="Get the SHA-256 of the ONNX from somebody you trust, and give it: --sha256 HEX.",
        )
    return listed or given.lower()


def _from_network(model: PublicModel, digest: str, target: Path, watch: Watch, patience: Patience) -> None:
    part = part_of(model, target.parent)
    _require_space(model, part)
    download(model.url, part, model.download, watch=watch, patience=patience)
    try:
        _require_digest(part, model.download.sha256, model.url)
        if model.member:
            _unpack(model, part, digest, target, model.url)
        else:
            _require_digest(part, digest, model.url)
            part.replace(target)
    except ModelFileError:
        discard_part(part)
        raise
    discard_part(part)


def _from_file(model: PublicModel, digest: str, target: Path, source: Path) -> None:
    path = _in_folder(model, digest, source) if source.is_dir() else source
    if not path.is_file():
        raise InputError(f"{path}: no such file", cure="Give the model, its archive, or a folder with one of them.")
    try:
        packed = is_archive(path)
        if packed and model.member:
            _unpack(model, path, digest, target, str(path))
            return
        with atomic_file(target) as temporary:
            shutil.copyfile(path, temporary)
            _require_digest(temporary, digest, str(path))
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}", cure="Check its permissions.") from error


def _in_folder(model: PublicModel, digest: str, folder: Path) -> Path:
    """The file of a folder that is meant: by its name, else by its digest."""
    names = list(dict.fromkeys((f"{model.name}.onnx", Path(urlsplit(model.url).path).name)))
    for name in names:
        if (folder / name).is_file():
            return folder / name
    fitting = {digest, model.archive.sha256}
    for path in sorted(path for path in folder.iterdir() if path.suffix in {".onnx", ".zip"} and path.is_file()):
        if path.stat().st_size <= LARGEST and sha256_of(path) in fitting:
            return path
    raise InputError(
        f"{folder}: neither {' nor '.join(names)} is in it, nor another file of that digest",
        cure=f"Bring {model.url} there.",
    )


def _unpack(model: PublicModel, archive: Path, digest: str, target: Path, origin: str) -> None:
    with atomic_file(target) as temporary:
        extract_member(archive, model.member, temporary, limit=model.model.size or LARGEST)
        _require_digest(temporary, digest, f"{origin}: {model.member}")


def _require_digest(path: Path, digest: str, origin: str) -> None:
    found = sha256_of(path)
    if digest and found != digest:
        raise ModelFileError(
            f"{origin}: not the listed file: its SHA-256 is {found}, expected {digest}; nothing was kept of it",
            cure="It was changed, or is another export of the same weights: find out which before using it.",
        )


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _require_space(model: PublicModel, part: Path) -> None:
    """Say before the download that the disk is too small for it, where the sizes are known."""
    there = part.stat().st_size if part.is_file() else 0
    needed = (model.download.size or 0) + ((model.model.size or 0) if model.member else 0) - there
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise OutputError(
            f"{part.parent}: {free:,} bytes are free, {needed:,} are needed",
            cure="Free space there, or choose another folder with --out.",
        )


@contextlib.contextmanager
def _alone_in(folder: Path, watch: Watch) -> Iterator[None]:
    """Hold the folder's lock, which the system takes back when this process ends in whatever way."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            watch.say(f"{folder}: another amfac-fetch is at work there; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
