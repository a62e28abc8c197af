"""The data sets of the Extreme Classification Repository, by name.

Statistics are from the repository's table
(http://manikvarma.org/downloads/XC/XMLRepository.html). A mirror may hold
another version of a set; `Mirror.holds` says which. Propensity constants are
from Jain et al. 2016 (Wikipedia 0.5 and 0.4, Amazon 0.6 and 2.6, others 0.55
and 1.5).
"""

from __future__ import annotations

import dataclasses

_DRIVE = "https://drive.usercontent.google.com/download?export=download"
_PECOS = "https://archive.org/download/pecos-dataset/xmc-base"


@dataclasses.dataclass(frozen=True)
class Mirror:
    """One archive of a data set."""

    name: str  # "pecos", "repository" or "napkinxc"
    url: str
    holds: str
    sha256: str = ""  # empty: that of the first download is recorded


@dataclasses.dataclass(frozen=True)
class Entry:
    """A data set: the repository's figures, and its mirrors."""

    name: str
    title: str  # the repository's
    num_features: int
    num_labels: int
    num_train: int
    num_test: int
    instances_per_label: float
    labels_per_instance: float
    propensity_a: float
    propensity_b: float
    mirrors: tuple[Mirror, ...]
    note: str = ""


_WIKIPEDIA, _AMAZON, _OTHER = (0.5, 0.4), (0.6, 2.6), (0.55, 1.5)

_PAIRS = (
    "Instances that are labels themselves: filter_labels_test.txt says which "
    "pairs are not scored."
)
_ONE_VERSION = "the repository's bag of words"
_TEN_SPLITS = (
    "The archive holds ten splits of one file, of which the first is read; "
    "Mulan's is another."
)
_AMAZONCAT = (
    "Published PSP@k use 0.55 and 1.5 here, not Amazon's 0.6 and 2.6 "
    "(kunaldahiya/pyxclib, discussion 7)."
)

