"""The interfaces of losses, encoders and heads.

# N instances, D features, H units of an encoder, L labels, B outputs of a
# block, P positives of a batch, K top labels, C given labels

A new module is one file and one line in its dictionary (`losses.LOSSES`,
`encoders.ENCODERS`, `heads.HEADS`). Everything else is inherited from the
classes here: by default all weights of a module are trained, saved, restored
and placed, and the head's best labels are found in all of its logits. A module
overrides what it can do better.
"""

from __future__ import annotations

import abc
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import (
    forms,
    keras_strategies,
    module_options,
    sites,
)
from tfxml.topk import selection

GRADIENTS = "gradients"  # how a head learns: in steps of the training loop
ONE_PASS = "one pass"  # or in one pass over the rows, by a solver

BAG = "bag"  # what an encoder reads: an instance's features, unordered
TOKENS = "tokens"  # or its tokens, in order


class Positives(NamedTuple):
    """The targets of a block that are 1, [P], or padded [N, P]."""

    rows: tf.Tensor  # int32
    columns: tf.Tensor  # int32
    weights: tf.Tensor  # weight of the row; 0 for padding


class Loss(abc.ABC):
    """A loss of logits [N, B] and sparse targets.

    Subclasses declare whether it `separates`: whether the loss of all outputs
    is the sum of the losses of blocks of them. Sigmoid cross-entropy does.
    Softmax cross-entropy does not, as its normaliser runs over all outputs, so
    heads give it all logits of a repetition at once.
    """

    Options: ClassVar[type[module_options.ModuleOptions]] = (
        module_options.ModuleOptions
    )
    separates: ClassVar[bool] = True
    # Whether the outputs compete, so that an instance has one label.
    is_multiclass: ClassVar[bool] = False
    # How what `normalized` returns becomes a score, one of `calibration.LINKS`.
    link: ClassVar[str] = "sigmoid"

    @classmethod
    def from_options(cls, options: Any, site: sites.Site) -> Loss:
        """Returns the loss that the options describe."""
        del options, site
        return cls()

    def of_outputs(self, priors: np.ndarray) -> Loss:
        """Returns the loss of outputs whose frequencies it may weigh.

        Args:
            priors: [B], the share of instances in which each output is on.
        """
        del priors
        return self

    @abc.abstractmethod
    def value(
        self, logits: tf.Tensor, positives: Positives, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar.

        Args:
            logits: [N, B].
            positives: where the targets are 1.
            weights: [N].
        """

    def logit_gradient(
        self, logits: tf.Tensor, positives: Positives, weights: tf.Tensor
    ) -> tf.Tensor | None:
        """Returns the gradient of `value` with respect to the logits, [N, B].

        None where no closed form is known: the gradient then comes from
        automatic differentiation of `value`.
        """
        return None

    @property
    def has_logit_gradient(self) -> bool:
        """Whether there is a gradient in closed form."""
        return type(self).logit_gradient is not Loss.logit_gradient

    def trained_value(
        self, logits: tf.Tensor, positives: Positives, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns `value` with the closed-form gradient, if there is one.

        Heads train on it.
        """
        if not self.has_logit_gradient:
            return self.value(logits, positives, weights)

        @tf.custom_gradient
        def value(logits):
            def gradient(upstream):
                return upstream * self.logit_gradient(
                    logits, positives, weights
                )

            return self.value(logits, positives, weights), gradient

        return value(logits)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the biases at which training starts, [B].

        Args:
            priors: [B], the fraction of instances in which each output is 1.
        """
        return np.zeros(len(priors), np.float32)

    def normalized(self, logits: tf.Tensor) -> tf.Tensor:
        """Returns logits [N, B] by which labels are ranked and scored.

        A loss with a normaliser over all B outputs returns the logits of its
        probabilities here, log(p / (1 - p)), so that a sigmoid gives them back.
        """
        return logits

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {}


class Encoder(keras.layers.Layer):
    """Turns the inputs of a batch into a dense vector an instance, [N, H].

    Subclasses set `Options`, `reads` and `output_dim`, and implement `call`.
    """

    Options: ClassVar[type[module_options.ModuleOptions]] = (
        module_options.ModuleOptions
    )
    reads: ClassVar[str] = BAG
    output_dim: int
    # Where its weights are stored and used; None: anywhere.
    place: sites.Place | None = None

    @classmethod
    def create(cls, options: Any, site: sites.Site, number: int) -> Encoder:
        """Returns the `number`-th encoder of a model."""
        raise NotImplementedError

    def arrange(self, inputs: Mapping[str, Any], form: str) -> Any:
        """Returns the argument of `call`, from the named inputs of a batch."""
        raise NotImplementedError

    @property
    def arrangement(self) -> Hashable:
        """A key that encoders share if `arrange` returns the same for them."""
        return id(self)

    def call(
        self, rows: Any, dropout_seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns [N, H].

        Args:
            rows: what `arrange` returns.
            dropout_seed: [2] int32, a function of the step; None: no dropout.
        """
        raise NotImplementedError

    def assign_words(self, vectors: np.ndarray, is_there: np.ndarray) -> None:
        """Starts with word vectors that others have trained.

        Args:
            vectors: [V, E], of the words of the vocabulary.
            is_there: [V], whether a word has one; others keep their own.

        Raises:
            ValueError: if it has no word vectors.
        """
        del vectors, is_there
        raise ValueError(
            "`word_vectors` must be empty for an encoder that has none. "
            f"Received: word_vectors with {type(self).__name__}"
        )

    def form(self) -> forms.DenseStack | None:
        """Returns its serving form; None: TensorFlow alone can run it."""
        return None

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return f"{type(self).__name__} of {self.output_dim} units"


class LabelSets(NamedTuple):
    """Sets of labels that a head finds most probable, best first."""

    label_ids: tf.Tensor  # [N, K] int32, candidates
    is_member: tf.Tensor  # [N, S, K] bool, which of them each set has
    log_probabilities: tf.Tensor  # [N, S]


class HeadPart(NamedTuple):
    """The blocks of a head in one place; parts' losses add up."""

    place: sites.Place | None
    blocks: range | None  # their numbers; None: the whole head
    variables: list[keras.Variable]


class Head(keras.layers.Layer):
    """An output layer: scores of L labels from what the encoders return.

    Subclasses implement `call` and `create`; the rest has defaults. `encoded`
    is a tensor [N, H], or a list with one tensor per encoder; for a head that
    reads rows it is what `sparse_rows.arrange` returns.
    """

    Options: ClassVar[type[module_options.ModuleOptions]] = (
        module_options.ModuleOptions
    )
    learns: ClassVar[str] = GRADIENTS
    reads_rows: ClassVar[bool] = False  # whether it has no use for encoders
    reads_pairs: ClassVar[bool] = False  # whether `site.label_pairs` are read
    # Whether its blocks can lie in the different places of a site.
    has_blocks: ClassVar[bool] = False
    num_labels: int
    dropped: np.ndarray  # ids that are never answered
    loss: Loss
    # Where its weights are stored and used, unless its blocks say it.
    place: sites.Place | None = None

    # --- from options ---------------------------------------------------

    @classmethod
    def create(cls, options: Any, site: sites.Site, loss: Loss) -> Head:
        """Returns the head that the options describe."""
        raise NotImplementedError

    @classmethod
    def num_encoders_of(cls, options: Any) -> int:
        """Returns how many encoders feed the head."""
        return 1

    @classmethod
    def num_pieces(cls, options: Any) -> int:
        """Returns how many groups of it can be trained separately."""
        return 1

    # --- training -------------------------------------------------------

    def call(self, encoded: Any) -> tf.Tensor:
        """Returns logits, [N, L]."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        """Returns logits that know their head; see `head_of`."""
        keras_strategies.warn_of_repeated_rows(self)
        outputs = super().__call__(*args, **kwargs)
        outputs._tfxml_head = self
        return outputs

    def logits_loss(
        self,
        loss: Loss,
        logits: tf.Tensor,
        positives: Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of a loss of what `call` returned."""
        return loss.value(logits, positives, weights)

    def loss_sum(
        self,
        encoded: Any,
        positives: Positives,
        weights: tf.Tensor,
        blocks: range | None = None,
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar.

        Args:
            encoded: what the encoders return.
            positives: the labels of the batch.
            weights: [N].
            blocks: those whose losses are added; None: all.
        """
        del blocks
        return self.loss.trained_value(self.call(encoded), positives, weights)

    def parts(self) -> list[HeadPart]:
        """Returns the parts, each in its place; every weight is in one."""
        return [HeadPart(self.place, None, list(self.trainable_weights))]

    # --- ranking --------------------------------------------------------

    @property
    def num_answers(self) -> int:
        """How many labels can be answered."""
        return self.num_labels - len(self.dropped)

    @property
    def score_note(self) -> str:
        """The model card's sentence about the scores."""
        return (
            "Scores are sigmoids, each label on its own: they do not add up to "
            "1, and whether 0.7 means 70 % on your data has not been checked."
        )

    @property
    def link(self) -> str:
        """How estimates are turned into scores, one of `calibration.LINKS`."""
        return self.loss.link

    def label_estimates(self, encoded: Any, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns what given labels [C] are ranked by, [N, C]."""
        estimates = self.loss.normalized(self.call(encoded))
        return tf.gather(estimates, label_ids, axis=1)

    def top_k(self, encoded: Any, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' estimates and ids, [N, K], best first.

        Estimates rank labels; `calibration.scores` turns them into scores.
        """
        return self.logits_top_k(self.call(encoded), k)

    def logits_top_k(
        self, logits: tf.Tensor, k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `top_k` does, from what `call` returned."""
        estimates = self.loss.normalized(logits)
        if len(self.dropped):
            is_dropped = np.isin(np.arange(self.num_labels), self.dropped)
            estimates = tf.where(is_dropped, -float("inf"), estimates)
        estimates = tf.ensure_shape(estimates, [None, self.num_labels])
        return selection.top_k(estimates, min(k, self.num_answers))

    def label_sets(self, encoded: Any, k: int, num_sets: int) -> LabelSets:
        """Returns the most probable sets among the K best labels.

        Of heads that say `models_sets`: they know how labels depend on one
        another. Those of other heads follow from the scores.
        """
        raise NotImplementedError

    def form(self) -> forms.BlockRanking | forms.InvertedIndex | None:
        """Returns its serving form; None: TensorFlow alone can run it."""
        return None

    # --- saving and describing --------------------------------------------

    def named_weights(self) -> dict[str, keras.Variable]:
        """Returns every weight under the name that checkpoints give it."""
        return named_weights(self)

    def record(self) -> dict | None:
        """Returns what a run directory stores about the head, as JSON.

        None: everything follows from the options.
        """
        return None

    @property
    def label_capacity(self) -> int:
        """How many labels it can have without a new weight."""
        return self.num_labels

    def growth_options(self) -> dict | None:
        """Returns options under which more labels need no new weights.

        None: it cannot take more labels.
        """
        return None

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return f"{type(self).__name__} of {self.num_labels:,} labels"


def head_of(logits: tf.Tensor) -> Head | None:
    """Returns the head that made a tensor, or None if it is not known.

    The head is an attribute of the tensor, as Keras' masks are. Keras' losses
    and metrics receive only the tensor, and MACH's logits mean nothing without
    the hashes.
    """
    return getattr(logits, "_tfxml_head", None)


def named_weights(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """Returns all weights of a layer and its sublayers by name.

    If several have the same name, the second is called `name_1`, and so on, in
    the order in which the layer creates its weights.
    """
    names: dict[str, keras.Variable] = {}
    for weight in layer.weights:
        name, number = weight.name, 0
        while name in names:
            number += 1
            name = f"{weight.name}_{number}"
        names[name] = weight
    return names
