"""The input of heads: one encoder's output, or a list with one per encoder.

# N instances, T places, H units of a state
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class States(NamedTuple):
    """The state of each word of a text, for heads that say `reads_states`."""

    states: tf.Tensor  # [N, T, H]
    is_word: tf.Tensor  # [N, T], 1 or 0


def only(encoded: Any) -> Any:
    """Returns the one tensor, or rows, that a head with one encoder reads.

    Also takes shapes in place of tensors.

    Raises:
        ValueError: if there are several.
    """
    if not is_several(encoded):
        return encoded
    if len(encoded) != 1:
        raise ValueError(
            "`encoded` must hold one tensor, for the head reads one encoder. "
            f"Received: {len(encoded)}"
        )
    return encoded[0]


def is_several(encoded: Any) -> bool:
    """Tells a list of tensors, or of shapes, from a single one."""
    if not isinstance(encoded, (list, tuple)) or hasattr(encoded, "_fields"):
        return False  # a tensor, or rows, which are named tuples
    return not (encoded and isinstance(encoded[-1], (int, type(None))))


def spread(encoded: Any, num_repetitions: int) -> list:
    """Returns the input of each repetition: equal runs share an encoder.

    Also takes shapes in place of tensors.
    """
    encoded = list(encoded) if is_several(encoded) else [encoded]
    num_encoders = len(encoded)
    if num_repetitions % num_encoders:
        raise ValueError(
            "`encoded` must hold a number of tensors that divides the "
            f"{num_repetitions} repetitions. Received: {num_encoders}"
        )
    return [
        encoded[number * num_encoders // num_repetitions]
        for number in range(num_repetitions)
    ]
