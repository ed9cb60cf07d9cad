"""Where frames come from (pictures, videos, folders, archives of both), and the boxes of who is in them."""

from __future__ import annotations

from amfac_edge.cameras.archives import Archive, ArchiveFile, Shard, frames_of
from amfac_edge.cameras.boxes import BoxSource, FullFrame
from amfac_edge.cameras.boxfile import BoxFile
from amfac_edge.cameras.pictures import PICTURE_SUFFIXES, decoded, read_picture
from amfac_edge.cameras.sources import Frame, FrameSource, open_source

__all__ = [
    "PICTURE_SUFFIXES",
    "Archive",
    "ArchiveFile",
    "BoxFile",
    "BoxSource",
    "Frame",
    "FrameSource",
    "FullFrame",
    "Shard",
    "decoded",
    "frames_of",
    "open_source",
    "read_picture",
]
