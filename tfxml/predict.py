"""Predicts labels: `python -m tfxml.predict --workdir=... --input=...`.

Each line read is one JSON object: {"text": "..."}, {"title": "...",
"content": "..."} or {"feature_ids": [...], "feature_values": [...]}. Each has
one line of output, in the same order: the label names, label ids and scores,
best first, with the "uid" of the line read, or else its number as "line".

"empty": true marks an answer to a row without a feature that the model knows,
which gets the labels that are frequent anyway; a blank line gets no labels.
"abstained": true marks an answer whose best score is below --abstain_below.
With --bad_rows=skip a bad line has its "error" in place of labels. With
--explain=3 each label has its "explanations": the three terms or features that
speak most for it or against it, and by how much of its logit.
"""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from typing import cast

from absl import flags as absl_flags

from tfxml.data import bad_rows, requests
from tfxml.run import (
    answers,
    checkpoint_flags,
    early_checks,
    flags,
    paths,
    remote,
    request_answers,
    set_choices,
    tensorflow_start,
)


def main() -> None:
    values = absl_flags.FLAGS
    early_checks.check_run(values.workdir)
    early_checks.check_input(values.input)
    early_checks.check_output(values.output, values.workdir)
    input_path = paths.local(values.input, "input")
    output = paths.local(values.output, "output")
    answers.check_output(output, input_path)
    with contextlib.ExitStack() as files:
        # Typed as a BinaryIO; it is buffered.
        if sys.stdin is None and values.input == "-":
            raise ValueError(
                "`input` must be a file, or standard input that is open. "
                "Received: input=-, which is closed"
            )
        source = cast(io.BufferedReader, getattr(sys.stdin, "buffer", None))
        name = "standard input"
        if values.input != "-":
            name = values.input
            source = files.enter_context(open(input_path, "rb"))
        predictor = _predictor(values)
        if predictor.note:
            sys.stderr.write(f"runtime   tensorflow: {predictor.note}\n")
        if predictor.stale:
            sys.stderr.write(f"scores    {predictor.stale}\n")
        read = requests.read(
            requests.lines(source, name),
            name,
            predictor.num_features,
            predictor.is_text,
            values.bad_rows == "skip",
            predictor.title_weight,
        )
        write = files.enter_context(answers.sink(output))
        for line in request_answers.predict_lines(
            predictor, read, values.batch_size, explain=values.explain
        ):
            write(line)
    remote.publish(output)


def _predictor(values) -> request_answers.RequestAnswers:
    """Returns what predicts; TensorFlow is imported where it has to."""
    choose = functools.partial(set_choices.from_flags, k=values.k)
    # Explanations need gradients.
    if values.runtime != "tensorflow" and not values.explain:
        is_auto = values.runtime == "auto"
        if not (is_auto and tensorflow_start.may_have_accelerators()):
            from tfxml.run import numpy_predictor  # here: for --help

            found = numpy_predictor.open_run(
                values.workdir, values.checkpoint, choose, is_auto
            )
            if found is not None:
                return found
    tensorflow_start.quietly()
    import tensorflow as tf

    from tfxml.run import request_predictor, restore

    run = restore.restore(
        values.workdir, tf.distribute.get_strategy(), values.checkpoint
    )
    return request_predictor.RequestPredictor(
        run,
        values.k,
        values.runtime,
        choose(run.fitted.thresholds if run.fitted else None),
    )


def define_flags() -> None:
    checkpoint_flags.define_flags()
    paths.define(
        "input", "-", "JSON lines, gzip or not. -: standard input.", ("-",)
    )
    paths.define(
        "output",
        "-",
        "JSON lines, in place of a file of that name once all are answered. "
        "-: standard output.",
        ("-",),
    )
    absl_flags.DEFINE_enum(
        "bad_rows",
        "error",
        bad_rows.POLICIES,
        "What is done about a line that cannot be read: error ends, skip "
        "answers with an error.",
    )
    absl_flags.DEFINE_integer(
        "k", 5, "Labels an instance, of --predict=top_k.", lower_bound=1
    )
    set_choices.define_flags()
    absl_flags.DEFINE_integer(
        "batch_size",
        256,
        "Instances at once; 1 answers each line as it comes.",
        lower_bound=1,
    )
    absl_flags.DEFINE_integer(
        "explain",
        0,
        "How many terms or features to tell of each label, those that speak "
        "most for it or against it. 0: none.",
        lower_bound=0,
    )
    absl_flags.DEFINE_enum(
        "runtime",
        "auto",
        answers.RUNTIMES,
        "What finds labels: loops compiled for the CPU, or TensorFlow. auto: "
        "cpu where there is no accelerator and the model allows it.",
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
