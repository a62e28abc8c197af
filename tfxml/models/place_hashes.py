"""The hashes by which weights have places; see `weight_table`.

Apart from it, for those who predict without TensorFlow.
"""

from __future__ import annotations

from typing import Any

PLACES_PER_GROUP = 4
BITS = 20  # of the first and the third hash
LEAST_SECOND = 1 << 10  # its first bit, so that each shift moves each weight
MULTIPLIERS = 2654435761, 2246822519, 3266489917  # 32 bits, without a pattern


def groups_before(places: Any, labels: Any) -> Any:
    """Returns how many groups come before a place and a label.

    Takes numbers, arrays or tensors.
    """
    return places // PLACES_PER_GROUP + labels
