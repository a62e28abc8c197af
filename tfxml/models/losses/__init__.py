"""Losses, computed from sparse positives: one file each, one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfxml.models import module_options, module_table
from tfxml.models.losses import (
    asymmetric_options,
    focal_options,
    huber_options,
    sampled_softmax_options,
    smoothing_options,
)

if TYPE_CHECKING:
    from tfxml.models import contract

_PLACES: dict[str, str] = {
    "sigmoid_cross_entropy": "sigmoid_cross_entropy.SigmoidCrossEntropy",
    "softmax_cross_entropy": "softmax_cross_entropy.SoftmaxCrossEntropy",
    "sampled_softmax": "sampled_softmax.SampledSoftmax",
    "focal": "focal_loss.FocalLoss",
    "asymmetric": "asymmetric_loss.AsymmetricLoss",
    "propensity": "propensity_loss.PropensityLoss",
    "label_smoothing": "label_smoothing.LabelSmoothing",
    "hinge": "hinge_losses.Hinge",
    "squared_hinge": "hinge_losses.SquaredHinge",
    "categorical_hinge": "categorical_hinge.CategoricalHinge",
    "squared_error": "regression_losses.SquaredError",
    "absolute_error": "regression_losses.AbsoluteError",
    "huber": "regression_losses.Huber",
}
# Of those whose options lie in a file without TensorFlow.
_OPTIONS: dict[str, type[module_options.ModuleOptions]] = {
    "sigmoid_cross_entropy": module_options.ModuleOptions,
    "softmax_cross_entropy": module_options.ModuleOptions,
    "sampled_softmax": sampled_softmax_options.SampledSoftmaxOptions,
    "focal": focal_options.FocalOptions,
    "asymmetric": asymmetric_options.AsymmetricOptions,
    "propensity": module_options.ModuleOptions,
    "label_smoothing": smoothing_options.LabelSmoothingOptions,
    "hinge": module_options.ModuleOptions,
    "squared_hinge": module_options.ModuleOptions,
    "categorical_hinge": module_options.ModuleOptions,
    "squared_error": module_options.ModuleOptions,
    "absolute_error": module_options.ModuleOptions,
    "huber": huber_options.HuberOptions,
}
LOSSES: module_table.ModuleTable[type[contract.Loss]] = (
    module_table.ModuleTable(__name__, _PLACES, _OPTIONS)
)


def to_config(loss: contract.Loss) -> dict:
    """Returns what `from_config` makes the loss again from."""
    (name,) = [name for name, kind in LOSSES.items() if kind is type(loss)]
    return {"name": name, **loss.get_config()}


def from_config(config: dict) -> contract.Loss:
    """Returns the loss that `to_config` described."""
    arguments = {key: config[key] for key in config if key != "name"}
    return LOSSES[config["name"]](**arguments)
