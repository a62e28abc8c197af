"""Fuzzes what reads files, guided by coverage:

    python tests/fuzz/fuzz.py [--runs=1000000] [--seconds=0] [--seed=1] [TARGET]

Without names, every target is run, each in a process of its own, and one line
is printed for each. An input that does harm is kept in `--found`; run it again
with `python tests/fuzz/fuzz.py TARGET --input=FILE`, mend what it shows, and
add it to `tests/fuzz_targets_test.py`.
"""

import argparse
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT),
    str(ROOT / "tests"),
    str(pathlib.Path(__file__).parent),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", default="fuzz_found")
    parser.add_argument("--input", default="")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.input:
        import fuzz_targets

        (name,) = arguments.targets
        fuzz_targets.make(name)(pathlib.Path(arguments.input).read_bytes())
    elif arguments.here:
        _fuzz(arguments)
    else:
        sys.exit(_fuzz_all(arguments))


def _fuzz_all(arguments):
    import fuzz_targets

    names = arguments.targets or list(fuzz_targets.TARGETS)
    num_bad = 0
    for name in names:
        command = [sys.executable, __file__, name, "--here"]
        for key in ("runs", "seconds", "seed", "found"):
            command.append(f"--{key}={getattr(arguments, key)}")
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.monotonic() - start
        counts = re.findall(r"^#(\d+)\t.*?cov: (\d+)", done.stderr, re.M)
        cases, coverage = counts[-1] if counts else ("0", "0")
        verdict = "good" if done.returncode == 0 else "BAD"
        print(
            f"{name:18} {int(cases):9,} cases  coverage {coverage:>5}  "
            f"{seconds:5.0f} s  seed {arguments.seed}  {verdict}",
            flush=True,
        )
        if done.returncode:
            num_bad += 1
            print(done.stdout[-1500:] + done.stderr[-3000:], flush=True)
    return num_bad


def _fuzz(arguments):
    import atheris

    with atheris.instrument_imports(include=["tfxml"]):
        import fuzz_targets
    (name,) = arguments.targets
    target = fuzz_targets.make(name)
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = used * resource.getpagesize() + fuzz_targets.MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.makedirs(arguments.found, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (pathlib.Path(corpus) / str(number)).write_bytes(seed)
        words = [
            sys.argv[0],
            f"-runs={arguments.runs}",
            f"-seed={arguments.seed}",
            f"-max_total_time={arguments.seconds}",
            f"-artifact_prefix={arguments.found}/{name}-",
            "-rss_limit_mb=0",  # the address space is limited above
            "-max_len=4096",
            "-len_control=20",
            "-timeout=20",
            "-print_final_stats=1",
            corpus,
        ]
        atheris.Setup(words, target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
