"""Steps of static shapes, compiled by XLA, against those that CPUs run."""

import functools

import numpy as np
import padded_cases
import pytest
import tensorflow as tf

from tfxml.data.feeding import pipeline
from tfxml.evaluation import evaluator
from tfxml.mach import mach_choices
from tfxml.training import optimizers
from tfxml.training import replica_step as replica_step_lib

# Two epochs and more; each ends with a batch that is not full.
NUM_STEPS = 12


class _Run:
    """A recipe's parts and its steps: padded and compiled, or neither."""

    def __init__(self, recipe, is_compiled):
        self.is_compiled = is_compiled
        self.split = padded_cases.source()
        self.model, self.optimizer, self.step = padded_cases.parts(
            recipe, self.split
        )

    def function(self, step):
        """Returns step(batch) as a graph: of unknown shapes if not compiled."""
        return tf.function(
            step,
            input_signature=[self.evaluation().element_spec],
            jit_compile=self.is_compiled,
        )

    def evaluation(self):
        return pipeline.evaluation(
            self.split, padded_cases.BATCH_SIZE, is_padded=self.is_compiled
        )

    def train(self):
        """Returns the losses of the steps."""
        strategy = tf.distribute.get_strategy()
        replica_step = replica_step_lib.make_replica_step(
            self.model, self.optimizer, 0
        )

        @self.function
        def train_step(batch):
            loss = strategy.run(replica_step, args=(batch, self.step))
            self.step.assign_add(1)
            return loss

        batches = pipeline.training(
            self.split,
            padded_cases.BATCHES,
            seed=0,
            first_step=0,
            num_steps=NUM_STEPS,
            is_padded=self.is_compiled,
        )
        return [float(train_step(batch)) for batch in batches]

    def gradients(self):
        """Returns the loss and the gradients of an epoch's last batch."""

        @self.function
        def loss_and_gradients(batch):
            variables = self.model.trainable_variables
            with tf.GradientTape() as tape:
                loss = self.model.loss_sum(*batch[:3])
            gradients = tape.gradient(loss, variables)
            return [loss, *map(tf.convert_to_tensor, gradients)]

        return loss_and_gradients(list(self.evaluation())[-1])

    def state(self):
        """Returns the weights and what the optimizer keeps of each."""
        names = self.model.named_variables()
        kept = {one.path: one for one in self.optimizer.variables}
        return {name: one.numpy() for name, one in {**names, **kept}.items()}

    def top(self, step):
        """Returns the tensors that `step(batch)` returns for all rows."""
        function = self.function(step)
        found = []
        for batch in self.evaluation():
            is_row = batch.instances.numpy() >= 0
            result = tf.nest.flatten(function(batch))
            found.append([one.numpy()[is_row] for one in result])
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]


NO_DROPOUT = dict.fromkeys(
    (
        "dropout",
        "conv_dropout",
        "recurrent_dropout",
        "transformer_dropout",
        "backbone_dropout",
    ),
    0.0,
)


def _both(name, **changes):
    recipe = padded_cases.config(
        name, **{"learning_rate": 0.01, **NO_DROPOUT, **changes}
    )
    return _Run(recipe, is_compiled=True), _Run(recipe, is_compiled=False)


def _check_training(compiled, ragged):
    np.testing.assert_allclose(compiled.train(), ragged.train(), atol=1e-5)
    ours, theirs = compiled.state(), ragged.state()
    assert len(ours) == len(theirs)
    for (name, one), other in zip(ours.items(), theirs.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "name", padded_cases.marked({"sigmoid", "mach", "sigmoid_conv"})
)
def test_gradients(name):
    compiled, ragged = (one.gradients() for one in _both(name))
    for one, other in zip(compiled, ragged, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", padded_cases.marked({"sigmoid", "mach"}))
def test_training_and_top_k(name):
    compiled, ragged = _both(name)
    _check_training(compiled, ragged)
    tops = []
    for run in (compiled, ragged):
        step = evaluator.make_top_k(
            tf.distribute.get_strategy(), run.model, k=5
        )
        tops += run.top(step)
    np.testing.assert_array_equal(*tops)
    assert tops[0].shape == (padded_cases.N, 5)


@pytest.mark.parametrize(
    "name", padded_cases.marked({"lazy_adagrad"}, optimizers.OPTIMIZERS)
)
def test_training_with_every_optimizer(name):
    _check_training(*_both("mach", optimizer=name, global_clipnorm=0.5))


def _top_k(model, batch):
    return model.top_k(batch.inputs, k=5)


@pytest.mark.parametrize("estimator", mach_choices.ESTIMATORS)
def test_scores_of_every_estimator(estimator):
    tops = []
    for run in _both(
        "mach", estimator=estimator, num_repetitions=3, num_buckets=30
    ):
        rng = np.random.default_rng(1)
        for variable in run.model.trainable_variables:
            variable.assign(rng.normal(size=variable.shape))

        top_k = functools.partial(_top_k, run.model)
        tops.append(run.top(top_k))
    (scores, ids), (other_scores, other_ids) = tops
    np.testing.assert_allclose(scores, other_scores, atol=1e-5)
    np.testing.assert_array_equal(ids, other_ids)
