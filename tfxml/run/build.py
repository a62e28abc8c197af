"""Builds the parts of a run from a config: model, optimizer, metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data.catalogue import known_sets, named_sets
from tfxml.evaluation import metrics
from tfxml.models import (
    contract,
    device_scope,
    encoders,
    extreme_classifier,
    heads,
    losses,
    reranker,
    sites,
)
from tfxml.run import placement as placement_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import averages, gradients, optimizers, schedules
from tfxml.training.solvers import label_classifiers

_USUAL_PROPENSITIES = 0.55, 1.5  # Jain et al.'s default


def model(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    label_counts: np.ndarray | None,
    placement: placement_lib.Placement = placement_lib.EVERYWHERE,
    dropped: Sequence[int] | np.ndarray = (),
    label_pairs: scipy.sparse.csr_matrix | None = None,
    backbone: str = "",
) -> extreme_classifier.ExtremeClassifier:
    """Returns the model, with biases that match the labels' frequencies.

    Args:
        config: the recipe.
        facts: of the data.
        label_counts: [L], in how many training instances each label occurs;
            None: zero biases, for a model whose weights will be restored.
        placement: which repetitions it has, and on which devices it lies.
        dropped: ids of labels that are never predicted.
        label_pairs: [L, L] sparse, in how many training instances each two
            labels occur, for heads that read them; None for restored weights.
        backbone: the run's copy of its Keras model; empty: there is none yet.
    """
    strategy = tf.distribute.get_strategy()
    site = sites.Site(
        facts.num_labels,
        facts.num_features,
        facts.num_train,
        facts.num_tokens,
        config.seed,
        config.hash_seed,
        facts.form,
        label_counts=label_counts,
        label_pairs=label_pairs,
        dropped=dropped,
        group=placement.group,
        num_groups=placement.num_groups,
        encoder_places=placement.encoder_places(strategy),
        head_places=placement.head_places(strategy),
        backbone=backbone,
        reads_states=heads.HEADS.options(config.head).reads_states,
        inverse_propensity=lambda priors: metrics.inverse_propensities(
            np.rint(priors * facts.num_train).astype(np.int64),
            facts.num_train,
            *propensities(config),
        ),
    )
    model_encoders = _encoders(config, site)
    is_linear = not model_encoders
    site = dataclasses.replace(
        site,
        is_linear=is_linear,
        input_dim=(
            facts.num_features if is_linear else model_encoders[0].output_dim
        ),
    )
    loss = losses.LOSSES[config.loss].from_options(config, site)
    return extreme_classifier.ExtremeClassifier(
        model_encoders,
        _head(config, site, loss),
        facts.num_features,
        facts.form,
        _reranker(config, facts),
        mixup=config.mixup,
    )


def reads_rows(config: config_lib.Config) -> bool:
    """Tells whether the head reads the rows itself, without an encoder."""
    passes_rows = encoders.ENCODERS.options(config.encoder).passes_rows
    return heads.HEADS[config.head].reads_rows or passes_rows(config)


def _encoders(
    config: config_lib.Config, site: sites.Site
) -> list[contract.Encoder]:
    """Returns the encoders of the repetitions of a site."""
    if reads_rows(config):
        return []
    encoder_class = encoders.ENCODERS[config.encoder]
    numbers = site.group_range(heads.HEADS[config.head].num_encoders_of(config))
    places = sites.spread(site.encoder_places, len(numbers))
    if len(numbers) > 1:  # each whole in its place
        site = dataclasses.replace(site, encoder_places=())
    created = []
    for number, place in zip(numbers, places, strict=True):
        with device_scope.creating(place):
            encoder = encoder_class.create(config, site, number)
        encoder.place = place
        created.append(encoder)
    return created


def _head(
    config: config_lib.Config, site: sites.Site, loss: contract.Loss
) -> contract.Head:
    """Returns the head: its blocks in the site's places, or all in one.

    Raises:
        ValueError: if there are several places, and it has no blocks.
    """
    head_class = heads.HEADS[config.head]
    if head_class.has_blocks or not site.head_places:
        return head_class.create(config, site, loss)
    if len(site.head_places) > 1:
        raise ValueError(
            "`model_devices` must leave one device for a head that is not made "
            "of blocks: use two, with model_partition=layers. Received: "
            f"{len(site.head_places)} devices for head={config.head}"
        )
    (place,) = site.head_places
    with device_scope.creating(place):
        head = head_class.create(
            config, dataclasses.replace(site, head_places=()), loss
        )
    head.place = place
    return head


def _reranker(
    config: config_lib.Config, facts: workdir_lib.Facts
) -> reranker.Reranker | None:
    if not config.reranker_passes:
        return None
    return reranker.Reranker(
        facts.num_labels,
        facts.num_features,
        config.reranker_features,
        config.num_candidates,
        config.reranker_weight,
    )


def reranking(config: config_lib.Config) -> label_classifiers.Settings:
    """Returns the settings of the re-ranker's solver."""
    return label_classifiers.Settings(
        config.reranker_cost,
        config.reranker_passes,
        config.reranker_features,
        config.reranker_centroid,
        config.seed,
        config.feature_idf,
        config.reranker_name,
        config.drop_own_labels,
    )


