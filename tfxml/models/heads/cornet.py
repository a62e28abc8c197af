"""CorNet: a bottleneck over all labels' logits corrects each of them.

# N instances, L labels, C candidates, Z units of the bottleneck

Xun et al., "Correlation networks for extreme multi-label text classification",
KDD 2020.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfxml.models import contract, correcting_head, sites
from tfxml.models.heads import cornet_options, mach_head, sigmoid


class CorNetHead(correcting_head.CorrectingHead):
    """Logits of the base, and what all of them together say of each.

    A correction is W' elu(W sigmoid(z) + b) + b', added to the logits z.

    Args:
        base: what scores labels first.
        units: Z.
        num_blocks: how many corrections.
        num_candidates: how many of the base's best labels are corrected.
        dropped: ids of labels that are never answered.
        seed: of the initial weights.

    """

    Options = cornet_options.CorNetOptions
    BASES = {"sigmoid": sigmoid.SigmoidHead, "mach": mach_head.MachHead}

    def __init__(
        self,
        base: contract.Head,
        units: int = 100,
        num_blocks: int = 2,
        num_candidates: int = 4096,
        dropped: Any = (),
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(base, num_candidates, dropped, **kwargs)
        self.units = units
        self.num_blocks = num_blocks
        small = keras.initializers.RandomNormal(stddev=0.01, seed=seed)

        def add(name: str, shape: tuple[int, ...], initializer):
            return [
                self.add_weight(
                    name=f"{name}_{number}",
                    shape=shape,
                    initializer=initializer,
                )
                for number in range(num_blocks)
            ]

        self._reads = add("reads", (self.num_labels, units), small)
        self._shifts = add("shift", (units,), "zeros")
        # At first nothing is corrected.
        self._writes = add("writes", (self.num_labels, units), "zeros")
        self._biases = add("bias", (self.num_labels,), "zeros")
        self.built = True

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> CorNetHead:
        """Returns the head that the options describe."""
        return cls(
            cls.create_base(options, site, loss),
            options.cornet_units,
            options.cornet_blocks,
            options.cornet_candidates,
            site.dropped,
            site.seed,
        )

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "units": self.units,
            "num_blocks": self.num_blocks,
        }

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"{self.base.describe()}, {self.extent} corrected by "
            f"{self.num_blocks} bottlenecks of {self.units} units"
        )

    def corrected(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns the logits of candidates [N, C] after all corrections."""
        for reads, shift, writes, bias in zip(
            self._reads, self._shifts, self._writes, self._biases, strict=True
        ):
            shares = tf.sigmoid(logits)
            if self.is_whole:
                hidden = tf.nn.elu(tf.matmul(shares, reads.value) + shift)
                logits += tf.matmul(hidden, writes.value, transpose_b=True)
                logits += bias
            else:
                of_labels = tf.gather(reads.value, label_ids)  # [N, C, Z]
                hidden = tf.nn.elu(
                    tf.einsum("nc,ncz->nz", shares, of_labels) + shift
                )
                of_labels = tf.gather(writes.value, label_ids)
                logits += tf.einsum("nz,ncz->nc", hidden, of_labels)
                logits += tf.gather(bias.value, label_ids)
        return logits
