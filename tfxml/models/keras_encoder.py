"""What the encoders share that are a Keras model of others.

# N instances, T places, H units

Its layers run as in prediction, in training too: batch statistics stay, and
dropout layers do nothing, as their random state is no function of the step. The
dropout is behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfxml.models import contract, keras_backbones, pooling, sites

_POOLINGS = {"max": pooling.largest, "mean": pooling.mean}
# What models of KerasHub return, and what is taken of it.
_OUTPUTS = "sequence_output", "pooled_output"


class KerasEncoder(contract.Encoder):
    """A Keras model, pooled if it returns a state a word.

    Args:
        backbone: the model, which no other encoder holds.
        pooling: `max`, `mean` or `cls`, of states.
        dropout: share of the outputs dropped in training.
        seed: of the dropout.
        is_trained: whether the model's weights are trained.
    """

    def __init__(
        self,
        backbone: keras.Model,
        pooling: str = "max",
        dropout: float = 0.0,
        seed: int = 0,
        is_trained: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.backbone.trainable = is_trained
        self.pooling = pooling
        self.dropout = dropout
        self.seed = seed
        self.is_trained = is_trained
        self.input_of_backbone, output = keras_backbones.ends(backbone)
        taken = self._output(output)
        if taken is not output:
            # Behind other outputs lie weights that nothing would train.
            read = keras.Model(self.input_of_backbone, taken).layers
            for layer in backbone.layers:
                if not any(layer is one for one in read):
                    layer.trainable = False
        self.output_dim = taken.shape[-1]
        self.built = True

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, number: int
    ) -> KerasEncoder:
        """Returns the `number`-th encoder of a model.

        Raises:
            DataError: if the file holds no model.
            ValueError: if the model takes something else.
        """
        encoder = cls(
            keras_backbones.load(site.backbone or options.backbone),
            options.pooling,
            options.backbone_dropout,
            site.seeds_of(range(number, number + 1))[0],
            options.backbone_trained,
        )
        encoder.check_site(options, site)
        return encoder

    def check_site(self, options: Any, site: sites.Site) -> None:
        """Raises ValueError if the model does not take what the data have."""
        raise NotImplementedError

    def taken(self, rows: tf.Tensor) -> Any:
        """Returns the argument of the model, and which places have a word."""
        raise NotImplementedError

    def call(
        self, rows: Any, dropout_seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns [N, H].

        Args:
            rows: what `arrange` returns.
            dropout_seed: [2] int32, a function of the step; None: no dropout.
        """
        # A replica may have no rows, of which some layers make wrong shapes.
        number, is_dynamic = tf.shape(rows)[0], rows.shape[0] is None
        if is_dynamic:
            rows = tf.pad(rows, [[0, 1], [0, 0]])
        taken, is_word = self.taken(rows)
        output = self._output(self.backbone(taken, training=False))
        if output.shape.rank == 3:
            if self.pooling == "cls":
                output = output[:, 0]
            else:
                output = _POOLINGS[self.pooling](output, is_word)
        if is_dynamic:
            output = output[:number]
        if dropout_seed is None or not self.dropout:
            return output
        return tf.nn.experimental.stateless_dropout(
            output,
            rate=self.dropout,
            seed=tf.random.experimental.stateless_fold_in(
                dropout_seed, self.seed
            ),
        )

    def _output(self, output: Any) -> Any:
        """Returns the one output that is read."""
        if isinstance(output, Mapping):
            for name in _OUTPUTS:
                if name in output:
                    return output[name]
        if isinstance(output, (Mapping, list, tuple)):
            raise ValueError(
                "`backbone` must return one tensor, or one of "
                f"{', '.join(_OUTPUTS)}. Received: {output}"
            )
        return output

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "pooling": self.pooling,
            "dropout": self.dropout,
            "seed": self.seed,
            "is_trained": self.is_trained,
        }

    @classmethod
    def from_config(cls, config: dict) -> KerasEncoder:
        """Returns the encoder that `get_config` describes."""
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"the Keras model {self.backbone.name} of {self.output_dim} units"
            + ", not trained" * (not self.is_trained)
        )
