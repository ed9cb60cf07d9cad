"""Annotated people and their pictures: COCO keypoints, CrowdPose, files of that form, and generated figures."""

from __future__ import annotations

from amfac_edge.datasets.annotations import DataSource, OnFault, load_people, read_data_source
from amfac_edge.datasets.generated import generated_people
from amfac_edge.datasets.people import ImageRecord, PeopleSet, join_people
from amfac_edge.datasets.pictures import PictureStore

__all__ = [
    "DataSource",
    "ImageRecord",
    "OnFault",
    "PeopleSet",
    "PictureStore",
    "generated_people",
    "join_people",
    "load_people",
    "read_data_source",
]
