"""What prediction reads: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tfxml.data import data_errors

_MAX_FLOAT = float(np.finfo(np.float32).max)


class Request(NamedTuple):
    """One instance: text, or features."""

    text: str | None
    feature_ids: np.ndarray | None  # [E] int32, ascending
    feature_values: np.ndarray | None  # [E] float32
    uid: str | int | None


def read(
    lines: Iterable[str], name: str, num_features: int, is_text: bool
) -> Iterator[Request]:
    """Yields a request for each line that is not blank.

    Args:
        lines: the JSON lines.
        name: what errors call them.
        num_features: D; feature ids must be below.
        is_text: whether the model reads text; one that does also takes
            features, those of its text features.

    Raises:
        DataError: naming the line.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _request(line, name, number, num_features, is_text)


def _request(line, name, number, num_features, is_text) -> Request:
    def fail(found: str, needed: str):
        raise data_errors.DataError(name, found, needed, number)

    try:
        row = json.loads(line)
    except ValueError as error:
        fail(str(error), "a JSON object")
    if not isinstance(row, dict):
        fail(type(row).__name__, "a JSON object")
    uid = row.get("uid")
    if "feature_ids" in row:
        ids, values = _features(row, num_features, fail)
        return Request(None, ids, values, uid)
    text = _text(row, fail)
    if text is None:
        fail(
            f"the keys {sorted(row)}",
            "text, title or content, or feature_ids and feature_values",
        )
    if not is_text:
        fail("text", "feature_ids and feature_values, as in training")
    return Request(text, None, None, uid)


def _text(row: dict, fail) -> str | None:
    keys = ("text",) if "text" in row else ("title", "content")
    parts = [row[key] for key in keys if row.get(key) is not None]
    if not all(isinstance(part, str) for part in parts):
        fail("a value that is no string", f"strings in {' and '.join(keys)}")
    text = " ".join(parts)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        fail("half of a surrogate pair", "text in Unicode")
    return text if any(key in row for key in keys) else None


def _features(row: dict, num_features: int, fail):
    ids, values = row["feature_ids"], row.get("feature_values")
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        fail(f"feature_ids={ids!r}"[:80], "a list of whole numbers")
    if values is None:
        values = [1.0] * len(ids)
    if not isinstance(values, list) or not all(
        type(v) in (int, float) and abs(v) <= _MAX_FLOAT for v in values
    ):
        fail(f"feature_values={values!r}"[:80], "a list of finite numbers")
    if len(ids) != len(values):
        fail(f"{len(ids)} ids and {len(values)} values", "as many of both")
    outside = [i for i in ids if not 0 <= i < num_features]
    if outside:
        fail(f"feature id {outside[0]}", f"ids from 0 to {num_features - 1}")
    # As in a row of data: ascending, repeated features added up.
    ids, places = np.unique(np.array(ids, np.int32), return_inverse=True)
    sums = np.bincount(places, values, len(ids))
    if np.any(np.abs(sums) > _MAX_FLOAT):
        fail("values that add up beyond float32", "finite numbers")
    return ids, sums.astype(np.float32)
