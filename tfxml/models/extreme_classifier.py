"""The whole model: inputs -> encoders -> head -> re-ranker -> scores.

# N instances, D features, C given labels, K top labels
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.models import answering as answering_lib
from tfxml.models import (
    calibrated_sets,
    contract,
    contract_checks,
    device_scope,
    dropout_seeds,
    mixed_instances,
    sparse_labels,
    sparse_rows,
)
from tfxml.models import calibration as calibration_lib
from tfxml.models import encoders as encoders_lib
from tfxml.models import heads as heads_lib
from tfxml.models import reranker as reranker_lib

Inputs = Mapping[str, tf.RaggedTensor | tf.Tensor]


@keras.saving.register_keras_serializable(package="tfxml")
class ExtremeClassifier(keras.Model):
    """Encoders, a head and an optional re-ranker.

    Args:
        encoders: none for a linear model, one that all outputs share, or
            several, each read by an equal run of repetitions.
        head: scores labels.
        num_features: D.
        form: how rows are multiplied; see `row_forms.FORMS`.
        reranker: what ranks the head's best labels again; None: nothing.
        calibration: what makes probabilities of scores; None: nothing.
        mixup: alpha of the mixing in training; 0: none.
        answering: the thresholds that exports carry; None: 0.5.

    Raises:
        ValueError: if an encoder is any other Keras layer.
    """

    def __init__(
        self,
        encoders: Sequence[contract.Encoder],
        head: contract.Head,
        num_features: int,
        form: str,
        reranker: reranker_lib.Reranker | None = None,
        calibration: calibration_lib.Calibration | None = None,
        mixup: float = 0.0,
        answering: answering_lib.Answering | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # Keras compiles by XLA on GPUs where all layers allow it: a program
        # for every length of sparse rows, and none that reads the re-ranker's
        # integer tables, which TensorFlow keeps in the host's memory.
        self.supports_jit = False
        for encoder in encoders:
            if not isinstance(encoder, contract.Encoder):
                raise ValueError(
                    "`encoders` must be encoders of tfxml. Received: "
                    f"{encoder}; for any other model of Keras make "
                    "`keras.Sequential([model, head])` and train it with "
                    "`tfxml.Trainer` or its own `fit`"
                )
        self.encoders = list(encoders)
        self.head = head
        self.num_features = num_features
        self.form = form
        self.reranker = reranker
        self.calibration = calibration
        self.mixup = mixup
        self.answering = answering or answering_lib.Answering()
        self.built = True

    def get_config(self) -> dict:
        """Returns the arguments that rebuild the model, without weights."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "encoders": [serialize(encoder) for encoder in self.encoders],
            "head": serialize(self.head),
            "num_features": self.num_features,
            "form": self.form,
            "reranker": self.reranker and serialize(self.reranker),
            "calibration": self.calibration
            and dataclasses.asdict(self.calibration),
            "mixup": self.mixup,
            "answering": dataclasses.asdict(self.answering),
        }

    @classmethod
    def from_config(cls, config: dict) -> ExtremeClassifier:
        """Returns the model that `get_config` describes."""
        # By class, so that a module need not be registered with Keras.
        classes = {
            module.__name__: module
            for module in (
                *encoders_lib.ENCODERS.values(),
                *heads_lib.HEADS.values(),
            )
        }

        def deserialize(layer: dict):
            return keras.saving.deserialize_keras_object(
                layer, custom_objects=classes
            )

        return cls(
            **{
                **config,
                "encoders": [deserialize(item) for item in config["encoders"]],
                "head": deserialize(config["head"]),
                "reranker": config["reranker"]
                and deserialize(config["reranker"]),
                "calibration": config["calibration"]
                and calibration_lib.Calibration(**config["calibration"]),
                "answering": answering_lib.Answering(**config["answering"]),
            }
        )

    def encode(
        self,
        inputs: Inputs,
        dropout_seed: tf.Tensor | None = None,
        tapes: Sequence[tf.GradientTape] = (),
    ) -> list:
        """Returns the input of the head: [N, H] per encoder, or the rows.

        Args:
            inputs: rows by the names of `inputs`.
            dropout_seed: [2] int32, or None for no dropout.
            tapes: that record each encoder; none: nothing is recorded.
        """
        if not self.encoders:
            return [self._rows(inputs, self.form)]
        # Encoders that read the same rows share them.
        arranged = {}
        for encoder in self.encoders:
            if encoder.arrangement not in arranged:
                arranged[encoder.arrangement] = encoder.arrange(
                    inputs, self.form
                )
        encoded = []
        for number, encoder in enumerate(self.encoders):
            tape = tapes[number] if tapes else contextlib.nullcontext()
            with device_scope.computing(encoder.place), tape:
                encoded.append(
                    encoder.call(
                        arranged[encoder.arrangement], dropout_seed=dropout_seed
                    )
                )
        return encoded

    def loss_sum(
        self,
        inputs: Inputs,
        label_ids: tf.RaggedTensor | tf.Tensor,
        weights: tf.Tensor,
        dropout_seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar.

        Args:
            inputs: rows by the names of `inputs`, ragged or padded.
            label_ids: [N, (L)] ragged, or [N, P] padded with -1.
            weights: [N]; the loss of a row with weight 0 does not count.
            dropout_seed: [2] int32, or None for no dropout.
        """
        encoded = self.encode(inputs, dropout_seed)
        return self.head_loss_sum(encoded, label_ids, weights, dropout_seed)

    def head_loss_sum(
        self,
        encoded: list,
        label_ids: tf.RaggedTensor | tf.Tensor,
        weights: tf.Tensor,
        dropout_seed: tf.Tensor | None = None,
        blocks: range | None = None,
    ) -> tf.Tensor:
        """Returns `loss_sum` from what `encode` returned.

        Args:
            encoded: the input of the head.
            label_ids, weights, dropout_seed: see `loss_sum`.
            blocks: of the head, whose part of the sum is returned; None: all.
        """

        def loss_sum(label_ids, weights):
            return self.head.loss_sum(
                encoded,
                sparse_labels.positives_of(label_ids, weights),
                weights,
                blocks,
            )

        with dropout_seeds.given(dropout_seed):  # of a head that samples
            if dropout_seed is None or not self.mixup:
                return loss_sum(label_ids, weights)
            pairs = mixed_instances.draw(self.mixup, weights, dropout_seed)
            encoded = mixed_instances.mixed(encoded, pairs)
            others = tf.gather(label_ids, pairs.partners)
            return loss_sum(label_ids, weights * pairs.shares) + loss_sum(
                others, weights * (1 - pairs.shares)
            )

    def head_parts(self) -> Sequence[contract.HeadPart]:
        """Returns the parts of the head, which hold all weights of it once."""
        return contract_checks.checked_parts(self.head, self.head.parts())

    @property
    def link(self) -> str:
        """How estimates become scores; see `calibration`."""
        return (
            self.head.link if self.reranker is None else calibration_lib.SIGMOID
        )

    def top_k(self, inputs: Inputs, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K] each, best first."""
        if self.reranker is None:
            estimates, label_ids = self._head_top_k(inputs, k)
        else:
            estimates, label_ids = self._head_top_k(
                inputs, max(k, self.reranker.num_candidates)
            )
            estimates, label_ids = self.reranker.rerank(
                self._rows(inputs, "ragged"),
                calibration_lib.logits(estimates, self.head.link),
                label_ids,
                k,
            )
        return calibration_lib.scores(
            estimates, self.link, self.calibration
        ), label_ids

    def rank(
        self, inputs: Inputs, label_ids: tf.Tensor, k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns scores and ids of the best of given labels, [N, K] each.

        With fewer than `k` different labels, K is their number.

        Args:
            inputs: rows by the names of `inputs`.
            label_ids: [C], in any order.
            k: scalar, how many.
        """
        label_ids = tf.sort(tf.unique(label_ids)[0])
        estimates = self.label_estimates(inputs, label_ids)
        k = tf.minimum(k, tf.size(label_ids))
        best, places = tf.math.top_k(estimates, k)
        scores = calibration_lib.scores(best, self.link, self.calibration)
        return scores, tf.gather(label_ids, places)

    def is_answered(self, scores: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """Tells which labels that `top_k` returned reach their thresholds."""
        table = self.answering.table(self.head.num_labels)
        return self.answering.is_answered(scores, label_ids, table)

    def label_estimates(
        self, inputs: Inputs, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns what given labels are ranked by, [N, C].

        Args:
            inputs: rows by the names of `inputs`.
            label_ids: [C], ascending and distinct.
        """
        encoded = self.encode(inputs)
        with device_scope.computing(self.head.place):
            estimates = self.head.label_estimates(encoded, label_ids)
        if self.reranker is None:
            return estimates
        return self.reranker.estimates(
            self._rows(inputs, "ragged"),
            calibration_lib.logits(estimates, self.head.link),
            tf.broadcast_to(label_ids, tf.shape(estimates)),
        )

    def label_sets(
        self, inputs: Inputs, k: int, num_sets: int
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns labels, and the most probable sets of them; see `contract`.

        Of a head that models sets, and without a re-ranker.

        Args:
            inputs: rows by the names of `inputs`.
            k: K, how many labels.
            num_sets: S.

        Returns:
            Scores and ids of labels, [N, K] each, best first; which of them
            each set has, [N, S, K] bool, and the sets' probabilities, [N, S].
        """
        encoded = self.encode(inputs)
        with device_scope.computing(self.head.place):
            found = self.head.label_sets(encoded, k, num_sets)
            estimates, label_ids = self.head.top_k(encoded, k)
        # From the order of the sets to that of the scores.
        is_same = label_ids[:, :, None] == found.label_ids[:, None, :]
        places = tf.argmax(tf.cast(is_same, tf.int32), axis=2)  # [N, K]
        is_member = (
            tf.gather(found.is_member, places, axis=2, batch_dims=1)
            & tf.reduce_any(is_same, axis=2)[:, None, :]
        )
        scores = calibration_lib.scores(
            estimates, self.head.link, self.calibration
        )
        log_p = found.log_probabilities
        if self.calibration is not None:
            before = calibration_lib.logits(estimates, self.head.link)
            after = calibration_lib.logits(scores, calibration_lib.IDENTITY)
            is_member, log_p = calibrated_sets.calibrated(
                is_member, log_p, before, after
            )
        return scores, label_ids, is_member, tf.exp(log_p)

    def candidates(self, inputs: Inputs, k: int) -> tf.Tensor:
        """Returns the head's best labels, without the re-ranker, [N, K]."""
        return self._head_top_k(inputs, k)[1]

    def named_variables(self) -> dict[str, keras.Variable]:
        """Returns every weight under the name that checkpoints give it.

        (TensorFlow's checkpoints do not look into Keras' lists of layers.)
        """
        layers = {
            f"encoder_{number}": contract.named_weights(encoder)
            for number, encoder in enumerate(self.encoders)
        }
        layers["head"] = self.head.named_weights()
        if self.reranker is not None:
            layers["reranker"] = contract.named_weights(self.reranker)
        names = {
            f"{layer}_{name}": weight
            for layer, weights in layers.items()
            for name, weight in weights.items()
        }
        missing = {id(weight) for weight in self.weights} - {
            id(weight) for weight in names.values()
        }
        if missing:
            raise ValueError(
                "`named_weights` must hold every weight of a layer, or they "
                f"would not be saved. Received: {len(missing)} missing"
            )
        return names

    def call(self, inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the scores and ids of the top 5 labels, [N, 5] each."""
        return self.top_k(inputs, k=5)

    def _head_top_k(self, inputs: Inputs, k: int):
        """Returns what the head's `top_k` does, computed where it lies."""
        encoded = self.encode(inputs)
        with device_scope.computing(self.head.place):
            return self.head.top_k(encoded, k)

    def _rows(self, inputs: Inputs, form: str):
        """Returns the bag of features, for layers that read the rows."""
        return sparse_rows.arrange(
            inputs[inputs_lib.FEATURE_IDS],
            inputs[inputs_lib.FEATURE_VALUES],
            self.num_features,
            form,
        )
