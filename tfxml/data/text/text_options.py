"""Options for turning text into features."""

from __future__ import annotations

import dataclasses

from tfxml import options

UNICODE_FORMS = ("none", "NFC", "NFKC")
TOKEN_UNITS = ("words", "subwords")


@dataclasses.dataclass(frozen=True)
class TextOptions:
    """Turns raw text into features; ignored for data with features."""

    unicode_normalization: str = options.option(
        "none",
        "Text: Unicode normal form applied first. NFC unifies the ways of "
        "writing one character; NFKC also replaces ligatures, full-width and "
        "superscript characters by plain ones.",
        choices=UNICODE_FORMS,
    )
    ngrams: int = options.option(
        1, "Text: the longest n-gram, in words.", minimum=1
    )
    ngram_weight: float = options.option(
        1.0,
        "Text: weight of n-grams of two words and more beside single words: a "
        "factor of their inverse document frequency.",
        minimum=0,
    )
    min_df: int = options.option(
        2,
        "Text: the fewest documents a term must occur in to enter the "
        "vocabulary.",
        minimum=1,
    )
    max_features: int = options.option(
        0, "Text: keep only the most frequent terms. 0: all.", minimum=0
    )
    sublinear_tf: bool = options.option(
        True, "Text: weigh a count c as 1 + ln(c)."
    )
    use_idf: bool = options.option(
        True, "Text: weigh terms by inverse document frequency."
    )
    idf_power: float = options.option(
        1.0,
        "Text: the power of the inverse document frequency that terms are "
        "weighed by. Above 1 rare terms count more.",
        minimum=0,
        maximum=8,
    )
    max_tokens: int = options.option(
        256,
        "Text: how many tokens of a text, from its start, an encoder of "
        "sequences reads.",
        minimum=1,
    )
    token_units: str = options.option(
        "words",
        "Text: what an encoder of sequences reads. subwords: pieces of words, "
        "which are learnt from the training split by byte-pair encoding, so "
        "that rare and unseen words are read too.",
        choices=TOKEN_UNITS,
    )
    num_subwords: int = options.option(
        8192, "Text: the most pieces of token_units=subwords.", minimum=1
    )
    hash_buckets: int = options.option(
        0,
        "Text: hash terms into this many features instead of keeping a "
        "vocabulary. 0: keep a vocabulary.",
        minimum=0,
    )
    drop_own_labels: bool = options.option(
        False,
        "Text: never answer a text with the label that it is named after, of "
        "those whose names it begins with the longest, nor learn from it as a "
        "negative. For pages whose labels are other pages.",
    )
    label_name_weight: float = options.option(
        0.0,
        "Text: weight of each label's name as one more training instance, "
        "with that label alone; those of the training split weigh 1. 0: names "
        "are not used.",
        minimum=0,
    )

    def check_text(self) -> None:
        """Raises ValueError if the options contradict one another."""
        options.require(
            not (self.max_features and self.hash_buckets),
            "max_features",
            "0 with hash_buckets, which keeps no vocabulary",
            self,
        )
        options.require(self.ngram_weight > 0, "ngram_weight", "above 0", self)
        options.require(self.idf_power > 0, "idf_power", "above 0", self)
        options.require(
            self.idf_power == 1 or self.use_idf,
            "idf_power",
            "1 without use_idf, which it is a power of",
            self,
        )
        options.require(
            self.ngram_weight == 1 or not self.hash_buckets,
            "ngram_weight",
            "1 with hash_buckets, which hold words and n-grams alike",
            self,
        )
        options.require(
            not (self.token_units == "subwords" and self.hash_buckets),
            "token_units",
            "words with hash_buckets, which counts no words",
            self,
        )
