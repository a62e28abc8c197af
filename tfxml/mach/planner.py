"""Sizes of MACH and sigmoid models, and the largest that fits a machine.

# N instances of a batch, L labels, D features, H units, R repetitions,
# B buckets
"""

from __future__ import annotations

import dataclasses
import math

# Weights, and the two moments of Adam.
_COPIES = 3
_FLOAT = 4  # bytes
# Arrays over the labels: counts, priors and propensities, 8 bytes each.
_BYTES_PER_LABEL = 24
_WIDTHS = (2048, 1024, 512, 256, 128, 64, 32)
# Recall saturates at about this number (Medini et al., 2019, figure 2).
_REPETITIONS = 16
# The authors hashed features into 80,000 to 100,000 buckets.
_FEWEST_FEATURE_BUCKETS = 1 << 17


@dataclasses.dataclass(frozen=True)
class Plan:
    """A model's shape, and the sizes that follow from it.

    With `num_repetitions` 0 the head is the sigmoid head.
    """

    num_labels: int
    num_features: int
    hidden: int
    num_repetitions: int = 0
    num_buckets: int = 0
    num_encoders: int = 1
    feature_buckets: int = 0  # 0: features are not hashed
    batch_size: int = 512

    @property
    def num_outputs(self) -> int:
        """Returns how many logits an instance has: R B, or L."""
        if not self.num_repetitions:
            return self.num_labels
        return self.num_repetitions * self.num_buckets

    @property
    def encoder_parameters(self) -> int:
        rows = self.feature_buckets or self.num_features
        return self.num_encoders * (rows + 1) * self.hidden

    @property
    def head_parameters(self) -> int:
        return self.num_outputs * (self.hidden + 1)

    @property
    def parameters(self) -> int:
        return self.encoder_parameters + self.head_parameters

    @property
    def training_bytes(self) -> int:
        """Returns the memory of training, in bytes.

        Counts weights, moments, gradients, logits and arrays over labels.

        The head's gradient is dense; that of the first layer's table has only
        the batch's features. The logits of a batch are in memory once, because
        the losses of all repetitions are differentiated together.
        """
        logits = self.batch_size * self.num_outputs
        floats = _COPIES * self.parameters + self.head_parameters + logits
        return _FLOAT * floats + _BYTES_PER_LABEL * self.num_labels

    @property
    def serving_bytes(self) -> int:
        """Returns bytes of the weights and of the threshold decode's tables."""
        tables = 0
        if self.num_repetitions:
            slots = math.ceil(1.25 * self.num_labels / self.num_buckets)
            pairs = math.comb(self.num_repetitions, 2)
            tables = pairs * (self.num_buckets + 1 + slots)
        return _FLOAT * (self.parameters + tables)

    @property
    def step_flop(self) -> int:
        """Returns FLOP of the head's three matrix products in a step."""
        return 6 * self.batch_size * self.hidden * self.num_outputs

    @property
    def collision_probability(self) -> float:
        """Returns a bound on the probability that labels share all buckets."""
        if not self.num_repetitions:
            return 0.0
        pairs = math.comb(self.num_labels, 2)
        return min(1.0, pairs / self.num_buckets**self.num_repetitions)


def least_repetitions(num_labels: int, num_buckets: int, delta: float) -> int:
    """Returns the fewest R that separate all labels, with chance 1 - delta.

    R >= log(L^2 / (2 delta)) / log B by a union bound over pairs of labels
    (Medini et al., NeurIPS 2019, theorem 2).
    """
    log_pairs = 2 * math.log(num_labels) - math.log(2 * delta)
    return max(1, math.ceil(log_pairs / math.log(num_buckets)))


def propose(
    num_labels: int,
    num_features: int,
    memory: int,
    step_flop: float,
    delta: float = 0.01,
    batch_size: int = 512,
) -> Plan:
    """Returns the widest MACH model whose training fits.

    Prefers wide layers to many buckets, and these to unhashed features.

    Args:
        num_labels, num_features: of the data.
        memory: bytes that training may take.
        step_flop: FLOP that the head's products in a step may take.
        delta: the probability allowed that two labels share all buckets.
        batch_size: of a step.

    Raises:
        ValueError: if no model fits.
    """
    max_buckets = round(4 * num_labels**0.5)
    for hidden in _WIDTHS:
        for num_buckets in (max_buckets, max_buckets // 2, max_buckets // 4):
            num_buckets = max(2, min(num_buckets, num_labels))
            min_repetitions = least_repetitions(num_labels, num_buckets, delta)
            plan = _with_features(
                Plan(
                    num_labels,
                    num_features,
                    hidden,
                    max(_REPETITIONS, min_repetitions),
                    num_buckets,
                    batch_size=batch_size,
                ),
                memory,
            )
            if plan is not None and plan.step_flop <= step_flop:
                return plan
    raise ValueError(
        "`memory` and `step_flop` must be enough for the smallest model, of "
        f"{_WIDTHS[-1]} hidden units. Received: memory={memory:,} bytes, "
        f"step_flop={step_flop:,.0f}"
    )


def sigmoid_of(plan: Plan) -> Plan:
    """Returns the plan of a sigmoid head on the same encoder."""
    return dataclasses.replace(
        plan, num_repetitions=0, num_buckets=0, num_encoders=1
    )


def _with_features(plan: Plan, memory: int) -> Plan | None:
    """Returns the plan with as many feature buckets as fit, or None."""
    if plan.training_bytes <= memory:
        return plan
    buckets = 1 << (plan.num_features.bit_length() - 1)
    while buckets >= _FEWEST_FEATURE_BUCKETS:
        hashed = dataclasses.replace(plan, feature_buckets=buckets)
        if hashed.training_bytes <= memory:
            return hashed
        buckets //= 2
    return None
