"""A run: the parts that its config names, made under a strategy."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.cpu import host_memory
from tfxml.cpu import predictor as cpu_predictor
from tfxml.data.feeding import co_occurrence
from tfxml.data.text import word_vectors
from tfxml.evaluation import asynchronous_evaluator as asynchronous_evaluation
from tfxml.evaluation import evaluator
from tfxml.evaluation import metrics as metrics_lib
from tfxml.models import contract, heads, keras_backbones, keras_encoder
from tfxml.run import (
    build,
    console,
    datasets,
    device_memory,
    paths,
    serving_file,
    tensorflow_start,
)
from tfxml.run import placement as placement_lib
from tfxml.run import progress as progress_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import asynchronous_loop, loop, solvers
from tfxml.training import averages as averages_lib
from tfxml.training.solvers import label_classifiers


class Run:
    """Model, optimizer and loop of a run, and what it has measured.

    Args:
        config: what is trained.
        strategy: which devices train.
        data: what `run_data.training_data` returns.
        placement: which repetitions are trained, and where they lie.
        beat: called whenever parameter servers have got on.
        backbone: the run's copy of its Keras model; empty: there is none yet.
    """

    def __init__(
        self,
        config: config_lib.Config,
        strategy: tf.distribute.Strategy,
        data: datasets.TrainingData,
        placement: placement_lib.Placement = placement_lib.EVERYWHERE,
        beat: Callable[[], None] = lambda: None,
        backbone: str = "",
    ):
        self.config = config
        self._backbone = backbone or paths.local(config.backbone, "backbone")
        self.strategy = strategy
        self.data = data
        self._batches = datasets.batches(config, data.training_rows)
        self.steps_per_epoch = self._batches.steps_per_epoch
        takes_steps = heads.HEADS[config.head].learns == contract.GRADIENTS
        self._steps_of_head = (
            self.steps_per_epoch * config.num_epochs if takes_steps else 0
        )
        # What takes no gradients is learnt in one step more.
        has_last = not takes_steps or bool(config.reranker_passes)
        self.num_steps = self._steps_of_head + has_last
        label_pairs = None
        if heads.HEADS[config.head].reads_pairs:
            label_pairs = co_occurrence.count(data.train)
        # Here too: propensities that overflow are refused before any epoch.
        build.ranking_metrics(config, data.facts, data.label_counts)
        with strategy.scope():
            self.model = build.model(
                config,
                data.facts,
                data.label_counts,
                placement,
                label_pairs=label_pairs,
                backbone=self._backbone,
            )
            optimizer = build.optimizer(
                config, self.steps_per_epoch, self.model
            )
            step = loop.new_step_counter()
            self.averages = build.weight_averages(
                config, self.steps_per_epoch, self.model, strategy
            )
        self.state = tf.train.Checkpoint(
            model=self.model.named_variables(), optimizer=optimizer, step=step
        )
        if self.averages is not None:
            self.state.averages = self.averages.variables
        # The steps of the epoch that is under way, and their losses' sum.
        self.epoch_steps, self.epoch_loss = 0, 0.0
        self.step_ms: list[float] = []
        self.losses: list[float] = []  # of this process's epochs
        self._is_traced = False
        self._step, self._beat = step, beat
        self._coordinator = None
        self.io_device = None
        if isinstance(strategy, tf.distribute.ParameterServerStrategy):
            self._coordinator = tf.distribute.coordinator.ClusterCoordinator(
                strategy
            )
            # The servers may share no folder with the coordinator.
            self.io_device = "/job:chief/replica:0/task:0/device:CPU:0"
        elif self.model.reranker is not None:
            # Zeros that take no memory until they are learnt.
            self.model.reranker.clear()
        host_memory.give_back()  # of initial values
        self._loop = self._make_loop(optimizer)
        self._count = self._make_evaluator()

    @property
    def steps_done(self) -> int:
        return self._loop.steps_done

    def reopen(self, step: int) -> None:
        """Goes back to a step before what is learnt after the last epoch."""
        self._step.assign(step)
        if self.model.reranker is not None:
            self.model.reranker.clear()

    @property
    def weights(self) -> dict[str, keras.Variable]:
        """What must be finite to be saved: the model's and optimizer's."""
        moments = {v.path: v for v in self.state.optimizer.variables}
        return {**self.model.named_variables(), **moments}

    def describe_memory(self) -> str:
        """Returns a line for each device: what lies there."""
        state = [variable.value for variable in self.state.optimizer.variables]
        if self.averages is not None:
            state += self.averages.variables.values()
        return device_memory.describe(
            [weight.value for weight in self.model.weights], state
        )

    def start_folder(self, workdir: workdir_lib.Workdir) -> None:
        """Writes what stays the same into the folder of a beginning."""
        data = self.data
        workdir.start(self.config, data.facts, data.fingerprint)
        workdir.write_label_counts(data.label_counts)
        if data.label_names is not None:
            workdir.write_label_names(data.label_names)
        if data.text_features is not None:
            workdir.write_text_features(data.text_features)
        workdir.write_head(self.model.head.record())
        if any(
            isinstance(encoder, keras_encoder.KerasEncoder)
            for encoder in self.model.encoders
        ):
            workdir.write_backbone(keras_backbones.file_of(self._backbone))
        workdir.write_serving(serving_file.of(self.model))

    def read_word_vectors(self) -> None:
        """Starts the encoders with the word vectors of the recipe's file.

        Raises:
            ValueError: if the data have no vocabulary, or the encoder no words.
            DataError: if the file does not hold vectors of --word_dim.
        """
        config, features = self.config, self.data.text_features
        if features is None or features.terms is None:
            raise ValueError(
                "`word_vectors` must be empty for data without a vocabulary. "
                f"Received: word_vectors={config.word_vectors}"
            )
        vectors, is_there = word_vectors.read(
            paths.local(config.word_vectors, "word_vectors"),
            features.terms.tolist(),
            config.word_dim,
        )
        for encoder in self.model.encoders:
            encoder.assign_words(vectors, is_there)
        print(f"words     {is_there.sum():,} of {len(is_there):,} have vectors")

    def train_epoch(
        self, progress: progress_lib.Progress, after: Callable[[], None]
    ) -> float:
        """Trains to the end of the epoch; returns its mean loss.

        `after` is called after every loop of steps but the last.
        """
        progress.start(self.steps_done)
        try:
            return self._train_epoch(progress, after)
        finally:
            progress.stop()

    def _train_epoch(
        self, progress: progress_lib.Progress, after: Callable[[], None]
    ) -> float:
        left = self.steps_per_epoch - self.steps_done % self.steps_per_epoch
        while left:
            number = min(left, self.config.steps_per_loop)
            start = time.perf_counter()
            loss = self._loop.train(number)
            seconds = time.perf_counter() - start
            # The first call makes the graph: its time is not that of a step.
            is_traced, self._is_traced = not self._is_traced, True
            if is_traced:
                host_memory.give_back()
            else:
                self.step_ms.append(1e3 * seconds / number)
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} at step {self.steps_done}: lower "
                    "--learning_rate, or look at the data"
                )
            self.epoch_loss += loss * number
            self.epoch_steps += number
            left -= number
            progress.update(
                self.steps_done, self.epoch_loss / self.epoch_steps, is_traced
            )
            if left:
                after()
        loss = self.epoch_loss / self.epoch_steps
        self.epoch_steps, self.epoch_loss = 0, 0.0
        self.losses.append(loss)
        return loss

    @property
    def is_head_trained(self) -> bool:
        """Whether all epochs are done, and at most `learn_rest` is left."""
        return self.steps_done >= self._steps_of_head

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        steps = min(self.steps_done, self._steps_of_head)
        return steps // self.steps_per_epoch

    def learn_rest(self, after: Callable[[], None]) -> None:
        """Learns what takes no gradients: the last step.

        That is a head that learns in one pass, then the re-ranker. `after` is
        called whenever some labels are done.
        """
        config, head = self.config, self.model.head
        tensorflow_start.give_back()
        if head.learns == contract.ONE_PASS:
            solve = solvers.SOLVERS[type(head)]
            solve(head, self.data.training_rows, config, after)
            host_memory.give_back()
        self.learn_reranker(after)

    def learn_reranker(self, after: Callable[[], None]) -> None:
        """Learns the re-ranker, if there is one, of a head that is trained."""
        if self.model.reranker is not None:
            self.model.reranker.assign(
                label_classifiers.learn(
                    self.data.training_rows,
                    self._candidates(),
                    build.reranking(self.config),
                    after,
                    self.data.label_rows,
                )
            )
            host_memory.give_back()
        self._step.assign(self.num_steps)

    def _candidates(self) -> np.ndarray:
        """Returns what the head finds best for training instances, [N, S]."""
        config, source = self.config, self.data.training_rows
        k = min(config.num_hard_negatives, source.num_labels)
        shape = source.num_instances, k
        if cpu_predictor.suits(self.model, self.strategy):
            forms = cpu_predictor.serving_model(self.model)
            return evaluator.cpu_candidates(
                # The re-ranker has learnt nothing yet.
                cpu_predictor.CpuPredictor(
                    dataclasses.replace(forms, reranker=None)
                ),
                source,
                k,
            )
        is_padded = datasets.takes_padded(self.data.facts, self.strategy)
        if self._coordinator:
            return asynchronous_evaluation.AsynchronousEvaluator(
                self._coordinator,
                self.model,
                k,
                source,
                config.eval_batch_size,
                is_padded,
                beat=self._beat,
                by_head=True,
            ).candidates(shape)
        return evaluator.candidates(
            self.strategy,
            evaluator.make_top_k(self.strategy, self.model, k, by_head=True),
            evaluator.make_batches(
                self.strategy, source, config.eval_batch_size, is_padded
            ),
            shape,
        )

    def evaluate(self) -> dict[str, float]:
        """Returns the metrics of the evaluation split, in percent."""
        metrics = build.ranking_metrics(
            self.config, self.data.facts, self.data.label_counts
        )
        self._count(metrics)
        return metrics.result()

    def report(self) -> dict[str, float]:
        """Returns what the steps have cost, and what their loop tells."""
        return {
            **(
                {"step_ms": statistics.median(self.step_ms)}
                if self.step_ms
                else {}  # resumed when no step of the head was left
            ),
            "peak_memory_gib": console.peak_memory_gib(),
            **self._loop.report(),
        }

    def _make_loop(
        self, optimizer: keras.optimizers.Optimizer
    ) -> (
        asynchronous_loop.AsynchronousLoop
        | averages_lib.AveragedLoop
        | loop.SynchronousLoop
    ):
        config, data = self.config, self.data
        is_padded = datasets.takes_padded(data.facts, self.strategy)
        if self._coordinator:
            if self.averages is not None:
                raise ValueError(
                    "`weight_average` must be none with parameter servers, "
                    "whose workers take steps each at their own time. "
                    f"Received: weight_average={config.weight_average}"
                )
            return asynchronous_loop.AsynchronousLoop(
                self._coordinator,
                self.model,
                optimizer,
                self._step,
                data.training_rows,
                self._batches,
                config.seed,
                is_padded,
                self._beat,
                config.accumulate_steps,
            )
        synchronous = loop.SynchronousLoop(
            self.strategy,
            self.model,
            optimizer,
            self._step,
            data.training_rows,
            self._batches,
            self._steps_of_head,
            config.seed,
            is_padded,
            data.service,
            config.accumulate_steps,
            self.averages,
        )
        if self.averages is None:
            return synchronous
        return averages_lib.AveragedLoop(synchronous, self.averages)

    def _make_evaluator(
        self,
    ) -> Callable[[metrics_lib.RankingMetrics], None]:
        config, data = self.config, self.data
        is_padded = datasets.takes_padded(data.facts, self.strategy)
        k = evaluator.num_ranked(
            config.metric_ks, data.facts.num_labels, data.exclusions
        )
        if self._coordinator:
            return asynchronous_evaluation.AsynchronousEvaluator(
                self._coordinator,
                self.model,
                k,
                data.evaluation,
                config.eval_batch_size,
                is_padded,
                data.exclusions,
                self._beat,
            ).evaluate
        top_k = evaluator.make_top_k(self.strategy, self.model, k)
        batches = evaluator.make_batches(
            self.strategy, data.evaluation, config.eval_batch_size, is_padded
        )
        return lambda metrics: evaluator.evaluate(
            self.strategy, top_k, batches, metrics, data.exclusions
        )
