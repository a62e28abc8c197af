"""Finds weights in the table that `models.weight_table` describes."""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled
from tfxml.models import place_hashes

_BITS = place_hashes.BITS
_FIRST, _SECOND, _THIRD = place_hashes.MULTIPLIERS
_LEAST_SECOND = place_hashes.LEAST_SECOND
_SECOND_BITS = _LEAST_SECOND.bit_length() - 1
_MASK = (1 << _BITS) - 1
_UNIT = np.float32(2.0**-_BITS)


@compiled.loop
def group_of(feature: int, num_groups: int) -> int:
    """Returns which of its label's groups a feature is in."""
    fraction = np.float32(_hashed(feature, _FIRST, _BITS)) * _UNIT
    return int(fraction * np.float32(num_groups))


@compiled.loop
def place_of(feature: int, shift: int, num_places: int) -> int:
    """Returns which of its label's places is a feature's, if it has one."""
    second = _LEAST_SECOND + _hashed(feature, _SECOND, _SECOND_BITS)
    shifted = _hashed(feature, _THIRD, _BITS) + second * shift
    fraction = np.float32(shifted & _MASK) * _UNIT
    return int(fraction * np.float32(num_places))


@compiled.loop
def _hashed(feature, multiplier, bits):
    """Returns one of the hashes of `weight_table.hashes_of`."""
    mixed = np.uint64(feature) * np.uint64(multiplier) & np.uint64(2**32 - 1)
    return np.int64(mixed >> np.uint64(32 - bits))
