"""Skeletons on pictures, contact sheets, line charts; pictures and videos as files that are whole or absent."""

from __future__ import annotations

from amfac_edge.drawing.curves import Panel, Series, draw_curves
from amfac_edge.drawing.heatmaps import colour_bar, difference_picture, heat_picture
from amfac_edge.drawing.poses import draw_poses
from amfac_edge.drawing.sheets import contact_sheet, justified_places, picture_table, with_caption
from amfac_edge.drawing.text import draw_note
from amfac_edge.drawing.writing import VideoFile, require_picture_name, write_picture

__all__ = [
    "Panel",
    "Series",
    "VideoFile",
    "colour_bar",
    "contact_sheet",
    "difference_picture",
    "draw_curves",
    "draw_note",
    "draw_poses",
    "heat_picture",
    "justified_places",
    "picture_table",
    "require_picture_name",
    "with_caption",
    "write_picture",
]
