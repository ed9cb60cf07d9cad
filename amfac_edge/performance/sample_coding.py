"""Samples as text for a receipt: whole nanoseconds, by byte planes, compressed.

Times of one series share their high bytes, so that the planes of those compress to nothing: three to four characters a
sample remain. Reading trusts nothing: the count limits what is decompressed, and every sample must be a time.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CODING", "MOST_SAMPLES", "coded_samples", "decoded_samples", "whole_nanoseconds"]

CODING = "ns-u64-planes-zlib-base64"
MOST_SAMPLES = 10_000_000
_WIDTH = 8
_NS = 1e6
# Three hours: no frame takes as long.
_LONGEST_NS = 10_800 * 10**9


def whole_nanoseconds(samples_ms: Sequence[float]) -> tuple[float, ...]:
    """Milliseconds as a receipt keeps them: `decoded_samples(coded_samples(x))` gives exactly these."""
    return tuple(round(sample * _NS) / _NS for sample in samples_ms)


def coded_samples(samples_ms: Sequence[float]) -> str:
    """Milliseconds as text."""
    nanoseconds = np.rint(np.asarray(samples_ms, np.float64) * _NS).astype("<u8")
    planes = nanoseconds.view(np.uint8).reshape(-1, _WIDTH).T.tobytes()
    return base64.b64encode(zlib.compress(planes, 9)).decode()


def decoded_samples(text: str, count: int) -> tuple[float, ...]:
    """`count` milliseconds from text.

    Raises:
        ValueError: it isn't that; the message says what it is instead.
    """
    if not 1 <= count <= MOST_SAMPLES:
        raise ValueError(f"{count} samples are not within 1 and {MOST_SAMPLES:,}")
    try:
        inflating = zlib.decompressobj()
        planes = inflating.decompress(base64.b64decode(text, validate=True), count * _WIDTH + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"they can't be decompressed: {error}") from error
    if len(planes) != count * _WIDTH or not inflating.eof or inflating.unused_data:
        raise ValueError(f"they are not {count} samples")
    nanoseconds = np.frombuffer(planes, np.uint8).reshape(_WIDTH, count).T.copy().view("<u8")[:, 0]
    longest = int(nanoseconds.max())
    # None at all is right for a copy that shared memory saves; for every sample of a series it is not.
    if not 1 <= longest <= _LONGEST_NS:
        raise ValueError(f"{longest} ns as the longest of {count} samples are no time of a frame")
    return tuple((nanoseconds / _NS).tolist())
