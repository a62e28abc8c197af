"""Encoders: from a sparse bag of features to a dense vector.

# N instances, D features, H units of a layer
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.mach import hashing
from tfxml.models import (
    contract,
    device_scope,
    dropout_seeds,
    forms,
    sites,
    sparse_rows,
)
from tfxml.models.encoders import bag_options


@keras.saving.register_keras_serializable(package="tfxml")
class BagEncoder(contract.Encoder):
    """ReLU layers over sparse rows, each with dropout.

    The first layer reads only the kernel rows of the batch's features.

    Args:
        num_features: D.
        hidden_units: the width of each layer, at least one.
        dropout: the share of a layer's outputs dropped in training.
        residual: adds a layer's input to its output where widths agree.
        seed: of the initial weights and of the dropout; two encoders with one
            seed are equal.
        table_shards: in how many variables the first kernel is kept, each a
            run of features: what parameter servers, or devices, share.
        feature_hash: what makes the D features of the instances' own ids, or
            None.
        feature_dropout: the share of the stored features dropped in training.
        table_places: to spread the shards over; none: where the encoder is.
    """

    Options = bag_options.BagOptions
    reads = contract.BAG

    def __init__(
        self,
        num_features: int,
        hidden_units: Sequence[int],
        dropout: float = 0.0,
        residual: bool = False,
        seed: int = 0,
        table_shards: int = 1,
        feature_hash: hashing.UniversalHash | None = None,
        feature_dropout: float = 0.0,
        table_places: Sequence[sites.Place] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not hidden_units or min(hidden_units) < 1:
            raise ValueError(
                "`hidden_units` must name at least one width, all positive. "
                f"Received: {hidden_units=}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                f"`dropout` must be in [0, 1). Received: {dropout=}"
            )
        self.num_features = num_features
        self.hidden_units = tuple(hidden_units)
        self.dropout = dropout
        self.residual = residual
        self.seed = seed
        self.table_shards = table_shards
        self.feature_hash = feature_hash
        self.feature_dropout = feature_dropout
        self._table_places = sites.spread(table_places, table_shards)
        self.output_dim = self.hidden_units[-1]
        # Whether the gradient of the table may hold a row several times.
        self.repeats_rows = False
        self.kernels: list[keras.Variable] = []
        self.biases: list[keras.Variable] = []
        self._add_weights()
        if dropout or feature_dropout:  # counts the steps of Keras' own `fit`
            self._seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    @classmethod
    def create(cls, options: Any, site: sites.Site, number: int) -> BagEncoder:
        """Returns the `number`-th encoder of a model."""
        numbers = range(number, number + 1)
        feature_hash = None
        if options.feature_buckets:
            feature_hash = hashing.from_seed(
                ~site.hash_seed & (2**64 - 1),  # apart from the labels'
                number,
                options.feature_buckets,
                site.num_features,
            )
        return cls(
            options.feature_buckets or site.num_features,
            options.hidden_units,
            options.dropout,
            options.residual,
            seed=site.seeds_of(numbers)[0],
            table_shards=options.table_shards,
            feature_hash=feature_hash,
            feature_dropout=options.feature_dropout,
            table_places=site.encoder_places,
        )

    @property
    def tables(self) -> list[keras.Variable]:
        """The shards of the first kernel."""
        return self.kernels[: self.table_shards]

    @property
    def upper_kernels(self) -> list[keras.Variable]:
        """The kernels of the other layers."""
        return self.kernels[self.table_shards :]

    def arrange(self, inputs: Mapping[str, Any], form: str) -> Any:
        """Returns the rows as `call` takes them; see `sparse_rows.arrange`."""
        feature_ids = inputs[inputs_lib.FEATURE_IDS]
        if self.feature_hash is not None:
            feature_ids = tf.ragged.map_flat_values(
                self.feature_hash, feature_ids
            )
        return sparse_rows.arrange(
            feature_ids,
            inputs[inputs_lib.FEATURE_VALUES],
            self.num_features,
            form,
        )

    @property
    def arrangement(self) -> Hashable:
        """Encoders that hash no features, or hash alike, read the same rows."""
        return self.num_features, self.feature_hash

    def call(
        self,
        rows: Any,
        dropout_seed: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns [N, H].

        Args:
            rows: what `arrange` returns; or the named inputs of a batch, as in
                a model of Keras.
            dropout_seed: [2] int32, a function of the step; None = no dropout.
            training: whether a model of Keras trains, which has no such seed.
        """
        if isinstance(rows, Mapping):
            rows = self.arrange(rows, "compact")
            self.repeats_rows = (
                not isinstance(rows, sparse_rows.CompactRows)
                or tf.distribute.get_strategy().num_replicas_in_sync > 1
            )
            if training and dropout_seed is None:
                dropout_seed = self._seed_of_call()
        rows = self._drop_features(rows, dropout_seed)
        # The variables themselves, so that rows are gathered.
        tables = [table.value for table in self.tables]
        product = sparse_rows.matmul(rows, tables, self._table_places)
        output = tf.nn.relu(product + self.biases[0])
        hidden = self._drop(output, 0, dropout_seed)
        for layer, (kernel, bias) in enumerate(
            zip(self.upper_kernels, self.biases[1:], strict=True), 1
        ):
            output = tf.nn.relu(tf.matmul(hidden, kernel) + bias)
            if self.residual and hidden.shape[1] == output.shape[1]:
                output += hidden
            hidden = self._drop(output, layer, dropout_seed)
        return hidden

    def form(self) -> forms.DenseStack:
        """Returns its serving form."""
        return forms.DenseStack(
            self.tables,
            self.upper_kernels,
            self.biases,
            self.residual,
            self.feature_hash,
        )

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return "-".join(map(str, self.hidden_units))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_features": self.num_features,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "residual": self.residual,
            "seed": self.seed,
            "table_shards": self.table_shards,
            "feature_hash": self.feature_hash
            and dataclasses.asdict(self.feature_hash),
            "feature_dropout": self.feature_dropout,
        }

    @classmethod
    def from_config(cls, config: dict) -> BagEncoder:
        """Returns the encoder that `get_config` describes."""
        feature_hash = config["feature_hash"]
        if feature_hash is not None:
            feature_hash = hashing.UniversalHash(**feature_hash)
        return cls(**{**config, "feature_hash": feature_hash})

    def _add_weights(self) -> None:
        widths = (self.num_features, *self.hidden_units)
        for layer, (fan_in, units) in enumerate(
            zip(widths[:-1], widths[1:], strict=True)
        ):
            # Glorot's scale: with many features the first layer starts small,
            # for a rare one is hardly trained and its initial weights are
            # noise.
            stddev = (2 / (fan_in + units)) ** 0.5
            places = self._table_places if layer == 0 else [None]
            shards = len(places)
            for shard, size in enumerate(shard_sizes(fan_in, shards)):
                initializer = keras.initializers.RandomNormal(
                    stddev=stddev,
                    seed=(self.seed * 1009 + layer) * shards + shard,
                )
                name = f"kernel_{layer}" + f"_of_{shard}" * (shards > 1)
                with device_scope.creating(places[shard]):
                    self.kernels.append(
                        self.add_weight(
                            name=name,
                            shape=(size, units),
                            initializer=initializer,
                        )
                    )
            self.biases.append(
                self.add_weight(
                    name=f"bias_{layer}", shape=(units,), initializer="zeros"
                )
            )

    def _seed_of_call(self) -> tf.Tensor | None:
        """Returns the seed of a call in a model of Keras that trains."""
        if not (self.dropout or self.feature_dropout):
            return None
        given = dropout_seeds.current()
        if given is not None:  # by `Trainer`
            return given
        return dropout_seeds.of_replica(
            tf.cast(self._seed_generator.next(), tf.int32)
        )

    def _drop_features(self, rows: Any, dropout_seed) -> Any:
        """Returns rows of which a share of the values is 0, in training."""
        rate = self.feature_dropout
        if dropout_seed is None or not rate:
            return rows
        seed = tf.random.experimental.stateless_fold_in(
            dropout_seed, self.seed * 1009 + len(self.hidden_units)
        )
        values = rows if isinstance(rows, tf.Tensor) else rows.values
        values = tf.nn.experimental.stateless_dropout(
            values, rate=rate, seed=seed
        )
        if isinstance(rows, tf.Tensor):
            return values
        return rows._replace(values=values)

    def _drop(self, output, layer: int, dropout_seed):
        if dropout_seed is None or not self.dropout:
            return output
        # Stateless, so that it is a function of the step under every strategy
        # (a Keras Dropout keeps its state in a variable).
        seed = tf.random.experimental.stateless_fold_in(
            dropout_seed, self.seed * 1009 + layer
        )
        return tf.nn.experimental.stateless_dropout(
            output, rate=self.dropout, seed=seed
        )


def shard_sizes(size: int, num_shards: int) -> list[int]:
    """Returns the sizes of `num_shards` runs, all but the last the same.

    Raises:
        ValueError: if there are too few for a run each.
    """
    each = -(-size // num_shards)
    sizes = [min(each, size - start) for start in range(0, size, each)]
    if len(sizes) != num_shards:
        raise ValueError(
            f"`table_shards` must leave no shard of {size} features empty. "
            f"Received: table_shards={num_shards}"
        )
    return sizes
