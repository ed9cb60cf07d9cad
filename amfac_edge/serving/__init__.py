"""What is carried to where a model shall run: board kits."""

from __future__ import annotations

from amfac_edge.serving.kits import kit_name, write_kit

__all__ = ["kit_name", "write_kit"]
