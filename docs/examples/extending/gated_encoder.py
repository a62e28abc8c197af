"""An encoder with gates: each unit's output times a gate in (0, 1).

# N instances, D features, H units

The rows' product with a kernel [D, 2 H] is split in two: `a * sigmoid(b)`
(Dauphin et al., "Language modeling with gated convolutional networks", ICML
2017).
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from tfxml import options as options_lib
from tfxml.data import inputs as inputs_lib
from tfxml.models import contract, module_options, sites, sparse_rows


@dataclasses.dataclass(frozen=True)
class GatedOptions(module_options.ModuleOptions):
    """Options of the gated encoder."""

    gated_units: int = options_lib.option(
        256, "Gated encoder: its width.", minimum=1
    )


class GatedEncoder(contract.Encoder):
    """A gated linear layer over a bag of features.

    Args:
        num_features: D.
        units: H.
        seed: of the initial kernel.
    """

    Options = GatedOptions
    reads = contract.BAG

    def __init__(self, num_features: int, units: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.num_features = num_features
        self.output_dim = units
        self.seed = seed
        stddev = (2 / (num_features + units)) ** 0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(num_features, 2 * units),
            initializer=keras.initializers.RandomNormal(
                stddev=stddev, seed=seed
            ),
        )
        self.bias = self.add_weight(
            name="bias", shape=(2 * units,), initializer="zeros"
        )
        self.built = True

    @classmethod
    def create(cls, options, site: sites.Site, number: int) -> GatedEncoder:
        """Returns the `number`-th encoder of a model."""
        (seed,) = site.seeds_of(range(number, number + 1))
        return cls(site.num_features, options.gated_units, seed)

    def arrange(self, inputs: dict, form: str):
        """Returns the rows in a form for `sparse_rows.matmul`."""
        return sparse_rows.arrange(
            inputs[inputs_lib.FEATURE_IDS],
            inputs[inputs_lib.FEATURE_VALUES],
            self.num_features,
            form,
        )

    @property
    def arrangement(self):
        """Encoders with the same number of features read the same rows."""
        return self.num_features

    def call(self, rows, dropout_seed=None) -> tf.Tensor:
        """Returns [N, H]."""
        del dropout_seed  # it drops nothing
        # The variable itself, so that only the needed rows are gathered.
        product = sparse_rows.matmul(rows, [self.kernel.value]) + self.bias
        units, gates = tf.split(product, 2, axis=1)
        return units * tf.sigmoid(gates)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild the encoder, without weights."""
        return {
            **super().get_config(),
            "num_features": self.num_features,
            "units": self.output_dim,
            "seed": self.seed,
        }
