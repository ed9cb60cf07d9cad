"""Files that others publish, brought to this machine: resumable, whole or absent, and of the declared digest."""

from __future__ import annotations

from amfac_edge.fetching.downloading import Patience, Watch
from amfac_edge.fetching.models import Fetched, fetch_model, model_folder

__all__ = ["Fetched", "Patience", "Watch", "fetch_model", "model_folder"]
