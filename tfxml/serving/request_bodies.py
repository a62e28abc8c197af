"""The body of a predict request, in the REST form of TensorFlow Serving.

By rows, {"instances": [...]}, or by columns, {"inputs": {"text": [...]}}; with
"k", how many labels at most, "predict", whether they are the best or those that
reach their thresholds, and "explain", how many features a label.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NoReturn

from tfxml.data import requests
from tfxml.run import set_choices

_KEYS = {"instances", "inputs", "k", "predict", "explain", "signature_name"}
_COLUMNS = ("text", "feature_ids", "feature_values")
DEFAULT_K = 5
MAX_EXPLAIN = 100
WAYS = (set_choices.TOP_K, set_choices.THRESHOLD)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a request asks for."""

    instances: list[requests.Request]
    k: int
    way: str
    explain: int
    is_by_columns: bool

    def reply(self, found: list[dict]) -> dict:
        """Returns the body of the answer.

        Args:
            found: what a `RequestPredictor` answers to each instance.
        """
        rows = [
            {name: value for name, value in row.items() if name != "line"}
            for row in found
        ]
        if not self.is_by_columns:
            return {"predictions": rows}
        names = ("label_names", "label_ids", "scores")
        return {"outputs": {name: [r[name] for r in rows] for name in names}}


def parse(
    body: bytes,
    max_instances: int,
    max_k: int,
    num_features: int,
    is_text: bool,
    title_weight: int = 1,
) -> Asked:
    """Returns what a body asks for.

    Args:
        body: JSON in UTF-8.
        max_instances, max_k: what may be asked for.
        num_features: D; feature ids must be below.
        is_text: whether the model reads text.
        title_weight: how often a title is read, as in training.

    Raises:
        ValueError: for anything that cannot be answered.
    """
    values = _object(body)
    if unknown := sorted(set(values) - _KEYS):
        _fail(f"the keys {unknown}"[:200], f"keys among {sorted(_KEYS)}")
    if ("instances" in values) == ("inputs" in values):
        _fail("both or neither", "either instances or inputs")
    is_by_columns = "inputs" in values
    k = values.get("k", min(DEFAULT_K, max_k))
    rows = values.get("instances")
    if is_by_columns:
        rows, k = _rows(values["inputs"], k)
    if not isinstance(rows, list) or not 1 <= len(rows) <= max_instances:
        number = len(rows) if isinstance(rows, list) else type(rows).__name__
        _fail(f"instances: {number}", f"a list of 1 to {max_instances}")
    return Asked(
        [
            requests.of_row(
                {"text": row} if isinstance(row, str) else row,
                "instances",
                number,
                num_features,
                is_text,
                title_weight,
            )
            for number, row in enumerate(rows, 1)
        ],
        whole_number("k", k, 1, max_k),
        one_of_ways(values.get("predict", set_choices.TOP_K)),
        whole_number("explain", values.get("explain", 0), 0, MAX_EXPLAIN),
        is_by_columns,
    )


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """Returns a number that was asked for; raises ValueError for others."""
    if type(value) is not int or not least <= value <= most:
        _fail(f"{name}={value!r}"[:80], f"a whole number in [{least}, {most}]")
    return value


def one_of_ways(value: Any) -> str:
    """Returns which labels are asked for; raises ValueError for others."""
    if value not in WAYS:
        _fail(f"predict={value!r}"[:80], f"one of {', '.join(WAYS)}")
    return value


def _object(body: bytes) -> dict:
    try:
        values = json.loads(
            body.decode("utf-8"),
            parse_constant=_no_constant,
        )
    except ValueError as error:
        _fail(f"what is no JSON ({error})"[:300], "a JSON object in UTF-8")
    except RecursionError:
        _fail("JSON nested too deeply", "a JSON object")
    if not isinstance(values, dict):
        _fail(type(values).__name__, "a JSON object")
    return values


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no finite number")


def _rows(columns: Any, k: Any) -> tuple[list[dict], Any]:
    """Returns the rows of columns, and k, which may be one of these."""
    if not isinstance(columns, dict):
        _fail(f"inputs: {type(columns).__name__}", "an object of lists")
    columns = dict(columns)
    k = columns.pop("k", k)
    if isinstance(k, list):
        k = max(k, default=0, key=lambda one: one if type(one) is int else 0)
    unknown = sorted(set(columns) - set(_COLUMNS))
    if unknown or not columns:
        _fail(f"the inputs {unknown}"[:200], f"some of {', '.join(_COLUMNS)}")
    if not all(isinstance(column, list) for column in columns.values()):
        _fail("an input that is no list", "one entry an instance")
    if len({len(column) for column in columns.values()}) != 1:
        _fail("inputs of different lengths", "one entry an instance")
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ], k


def _fail(found: str, needed: str) -> NoReturn:
    raise ValueError(f"found {found}; needed {needed}")
