"""The loop of an app: frames and boxes in, poses out to whoever listens."""

from __future__ import annotations

from amfac_edge.cameras.boxes import BoxSource, FullFrame
from amfac_edge.cameras.boxfile import BoxFile
from amfac_edge.live.adapters import Body, supervision_key_points
from amfac_edge.live.archive import Position, posed_archive, position_after
from amfac_edge.live.bounds import bounded_frames
from amfac_edge.live.detected import DetectedPeople
from amfac_edge.live.heartbeat import Heartbeat
from amfac_edge.live.journal import LineJournal, is_complete
from amfac_edge.live.loop import PosedFrame, Tally, posed_frames
from amfac_edge.live.overlay import Overlay
from amfac_edge.live.page import Page
from amfac_edge.live.page_access import PageAccess, page_address, read_token
from amfac_edge.live.painting import Painter
from amfac_edge.live.results import CocoResults, PoseLines, pose_line
from amfac_edge.live.stats import LiveStats, stats_line, stats_sentence
from amfac_edge.live.window import Window

__all__ = [
    "Body",
    "BoxFile",
    "BoxSource",
    "CocoResults",
    "DetectedPeople",
    "FullFrame",
    "Heartbeat",
    "LineJournal",
    "LiveStats",
    "Overlay",
    "Page",
    "PageAccess",
    "Painter",
    "PoseLines",
    "PosedFrame",
    "Position",
    "Tally",
    "Window",
    "bounded_frames",
    "is_complete",
    "page_address",
    "pose_line",
    "posed_archive",
    "posed_frames",
    "position_after",
    "read_token",
    "stats_line",
    "stats_sentence",
    "supervision_key_points",
]
