"""Skeletons on pictures, contact sheets, line charts; pictures and videos as files that are whole or absent."""

from __future__ import annotations

from amfac_edge.drawing.curves import Panel, Series, draw_curves
from amfac_edge.drawing.poses import draw_poses
from amfac_edge.drawing.sheets import contact_sheet
from amfac_edge.drawing.text import draw_note
from amfac_edge.drawing.writing import VideoFile, write_picture

__all__ = ["Panel", "Series", "VideoFile", "contact_sheet", "draw_curves", "draw_note", "draw_poses", "write_picture"]
