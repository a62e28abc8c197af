"""Data whose labels follow from the order of tokens, and a model that sees it.

An instance holds two different words and its label is the first: as bags, two
instances with different labels are the same.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from tfxml.data import inputs, instances
from tfxml.data.feeding import in_memory
from tfxml.models import contract, extreme_classifier
from tfxml.models.heads import sigmoid
from tfxml.training import loop, optimizers

NUM_WORDS, UNITS = 6, 8
NUM_STEPS = 120


class FirstToken(contract.Encoder):
    """An embedding of each instance's first token."""

    output_dim = UNITS
    reads = contract.TOKENS

    def __init__(self, num_tokens: int, **kwargs):
        super().__init__(**kwargs)
        self.table = self.add_weight(
            shape=(num_tokens, UNITS),
            initializer=keras.initializers.RandomNormal(seed=0),
            name="table",
        )
        self.built = True

    def arrange(self, named, form):
        tokens = named[inputs.TOKEN_IDS]
        if isinstance(tokens, tf.RaggedTensor):
            return tokens[:, :1].to_tensor(0, shape=[None, 1])[:, 0]
        return tokens[:, 0]

    def call(self, rows, dropout_seed=None):
        return tf.gather(self.table.value, rows)


def pairs() -> list[tuple[int, int]]:
    """Returns the words of each instance."""
    return list(itertools.permutations(range(NUM_WORDS), 2))


def split() -> instances.Instances:
    words = np.array(pairs())
    every_two = np.arange(len(words) + 1) * 2
    return instances.Instances(
        every_two,
        np.sort(words, axis=1).ravel().astype(np.int32),
        np.full(words.size, 0.5**0.5, np.float32),
        np.arange(len(words) + 1),
        words[:, 0].astype(np.int32),
        None,
        every_two,
        words.ravel().astype(np.int32) + 1,
    )


def source() -> in_memory.InMemorySource:
    return in_memory.InMemorySource(split(), NUM_WORDS, NUM_WORDS)


def parts(form: str = "compact"):
    """Returns a model, its optimizer and its step, for a strategy's scope."""
    model = extreme_classifier.ExtremeClassifier(
        [FirstToken(NUM_WORDS + 1)],
        sigmoid.SigmoidHead(NUM_WORDS, UNITS),
        NUM_WORDS,
        form,
    )
    optimizer = optimizers.create("adam", 0.05)
    optimizer.build(model.trainable_variables)
    return model, optimizer, loop.new_step_counter()
