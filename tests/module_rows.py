"""Small runs, one for each module: what the tables of all modules train.

A row is the options in which it differs from the usual run. Modules that read
words are trained on short texts, the others on a generated set.
"""

import json
import pathlib

import keras
import numpy as np

NUM_TRAIN, NUM_TEST = 568, 91
NUM_WORDS = 30
NUM_FEATURES = 220  # of the generated set
_USUAL = {
    "hidden_units": (16,),
    "dropout": 0.0,
    "batch_size": 63,
    "num_epochs": 5,
    "steps_per_loop": 7,
    "learning_rate": 0.02,
}
_GENERATED = {
    "synthetic_labels": 60,
    "synthetic_train": NUM_TRAIN,
    "synthetic_test": NUM_TEST,
}
# In Adam's usual steps rounding of tiny gradients grows to whole steps.
_EPSILON = 1e-2
_WORDS = {
    "epsilon": _EPSILON,
    "min_df": 1,
    "max_tokens": 9,
    "word_dim": 8,
    "conv_filters": 4,
    "conv_dropout": 0.0,
    "recurrent_units": 5,
    "recurrent_dropout": 0.0,
    "transformer_heads": 2,
    "transformer_units": 9,
    "transformer_dropout": 0.0,
    "backbone_dropout": 0.0,
    "decoder_units": 8,
    "decoder_labels": 3,
    "metric_ks": (1, 3, 5),
}
OF_FEATURES = {
    "cornet": {"head": "cornet", "cornet_units": 8},
    "cornet, 9 labels": {
        "head": "cornet",
        "cornet_candidates": 9,
        "epsilon": _EPSILON,
    },
    "cornet over mach": {"head": "cornet", "base_head": "mach"},
    "graph": {"head": "graph"},
    "chain": {"head": "chain", "chain_units": 8, "chain_candidates": 12},
    "accumulated": {"accumulate_steps": 3, "batch_size": 21},
    "ema": {"weight_average": "ema", "average_decay": 0.9},
    "swa": {"weight_average": "swa", "swa_start": 2},
    "dense_backbone": {
        "encoder": "dense_backbone",
        "backbone_dropout": 0.0,
        "form": "dense",
    },
}
OF_WORDS = {
    "conv": {"encoder": "conv"},
    "conv, padded": {"encoder": "conv", "form": "padded"},
    "conv, subwords": {"encoder": "conv", "token_units": "subwords"},
    "gru": {"encoder": "recurrent"},
    "lstm": {"encoder": "recurrent", "recurrent_cell": "lstm"},
    "transformer": {"encoder": "transformer", "pooling": "attention"},
    "joint": {"encoder": "joint"},
    "backbone": {"encoder": "backbone"},
    "label_attention": {"encoder": "recurrent", "head": "label_attention"},
    "decoder": {"encoder": "conv", "head": "decoder"},
}
ROWS = OF_FEATURES | OF_WORDS
AVERAGED = ("ema", "swa")


def write_data(folder: pathlib.Path) -> None:
    """Writes what rows read: short texts of few labels, and Keras models."""
    rng = np.random.default_rng(0)
    for split, number in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        with open(folder / f"{split}.jsonl", "w") as lines:
            for _ in range(number):
                length = rng.integers(1, 13)
                words = [
                    f"word{i}" for i in rng.integers(NUM_WORDS, size=length)
                ]
                row = {"text": " ".join(words), "labels": words[:2]}
                lines.write(json.dumps(row) + "\n")
    of_words = [
        keras.Input((None,), dtype="int32"),
        keras.layers.Embedding(NUM_WORDS + 2, 4),
        keras.layers.Conv1D(6, 3, padding="causal"),
    ]
    keras.Sequential(of_words).save(folder / "backbone.keras")
    of_features = [keras.Input((NUM_FEATURES,)), keras.layers.Dense(6, "tanh")]
    keras.Sequential(of_features).save(folder / "dense_backbone.keras")


def options(name: str, folder: pathlib.Path) -> dict:
    """Returns a row's options, with `data_dir` if it reads texts.

    Args:
        name: of the row.
        folder: where `write_data` has written.
    """
    data = _GENERATED
    if name in OF_WORDS:
        data = {**_WORDS, "data_dir": str(folder)}
    found = {**_USUAL, **data, **ROWS[name]}
    encoder = found.get("encoder", "")
    if encoder.endswith("backbone"):
        found["backbone"] = str(folder / f"{encoder}.keras")
    return found


def flags(name: str, folder: pathlib.Path) -> list[str]:
    """Returns a row's options as words of a command line."""
    return [
        f"--{key}={','.join(map(str, value))}"
        if isinstance(value, tuple)
        else f"--{key}={value}"
        for key, value in options(name, folder).items()
    ]
