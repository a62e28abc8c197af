"""Upper bounds of products with a dense kernel, from products of bytes.

# N instances, H units, B outputs

Rounded to bytes, a row x becomes x', a column w of the kernel w', and by Cauchy
and Schwarz

    |x w - x' w'| <= |x - x'| |w| + |x'| |w - w'|

where all norms are known. Whatever can be among the best by its upper bound is
multiplied again, exactly; so nothing is lost, and few products are exact.
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import byte_products, compiled

_LABELS, _ROWS, _UNITS = (
    byte_products.LABELS,
    byte_products.ROWS,
    byte_products.UNITS,
)
MOST_UNITS = 1 << 16  # whose products of bytes fit into 32 bits
_ROWS_AT_ONCE = 96  # rows whose bounds a processor's cache holds
_CODES = 255  # of a row's units, which are not negative
_SIGNED_CODES = 127  # of weights
_ROUNDING = np.float32(2**-22)  # a float32 sum's relative error for each term

# Compiled loops read names of their own module.
_tile, _dot = byte_products.tile, byte_products.dot
_num_columns, _list_columns = best_lib.num_columns, best_lib.list_columns


class UpperBounds:
    """Bounds the products with one kernel, for rows that are not negative.

    Args:
        kernel: [B, H + 1] float32; inputs end in a 1, which stands for the
            bias. It is kept for exact products.
    """

    def __init__(self, kernel: np.ndarray):
        self._kernel = kernel
        num_outputs, num_units = kernel.shape[0], kernel.shape[1] - 1
        self._num_codes = _whole(num_units, _UNITS)
        weights = kernel[:, :-1]
        self._scales = np.abs(weights).max(axis=1) / np.float32(_SIGNED_CODES)
        divisors = np.where(self._scales > 0, self._scales, np.float32(1))
        codes = np.rint(weights / divisors[:, None]).astype(np.int8)
        errors = weights - codes * self._scales[:, None]
        self._norms = np.linalg.norm(weights, axis=1)
        self._errors = np.linalg.norm(errors, axis=1)
        self._errors += _ROUNDING * num_units * self._norms
        padded = np.zeros(
            (_whole(num_outputs, _LABELS), self._num_codes), np.int8
        )
        padded[:num_outputs, :num_units] = codes
        biases = kernel[:, -1]
        is_finite = np.isfinite(biases)
        rounding = np.where(is_finite, _ROUNDING * np.abs(biases), 0)
        self._biases = biases + rounding
        self._largest_rounding = rounding.max()
        self._packed = np.ascontiguousarray(
            padded.reshape(
                -1, _LABELS, self._num_codes // _UNITS, _UNITS
            ).swapaxes(1, 2)
        )

    def keep_best(
        self,
        encoded: np.ndarray,
        label_ids: np.ndarray,
        best: np.ndarray,
        best_ids: np.ndarray,
    ) -> None:
        """Merges products into lists of best labels; see `best.keep_best`.

        Args:
            encoded: [N, H + 1] float32, not negative.
            label_ids: [B], of the outputs.
            best, best_ids: [N, K], best first.
        """
        k = min(best.shape[1], len(label_ids))
        for first in range(0, len(encoded), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            bounds, excess = self.bounds(encoded[rows])
            _refine(encoded[rows], self._kernel, bounds, excess, k)
            # Bounds that are no products are below the k best products.
            best_lib.keep_best(bounds, label_ids, best[rows], best_ids[rows])

    def bounds(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns upper bounds, [n, B], and what they exceed at most, [n]."""
        bounds = np.empty((len(encoded), len(self._kernel)), np.float32)
        excess = np.empty(len(encoded), np.float32)
        _write_bounds(
            encoded,
            self._packed,
            self._scales,
            self._norms,
            self._errors,
            self._biases,
            bounds,
            excess,
        )
        return bounds, excess + 2 * self._largest_rounding


