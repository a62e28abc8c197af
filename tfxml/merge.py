"""Joins groups of repetitions into one run: `python -m tfxml.merge ...`.

Groups trained with `--repetition_group=i/G` are in subfolders of the run.
Repetitions are independent of each other, so joining them copies weights and
trains nothing.
"""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING

from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.models import sites
from tfxml.run import (
    checkpoint_flags,
    flags,
    paths,
    remote,
    tensorflow_start,
)
from tfxml.run import placement as placement_lib

if TYPE_CHECKING:
    from tfxml.run import workdir as workdir_lib

_FOLDER = re.compile(r"repetition_group_(\d+)_of_(\d+)")


def merge(path: str, checkpoint: str = "auto") -> pathlib.Path:
    """Writes a run of all repetitions into the folder `path`; returns it.

    Its checkpoint holds only weights: the run can be evaluated, exported and
    used for prediction, but not trained further.

    Args:
        path: the folder that holds `repetition_group_0_of_G` to G - 1.
        checkpoint: of each group: `best`, `latest`, or `auto`.

    Raises:
        ValueError: if a group is missing or not finished, or was trained with
            another config or on other data.
    """
    folders = _groups(pathlib.Path(paths.local(path, "workdir")))
    # Here, so that folders are checked before TensorFlow is imported.
    import tensorflow as tf

    from tfxml.run import build, restore, run_lock, serving_file
    from tfxml.run import workdir as workdir_lib
    from tfxml.training import checkpoints

    default = tf.distribute.get_strategy()
    first = workdir_lib.Workdir(folders[0])
    config, facts = first.read()
    merged_model = build.model(
        config, facts, first.read_label_counts(), backbone=first.backbone
    )
    step = 0
    for group, folder in enumerate(folders):
        placement = placement_lib.Placement(group, len(folders))
        _check(folder, first)
        run = restore.restore(str(folder), default, checkpoint, placement)
        step = max(step, run.step)
        _copy(run.model, merged_model, placement)
    target = workdir_lib.Workdir(path)
    with run_lock.RunLock(target.path), target.beginning() as new:
        first.copy_to(new)
        new.write_head(merged_model.head.record())
        new.write_serving(serving_file.of(merged_model))
        saved = checkpoints.Checkpoints(
            new.checkpoints,
            tf.train.Checkpoint(model=merged_model.named_variables()),
            weights=merged_model.named_variables(),
        )
        saved.save(step, {}, is_best=False)
    remote.publish(target.path)
    return target.path


def _groups(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders of all groups, in order."""
    folders = {}
    for folder in path.iterdir() if path.is_dir() else ():
        match = _FOLDER.fullmatch(folder.name)
        if match:
            folders[int(match[1]), int(match[2])] = folder
    sizes = {num_groups for _, num_groups in folders}
    if len(sizes) != 1 or len(folders) != max(sizes):
        names = sorted(folder.name for folder in folders.values()) or "none"
        raise ValueError(
            "`workdir` must hold all of repetition_group_0_of_G, "
            "repetition_group_1_of_G, ... "
            f"Received: workdir={path}, with {names}"
        )
    return [folders[key] for key in sorted(folders)]


def _check(folder: pathlib.Path, first: workdir_lib.Workdir) -> None:
    """Raises unless a group is finished and was trained like the first."""
    from tfxml.run import fingerprint
    from tfxml.run import workdir as workdir_lib

    workdir = workdir_lib.Workdir(folder)
    (config, facts), (other_config, other_facts) = first.read(), workdir.read()
    differences = config_lib.differences(config, other_config)
    if other_facts != facts:
        differences.append(f"data: {facts} and {other_facts}")
    differences += fingerprint.differences(
        first.read_fingerprint(), workdir.read_fingerprint()
    )
    if not workdir.is_finished:
        differences.append("training is not finished")
    if differences:
        raise ValueError(
            "`workdir` must hold groups of one run. Received: "
            f"{folder.name}, where {'; '.join(differences)}"
        )


def _copy(group, merged_model, placement: placement_lib.Placement) -> None:
    """Copies the weights of a group to their place in the whole model."""
    pairs = zip(
        [*group.encoders, *group.head.blocks],
        [
            *(
                merged_model.encoders[encoder]
                for encoder in _group_range(merged_model.encoders, placement)
            ),
            *(
                merged_model.head.blocks[repetition]
                for repetition in _group_range(
                    merged_model.head.blocks, placement
                )
            ),
        ],
        strict=True,
    )
    for source, target in pairs:
        for weight, target_weight in zip(
            source.weights, target.weights, strict=True
        ):
            target_weight.assign(weight)


def _group_range(layers, placement: placement_lib.Placement) -> range:
    return sites.group_range(len(layers), placement.group, placement.num_groups)


def define_flags() -> None:
    paths.define(
        "workdir",
        None,
        "The run directory that holds the groups.",
        required=True,
    )
    absl_flags.DEFINE_enum(
        "checkpoint",
        "auto",
        checkpoint_flags.CHECKPOINTS,
        "Which checkpoint of each group. auto: best if there is one.",
    )


def main() -> None:
    values = absl_flags.FLAGS
    if not remote.url_of(values.workdir):
        # Said before TensorFlow is imported.
        _groups(pathlib.Path(values.workdir))
    tensorflow_start.quietly()
    path = merge(values.workdir, values.checkpoint)
    print(f"merged    {remote.name_of(path)}")


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
