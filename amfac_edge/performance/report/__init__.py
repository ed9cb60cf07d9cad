"""Receipts as a page for people: one HTML file that needs nothing beside it, and a picture."""

from amfac_edge.performance.report.page import report_page
from amfac_edge.performance.report.picture import report_picture
from amfac_edge.performance.report.runs import Run, runs_of

__all__ = ["Run", "report_page", "report_picture", "runs_of"]
