"""What compiled loops rely on: shapes and types of weights that fit together.

# D features, H units, L labels, B outputs of a block, P pages of an index

Loops check no bounds. Forms that a run directory holds may say what they like,
so each model is compared once, before any loop sees it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfxml.mach import mach_choices
from tfxml.models import calibration, forms, place_hashes


def check(model: forms.ServingModel) -> None:
    """Raises ValueError unless the forms of a model fit together.

    What is in the weights, such as ids, is not looked at here.
    """
    num_features = _whole(model.num_features, "num_features")
    widths = [_width(encoder, num_features) for encoder in model.encoders]
    head = model.head
    num_labels = _whole(head.num_labels, "num_labels")
    _check_dropped(head.dropped, num_labels)
    for link in (head.link, model.link, model.head_link):
        _require(link in calibration.LINKS, "link", link, calibration.LINKS)
    scores = model.calibration
    is_known = scores is None or isinstance(scores, calibration.Calibration)
    _require(is_known, "calibration", scores, "None or a Calibration")
    if isinstance(head, forms.InvertedIndex):
        _require(not widths, "encoders", len(widths), 0)
        _check_index(head, num_features)
    else:
        _check_blocks(head, num_features, widths)
    if model.reranker is not None:
        _check_reranker(model.reranker, num_features, num_labels)


def _width(encoder: forms.DenseStack, num_features: int) -> int:
    """Returns H, the width of an encoder's output."""
    rows = num_features
    if encoder.feature_hash is not None:
        rows = encoder.feature_hash.num_buckets
    _require(len(encoder.tables) > 0, "tables", 0, "at least 1")
    width = encoder.tables[0].shape[-1]
    for table in encoder.tables:
        _check_array("tables", table, (table.shape[0], width))
    num_rows = sum(table.shape[0] for table in encoder.tables)
    _require(num_rows >= rows, "tables", f"{num_rows} rows", rows)
    num_layers = 1 + len(encoder.kernels)
    _require(
        len(encoder.biases) == num_layers,
        "biases",
        len(encoder.biases),
        num_layers,
    )
    _check_array("biases", encoder.biases[0], (width,))
    for kernel, bias in zip(encoder.kernels, encoder.biases[1:], strict=True):
        _check_array("kernels", kernel, (width, kernel.shape[-1]))
        width = kernel.shape[-1]
        _check_array("biases", bias, (width,))
    return width


def _check_blocks(
    head: forms.BlockRanking, num_features: int, widths: Sequence[int]
) -> None:
    """Raises ValueError unless blocks read what encoders give."""
    number = len(head.blocks)
    _require(number > 0, "blocks", 0, "at least 1")
    estimators = mach_choices.ESTIMATORS
    _require(head.estimator in estimators, "estimator", head.estimator, "known")
    for index, block in enumerate(head.blocks):
        num_outputs = block.bias.shape[0]
        _check_array("bias", block.bias, (num_outputs,))
        _require(
            block.is_linear is not bool(widths),
            "is_linear",
            block.is_linear,
            not widths,
        )
        if block.is_linear:
            _check_array("kernel", block.kernel, (num_features, num_outputs))
        else:
            width = widths[index * len(widths) // number]
            _check_array("kernel", block.kernel, (num_outputs, width))
    sizes = [block.bias.shape[0] for block in head.blocks]
    if head.hashes is None:
        _require(
            sum(sizes) == head.num_labels, "blocks", sum(sizes), head.num_labels
        )
        return
    buckets = [label_hash.num_buckets for label_hash in head.hashes]
    _require(sizes == buckets, "hashes", buckets, sizes)
    for label_hash in head.hashes:
        _require(
            head.num_labels <= label_hash.prime,
            "num_labels",
            head.num_labels,
            f"at most {label_hash.prime}",
        )


def _check_index(head: forms.InvertedIndex, num_features: int) -> None:
    pages = tuple(head.kernel.shape)
    _require(len(pages) == 2, "kernel", pages, "pages of slots")
    _check_array("kernel", head.kernel, pages)
    _check_array("labels", head.labels, pages, ("int32",))
    _check_array("splits", head.splits, (num_features + 1,), _SPLITS)
    for name in ("slope", "middle"):
        value = getattr(head, name)
        _require(_is_finite(value), name, value, "a finite number")


def _check_reranker(
    reranker: forms.SparseReranker, num_features: int, num_labels: int
) -> None:
    _whole(reranker.num_candidates, "num_candidates")
    is_share = _is_finite(reranker.weight) and 0 <= reranker.weight <= 1
    _require(is_share, "weight", reranker.weight, "a number in [0, 1]")
    _require(
        reranker.num_features == num_features,
        "num_features",
        reranker.num_features,
        num_features,
    )
    places = (reranker.kernel.shape[0],)
    _check_array("kernel", reranker.kernel, places)
    _check_array("features", reranker.features, places, ("int32",))
    _check_array("splits", reranker.splits, (num_labels + 1,), _SPLITS)
    _check_array("bias", reranker.bias, (num_labels,))
    if reranker.shifts is not None:
        groups = place_hashes.groups_before(places[0], num_labels)
        _check_array("shifts", reranker.shifts, (groups,), ("int32",))


_SPLITS = ("int32", "int64")


def _check_dropped(dropped: np.ndarray, num_labels: int) -> None:
    ids = np.asarray(dropped)
    is_right = ids.ndim == 1 and ids.dtype.kind in "iu"
    if is_right and ids.size:
        is_right = bool(
            0 <= ids[0]
            and ids[-1] < num_labels
            and (np.diff(ids) > 0).all()
            and len(ids) < num_labels
        )
    needed = f"ascending ids below {num_labels}"
    _require(is_right, "dropped", ids, needed)


def _check_array(
    name: str,
    weight: forms.Weight,
    shape: tuple[int, ...],
    dtypes: Sequence[str] = ("float32",),
) -> None:
    found = tuple(weight.shape), str(weight.dtype)
    _require(found[0] == shape and found[1] in dtypes, name, found, shape)


def _whole(value: int, name: str) -> int:
    is_right = isinstance(value, int) and not isinstance(value, bool)
    _require(is_right and 0 < value < 2**31, name, value, "in [1, 2^31)")
    return value


def _is_finite(value: float) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _require(holds: bool, name: str, found: object, needed: object) -> None:
    if not holds:
        raise ValueError(
            f"`model` must have a `{name}` that fits its other parts. "
            f"Received: {found!r:.200}, where {needed!r:.200} is needed"
        )
