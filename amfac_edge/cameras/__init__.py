"""Where frames come from: pictures, folders of pictures and video files."""

from __future__ import annotations

from amfac_edge.cameras.pictures import PICTURE_SUFFIXES, read_picture
from amfac_edge.cameras.sources import Frame, FrameSource, open_source

__all__ = ["PICTURE_SUFFIXES", "Frame", "FrameSource", "open_source", "read_picture"]
