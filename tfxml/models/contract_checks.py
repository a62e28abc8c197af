"""Checks that a module leaves no weight out of its parts and its form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from tfxml.models import contract, forms


def checked_parts(
    head: contract.Head, parts: Sequence[contract.HeadPart]
) -> Sequence[contract.HeadPart]:
    """Returns the parts of a head, after a look that they hold every weight.

    Raises:
        ValueError: if a trainable weight is in no part, or in several: it
            would silently stay as it is, or move twice.
    """
    held = [id(weight) for part in parts for weight in part.variables]
    for weight in head.trainable_weights:
        times = held.count(id(weight))
        if times != 1:
            raise ValueError(
                f"`{type(head).__name__}.parts` must hold every trainable "
                f"weight once. Received: {weight.path}, in {times} parts"
            )
    return parts


@overload
def checked_form(
    module: contract.Encoder,
) -> tuple[forms.DenseStack | None, str]: ...


@overload
def checked_form(
    module: contract.Head,
) -> tuple[forms.BlockRanking | forms.InvertedIndex | None, str]: ...


def checked_form(
    module: contract.Encoder | contract.Head,
) -> tuple[
    forms.DenseStack | forms.BlockRanking | forms.InvertedIndex | None, str
]:
    """Returns a module's serving form; or None, and why it has none.

    A form that leaves a weight out is none: what a subclass adds would be
    silently ignored by what reads the form.
    """
    name = type(module).__name__
    form = module.form()
    if form is None:
        return None, f"{name} declares no serving form"
    held = {id(weight) for weight in forms.variables(form)}
    for weight in module.weights:
        if id(weight) not in held:
            return None, f"the serving form of {name} leaves out {weight.path}"
    return form, ""
