"""Where a run can be logged beside its own folder; needs no TensorFlow."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

TENSORBOARD, PROFILE, MLFLOW = "tensorboard", "profile", "mlflow"
# TensorFlow 2.21 writes no summary without the package tensorboard.
PACKAGES = {
    TENSORBOARD: "tensorboard",
    PROFILE: "tensorboard",
    MLFLOW: "mlflow",
}
KINDS = tuple(PACKAGES)


def check(kinds: Sequence[str]) -> None:
    """Raises ValueError for an unknown kind, or one without its package."""
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(
                f"`log_to` must hold some of {', '.join(KINDS)}. "
                f"Received: {kind}"
            )
        package = PACKAGES[kind]
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"--log_to={kind} needs the package {package}: "
                f"pip install 'tfxml[{package}]'"
            )