# title, D, L, train, test, instances per label, labels per instance,
# the repository's Drive id (and resource key),
# propensity constants, napkinXC's id, PECOS' name, note
# fmt: off
_TABLE = (
    ("LF-AmazonTitles-131K", 40_000, 131_073, 294_805, 134_835, 5.15, 2.29,
     "1VlfcdJKJA99223fLEawRmrXhXpwjwJKn",
     _AMAZON, "", "", _PAIRS),
    ("LF-Amazon-131K", 80_000, 131_073, 294_805, 134_835, 5.15, 2.29,
     "1YNGEifTHu4qWBmCaLEBfjx07qRqw9DVW",
     _AMAZON, "", "", _PAIRS),
    ("LF-WikiSeeAlsoTitles-320K", 40_000, 312_330, 693_082, 177_515, 4.67, 2.11,
     "1edWtizAFBbUzxo9Z2wipGSEA9bfy5mdX",
     _WIKIPEDIA, "", "", _PAIRS),
    ("LF-WikiSeeAlso-320K", 80_000, 312_330, 693_082, 177_515, 4.67, 2.11,
     "1N8C_RL71ErX6X92ew9h8qRuTWJ9LywE8",
     _WIKIPEDIA, "", "", _PAIRS),
    ("LF-WikiTitles-500K", 80_000, 501_070, 1_813_391, 783_743, 17.15, 4.74,
     "1qa1HTTD509J5r4yNAH-Aq6wArljgg4mx",
     _WIKIPEDIA, "", "", _PAIRS),
    ("LF-AmazonTitles-1.3M",
     128_000, 1_305_265, 2_248_619, 970_237, 38.24, 22.2,
     "1Davc6BIfoTIAS3mP1mUY5EGcGr2zN2pO",
     _AMAZON, "", "", _PAIRS),
    ("AmazonCat-13K", 203_882, 13_330, 1_186_239, 306_782, 448.57, 5.04,
     "11bI2oHQlK9wnvYdFN9IILd8ilHDqe-j1",
     _OTHER, "17EFQtnRswEv0XyPng2EOy5IeWmeZbe0a", "amazoncat-13k", _AMAZONCAT),
    ("AmazonCat-14K", 597_540, 14_588, 4_398_050, 1_099_725, 1330.1, 3.53,
     "1z_idl5Tw83kH4_j5Qp0kVk9TXBWXCjb8",
     _OTHER, "1VAxPvByB-SX3_MefdfW1eKZYTfz0vMcR", "", _AMAZONCAT),
    ("WikiSeeAlsoTitles-350K", 91_414, 352_072, 629_418, 162_491, 5.24, 2.33,
     "1bHtiLVF5EFsVL3qyU7y5e3M-fYHvXsG9",
     _WIKIPEDIA, "1icZIEU2TA5k86mTweciSa3mBLFD3fbIP", "", ""),
    ("WikiTitles-500K", 185_479, 501_070, 1_699_722, 722_678, 23.62, 4.89,
     "11U4qDWKvsR6pCzLvY3APckx-R_ihyMih",
     _WIKIPEDIA, "1RKKOw0yl2RxrWYbb-S508aOwKdCjY_ih", "", ""),
    ("Wikipedia-500K", 2_381_304, 501_070, 1_813_391, 783_743, 24.75, 4.77,
     "0B3lPMIHmG6vGRmEzVDVkNjBMR3c",
     _WIKIPEDIA, "1LkGdINF5coOfkm6J2xys3V1NMW7zz8U1", "wiki-500k", ""),
    ("AmazonTitles-670K", 66_666, 670_091, 485_176, 150_875, 5.11, 5.39,
     "1OKnaLu4SDMOQ69rHdwF8ExKkeF2SZw7z",
     _AMAZON, "1TWF2_tPGdezuljGEHbp63pe7eQUq7wK6", "", ""),
    ("Amazon-670K", 135_909, 670_091, 490_449, 153_025, 3.99, 5.45,
     "1TLaXCNB_IDtLhk4ycOnyud0PswWAW6hR",
     _AMAZON, "1d5EMgVxjjDBGjw7M09gaygx5wSt4-AqQ", "amazon-670k", ""),
    ("AmazonTitles-3M", 165_431, 2_812_281, 1_712_536, 739_665, 31.55, 36.18,
     "1DD9cL85SN9EZd-CmOdXv0lPO1Yhl7Fns",
     _AMAZON, "15MpbBO7MTRLc1okzwSiPkQ9ZHgyKMzzm", "", ""),
    ("Amazon-3M", 337_067, 2_812_281, 1_717_899, 742_507, 31.64, 36.17,
     "1X9CzbgyB-x1dFbPSWUpkbKvKG9TrAU0y",
     _AMAZON, "1tepPa5oOSp7jmih7LTEemHOL9KwdBtuB", "amazon-3m", ""),
    ("Mediamill", 120, 101, 30_993, 12_914, 1902.15, 4.38,
     "0B3lPMIHmG6vGY3B4TXRmZnZBTkk&resourcekey=0-Hv7nA6NTsIJshWk2gJwTYw",
     _OTHER, "1YDlU9GTYSoydU1UYTNT8BpPkRw1BCnFw", "", ""),
    ("Bibtex", 1_836, 159, 4_880, 2_515, 111.71, 2.4,
     "0B3lPMIHmG6vGcy1xM2pJZ09MMGM&resourcekey=0-UzogKsb6v7pz2Vf_1uooFA",
     _OTHER, "", "", _TEN_SPLITS),
    ("Delicious", 500, 983, 12_920, 3_185, 311.61, 19.03,
     "0B3lPMIHmG6vGdG1jZ19VS2NWRVU&resourcekey=0-viF3jLCBFuBSDjdlKL_32g",
     _OTHER, "", "", _TEN_SPLITS),
    ("RCV1-2K", 47_236, 2_456, 623_847, 155_962, 1218.56, 4.79,
     "0B3lPMIHmG6vGdnEzRWZWQWJMRnc&resourcekey=0-dmBYwZpWZck3oL0DGKMdwg",
     _OTHER, "1pdken_Di3PLcLlRbhHF4XIWp-CEiv9oQ", "", ""),
    ("EURLex-4K", 5_000, 3_993, 15_539, 3_809, 25.73, 5.31,
     "0B3lPMIHmG6vGU0VTR1pCejFpWjg&resourcekey=0-SurjZ4z_5Tr38jENzf2Iwg",
     _OTHER, "1xWW1UykQBTD2IorVn7V8XubJatQDScol", "eurlex-4k", ""),
    ("EURLex-4.3K", 200_000, 4_271, 45_000, 6_000, 60.57, 5.07,
     "1b3mWgaKIAmc9Ae3E0QrokiIFA9Qj1K9r",
     _OTHER, "1UZ5joZdU1axWdCVSECakmEA8XQJ2gVuQ", "", ""),
    ("Wiki10-31K", 101_938, 30_938, 14_146, 6_616, 8.52, 18.64,
     "1-sE0GoT-eE18S9e-B8nQr8j7LdYexGHX",
     _OTHER, "1WbxhKvvBSynX5_Sf6OaPReTMs8K6bZ8u", "wiki10-31k", ""),
    ("Delicious-200K", 782_585, 205_443, 196_606, 100_095, 72.29, 75.54,
     "0B3lPMIHmG6vGR3lBWWYyVlhDLWM&resourcekey=0-ghyb4ko9PlDHlEVBb-_9IA",
     _OTHER, "18Tb595TuGyFW--nEYGfduwS5WvSbX-sX", "", ""),
    ("WikiLSHTC-325K", 1_617_899, 325_056, 1_778_351, 587_084, 17.46, 3.19,
     "0B3lPMIHmG6vGSHE1SWx4TVRva3c&resourcekey=0-ZGNqdLuqttRdnAj-U0bktA",
     _WIKIPEDIA, "1Y5xEJu-j3M7voyFV5Ouq9Wl3vyd9fus2", "", ""),
)
# fmt: on


