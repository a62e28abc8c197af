"""Three sets of multi-label data from the index of a Debian release.

    apt-cache dumpavail > Packages
    python benchmarks/package_sets.py --packages=Packages --output=packages

- `debtags`: name and short description of a package; its tags.
- `depends`: the same texts; the packages that it depends on.
- `deps2tags`: the packages that it depends on as features without a text, each
  with the value 1; its tags.

Five sixths of the packages are for training, drawn at random, the others for
evaluation.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator

import numpy as np
from absl import app, flags

_PACKAGES = flags.DEFINE_string("packages", "", "The index, as text.")
_OUTPUT = flags.DEFINE_string("output", "", "The folder of the sets.")
_SEED = 0


def read_packages(text: str) -> Iterator[dict[str, str]]:
    """Yields the fields of each package, continuation lines joined."""
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith(" ") and name:
                fields[name] += " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if "Package" in fields:
            yield fields


def tags(package: dict[str, str]) -> list[str]:
    """Returns its tags, without those that stand for several in braces."""
    found = {tag.strip() for tag in package.get("Tag", "").split(",")}
    return sorted(tag for tag in found if re.fullmatch(r"[^{}]+::[^{}]+", tag))


def dependencies(package: dict[str, str]) -> list[str]:
    """Returns the packages that it depends on, the first of alternatives."""
    found = {
        re.split(r"[ (:|]", one.strip())[0]
        for one in package.get("Depends", "").split(",")
    }
    return sorted(found - {"", package["Package"]})


def text_of(package: dict[str, str]) -> str:
    """Returns its name, in words, and its short description."""
    name = package["Package"].replace("-", " ")
    return f"{name}. {package.get('Description', '')}"


def _parts(rows: list) -> dict[str, list]:
    """Returns a sixth to evaluate on, and the rest to train on."""
    order = np.random.default_rng(_SEED).permutation(len(rows))
    number = len(rows) // 6
    return {
        "test": [rows[index] for index in order[:number]],
        "train": [rows[index] for index in order[number:]],
    }


def _ids(sets: list[list[str]]) -> dict[str, int]:
    names = sorted({name for members in sets for name in members})
    return {name: number for number, name in enumerate(names)}


def write_texts(rows: list[tuple[str, list[str]]], folder: pathlib.Path):
    """Writes texts and names of labels as JSON lines."""
    folder.mkdir(parents=True)
    ids = _ids([labels for _, labels in rows])
    files: dict[str, list[dict]] = {"lbl": [{"title": name} for name in ids]}
    for split, part in _parts(rows).items():
        files["tst" if split == "test" else "trn"] = [
            {"title": text, "target_ind": sorted(ids[name] for name in labels)}
            for text, labels in part
        ]
    for name, entries in files.items():
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        (folder / f"{name}.json").write_text(lines)


def write_features(
    rows: list[tuple[list[str], list[str]]], folder: pathlib.Path
):
    """Writes features and labels as text of the XC repository's form."""
    folder.mkdir(parents=True)
    features, labels = (
        _ids([row[0] for row in rows]),
        _ids([row[1] for row in rows]),
    )
    for split, part in _parts(rows).items():
        lines = [f"{len(part)} {len(features)} {len(labels)}"]
        for names, tagged in part:
            words = [
                ",".join(str(n) for n in sorted(labels[t] for t in tagged))
            ]
            words += [f"{n}:1" for n in sorted(features[f] for f in names)]
            lines.append(" ".join(words))
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


def main(_) -> None:
    if not (_PACKAGES.value and _OUTPUT.value):
        raise app.UsageError("--packages and --output must be given")
    packages = list(
        read_packages(pathlib.Path(_PACKAGES.value).read_text(encoding="utf-8"))
    )
    output = pathlib.Path(_OUTPUT.value)
    told = [(text_of(package), package) for package in packages]
    write_texts(
        [(text, tags(one)) for text, one in told if tags(one)],
        output / "debtags",
    )
    write_texts(
        [(text, dependencies(one)) for text, one in told if dependencies(one)],
        output / "depends",
    )
    write_features(
        [
            (dependencies(one), tags(one))
            for one in packages
            if dependencies(one) and tags(one)
        ],
        output / "deps2tags",
    )


if __name__ == "__main__":
    app.run(main)
