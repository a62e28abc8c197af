"""Fuzzes what reads files, guided by coverage:

    python tests/fuzz/fuzz.py [--runs=1000000] [--seconds=0] [--seed=1] [TARGET]

Without names, every target is run, each in a process of its own, and one line
is printed for each. An input that does harm is kept in `--found`; run it again
with `python tests/fuzz/fuzz.py TARGET --input=FILE`, mend what it shows, and
add it to `tests/fuzz_targets_test.py`.
"""

import argparse
import gc
import os
import pathlib
import re
import resource
import shutil
import sys
import tempfile

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
# Numba compiles no function that is instrumented.
_COMPILED = [
    f"tfxml.cpu.{name}"
    for name in "best centroid_loops compiled label_estimates sums".split()
]
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
    arguments = parser.parse_args()
    if arguments.input:
        import fuzz_targets

        (name,) = arguments.targets
        fuzz_targets.make(name)(pathlib.Path(arguments.input).read_bytes())
    else:
        sys.exit(_fuzz_all(arguments))


def _fuzz_all(arguments):
    """Forks a process for each target: what they test is imported once."""
    import atheris

    with atheris.instrument_imports(include=["tfxml"], exclude=_COMPILED):
        import fuzz_targets
    os.makedirs(arguments.found, exist_ok=True)
    num_bad = 0
    for name in arguments.targets or fuzz_targets.TARGETS:
        folder = tempfile.mkdtemp(dir=MEMORY)
        child = os.fork()
        if not child:
            _fuzz(name, arguments, folder)
            sys.exit()  # as Python ends, libFuzzer keeps what did harm
        try:
            _, status, used = os.wait4(child, 0)
            text = pathlib.Path(folder, "log").read_text(errors="replace")
        finally:
            shutil.rmtree(folder)
        code = os.waitstatus_to_exitcode(status)
        seconds = used.ru_utime + used.ru_stime  # of a processor
        counts = re.findall(r"^#(\d+)\t.*?cov: (\d+)", text, re.M)
        cases, coverage = counts[-1] if counts else ("0", "0")
        print(
            f"{name:18} {int(cases):9,} cases  coverage {coverage:>5}  "
            f"{seconds:5.0f} s  seed {arguments.seed}  "
            f"{'BAD' if code else 'good'}",
            flush=True,
        )
        if code:
            num_bad += 1
            print(text[-4500:], flush=True)
    return num_bad


def _fuzz(name, arguments, folder):
    """Fuzzes one target until this process ends; all its files are there."""
    import atheris
    import fuzz_inputs
    import fuzz_targets

    tempfile.tempdir = folder
    # Compiled loops check their bounds, which those of the cache do not.
    os.environ.update(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=folder)
    with open(os.path.join(folder, "log"), "wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    fuzz_targets.save_time()
    target = fuzz_targets.make(name)
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = used * resource.getpagesize() + fuzz_inputs.MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    gc.freeze()  # what the imports left, which no collection need walk through
    corpus = tempfile.mkdtemp()
    for number, seed in enumerate(target.seeds):
        (pathlib.Path(corpus) / str(number)).write_bytes(seed)
    words = [
        sys.argv[0],
        f"-runs={arguments.runs}",
        f"-seed={arguments.seed}",
        f"-max_total_time={arguments.seconds}",
        f"-artifact_prefix={arguments.found}/{name}-",
        "-rss_limit_mb=0",  # the address space is limited above
        f"-max_len={target.max_bytes}",
        "-len_control=20",
        "-timeout=20",
        "-print_final_stats=1",
        corpus,
    ]
    atheris.Setup(words, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
