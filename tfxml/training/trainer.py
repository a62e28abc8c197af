"""Our loop for any Keras model: the same step under every strategy.

# N instances of a global batch

Keras 3's own `fit` works on one device and, with even batches, under
MirroredStrategy. This loop also works, with the same results, under
MultiWorkerMirroredStrategy, ParameterServerStrategy, CentralStorageStrategy and
TPUStrategy: each instance is divided by the weight of the true global batch,
gradients are summed over replicas and repeated rows before anything else sees
them, and metrics are sums that are divided last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxml.data import own_pipelines
from tfxml.evaluation import keras_metrics
from tfxml.models import (
    keras_losses,
    keras_strategies,
    sparse_labels,
)
from tfxml.training import (
    gradients,
    optimizers,
    trainer_loops,
    trainer_replica,
)


class Trainer:
    """Trains, evaluates and predicts with a Keras model.

    Args:
        model: whatever maps a batch's inputs to logits, such as
            `keras.Sequential([..., tfxml.heads.SigmoidHead(L)])`. Make it in
            the strategy's scope.
        loss: of its logits; None: `SparseSigmoidCrossEntropy`. A loss of
            Keras is taken for the loss of each instance.
        optimizer: a Keras optimizer or one of `optimizers.OPTIMIZERS`. Make it
            in the strategy's scope.
        strategy: which devices train; None: the current one.
        metrics: ranking metrics, as `model.compile` takes them.
        seed: of the dropout of `BagEncoder`.

    Raises:
        ValueError: for metrics that cannot be summed.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss | None = None,
        optimizer: keras.optimizers.Optimizer | str = "lazy_adam",
        strategy: tf.distribute.Strategy | None = None,
        metrics: Sequence[keras_metrics.RankingMetric] = (),
        seed: int = 0,
    ):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.model = model
        self.seed = seed
        with keras_strategies.unwarned():
            self.loss = loss or keras_losses.SparseSigmoidCrossEntropy()
        for metric in metrics:
            if not isinstance(metric, keras_metrics.RankingMetric):
                raise ValueError(
                    "`metrics` must be ranking metrics, such as "
                    f"`PrecisionAtK(5)`. Received: {metric}"
                )
        self.metrics = list(metrics)
        with self.strategy.scope():
            if isinstance(optimizer, str):
                optimizer = optimizers.create(optimizer, 1e-3)
            # What callbacks of Keras look for, and what `model.save` keeps.
            self.model.compile(optimizer=optimizer, loss=self.loss)
        self.optimizer = optimizer
        if not isinstance(optimizer, gradients.SummedGradients):
            gradients.summed_outside(optimizer)
        self._loop: (
            trainer_loops.Synchronous | trainer_loops.Asynchronous | None
        ) = None

    def fit(
        self,
        dataset: tf.data.Dataset,
        epochs: int = 1,
        validation_data: tf.data.Dataset | None = None,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        verbose: int = 1,
        initial_epoch: int = 0,
    ) -> keras.callbacks.History:
        """Trains for some epochs; returns what Keras' `fit` returns.

        Args:
            dataset: global batches (inputs, labels) or (inputs, labels,
                weights [N]). Labels are ragged, or padded with -1.
            epochs: the epoch after the last.
            validation_data: batches evaluated after each epoch.
            callbacks: of Keras; batch and epoch hooks, `stop_training`,
                `History`, EarlyStopping, ModelCheckpoint, CSVLogger and
                TensorBoard work.
            verbose: 0 for no progress, 1 for a bar, 2 for a line an epoch.
            initial_epoch: where to resume.
        """
        loop = self._loop_for(dataset)
        callbacks = list(callbacks)
        is_each_told = any(map(_wants_batches, callbacks))
        steps = int(dataset.cardinality())
        hooks = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0 and _is_chief(self.strategy),
            model=self.model,
            verbose=verbose,
            epochs=epochs,
            steps=steps if steps >= 0 else None,
        )
        self.model.stop_training = False
        hooks.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(initial_epoch, epochs):
            hooks.on_epoch_begin(epoch)
            logs = self._train_epoch(loop.train(dataset, is_each_told), hooks)
            if not np.isfinite(logs.get("loss", 0.0)):
                raise FloatingPointError(
                    f"the loss became {logs['loss']} in epoch {epoch + 1}: "
                    "lower the learning rate, or look at the data"
                )
            if validation_data is not None:
                values = self.evaluate(validation_data)
                logs |= {f"val_{name}": v for name, v in values.items()}
            hooks.on_epoch_end(epoch, logs)
            if self.model.stop_training:
                break
        hooks.on_train_end(logs)
        return self.model.history

    def _train_epoch(
        self,
        trained: Iterable[trainer_loops.Steps],
        hooks: keras.callbacks.CallbackList,
    ) -> dict[str, float]:
        """Trains on all batches; returns the mean loss."""
        logs: dict[str, float] = {}
        done, loss_sum, weight_sum = 0, 0.0, 0.0
        hooks.on_train_batch_begin(0)
        for steps in trained:
            done += steps.number
            loss_sum += steps.loss
            weight_sum += steps.weight
            logs = {"loss": loss_sum / max(weight_sum, 1e-12)}
            hooks.on_train_batch_end(done - 1, logs)
            hooks.on_train_batch_begin(done)
        return logs

    def evaluate(self, dataset: tf.data.Dataset) -> dict[str, float]:
        """Returns the mean loss and the metrics of batches, each once."""
        loop = self._loop_for(dataset)
        names = ["loss", *(metric.name for metric in self.metrics)]
        totals = np.zeros([len(names), 2])
        for sums in loop.evaluate(dataset):
            totals += sums
        return {
            name: float(total / best) if best else 0.0
            for name, (total, best) in zip(names, totals, strict=True)
        }

    def predict(
        self, dataset: tf.data.Dataset, k: int = 5
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the scores and ids of the best labels, [N, K] each.

        On this process' devices alone, in the order of the batches, which may
        be inputs alone.
        """

        @tf.function(reduce_retracing=True, autograph=False)
        def top_k(batch):
            inputs = batch[0] if isinstance(batch, tuple) else batch
            logits = self.model(inputs, training=False)
            head = sparse_labels.head_of(logits, None)
            if head is not None:
                return head.logits_top_k(logits, k)
            return tf.math.top_k(logits, min(k, logits.shape[1]))

        answers = [top_k(batch) for batch in dataset]
        estimates, label_ids = (
            np.concatenate([part.numpy() for part in parts])
            for parts in zip(*answers, strict=True)
        )
        return 1 / (1 + np.exp(-estimates)), label_ids

    def _loop_for(self, dataset: tf.data.Dataset):
        """Returns the loop of the strategy, the model built."""
        if self._loop is None:
            if isinstance(self.loss, keras_losses.SparseLoss):
                own_pipelines.from_dataset(dataset)
            self._build_model(dataset.element_spec)
            self._loop = trainer_loops.create(
                trainer_replica.Replica(
                    self.strategy,
                    self.model,
                    self.loss,
                    self.optimizer,
                    self.metrics,
                    self.seed,
                )
            )
        return self._loop

    def _build_model(self, element_spec) -> None:
        """Makes the model's variables by a call on an empty batch."""
        inputs = element_spec[0]
        if not self.model.built:
            with self.strategy.scope(), keras_strategies.unwarned():
                self.model(tf.nest.map_structure(_example, inputs))
        with self.strategy.scope():
            if not self.optimizer.built:
                self.optimizer.build(self.model.trainable_variables)


def _example(spec: tf.TypeSpec):
    """Returns an input of one row of zeros for a spec."""
    if isinstance(spec, tf.RaggedTensorSpec):
        return tf.RaggedTensor.from_row_splits(
            tf.zeros([1], spec.dtype),
            tf.constant([0, 1], spec.row_splits_dtype),
        )
    return tf.zeros([size or 1 for size in spec.shape], spec.dtype)


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    return bool(strategy.extended.should_checkpoint)


def _wants_batches(callback: keras.callbacks.Callback) -> bool:
    """Tells whether a callback does something at each batch."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return callback.save_freq != "epoch"
    hooks = (
        callback.on_train_batch_begin,
        callback.on_train_batch_end,
        callback.on_batch_begin,
        callback.on_batch_end,
    )
    return not all(getattr(hook, "_is_default", False) for hook in hooks)