def _whole(size: int, unit: int) -> int:
    """Returns the least multiple of a unit that is not below a size."""
    return (size + unit - 1) // unit * unit


@compiled.loop
def _write_bounds(
    encoded, packed, scales, norms, errors, biases, bounds, excess
):
    """Writes bounds [n, B] and their excess [n]; see `UpperBounds`."""
    num_rows, num_outputs = bounds.shape
    num_codes = packed.shape[1] * np.int64(_UNITS)
    codes = np.zeros((num_rows + _ROWS, num_codes), np.uint8)
    row_scales = np.zeros(num_rows + _ROWS, np.float32)
    row_errors = np.zeros(num_rows + _ROWS, np.float32)
    row_norms = np.zeros(num_rows + _ROWS, np.float32)
    largest_norm = largest_error = np.float32(0)
    for output in range(num_outputs):
        largest_norm = max(largest_norm, norms[output])
        largest_error = max(largest_error, errors[output])
    for row in range(num_rows):
        scale, error, norm = _write_codes(encoded[row, :-1], codes[row])
        row_scales[row], row_errors[row], row_norms[row] = scale, error, norm
        excess[row] = np.float32(2) * (
            error * largest_norm + norm * largest_error
        )
    products = np.empty((_ROWS, _LABELS), np.int32)
    for block in range(np.uint64(len(packed))):
        start = np.int64(block) * _LABELS
        stop = min(start + _LABELS, num_outputs)
        block_scales, block_biases = scales[start:stop], biases[start:stop]
        block_norms, block_errors = norms[start:stop], errors[start:stop]
        for first in range(0, num_rows, _ROWS):
            _tile(codes, np.uint64(first), packed, block, products)
            for place in range(min(_ROWS, num_rows - first)):
                row = first + place
                scale, error, norm = (
                    row_scales[row],
                    row_errors[row],
                    row_norms[row],
                )
                row_products = products[place]
                row_bounds = bounds[row, start:stop]
                for output in range(len(row_bounds)):
                    row_bounds[output] = (
                        np.float32(row_products[output])
                        * (scale * block_scales[output])
                        + block_biases[output]
                        + error * block_norms[output]
                        + norm * block_errors[output]
                    )


@compiled.loop
def _write_codes(units, codes):
    """Writes a row's codes; returns their scale, error and norm."""
    largest = np.float32(0)
    for unit in units:
        largest = max(largest, unit)
    scale = largest / np.float32(_CODES)
    reciprocal = np.float32(1) / scale if scale > 0 else np.float32(0)
    error = norm = np.float32(0)  # in units of the scale: squares stay small
    for unit in range(len(units)):
        exact = units[unit] * reciprocal
        code = min(np.int32(exact + np.float32(0.5)), np.int32(_CODES))
        codes[unit] = np.uint8(code)
        error += (exact - np.float32(code)) ** 2
        norm += np.float32(code) ** 2
    # Sums of float32 are a little off, and a bound must not be.
    more = np.float32(1) + _ROUNDING * np.float32(len(units))
    error, norm = more * np.sqrt(error), more * np.sqrt(norm)
    return (
        scale,
        scale * (error + np.float32(2) * _ROUNDING * norm),
        scale * norm,
    )


@compiled.loop
def _refine(encoded, kernel, bounds, excess, k):
    """Writes the exact products of what can be among the k best."""
    num_outputs = bounds.shape[1]
    width = _num_columns(num_outputs, k)
    maxima = np.empty(width, np.float32)
    columns = np.empty(width + 1, np.uint32)
    for row in range(len(bounds)):
        row_bounds, units = bounds[row], encoded[row]
        least, number = _list_columns(
            row_bounds, k, np.float32(-np.inf), excess[row], maxima, columns
        )
        for column in columns[:number]:
            for output in range(
                np.uint64(column), np.uint64(num_outputs), np.uint64(width)
            ):
                if row_bounds[output] >= least:
                    row_bounds[output] = _dot(kernel[output], units)
