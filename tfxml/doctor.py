"""Looks at this machine: `python -m tfxml.doctor [--workdir=...]`.

Prints what is there, what is wrong and how to mend it: versions, devices,
threads, memory, TF_CONFIG and its ports, folders, and a run of ten seconds that
trains and predicts. Ends with exit code 1 if there is a problem.
"""

from __future__ import annotations

import sys

from absl import flags as absl_flags

from tfxml.run import flags, paths


def define_flags() -> None:
    paths.define(
        "workdir", "runs", "Where runs are to be written.", is_here=True
    )
    absl_flags.DEFINE_bool(
        "smoke", True, "Train and predict for some ten seconds."
    )


def main() -> None:
    values = absl_flags.FLAGS
    # Here, so that flags are checked before TensorFlow is imported.
    from tfxml.run import health, machine_checks

    found = health.without_tensorflow(values.workdir)
    for finding in found:
        print(finding.text())
    for finding in health.with_tensorflow(values.smoke):
        print(finding.text())
        found.append(finding)
    print(health.verdict(found))
    sys.exit(any(finding.level == machine_checks.PROBLEM for finding in found))


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
