"""Where frames come from (pictures, folders of pictures and video files), and the boxes of who is in them."""

from __future__ import annotations

from amfac_edge.cameras.boxes import BoxSource, FullFrame
from amfac_edge.cameras.boxfile import BoxFile
from amfac_edge.cameras.pictures import PICTURE_SUFFIXES, decoded, read_picture
from amfac_edge.cameras.sources import Frame, FrameSource, open_source

__all__ = [
    "PICTURE_SUFFIXES",
    "BoxFile",
    "BoxSource",
    "Frame",
    "FrameSource",
    "FullFrame",
    "decoded",
    "open_source",
    "read_picture",
]
