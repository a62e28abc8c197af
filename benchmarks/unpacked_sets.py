"""Three sets of multi-label data from packages of a Debian release.

    apt-get download wordnet-base r-bioc-org.hs.eg.db manpages manpages-dev \\
        libssl-doc perl-doc tcl8.6-doc tk8.6-doc liblapack-doc libcurl4-doc \\
        allegro5-doc libncurses-dev ncurses-doc libsystemd-dev systemd \\
        openmpi-doc libx11-doc libx11-dev libxt-dev erlang-manpages git-man
    for package in *.deb; do dpkg -x $package unpacked; done
    python benchmarks/unpacked_sets.py --unpacked=unpacked --sets=sets

- `wordnet`: words and gloss of a noun or a verb; its next three hypernyms. Of
  30,000 synsets.
- `manpages`: a manual page without its references; the pages it refers to
  under "see also".
- `genes`: processes and places in the cell and protein families of a gene as
  features without a text, each with the value 1; its molecular functions.

Five sixths are for training, drawn at random, the others for evaluation.
"""

from __future__ import annotations

import collections
import gzip
import pathlib
import re
import sqlite3

import numpy as np
import package_sets
from absl import app, flags

_UNPACKED = flags.DEFINE_string("unpacked", "", "The packages' files.")
_OUTPUT_SETS = flags.DEFINE_string("sets", "", "The folder of the sets.")
_SYNSETS, _LEVELS = 30_000, 3
_SEE_ALSO = re.compile(r'(?im)^\.S[Hh]\s+"?SEE\\? ALSO"?.*$')
_FONT = r"\\f(?:\(..|\[\w*\]|\w)"


def synsets(folder: pathlib.Path) -> list[tuple[str, list[str]]]:
    """Returns texts and hypernyms of random synsets of WordNet."""
    words, glosses, hypernyms = {}, {}, {}
    for kind, name in (("n", "noun"), ("v", "verb")):
        path = folder / "usr/share/wordnet" / f"data.{name}"
        for line in path.read_text(encoding="latin-1").splitlines():
            if line.startswith("  "):  # the licence
                continue
            head, gloss = line.split(" | ", 1)
            fields = head.split()
            key, end = kind + fields[0], 4 + 2 * int(fields[3], 16)
            words[key] = [f.replace("_", " ") for f in fields[4:end:2]]
            glosses[key] = gloss.strip().split('; "')[0]  # no examples
            pointers = fields[end + 1 : end + 1 + 4 * int(fields[end])]
            hypernyms[key] = [
                kind + pointers[place + 1]
                for place in range(0, len(pointers), 4)
                if pointers[place] in ("@", "@i")
            ]
    rows = []
    for key, of_key in words.items():
        labels, level = set(), [key]
        for _ in range(_LEVELS):
            level = [above for one in level for above in hypernyms[one]]
            labels |= {f"{words[one][0]} ({one})" for one in level}
        if labels:
            text = f"{', '.join(of_key)}. {glosses[key]}"
            rows.append((text, sorted(labels)))
    chosen = np.random.default_rng(1).permutation(len(rows))[:_SYNSETS]
    return [rows[index] for index in chosen]


def genes(folder: pathlib.Path) -> list[tuple[list[str], list[str]]]:
    """Returns features and molecular functions of the human genes."""
    database = sqlite3.connect(next(folder.rglob("org.Hs.eg.sqlite")))
    features: dict[int, set[str]] = collections.defaultdict(set)
    labels: dict[int, set[str]] = collections.defaultdict(set)
    for table, name, found in (
        ("go_bp", "go_id", features),
        ("go_cc", "go_id", features),
        ("pfam", "pfam_id", features),
        ("go_mf", "go_id", labels),
    ):
        for gene, value in database.execute(f"select _id, {name} from {table}"):
            if value:
                found[gene].add(value)
    return [
        (sorted(features[gene]), sorted(labels[gene]))
        for gene in sorted(features)
        if gene in labels
    ]


def manual_pages(folder: pathlib.Path) -> list[tuple[str, list[str]]]:
    """Returns texts of manual pages and the pages that they refer to."""
    bodies, names = {}, {}
    for path in sorted((folder / "usr/share/man").glob("man*/*.gz")):
        name = path.name.removesuffix(".gz")
        try:
            real = path.resolve(strict=True)
        except OSError:  # a link to a package that is not there
            continue
        with gzip.open(real, "rt", encoding="utf-8", errors="replace") as file:
            body = file.read()
        other = re.match(r"(?:[.']\\\".*\n)*\.so\s+(\S+)", body)
        if other and len(body) < 400:
            names[name] = other[1].split("/")[-1].removesuffix(".gz")
            continue
        names[name] = real.name.removesuffix(".gz")
        if not path.is_symlink():
            bodies[name] = body
    pages: dict[str, str] = {}
    for name, target in names.items():
        pages.setdefault(_page(name), _page(names.get(target, target)))
    rows = []
    for name, body in bodies.items():
        text, *also = _SEE_ALSO.split(body, maxsplit=1)
        see, *rest = re.split(r"(?m)^\.S[Hh]", "".join(also), maxsplit=1)
        labels = {pages[one] for one in _references(see) if one in pages}
        labels -= {_page(name)}
        if labels:
            title = name.rsplit(".", 1)[0]
            rows.append(
                (f"{title}. {_words(text + ''.join(rest))}", sorted(labels))
            )
    return rows


def _page(name: str) -> str:
    """Returns "name(section)" of the name of a file."""
    found = re.fullmatch(r"(.+)\.(\d)\w*", name)
    return (f"{found[1]}({found[2]})" if found else name).lower()


def _references(text: str) -> list[str]:
    text = re.sub(rf"{_FONT}|\\&|\\\||\\s[-+]?\d", "", text)
    found = re.findall(
        r"([\w.:+-]+)\s*\"?,?\s*\(\s*\"?(\d)\w*\s*\)", text.replace("\\-", "-")
    )
    return [f"{name}({section})".lower() for name, section in found]


def _words(text: str) -> str:
    """Returns the text of a page without most of its markup."""
    for markup in (
        r"(?m)^[.']\\\".*$",
        r"(?m)^\.\s*(ds|if|ie|el|de|nr|ad|hy|nh|TH|tr|rm)\b.*$",
        r"(?m)^\.\s*[A-Za-z]{1,2}\b",
        rf"{_FONT}|\\[&|/,^]|\\s[-+]?\d|\\\*\(?..",
    ):
        text = re.sub(markup, "", text)
    text = text.replace("\\-", "-").replace("\\e", "\\")
    return re.sub(r"\s+", " ", text)


def main(_) -> None:
    if not (_UNPACKED.value and _OUTPUT_SETS.value):
        raise app.UsageError("--unpacked and --sets must be given")
    unpacked = pathlib.Path(_UNPACKED.value)
    output = pathlib.Path(_OUTPUT_SETS.value)
    package_sets.write_texts(synsets(unpacked), output / "wordnet")
    package_sets.write_texts(manual_pages(unpacked), output / "manpages")
    package_sets.write_features(genes(unpacked), output / "genes")


if __name__ == "__main__":
    app.run(main)
