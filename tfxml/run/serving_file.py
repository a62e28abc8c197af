"""What a run directory keeps so that it predicts without TensorFlow."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfxml.cpu import predictor as cpu_predictor
from tfxml.models import extreme_classifier, stored_forms


def of(
    model: extreme_classifier.ExtremeClassifier,
    dropped: np.ndarray | None = None,
) -> dict | None:
    """Returns a model's serving forms as JSON, by the names of its weights.

    Args:
        model: any; None is returned for one that TensorFlow alone can run.
        dropped: ids of labels that are never answered; None: the model's.
    """
    if cpu_predictor.why_not(model):
        return None
    # Calibration has a file of its own.
    serving = cpu_predictor.serving_model(model)
    serving = dataclasses.replace(serving, calibration=None)
    if dropped is not None:
        head = dataclasses.replace(serving.head, dropped=dropped)
        serving = dataclasses.replace(serving, head=head)
    names = {
        id(weight): name for name, weight in model.named_variables().items()
    }
    return stored_forms.to_json(serving, names)
