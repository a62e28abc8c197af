"""Options that all encoders of tokens share."""

from __future__ import annotations

import dataclasses

from tfxml import options

POOLINGS = ("max", "mean", "cls", "attention")


@dataclasses.dataclass(frozen=True)
class TokenOptions:
    """How words become vectors, and the vectors of a text one."""

    word_dim: int = options.option(
        128, "Dimensions of a word vector.", minimum=1
    )
    word_vectors: str = options.option(
        "",
        "A file of word vectors that an encoder of sequences starts with: "
        "fastText's .vec, GloVe's .txt or word2vec's .bin, of --word_dim "
        "dimensions. Empty: random ones.",
        is_path=True,
    )
    word_dropout: float = options.option(
        0.0,
        "Share of the words of a text that an encoder of sequences does not "
        "see in training.",
        minimum=0,
    )
    span_cut: float = options.option(
        0.0,
        "Share of the words of a text, in one run at a random place, that an "
        "encoder of sequences does not see in training.",
        minimum=0,
    )
    pooling: str = options.option(
        "max",
        "How the states of a text's words become one vector (recurrent, "
        "transformer). cls: the state of a learnt word before the text; "
        "attention: means weighted by --attention_queries learnt vectors.",
        choices=POOLINGS,
    )
    attention_queries: int = options.option(
        4, "Vectors that pooling=attention asks the words with.", minimum=1
    )

    def check_tokens(self) -> None:
        """Raises ValueError for values out of range."""
        options.require(self.word_dropout < 1, "word_dropout", "below 1", self)
        options.require(self.span_cut < 1, "span_cut", "below 1", self)
