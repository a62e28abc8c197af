"""Removes labels from a trained run: `python -m tfxml.drop --workdir=... ...`.

Writes a run that never answers them. Nothing is trained: the other labels keep
their ids and scores, and the answers are the best among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags as absl_flags

from tfxml.data import data_errors, files
from tfxml.run import (
    checkpoint_flags,
    early_checks,
    flags,
    paths,
    remote,
    tensorflow_start,
)

if TYPE_CHECKING:
    from tfxml.run import workdir as workdir_lib


def drop(
    path: str, output: str, label_ids: Sequence[int], checkpoint: str = "auto"
) -> workdir_lib.Workdir:
    """Writes a run without some labels to `output`; returns its folder.

    Its checkpoint holds weights alone: it evaluates, predicts and exports,
    and is not trained further.

    Args:
        path: the folder of a trained run.
        output: a new folder.
        label_ids: what is dropped, beside what the run has dropped before.
        checkpoint: of the run: `best`, `latest`, or `auto`.

    Raises:
        ValueError: if an id is no label's, or no label would be left.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    import tensorflow as tf

    from tfxml.run import restore, run_lock, serving_file
    from tfxml.run import workdir as workdir_lib
    from tfxml.topk import dropping
    from tfxml.training import checkpoints

    old = restore.restore(path, tf.distribute.get_strategy(), checkpoint)
    dropped = dropping.checked(
        [*old.model.head.dropped, *label_ids], old.facts.num_labels
    )
    target = workdir_lib.Workdir(output)
    target.check_new()
    with run_lock.RunLock(target.path), target.beginning() as new:
        workdir_lib.Workdir(path).copy_to(new)
        new.write_dropped_labels(dropped)
        new.write_serving(serving_file.of(old.model, dropped))
        saved = checkpoints.Checkpoints(
            new.checkpoints,
            tf.train.Checkpoint(model=old.model.named_variables()),
            weights=old.model.named_variables(),
        )
        saved.save(old.step, {}, is_best=False)
        if old.fitted is not None:
            old.fitted.write(new.path)
    remote.publish(target.path)
    return target


def read_ids(path: str) -> list[int]:
    """Returns the label ids of a file, one per line."""
    label_ids = []
    for number, line in enumerate(_lines(path), 1):
        try:
            label_ids.append(int(line))
        except ValueError as error:
            raise data_errors.DataError(
                path, repr(line), "a label id", number
            ) from error
    return label_ids


def read_names(path: str, label_names: Sequence[str] | None) -> list[int]:
    """Returns the ids of the labels whose names are in a file, one per line.

    If several labels have the same name, returns all of them.
    """
    if label_names is None:
        raise ValueError(
            "`names` must not be given for a run whose labels have none; "
            f"give `ids`. Received: names={path}"
        )
    lines = _lines(path)
    known_names = set(label_names)
    for number, name in enumerate(lines, 1):
        if name not in known_names:
            raise data_errors.DataError(
                path, repr(name), "the name of one of the run's labels", number
            )
    names = set(lines)
    return [i for i, name in enumerate(label_names) if name in names]


def _lines(path: str) -> list[str]:
    chunks = files.text_line_chunks(paths.local(path))
    return [line for _, lines in chunks for line in lines]


def define_flags() -> None:
    checkpoint_flags.define_flags()
    paths.define("output", None, "A new folder.", required=True)
    paths.define("ids", None, "A file of label ids, one per line.")
    paths.define("names", None, "A file of names, one per line.")
    absl_flags.mark_flags_as_mutual_exclusive(["ids", "names"], required=True)


def main() -> None:
    values = absl_flags.FLAGS
    early_checks.check_run(values.workdir)
    for name, path in (("ids", values.ids), ("names", values.names)):
        if path is not None:
            early_checks.check_input(path, name)
    tensorflow_start.quietly()
    if values.ids is not None:
        label_ids = read_ids(values.ids)
    else:
        from tfxml.run import workdir as workdir_lib

        names = workdir_lib.Workdir(values.workdir).read_label_names()
        label_ids = read_names(values.names, names)
    target = drop(values.workdir, values.output, label_ids, values.checkpoint)
    print(
        f"{len(target.read_dropped_labels()):,} labels are dropped; the run "
        f"lies in {remote.name_of(target.path)}"
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
