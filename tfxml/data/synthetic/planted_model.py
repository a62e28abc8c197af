"""The model behind the generated data set: p(label | features) is known.

Topics have Zipf-like popularity. Each has its own block of features and a few
labels of its own, and shares two general labels with other topics. An instance
draws one to three topics. Each emits at least two features of its block. Noise
is common words, and confusers: single features from the blocks of other topics.
So an instance's topics are the blocks with two or more features present, and a
label's probability is a function of the features.

A topic turns a label on with the label's strength if the label's trigger, a
feature of the block, is present, and with half the strength if not. A label is
on if any topic of the instance turns it on (noisy-or).

The parameters of topics are hashes too, so no table grows with the number of
labels.
"""

from __future__ import annotations

import enum
import math

import numpy as np
import tensorflow as tf

from tfxml.data.synthetic import counter_random, slot_rows

# n instances in a batch, K topic slots, F features of a topic,
# J own and general labels of a topic, S = K * J candidate labels

_TOPICS = 3  # K
_CONFUSERS = 4
_COMMON_WORDS = 24
_GENERAL = 2
# With these the optimal P@1, P@3 and P@5 are 80, 60 and 49 %, at 3.6 labels per
# instance; with 16 training instances per label a small network reaches P@1
# 71 %.
_OWN_STRENGTH = 0.98
_OWN_DECAY = 0.6  # from one of a topic's own labels to the next
_GENERAL_STRENGTH = 0.3
_STRENGTH_SPREAD = 0.2  # topics scale the above by factors in [1 - 0.2, 1]
_UNTRIGGERED = 0.5


class _Draw(enum.IntEnum):
    """The purpose of a random number. The values are part of the data set."""

    NUM_TOPICS = 0
    TOPIC = 1
    SURE_FEATURES = 2
    FEATURE = 3
    IS_CONFUSED = 4
    CONFUSER_TOPIC = 5
    CONFUSER_FEATURE = 6
    IS_WORD = 7
    WORD = 8
    COUNT = 9
    STRENGTH = 10
    TRIGGER = 11
    GENERAL_LABEL = 12
    LABEL = 13
    SHARED = 14
    IS_SHARED = 15


