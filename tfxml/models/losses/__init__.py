"""Losses, computed from sparse positives: one file each, one line here."""

from __future__ import annotations

from tfxml.models import contract
from tfxml.models.losses import (
    asymmetric_loss,
    categorical_hinge,
    focal_loss,
    hinge_losses,
    label_smoothing,
    propensity_loss,
    regression_losses,
    sampled_softmax,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)

LOSSES: dict[str, type[contract.Loss]] = {
    "sigmoid_cross_entropy": sigmoid_cross_entropy.SigmoidCrossEntropy,
    "softmax_cross_entropy": softmax_cross_entropy.SoftmaxCrossEntropy,
    "sampled_softmax": sampled_softmax.SampledSoftmax,
    "focal": focal_loss.FocalLoss,
    "asymmetric": asymmetric_loss.AsymmetricLoss,
    "propensity": propensity_loss.PropensityLoss,
    "label_smoothing": label_smoothing.LabelSmoothing,
    "hinge": hinge_losses.Hinge,
    "squared_hinge": hinge_losses.SquaredHinge,
    "categorical_hinge": categorical_hinge.CategoricalHinge,
    "squared_error": regression_losses.SquaredError,
    "absolute_error": regression_losses.AbsoluteError,
    "huber": regression_losses.Huber,
}


def to_config(loss: contract.Loss) -> dict:
    """Returns what `from_config` makes the loss again from."""
    (name,) = [name for name, kind in LOSSES.items() if kind is type(loss)]
    return {"name": name, **loss.get_config()}


def from_config(config: dict) -> contract.Loss:
    """Returns the loss that `to_config` described."""
    arguments = {key: config[key] for key in config if key != "name"}
    return LOSSES[config["name"]](**arguments)
