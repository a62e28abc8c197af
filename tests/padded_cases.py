"""Models of every kind and a small split, for the tests of static shapes."""

import functools
import tempfile

import keras
import numpy as np
import pytest

from tfxml import config as config_lib
from tfxml.data import instances
from tfxml.data.feeding import batching, in_memory
from tfxml.run import build, workdir
from tfxml.training import loop

# N instances, D features, L labels
N, D, L, BATCH_SIZE = 46, 50, 60, 10
BATCHES = batching.ByInstances(N, BATCH_SIZE)

# Several label blocks; few buckets, so that labels of one instance meet; units
# enough that no instance has them all at zero.
_SMALL = {
    "hidden_units": (24,),
    "label_block_size": 40,
    "num_repetitions": 2,
    "num_buckets": 7,
    "form": "compact",
    "batch_size": BATCH_SIZE,
}
# In Adam's usual steps rounding of tiny gradients grows to whole steps.
_WORDS = {
    "epsilon": 1e-2,
    "word_dim": 8,
    "conv_filters": 6,
    "recurrent_units": 5,
    "decoder_units": 8,
    "decoder_labels": 3,
}
CASES = {
    "sigmoid": {},
    "sigmoid_linear": {"hidden_units": ()},
    "sigmoid_deep": {"hidden_units": (24, 24), "residual": True},
    "sigmoid_dense": {"form": "dense"},
    "sigmoid_sgd_head": {
        "head_optimizer": "sgd",
        "head_learning_rate": 1.0,
    },
    "mach": {"head": "mach"},
    "mach_linear": {"head": "mach", "hidden_units": ()},
    "mach_encoders": {"head": "mach", "num_encoders": 2},
    "sigmoid_conv": {"encoder": "conv", "word_dim": 8, "conv_filters": 6},
    "sigmoid_transformer": {
        "encoder": "transformer",
        "word_dim": 8,
        "transformer_units": 6,
    },
    "cornet": {"head": "cornet"},
    "cornet_candidates": {
        "head": "cornet",
        "cornet_candidates": 16,
        "epsilon": 1e-2,
    },
    "chain": {"head": "chain", "chain_candidates": 16},
    "graph": {"head": "graph", "graph_candidates": 16},
    "gru": {"encoder": "recurrent", **_WORDS},
    "lstm": {"encoder": "recurrent", "recurrent_cell": "lstm", **_WORDS},
    "joint": {"encoder": "joint", **_WORDS},
    "label_attention": {
        "encoder": "recurrent",
        "head": "label_attention",
        **_WORDS,
    },
    "decoder": {"encoder": "conv", "head": "decoder", **_WORDS},
    # Rounding also decides which of two nearly equal words is the maximum.
    "backbone": {"encoder": "backbone", "pooling": "mean", **_WORDS},
    "dense_backbone": {"encoder": "dense_backbone", "form": "dense"},
}
# Those that the quick tests leave out; what is in them is in others too.
SLOW = {
    *("gru", "lstm", "joint", "label_attention", "decoder"),
    *("backbone", "dense_backbone", "cornet_candidates"),
}


def config(name: str, **changes) -> config_lib.Config:
    if name.endswith("backbone"):
        changes["backbone"] = _backbone(name)
    return config_lib.Config(**{**_SMALL, **CASES[name], **changes})


@functools.cache
def _backbone(name: str) -> str:
    """Returns the file of a Keras model that reads words, or features."""
    layers = {
        "backbone": [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(D + 1, 4),
            keras.layers.Conv1D(6, 3, padding="causal"),
        ],
        "dense_backbone": [
            keras.Input((D,)),
            keras.layers.Dense(6, "tanh"),
        ],
    }
    path = f"{tempfile.mkdtemp()}/{name}.keras"
    keras.Sequential(layers[name]).save(path)
    return path


def source() -> in_memory.InMemorySource:
    """Returns N instances, the first without features, the second labels."""
    rng = np.random.default_rng(0)
    num_features, num_labels = rng.integers(1, 6, N), rng.integers(1, 8, N)
    num_features[0] = num_labels[1] = 0

    def distinct(lengths, most):
        rows = [np.sort(rng.choice(most, n, False)) for n in lengths]
        return np.concatenate(rows).astype(np.int32)

    features = distinct(num_features, D)
    found = instances.Instances(
        instances.splits_from_lengths(num_features),
        # Feature 0, which padding looks like, is rare, but it is there.
        features,
        rng.random(num_features.sum()).astype(np.float32),
        instances.splits_from_lengths(num_labels),
        distinct(num_labels, L),
        # The features in the order of their ids, for encoders of tokens.
        token_splits=instances.splits_from_lengths(num_features),
        token_ids=features + 1,
    )
    return in_memory.InMemorySource(found, D, L)


def marked(fast, names=None):
    """Returns all names, those marked slow that are not among the fast."""
    return [
        pytest.param(name, marks=() if name in fast else pytest.mark.slow)
        for name in sorted(CASES if names is None else names)
    ]


def parts(recipe: config_lib.Config, split: in_memory.InMemorySource):
    """Returns the recipe's model, optimizer and step counter."""
    facts = workdir.Facts(
        D, L, N, recipe.form, is_text=False, data_dir="", num_tokens=D + 1
    )
    model = build.model(recipe, facts, split.label_counts())
    optimizer = build.optimizer(recipe, 20, model)
    return model, optimizer, loop.new_step_counter()
