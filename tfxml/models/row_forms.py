"""In which forms sparse rows are multiplied; see `sparse_rows`."""

from __future__ import annotations

from typing import Any, NamedTuple

FORMS = ("dense", "compact", "padded")


class RaggedRows(NamedTuple):
    """Rows one after another, without padding: of tensors, or of arrays."""

    feature_ids: Any  # [E]
    values: Any  # [E]
    splits: Any  # [N + 1] int64