def entries() -> dict[str, Entry]:
    """Returns the data sets by name, such as "eurlex-4k"."""
    return {entry.name: entry for entry in map(_entry, _TABLE)}


def names() -> tuple[str, ...]:
    """Returns the names of all data sets, sorted."""
    return tuple(sorted(row[0].lower() for row in _TABLE))


def table() -> str:
    """Returns all data sets as a Markdown table."""
    lines = [
        "| name | D | L | train | test | instances per label | "
        "labels per instance | propensity a, b | mirrors |",
        "| --- " * 9 + "|",
    ]
    for entry in sorted(entries().values(), key=lambda entry: entry.name):
        cells = (
            entry.name,
            f"{entry.num_features:,}",
            f"{entry.num_labels:,}",
            f"{entry.num_train:,}",
            f"{entry.num_test:,}",
            f"{entry.instances_per_label:,.2f}",
            f"{entry.labels_per_instance:.2f}",
            f"{entry.propensity_a}, {entry.propensity_b}",
            ", ".join(mirror.name for mirror in entry.mirrors),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _entry(row: tuple) -> Entry:
    title, num_features, num_labels, num_train, num_test = row[:5]
    instances_per_label, labels_per_instance, drive = row[5:8]
    (propensity_a, propensity_b), napkinxc, pecos, note = row[8:]
    mirrors = []
    # Plain HTTPS first: Drive asks for a confirmation of large files.
    if pecos:
        holds = "PECOS' version: other features, and its own split"
        mirrors.append(Mirror("pecos", f"{_PECOS}/{pecos}.tar.gz", holds))
    mirrors.append(
        Mirror("repository", f"{_DRIVE}&confirm=t&id={drive}", _ONE_VERSION)
    )
    if napkinxc:
        holds = "napkinXC's copy of the bag of words"
        url = f"{_DRIVE}&confirm=t&id={napkinxc}"
        mirrors.append(Mirror("napkinxc", url, holds))
    return Entry(
        title.lower(),
        title,
        num_features,
        num_labels,
        num_train,
        num_test,
        instances_per_label,
        labels_per_instance,
        propensity_a,
        propensity_b,
        tuple(mirrors),
        note,
    )
