"""A model that others publish: where it lies, what its bytes must be, on which terms (`export/fetch/*.toml`).

The digest of the model itself is what counts: it is checked before the file gets its name. An archive around it may
have a digest too. An entry may lack a digest, since not every file could be seen; nothing is fetched by such an entry
unless the user gives the digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from amfac_edge.declared.library import declared_names, declared_path
from amfac_edge.declared.reading import Table, read_toml, reading

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KnownFile", "PublicModel", "Verification", "is_sha256", "load_public_model", "public_model_names"]

_FOLDER = "export/fetch"
_SCHEMA = "amfac-fetch/1"
_KINDS = ("pose", "detector")
_MOST_BYTES = 1 << 31
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class KnownFile:
    """What is known of a file's bytes.

    Attributes:
        size: number of bytes; None where nobody stated it.
        sha256: in hex; empty where nobody stated it.
    """

    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Verification:
    """What the people of this project saw with their own eyes.

    Attributes:
        file: a file of this digest was at hand.
        address: the address gave that file.
        date: when that was so, or when it was last looked for (ISO 8601).
        what: a sentence: what was looked at, and where the digest is from.
    """

    file: bool
    address: bool
    date: str
    what: str

    @property
    def complete(self) -> bool:
        """Whether the whole way was gone: the address was asked and gave a file of this digest."""
        return self.file and self.address


@dataclass(frozen=True)
class PublicModel:
    """One entry of the list.

    Attributes:
        name: of the entry, and of the fetched file: `<name>.onnx`.
        kind: "pose" or "detector".
        title: what it is, for people.
        recipe: name or path of the recipe that exports it; empty for a detector.
        url: address of the download.
        member: file name of the model inside the downloaded zip archive; empty where the download is the model.
        archive: what is known of that archive.
        model: what is known of the model.
        licence: SPDX expression; empty where nobody states one, and such a model is not fetched.
        licence_source: where that is stated.
        licence_note: what that statement leaves open.
        verified: what was seen of all this.
    """

    name: str
    kind: str
    title: str
    recipe: str
    url: str
    member: str
    archive: KnownFile
    model: KnownFile
    licence: str
    licence_source: str
    licence_note: str
    verified: Verification

    @property
    def download(self) -> KnownFile:
        """What is known of the file at `url`."""
        return self.archive if self.member else self.model


def is_sha256(text: str) -> bool:
    """Whether `text` is a SHA-256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


def public_model_names() -> list[str]:
    """The names of the listed models, sorted."""
    return declared_names(_FOLDER)


def load_public_model(name: str | Path) -> PublicModel:
    """The entry of a listed name, or of a TOML file of the user's own.

    Raises:
        DeclaredError: unknown name (near ones are shown), or a faulty file (all faults are shown).
    """
    path = declared_path(_FOLDER, str(name), noun="public model")
    with reading(read_toml(path), where=str(path)) as table:
        table.text("schema", default=_SCHEMA, choices=[_SCHEMA])
        kind = table.text("kind", choices=_KINDS)
        download, licence = table.table("download"), table.table("licence", required=False)
        member = download.text("member", default="")
        model = PublicModel(
            name=path.stem,
            kind=kind,
            title=table.text("title", default=path.stem),
            recipe=table.text("recipe", default=None if kind == "pose" else ""),
            url=download.text("url"),
            member=member,
            archive=_known(download) if member else KnownFile(),
            model=_known(table.table("model", required=False)),
            licence=licence.text("spdx", default=""),
            licence_source=licence.text("source", default=""),
            licence_note=licence.text("note", default=""),
            verified=_verification(table.table("verified", required=False)),
        )
        _check(model, table, download, licence)
    return model


def _known(table: Table) -> KnownFile:
    size = table.integer("bytes", minimum=1, maximum=_MOST_BYTES) if "bytes" in table else None
    sha256 = table.text("sha256", default="")
    if sha256 and not is_sha256(sha256):
        table.fault("sha256", f'"{sha256}" is no SHA-256 in 64 lower-case hex digits')
    return KnownFile(size, sha256)


def _verification(table: Table) -> Verification:
    return Verification(
        file=table.flag("file", default=False),
        address=table.flag("address", default=False),
        date=table.text("date", default=""),
        what=table.text("what", default="nothing was looked at"),
    )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _check(model: PublicModel, table: Table, download: Table, licence: Table) -> None:
    """The faults that take more than one field."""
    if model.kind == "detector" and model.recipe:
        table.fault("recipe", "a recipe describes a pose model; a detector has none")
    if model.member != PurePosixPath(model.member).name:
        download.fault("member", f'"{model.member}" has a folder in it; give the file name alone')
    if not _host(model.url):
        download.fault("url", f'"{model.url}" names no host')
    if model.licence and not model.licence_source:
        licence.fault("source", "where the licence is stated must be said")
    if model.verified.file and not model.model.sha256:
        table.fault("verified.file", "a file that was at hand has a digest: model.sha256 is missing")
