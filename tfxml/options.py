"""Options: the fields of every module's settings.

A module's settings are a frozen dataclass whose fields are made by `option`.
`config.Config` joins them all, and the command-line flags are generated from
it, so a default, its help and its limits are written once, next to the code
that they control.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Sequence
from typing import Any

# Of what is built one by one, such as layers: far more never come to a step.
MOST_PARTS = 10_000
# A check of all options of a config asks for each field; resolving the hints
# of its classes takes milliseconds.
_hints = functools.cache(typing.get_type_hints)


def option(
    default: Any,
    help_text: str,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    is_path: bool = False,
) -> Any:
    """Returns a dataclass field that is also a command-line flag.

    Args:
        default: its value if none is given; its type is the flag's type.
        help_text: the text of `--help`.
        choices: the only values allowed; None: any.
        minimum: the smallest number allowed; None: any.
        maximum: the largest number allowed; None: any.
        is_path: whether it names a file or a folder; empty: none.
    """
    metadata = {
        "help": help_text,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "is_path": is_path,
    }
    return dataclasses.field(default=default, metadata=metadata)


def value_type(owner: type, field: dataclasses.Field) -> type:
    """Returns the plain type of a field's values: tuples without their item."""
    hint = _hints(owner)[field.name]
    return tuple if isinstance(hint, types.GenericAlias) else hint


def item_type(owner: type, field: dataclasses.Field) -> type:
    """Returns the type of the items of a field that holds a tuple."""
    return typing.get_args(_hints(owner)[field.name])[0]


def check_values(options: Any) -> None:
    """Raises unless each field has the type, choice and range it declares.

    Raises:
        ValueError: for a value that is no choice, out of range or not finite.
        TypeError: for a value of another type than its default.
    """
    for field in dataclasses.fields(options):
        _check(type(options), field, getattr(options, field.name))


def require(is_met: bool, name: str, needed: str, options: Any) -> None:
    """Raises ValueError unless `is_met`: the option `name` must be `needed`."""
    if not is_met:
        raise ValueError(
            f"`{name}` must be {needed}. "
            f"Received: {name}={getattr(options, name)!r}"
        )


def _check(owner: type, field: dataclasses.Field, value) -> None:
    expected_type = value_type(owner, field)
    is_int_for_float = expected_type is float and type(value) is int
    if type(value) is not expected_type and not is_int_for_float:
        raise TypeError(
            f"`{field.name}` must be of type {expected_type.__name__}. "
            f"Received: {field.name}={value!r}"
        )
    received = f"Received: {field.name}={value!r}"
    if expected_type is float and not math.isfinite(value):
        raise ValueError(f"`{field.name}` must be a finite number. {received}")
    items = value if expected_type is tuple else (value,)
    if any(isinstance(item, int) and abs(item) >= 2**63 for item in items):
        raise ValueError(f"`{field.name}` must fit 64 bits. {received}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise ValueError(
            f"`{field.name}` must be one of {tuple(choices)}. {received}"
        )
    minimum = field.metadata["minimum"]
    if minimum is not None and value < minimum:
        raise ValueError(
            f"`{field.name}` must be at least {minimum}. {received}"
        )
    maximum = field.metadata["maximum"]
    if maximum is not None and value > maximum:
        raise ValueError(
            f"`{field.name}` must be at most {maximum}. {received}"
        )
