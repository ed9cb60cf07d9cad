"""Where frames come from (pictures, videos, folders, archives of both, cameras), and the boxes of who is in them."""

from __future__ import annotations

from amfac_edge.cameras.addresses import CameraAddress, camera_address, shown_source
from amfac_edge.cameras.archives import Archive, ArchiveFile, Shard, frames_of
from amfac_edge.cameras.backends import open_camera
from amfac_edge.cameras.boxes import BoxSource, FullFrame
from amfac_edge.cameras.boxfile import BoxFile
from amfac_edge.cameras.frames import Frame, FrameSource
from amfac_edge.cameras.live_limits import CameraCounts, CameraLimits
from amfac_edge.cameras.live_source import LiveSource
from amfac_edge.cameras.pictures import PICTURE_SUFFIXES, decoded, read_picture
from amfac_edge.cameras.pipelines import camera_pipeline
from amfac_edge.cameras.sources import open_source

__all__ = [
    "PICTURE_SUFFIXES",
    "Archive",
    "ArchiveFile",
    "BoxFile",
    "BoxSource",
    "CameraAddress",
    "CameraCounts",
    "CameraLimits",
    "Frame",
    "FrameSource",
    "FullFrame",
    "LiveSource",
    "Shard",
    "camera_address",
    "camera_pipeline",
    "decoded",
    "frames_of",
    "open_camera",
    "open_source",
    "read_picture",
    "shown_source",
]