def optimizer(
    config: config_lib.Config,
    steps_per_epoch: int,
    model: extreme_classifier.ExtremeClassifier,
) -> keras.optimizers.Optimizer | optimizers.ByLayer:
    """Returns the optimizer, built for the variables of the model."""

    def schedule(peak: float):
        return schedules.WarmUpAndDecay(
            peak,
            steps_per_epoch * config.num_epochs,
            config.warmup_steps,
            config.decay,
        )

    penalties = gradients.Penalties(
        config.weight_decay, config.l1, config.max_norm
    )
    model_optimizer = optimizers.create(
        config.optimizer,
        schedule(config.learning_rate),
        config.global_clipnorm or None,
        config.epsilon,
        config.momentum,
        penalties,
    )
    if config.head_optimizer == "sgd":
        head_optimizer = optimizers.create(
            "sgd", schedule(config.head_learning_rate), penalties=penalties
        )
        model_optimizer = optimizers.ByLayer(
            model_optimizer,
            head=(head_optimizer, model.head.trainable_variables),
        )
    model_optimizer.build(model.trainable_variables)
    return model_optimizer


def weight_averages(
    config: config_lib.Config,
    steps_per_epoch: int,
    model: extreme_classifier.ExtremeClassifier,
    strategy: tf.distribute.Strategy,
) -> averages.Averages | None:
    """Returns the averages of the weights that are trained, if any."""
    rule: averages.Rule
    if config.weight_average == "none":
        return None
    if config.weight_average == "ema":
        rule = averages.Exponential(config.average_decay)
    else:
        rule = averages.ByEpoch(steps_per_epoch, config.swa_start)
    trained = {id(weight) for weight in model.trainable_variables}
    return averages.Averages(
        strategy,
        {
            name: weight
            for name, weight in model.named_variables().items()
            if id(weight) in trained
        },
        rule,
    )


def ranking_metrics(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    label_counts: np.ndarray,
) -> metrics.RankingMetrics:
    """Returns empty metrics with the propensities of the training split."""
    return metrics.RankingMetrics(
        config.metric_ks,
        label_counts,
        metrics.inverse_propensities(
            label_counts,
            facts.num_train,
            *propensities(config),
        ),
    )


def propensities(config: config_lib.Config) -> tuple[float, float]:
    """Returns Jain et al.'s a and b: as configured, else the data set's."""
    a, b = _USUAL_PROPENSITIES
    if config.dataset in known_sets.names():
        entry = named_sets.entry_of(config.dataset)
        a, b = entry.propensity_a, entry.propensity_b
    return config.propensity_a or a, config.propensity_b or b
