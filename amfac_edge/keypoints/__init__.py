"""Joints and their coordinates: skeletons, boxes, the crop transform, SimCC encoding and decoding."""
