"""Serving forms as JSON, whose weights are the names of a checkpoint's.

So a run is predicted with by who has NumPy alone: the structure is written
once, and weights are read from whichever checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfxml.mach import hashing
from tfxml.models import forms

# No field of a form has one of these names.
_FORM, _WEIGHT, _ARRAY, _DTYPE = "form", "variable", "array", "dtype"
# By their names: NumPy would parse any other text as a list of fields.
_DTYPES = {
    name: np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}
_KINDS = {
    kind.__name__: kind
    for kind in (
        forms.Block,
        forms.BlockRanking,
        forms.DenseStack,
        forms.InvertedIndex,
        forms.ServingModel,
        forms.SparseReranker,
        hashing.UniversalHash,
    )
}


def to_json(form: Any, names: Mapping[int, str]) -> Any:
    """Returns a form as JSON can hold it.

    Args:
        form: or a part of one.
        names: of the weights, by their `id`.
    """
    if id(form) in names:
        return {_WEIGHT: names[id(form)]}
    if dataclasses.is_dataclass(form):
        members = {
            field.name: to_json(getattr(form, field.name), names)
            for field in dataclasses.fields(form)
        }
        return {_FORM: type(form).__name__, **members}
    if isinstance(form, np.ndarray):
        return {_ARRAY: form.tolist(), _DTYPE: form.dtype.name}
    if isinstance(form, (list, tuple)):
        return [to_json(member, names) for member in form]
    return form


def from_json(value: Any, weight: Callable[[str], np.ndarray]) -> Any:
    """Returns the form that `to_json` described.

    Args:
        value: what `to_json` returned.
        weight: from the name of a weight to the weight.
    """
    if isinstance(value, list):
        return [from_json(member, weight) for member in value]
    if not isinstance(value, dict):
        return value
    if _WEIGHT in value:
        return weight(value[_WEIGHT])
    if _ARRAY in value:
        return np.array(value[_ARRAY], _DTYPES[value[_DTYPE]])
    members = {
        name: from_json(member, weight)
        for name, member in value.items()
        if name != _FORM
    }
    return _KINDS[value[_FORM]](**members)
