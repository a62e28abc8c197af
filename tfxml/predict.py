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
import io
import sys
from typing import cast

import tensorflow as tf
from absl import flags as absl_flags

from tfxml.data import bad_rows, requests
from tfxml.run import (
    answers,
    flags,
    paths,
    remote,
    request_predictor,
    restore,
    set_choices,
)


def main() -> None:
    values = absl_flags.FLAGS
    input_path = paths.local(values.input, "input")
    output = paths.local(values.output, "output")
    answers.check_output(output, input_path)
    with contextlib.ExitStack() as files:
        # Typed as a BinaryIO; it is buffered.
        source = cast(io.BufferedReader, sys.stdin.buffer)
        name = "standard input"
        if values.input != "-":
            name = values.input
            source = files.enter_context(open(input_path, "rb"))
        run = restore.restore(
            values.workdir, tf.distribute.get_strategy(), values.checkpoint
        )
        limits = run.fitted.thresholds if run.fitted else None
        predictor = request_predictor.RequestPredictor(
            run,
            values.k,
            values.runtime,
            set_choices.from_flags(limits, values.k),
        )
        if predictor.note:
            sys.stderr.write(f"runtime   tensorflow: {predictor.note}\n")
        if run.stale:
            sys.stderr.write(f"scores    {run.stale}\n")
        read = requests.read(
            requests.lines(source, name),
            name,
            run.facts.num_features,
            run.facts.is_text,
            values.bad_rows == "skip",
        )
        write = files.enter_context(answers.sink(output))
        for line in request_predictor.predict_lines(
            predictor, read, values.batch_size, explain=values.explain
        ):
            write(line)
    remote.publish(output)


def define_flags() -> None:
    restore.define_flags()
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
        request_predictor.RUNTIMES,
        "What finds labels: loops compiled for the CPU, or TensorFlow. auto: "
        "cpu where there is no accelerator and the model allows it.",
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
