"""Checks that a module leaves no weight out of its parts and its form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from tfxml.models import contract, form_ops, forms


def checked_parts(
    head: contract.Head, parts: Sequence[contract.HeadPart]
) -> Sequence[contract.HeadPart]:
    """Returns the parts of a head after checking that they hold all weights.

    Raises:
        ValueError: if a trainable weight is in no part, or in several: it
            would silently never be updated, or be updated twice.
    """
    weight_ids = [id(weight) for part in parts for weight in part.variables]
    for weight in head.trainable_weights:
        num_parts = weight_ids.count(id(weight))
        if num_parts != 1:
            raise ValueError(
                f"`{type(head).__name__}.parts` must hold every trainable "
                f"weight once. Received: {weight.path}, in {num_parts} parts"
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
    """Returns a module's serving form; or None, and the reason.

    A form that leaves out a weight does not count: a weight that a subclass
    adds would silently be ignored in serving.
    """
    name = type(module).__name__
    form = module.form()
    if form is None:
        return None, f"{name} declares no serving form"
    weight_ids = {id(weight) for weight in form_ops.variables(form)}
    for weight in module.weights:
        if id(weight) not in weight_ids:
            return None, f"the serving form of {name} leaves out {weight.path}"
    return form, ""
