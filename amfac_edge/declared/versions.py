"""Version numbers, for comparisons: of packages, and of the libraries that a declaration or a manifest names."""

from __future__ import annotations

import re

__all__ = ["version_number"]


def version_number(version: str) -> tuple[int, ...]:
    """The numbers at the head of a version: (2, 13, 0) of "2.13.0+cpu"; empty where there are none."""
    # No version has longer numbers; a hostile one would take Python long, or make it refuse.
    found = re.match(r"\d{1,9}(\.\d{1,9})*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
