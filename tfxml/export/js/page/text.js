// Rows of features from text; TOKENIZER.md is the definition.

"use strict";

const textFeatures = (() => {
  const hashes = typeof farmhash !== "undefined" ?
    farmhash : require("./farmhash.js");
  const WORD = /[\p{L}\p{N}_]{2,}/gu;

  // Returns the words of a text, and its runs of up to `ngrams` words.
  // form: of Unicode, that the text is brought into; "none": as it is.
  function terms(text, form, ngrams) {
    const normal = form === "none" ? text : text.normalize(form);
    // By code point, so that a run over "x", a surrogate pair and "y" counts
    // characters as Unicode does.
    const words = normal.toLowerCase().match(WORD) || [];
    const found = words.slice();
    for (let size = 2; size <= ngrams; size++) {
      for (let start = 0; start + size <= words.length; start++) {
        found.push(words.slice(start, start + size).join(" "));
      }
    }
    return found;
  }

  // settings: as in text.json; vocabulary: a list of terms, or null;
  // idf: a Float32Array, or null.
  class TextFeatures {
    constructor(settings, vocabulary, idf) {
      this.settings = settings;
      this.idf = idf;
      this.features = vocabulary &&
        new Map(vocabulary.map((term, feature) => [term, feature]));
      this.encoder = new TextEncoder();
    }

    featureOf(term) {
      if (this.features) return this.features.get(term);
      const hash = hashes.fingerprint64(this.encoder.encode(term));
      return Number(hash % BigInt(this.settings.hash_buckets));
    }

    // Returns ids, ascending, values of length 1 and a term of each feature;
    // none without a term.
    row(text) {
      const counts = new Map();
      const termOf = new Map(); // of several, as hashes have them, the first
      const { unicode_normalization: form, ngrams } = this.settings;
      for (const term of terms(text, form, ngrams)) {
        const feature = this.featureOf(term);
        if (feature !== undefined) {
          counts.set(feature, (counts.get(feature) || 0) + 1);
          if (!termOf.has(feature)) termOf.set(feature, term);
        }
      }
      const ids = [...counts.keys()].sort((one, other) => one - other);
      const values = ids.map((feature) => {
        const count = counts.get(feature);
        const weight = this.settings.sublinear_tf ?
          1 + Math.log(count) : count;
        return weight * (this.idf ? this.idf[feature] : 1);
      });
      const norm = Math.hypot(...values);
      return {
        ids,
        values: values.map((value) => value / norm),
        names: ids.map((feature) => termOf.get(feature)),
      };
    }
  }

  // Finds the label with the longest name that a text begins with, in whole
  // words. names: of the labels; those that repeat are never found.
  class OwnLabels {
    constructor(names, mostWords) {
      this.labelOf = new Map();
      this.mostWords = 0;
      names.forEach((name, label) => {
        const found = namingWords(name);
        if (!found.length || found.length > mostWords) return;
        this.mostWords = Math.max(this.mostWords, found.length);
        const key = found.join(" ");
        this.labelOf.set(key, this.labelOf.has(key) ? -1 : label);
      });
    }

    // Returns a label, or -1.
    of(text) {
      const first = namingWords(text).slice(0, this.mostWords);
      for (; first.length; first.pop()) {
        const label = this.labelOf.get(first.join(" ")) ?? -1;
        if (label >= 0) return label;
      }
      return -1;
    }
  }

  // Returns runs of letters, digits and underscores, two bytes at least.
  function namingWords(text) {
    return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
      .split(/[\x00-\/:-@\[-^`{-\x7f]+/)
      .filter((word) => word.length > 1 || word > "\x7f");
  }

  return { terms, TextFeatures, OwnLabels };
})();

if (typeof module !== "undefined") module.exports = textFeatures;