class PlantedModel:
    """Draws the features and labels of instances by their numbers.

    Args:
        num_labels: L.
        seed: of all random numbers.
        dependence: the probability that the labels of a topic share one
            uniform in an instance, and each is on if that is below the label's
            probability. Labels then occur together more often, with the same
            p(label | features).
        labels_per_topic: labels that belong to one topic alone.
        features_per_topic: size of a topic's block.
        exponent: a topic's popularity falls as its rank to the power
            -`exponent`.
    """

    def __init__(
        self,
        num_labels: int,
        seed: int,
        dependence: float,
        labels_per_topic: int,
        features_per_topic: int,
        exponent: float = 0.875,
    ):
        self._seed = seed
        self._exponent = exponent
        self._dependence = dependence
        self._labels_per_topic = labels_per_topic
        self._features_per_topic = features_per_topic
        # Each slot has its own range of general labels: a topic's are distinct.
        self._general_per_slot = max(1, num_labels // 100)
        self._num_own = num_labels - _GENERAL * self._general_per_slot
        self._num_topics = math.ceil(self._num_own / labels_per_topic)
        self._topic_stride = _coprime_stride(self._num_topics)
        self._num_words = min(max(num_labels, 100), 100_000)
        self._no_label = num_labels
        self.num_features = (
            self._num_words + self._num_topics * features_per_topic
        )

    def topics(self, instances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns distinct topics and which of their features are present.

        Returns:
            [n, K] int64, -1 in an empty slot, and [n, K, F] bool, False there.
        """
        u = self._uniform(_Draw.NUM_TOPICS, instances, 1)
        num_topics = _one_to_three(u, 0.6, 0.25)  # [n, 1]
        topics = self._popular_topics(_Draw.TOPIC, instances, _TOPICS)
        slots = tf.range(_TOPICS, dtype=tf.int64)
        is_drawn = (slots < num_topics) & slot_rows.is_first(topics)

        size = self._features_per_topic
        pairs = self._uniform(_Draw.SURE_FEATURES, instances, _TOPICS, 2)
        first = counter_random.floor(pairs[..., :1] * size)  # [n, K, 1]
        step = 1 + counter_random.floor(pairs[..., 1:] * (size - 1))
        features = tf.range(size, dtype=tf.int64)
        is_sure = (features == first) | (features == (first + step) % size)
        u = self._uniform(_Draw.FEATURE, instances, _TOPICS, size)
        present = (is_sure | (u < 0.5)) & is_drawn[..., tf.newaxis]
        return tf.where(is_drawn, topics, -1), present

    def features(
        self, instances: tf.Tensor, topics: tf.Tensor, present: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the features, [n, W], of instances with these `topics`.

        Returns:
            int64 ids, ascending, and counts of 0 (absent) to 3. Ids with a
            count are distinct.
        """
        size = self._features_per_topic
        topical = self._feature_ids(
            topics[..., tf.newaxis], tf.range(size, dtype=tf.int64)
        )
        confusers, is_confused = self._confusers(instances, topics)
        words = counter_random.zipf(
            self._uniform(_Draw.WORD, instances, _COMMON_WORDS),
            self._num_words,
        )
        is_word = self._uniform(_Draw.IS_WORD, instances, _COMMON_WORDS) < 0.75
        ids = tf.concat([slot_rows.flat(topical), confusers, words], axis=1)
        is_present = tf.concat(
            [slot_rows.flat(present), is_confused, is_word], axis=1
        )
        u = self._uniform(_Draw.COUNT, instances, ids.shape[1])
        counts = tf.where(is_present, _one_to_three(u, 0.35, 0.1), 0)
        return slot_rows.sort_counts(
            tf.where(is_present, ids, self.num_features), counts
        )

    def labels(
        self, instances: tf.Tensor, topics: tf.Tensor, present: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the labels that instances with these `topics` can have.

        Returns:
            [n, S] each: int64 ids, ascending; float64 p(label | features),
            0 where there is no candidate; bool, whether the label is on. Ids
            with p > 0 are distinct.
        """
        slots = tf.range(self._labels_per_topic, dtype=tf.int64)
        own_labels = topics[..., tf.newaxis] * self._labels_per_topic + slots
        general_labels = counter_random.zipf(
            self._uniform(_Draw.GENERAL_LABEL, topics, _GENERAL),
            self._general_per_slot,
        )
        slots = tf.range(_GENERAL, dtype=tf.int64) * self._general_per_slot
        # The last topic may have fewer labels of its own than the others.
        own_labels = tf.where(
            own_labels < self._num_own, own_labels, self._no_label
        )
        ids = tf.concat(
            [own_labels, self._num_own + slots + general_labels], axis=2
        )
        ids = tf.where(topics[..., tf.newaxis] >= 0, ids, self._no_label)
        p = self._probabilities(topics, present)
        p = tf.where(ids < self._no_label, p, 0.0)
        is_on = self._label_uniforms(instances, p.shape[2]) < p
        return slot_rows.noisy_or(
            slot_rows.flat(ids), slot_rows.flat(p), slot_rows.flat(is_on)
        )

    def label_name(self, label_id: int) -> str:
        """Returns "topic-17/label-2" or "general-3"."""
        if label_id >= self._num_own:
            return f"general-{label_id - self._num_own}"
        topic, slot = divmod(label_id, self._labels_per_topic)
        return f"topic-{topic}/label-{slot}"

    def _uniform(
        self, draw: _Draw, counters: tf.Tensor, *shape: int
    ) -> tf.Tensor:
        return counter_random.uniform(self._seed, draw, counters, *shape)

    def _popular_topics(
        self, draw: _Draw, instances: tf.Tensor, num_slots: int
    ) -> tf.Tensor:
        """Returns topics drawn by popularity, [n, num_slots] int64."""
        u = self._uniform(draw, instances, num_slots)
        ranks = counter_random.zipf(u, self._num_topics, self._exponent)
        # Spreads popular topics over the ids.
        return ranks * self._topic_stride % self._num_topics

    def _feature_ids(self, topics: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
        return self._num_words + topics * self._features_per_topic + slots

    def _confusers(
        self, instances: tf.Tensor, topics: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns feature ids, [n, 4] int64, and which of them are present.

        Their blocks are distinct, and differ from those of the `topics`.
        """
        confuser_topics = self._popular_topics(
            _Draw.CONFUSER_TOPIC, instances, _CONFUSERS
        )
        is_distinct = slot_rows.is_first(
            tf.concat([topics, confuser_topics], axis=1)
        )[:, _TOPICS:]
        u = self._uniform(_Draw.CONFUSER_FEATURE, instances, _CONFUSERS)
        slots = counter_random.floor(u * self._features_per_topic)
        u = self._uniform(_Draw.IS_CONFUSED, instances, _CONFUSERS)
        return self._feature_ids(confuser_topics, slots), is_distinct & (
            u < 0.5
        )

    def _probabilities(
        self, topics: tf.Tensor, present: tf.Tensor
    ) -> tf.Tensor:
        """Returns the probabilities of topics to turn labels on, [n, K, J].

        They are a function of the topic and its features that are present.
        """
        peaks = [
            *(
                _OWN_STRENGTH * _OWN_DECAY**j
                for j in range(self._labels_per_topic)
            ),
            *[_GENERAL_STRENGTH] * _GENERAL,
        ]
        u = self._uniform(_Draw.STRENGTH, topics, len(peaks))
        strengths = np.array(peaks) * (1.0 - u * _STRENGTH_SPREAD)
        u = self._uniform(_Draw.TRIGGER, topics, len(peaks))
        triggers = counter_random.floor(u * self._features_per_topic)
        is_triggered = tf.gather(present, triggers, batch_dims=2)
        return tf.where(is_triggered, strengths, strengths * _UNTRIGGERED)

    def _label_uniforms(
        self, instances: tf.Tensor, num_slots: int
    ) -> tf.Tensor:
        """Returns the uniforms below which labels are on, [n, K, J]."""
        u = self._uniform(_Draw.LABEL, instances, _TOPICS, num_slots)
        shared = self._uniform(_Draw.SHARED, instances, _TOPICS, 1)
        is_shared = (
            self._uniform(_Draw.IS_SHARED, instances, _TOPICS, 1)
            < self._dependence
        )
        return tf.where(is_shared, shared, u)


def _coprime_stride(count: int) -> int:
    """Returns a stride near `count` / golden ratio, coprime to `count`."""
    stride = max(1, int(count * 0.618))
    while math.gcd(stride, count) > 1:
        stride += 1
    return stride


def _one_to_three(u: tf.Tensor, p_two: float, p_three: float) -> tf.Tensor:
    """Returns 1 to 3: at least 2 with `p_two`, 3 with `p_three`, int64."""
    return 1 + tf.cast(u < p_two, tf.int64) + tf.cast(u < p_three, tf.int64)
