"""Extreme multi-label classification with TensorFlow and Keras.

The public names are those in `PUBLIC`; everything else is internal and may
change. They are imported when they are first used: `import tfxml` starts no
TensorFlow. The first that needs it imports it without its messages, unless
TF_CPP_MIN_LOG_LEVEL=0 is in the environment.
"""

from __future__ import annotations

import importlib
import types

__version__ = "0.1.0"

# The only place that re-exports names: public name -> where it is defined.
PUBLIC: dict[str, str | dict[str, str]] = {
    "Config": "tfxml.config.Config",
    "Trainer": "tfxml.training.trainer.Trainer",
    "XMLClassifier": "tfxml.estimator.XMLClassifier",
    "load": "tfxml.estimator.load",
    "train": "tfxml.train",
    "data": "tfxml.data",
    # The base classes of your own heads, losses and encoders.
    "contract": {
        "Head": "tfxml.models.contract.Head",
        "Loss": "tfxml.models.contract.Loss",
        "Encoder": "tfxml.models.contract.Encoder",
    },
    "heads": {
        "SigmoidHead": "tfxml.models.heads.sigmoid.SigmoidHead",
        "MachHead": "tfxml.models.heads.mach_head.MachHead",
        "CentroidHead": "tfxml.models.heads.centroid.CentroidHead",
    },
    "encoders": {
        "BagEncoder": "tfxml.models.encoders.bag_encoder.BagEncoder",
    },
    "losses": {
        "SparseSigmoidCrossEntropy": (
            "tfxml.models.keras_losses.SparseSigmoidCrossEntropy"
        ),
        "SparseSoftmaxCrossEntropy": (
            "tfxml.models.keras_losses.SparseSoftmaxCrossEntropy"
        ),
    },
    "optimizers": {
        "LazyAdam": "tfxml.training.lazy_optimizers.LazyAdam",
        "LazyAdagrad": "tfxml.training.lazy_optimizers.LazyAdagrad",
        "Adam": "tfxml.training.optimizers.Adam",
        "AdamW": "tfxml.training.optimizers.AdamW",
        "Adagrad": "tfxml.training.optimizers.Adagrad",
        "SGD": "tfxml.training.optimizers.SGD",
        "WarmUpAndDecay": "tfxml.training.schedules.WarmUpAndDecay",
    },
    "metrics": {
        "PrecisionAtK": "tfxml.evaluation.keras_metrics.PrecisionAtK",
        "RecallAtK": "tfxml.evaluation.keras_metrics.RecallAtK",
        "NDCGAtK": "tfxml.evaluation.keras_metrics.NDCGAtK",
        "PSPrecisionAtK": "tfxml.evaluation.keras_metrics.PSPrecisionAtK",
        "RankingMetrics": "tfxml.evaluation.metrics.RankingMetrics",
        "inverse_propensities": "tfxml.evaluation.metrics.inverse_propensities",
    },
}
__all__ = sorted(PUBLIC)

# What needs no TensorFlow, or imports it when it is called.
_LIGHT = ("tfxml.config.Config", "tfxml.train", "tfxml.data")


class _Names(types.ModuleType):
    """A namespace of public names, imported when they are first used."""

    def __init__(self, name: str, definitions: dict[str, str]):
        super().__init__(f"tfxml.{name}", f"The public {name} of tfxml.")
        self.__all__ = sorted(definitions)
        self._definitions = definitions

    def __getattr__(self, name: str):
        if name not in self._definitions:
            raise AttributeError(f"module {self.__name__!r} has no {name!r}")
        value = _resolved(self._definitions[name])
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return self.__all__


def _resolved(dotted_name: str):
    """Returns the module or the member of a module with a dotted name."""
    if dotted_name not in _LIGHT:
        tensorflow_start = importlib.import_module("tfxml.run.tensorflow_start")
        tensorflow_start.quietly()
    package, _, name = dotted_name.rpartition(".")
    if package == "tfxml":
        return importlib.import_module(dotted_name)
    return getattr(importlib.import_module(package), name)


def __getattr__(name: str):
    if name not in PUBLIC:
        raise AttributeError(f"module 'tfxml' has no attribute {name!r}")
    definition = PUBLIC[name]
    value = (
        _Names(name, definition)
        if isinstance(definition, dict)
        else _resolved(definition)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
