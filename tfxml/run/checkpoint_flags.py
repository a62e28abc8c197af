"""Flags that choose a trained run, and one of its checkpoints."""

from __future__ import annotations

from absl import flags as absl_flags

from tfxml.run import paths

CHECKPOINTS = ("auto", "best", "latest")


def define_flags() -> None:
    """Defines the flags that choose a run and a checkpoint."""
    paths.define("workdir", None, "The run directory of a trained run.")
    absl_flags.mark_flag_as_required("workdir")
    absl_flags.DEFINE_enum(
        "checkpoint",
        "auto",
        CHECKPOINTS,
        "Which checkpoint. auto: best if there is one.",
    )
