"""The data, options and rows of `combinations.py`: what its tables compare."""

from __future__ import annotations

import itertools

# Rows of train, dev and test.
SIZES = {
    "planted-order": (2000, 500, 1000),
    "eurlex57k": (4000, 500, 2000),
    "eurlex57k-longer": (8000, 1000, 2000),
    "delicious": (6000, 500, 2000),
    "yso-en": (8000, 500, 2000),
    "tibkat-gnd": (8000, 500, 2000),
    "planted-dependent": (5000, 500, 2000),
    "planted-independent": (5000, 500, 2000),
}

_SEQUENCES = {
    "word_dim": 64,
    "conv_filters": 64,
    "recurrent_units": 64,
    "transformer_units": 128,
}
_TITLES = {
    **_SEQUENCES,
    "min_df": 2,
    "hidden_units": (256,),
    # With half of the units dropped so few rows teach next to nothing.
    "dropout": 0.0,
    "batch_size": 64,
    "learning_rate": 0.01,
    "num_epochs": 6,
    "max_tokens": 32,
}
_PLANTED_SETS = {
    "hidden_units": (128,),
    "dropout": 0.2,
    "decay": "cosine",
    "num_epochs": 12,
}
DATA: dict[str, dict] = {
    "planted-order": {
        "min_df": 1,
        "batch_size": 32,
        "learning_rate": 0.01,
        "num_epochs": 8,
        "word_dim": 32,
        "conv_filters": 32,
        "recurrent_units": 32,
        "transformer_heads": 2,
        "transformer_units": 64,
        "hidden_units": (32,),
    },
    "eurlex57k": {
        **_SEQUENCES,
        "min_df": 3,
        "hidden_units": (256,),
        "batch_size": 64,
        "learning_rate": 0.005,
        "num_epochs": 10,
        "max_tokens": 64,
    },
    # As many epochs as the bag gains from, on the thousand rows of its dev.
    "eurlex57k-longer": {
        "min_df": 3,
        "hidden_units": (512,),
        "batch_size": 128,
        "learning_rate": 0.005,
        "num_epochs": 15,
        "max_tokens": 96,
    },
    "delicious": {"hidden_units": (512,), "num_epochs": 8},
    "yso-en": _TITLES,
    "tibkat-gnd": _TITLES,
    "planted-dependent": _PLANTED_SETS,
    "planted-independent": _PLANTED_SETS,
}
ENCODERS: dict[str, dict] = {
    "bag": {},
    "conv": {"encoder": "conv"},
    "recurrent": {"encoder": "recurrent"},
    "transformer": {"encoder": "transformer", "pooling": "mean"},
    "bag + conv": {"encoder": "joint"},
    "bag + recurrent": {"encoder": "joint", "joint_sequence": "recurrent"},
}
# Above some hundreds of labels, over candidates alone.
HEADS: dict[str, dict] = {
    "sigmoid": {},
    "mach": {"head": "mach"},
    "cornet": {"head": "cornet", "cornet_candidates": 1024},
    "graph": {"head": "graph", "graph_candidates": 1024},
    "chain": {"head": "chain"},
    "centroid": {"head": "centroid"},
    "label_attention": {"head": "label_attention"},
    "decoder": {"head": "decoder"},
}
LOSSES: dict[str, dict] = {
    "cross-entropy": {},
    "focal": {"loss": "focal"},
    "asymmetric": {"loss": "asymmetric"},
    "propensity": {"loss": "propensity"},
    "smoothing": {"loss": "label_smoothing"},
    "softmax": {
        "loss": "softmax_cross_entropy",
        "several_labels": "average",
    },
}


# What differs from the bag, sigmoids and cross-entropy in each set's rows, in
# order of interest: one thing at a time, then pairs.
_CE = "cross-entropy"
_HEAD_ROWS = tuple(
    ("bag", head, _CE)
    for head in ("chain", "cornet", "mach", "graph", "centroid")
)
_LOSS_ROWS = tuple(("bag", "sigmoid", loss) for loss in list(LOSSES)[1:])
_TITLE_ROWS = (
    ("bag + conv", "sigmoid", _CE),
    ("bag", "mach", _CE),
    ("bag", "centroid", _CE),
    ("bag", "sigmoid", "softmax"),
    ("bag", "chain", _CE),
    ("bag", "sigmoid", "propensity"),
    ("conv", "sigmoid", _CE),
    ("bag", "cornet", _CE),
)
_PLANTED_ROWS = (*_HEAD_ROWS[:-1], *_LOSS_ROWS[:2])
ROWS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "planted-order": (
        *((encoder, "sigmoid", _CE) for encoder in list(ENCODERS)[1:]),
        ("recurrent", "label_attention", _CE),
        ("conv", "decoder", _CE),
    ),
    "eurlex57k": (
        ("bag + conv", "sigmoid", _CE),
        *_LOSS_ROWS,
        ("bag", "chain", _CE),
        ("conv", "label_attention", _CE),
        ("bag", "centroid", _CE),
        ("conv", "sigmoid", _CE),
        ("bag", "cornet", _CE),
        ("conv", "decoder", _CE),
        ("bag", "mach", _CE),
        ("transformer", "sigmoid", _CE),
        ("bag + conv", "sigmoid", "softmax"),
        ("recurrent", "sigmoid", _CE),
        ("bag", "graph", _CE),
        ("bag + conv", "chain", _CE),
        ("bag + recurrent", "sigmoid", _CE),
    ),
    "eurlex57k-longer": (("bag + conv", "sigmoid", _CE),),
    "delicious": (
        *_HEAD_ROWS[:1],
        *_LOSS_ROWS,
        *_HEAD_ROWS[1:],
        ("bag", "cornet", "softmax"),
    ),
    # Without those that have too few right answers to be calibrated.
    "yso-en": tuple(
        row
        for row in _TITLE_ROWS
        if row
        not in (("conv", "sigmoid", _CE), ("bag", "sigmoid", "propensity"))
    ),
    "tibkat-gnd": _TITLE_ROWS,
    "planted-dependent": _PLANTED_ROWS,
    "planted-independent": _PLANTED_ROWS,
}
SOURCES = {"eurlex57k-longer": "eurlex57k"}  # where the names differ
SEEDS = {"eurlex57k-longer": 3}
_USUAL = ("bag", "sigmoid", _CE)
NAMES = ("data", "encoder", "head", "loss", "seed")


def combinations() -> list[tuple[str, str, str, str, int]]:
    """Returns data, encoder, head, loss and seed of each row.

    The rows of all sets take turns, so that a table cut short has some of each.
    """
    of_sets = [
        [
            (data, *names, seed)
            for seed in range(SEEDS.get(data, 1))
            for names in (_USUAL, *ROWS[data])
        ]
        for data in ROWS
    ]
    turns = itertools.zip_longest(*of_sets)
    return [row for turn in turns for row in turn if row is not None]
