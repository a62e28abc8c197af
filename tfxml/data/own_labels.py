"""The label that a text is named after.

Pages that refer to each other are labels of each other: "see also", related
products, references. The text of such a page begins with its title, which is
the name of a label too. That label has more to do with the text than any
other, and is hardly ever among its labels: a page does not refer to itself.
The data sets of the Extreme Classification Repository with such labels name
these pairs in a file (`filter_labels_test.txt`); here the text does.

# N texts, L labels
"""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Sequence

import numpy as np

NONE = -1  # in place of a label
MOST_WORDS = 32  # a longer name is not looked for
_WORD = re.compile(rb"[0-9a-z_\x80-\xff]{2,}")  # in UTF-8


class OwnLabels:
    """Finds the labels that texts are named after.

    Args:
        names: of all labels, [L]. Labels of one name are never found.

    Attributes:
        ids: the label of each name, whose words are joined by one space; -1
            where several labels have it.
    """

    def __init__(self, names: Sequence[str]):
        self.ids: dict[bytes, int] = {}
        for label, name in enumerate(names):
            words = _words(name, MOST_WORDS + 1)
            if not 0 < len(words) <= MOST_WORDS:
                continue
            key = b" ".join(words)
            self.ids[key] = NONE if key in self.ids else label
        lengths = collections.defaultdict(set)
        for key in self.ids:
            first, *others = key.split(b" ")
            lengths[first].add(1 + len(others))
        # How many words names have that begin with a word, the most first.
        self._lengths = {
            first: sorted(found, reverse=True)
            for first, found in lengths.items()
        }
        self._most_words = max(map(max, lengths.values()), default=0)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the label that each text is named after, [N] int32.

        That is the label with the longest name that the text begins with; -1
        where there is none. Words are compared: runs of letters, digits and
        underscores, two bytes at least, in either case if they are ASCII. So
        "umask - set a mask" is named after "umask(2)".
        """
        return np.fromiter(map(self._of, texts), np.int32, len(texts))

    def _of(self, text: str) -> int:
        words = _words(text, self._most_words)
        for length in self._lengths.get(words[0] if words else b"", ()):
            if length <= len(words):
                label = self.ids.get(b" ".join(words[:length]), NONE)
                if label != NONE:
                    return label
        return NONE


def _words(text: str, most: int) -> list[bytes]:
    """Returns the first words of a text."""
    found = _WORD.finditer(text.encode("utf-8", "surrogatepass").lower())
    return [word[0] for word in itertools.islice(found, most)]
