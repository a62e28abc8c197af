"""Joins groups of repetitions into one run: `python -m tfxml.merge ...`.

Groups trained by `--repetition_group=i/G` lie in folders of the run. Their
repetitions never knew of each other, so joining them is copying: nothing is
trained.
"""

from __future__ import annotations

import pathlib
import re

import tensorflow as tf
from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.models import contract
from tfxml.run import build, fingerprint, flags, paths, restore, run_lock
from tfxml.run import placement as placement_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoints

_FOLDER = re.compile(r"repetition_group_(\d+)_of_(\d+)")


def merge(path: str, checkpoint: str = "auto") -> pathlib.Path:
    """Writes a run of all repetitions into the folder `path`; returns it.

    Its checkpoint holds weights alone: it evaluates, predicts and exports as
    one run, and is not trained further.

    Args:
        path: the folder that holds `repetition_group_0_of_G` to G - 1.
        checkpoint: of each group: `best`, `latest`, or `auto`.

    Raises:
        ValueError: if a group is missing, has not come to its end, or was
            trained with another config or on other data.
    """
    folders = _groups(pathlib.Path(path))
    default = tf.distribute.get_strategy()
    first = workdir_lib.Workdir(folders[0])
    config, facts = first.read()
    whole = build.model(config, facts, first.read_label_counts())
    step = 0
    for group, folder in enumerate(folders):
        placement = placement_lib.Placement(group, len(folders))
        _check(folder, first)
        run = restore.restore(str(folder), default, checkpoint, placement)
        step = max(step, run.step)
        _copy(run.model, whole, placement)
    target = workdir_lib.Workdir(path)
    with run_lock.RunLock(target.path), target.beginning() as new:
        first.copy_to(new)
        new.write_head(whole.head.record())
        saved = checkpoints.Checkpoints(
            new.checkpoints,
            tf.train.Checkpoint(model=whole.named_variables()),
            weights=whole.named_variables(),
        )
        saved.save(step, {}, is_best=False)
    return target.path


def _groups(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the groups' folders in order, checked to be complete."""
    found = {}
    for folder in path.iterdir() if path.is_dir() else ():
        match = _FOLDER.fullmatch(folder.name)
        if match:
            found[int(match[1]), int(match[2])] = folder
    sizes = {num_groups for _, num_groups in found}
    if len(sizes) != 1 or len(found) != max(sizes):
        names = sorted(folder.name for folder in found.values()) or "none"
        raise ValueError(
            "`workdir` must hold repetition_group_0_of_G to the last of them. "
            f"Received: workdir={path}, with {names}"
        )
    return [found[key] for key in sorted(found)]


def _check(folder: pathlib.Path, first: workdir_lib.Workdir) -> None:
    """Raises unless a group was trained as the first was, to its end."""
    workdir = workdir_lib.Workdir(folder)
    (config, facts), (other_config, other_facts) = first.read(), workdir.read()
    changed = config_lib.differences(config, other_config)
    if other_facts != facts:
        changed.append(f"data: {facts} and {other_facts}")
    changed += fingerprint.differences(
        first.read_fingerprint(), workdir.read_fingerprint()
    )
    if not workdir.is_finished:
        changed.append("it has not come to its end")
    if changed:
        raise ValueError(
            "`workdir` must hold groups of one run. Received: "
            f"{folder.name}, where {'; '.join(changed)}"
        )


def _copy(group, whole, placement: placement_lib.Placement) -> None:
    """Copies a group's weights to where they are in the whole model."""
    pairs = zip(
        [*group.encoders, *group.head.blocks],
        [
            *(
                whole.encoders[encoder]
                for encoder in _share(whole.encoders, placement)
            ),
            *(
                whole.head.blocks[repetition]
                for repetition in _share(whole.head.blocks, placement)
            ),
        ],
        strict=True,
    )
    for source, target in pairs:
        for weight, copied in zip(source.weights, target.weights, strict=True):
            copied.assign(weight)


def _share(layers, placement: placement_lib.Placement) -> range:
    return contract.share_of(len(layers), placement.group, placement.num_groups)


def define_flags() -> None:
    paths.define("workdir", None, "The folder of the groups.", required=True)
    absl_flags.DEFINE_enum(
        "checkpoint", "auto", restore.CHECKPOINTS, "auto: best if there is one."
    )


def main() -> None:
    values = absl_flags.FLAGS
    path = merge(values.workdir, values.checkpoint)
    print(f"the merged run lies in {path}")


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
