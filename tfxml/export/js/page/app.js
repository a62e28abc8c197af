// The page: reads its own parts, then ranks labels for what is typed.

"use strict";

const app = (() => {
  const MAX_BARS = 10;
  // Features told of a label; features left out in turn; labels looked through.
  const EXPLAINED = 3, LEFT_OUT = 32, LOOKED_THROUGH = 200;
  const BACKENDS = ["webgl", "wasm", "cpu"];
  const json = (id) => JSON.parse(document.getElementById(id).textContent);

  function bytes(characters) {
    const found = new Uint8Array(characters.length);
    for (let i = 0; i < found.length; i++) {
      found[i] = characters.charCodeAt(i);
    }
    return found;
  }

  // Returns the bytes of all tags of a class, one after the other.
  function binary(name) {
    const parts = [...document.querySelectorAll(`script.${name}`)].map(
      (tag) => bytes(atob(tag.textContent)));
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    const whole = new Uint8Array(size);
    let start = 0;
    for (const part of parts) {
      whole.set(part, start);
      start += part.length;
    }
    return whole.buffer;
  }

  function blobUrl(name) {
    const type = "application/wasm";
    return URL.createObjectURL(new Blob([binary(name)], { type }));
  }

  class Ranker {
    constructor(settings) {
      this.settings = settings;
      this.labelNames = settings.labelNames;
      this.outputs = Object.fromEntries(Object.entries(
        settings.model.signature.outputs).map(([k, v]) => [k, v.name]));
      if (settings.text) {
        const hasIdf = document.querySelector("script.idf");
        const hasTerms = document.getElementById("vocabulary");
        this.text = new textFeatures.TextFeatures(
          settings.text,
          hasTerms && json("vocabulary"),
          hasIdf && new Float32Array(binary("idf")));
        this.ownLabels = settings.ownLabelWords && new textFeatures.OwnLabels(
          settings.labelNames, settings.ownLabelWords);
      }
    }

    async load(backend) {
      if (!await tf.setBackend(backend)) {
        throw new Error(`this browser has no ${backend}`);
      }
      await tf.ready();
      if (this.model) this.model.dispose();
      this.model = await tf.loadGraphModel(tf.io.fromMemory({
        modelTopology: this.settings.model.modelTopology,
        signature: this.settings.model.signature,
        format: this.settings.model.format,
        weightSpecs: this.settings.weightSpecs,
        weightData: binary("weights"),
      }));
      this.rank("", 1); // compiles
    }

    // Returns ids, values and names of what was typed.
    row(typed) {
      if (this.text) return this.text.row(typed);
      const sums = new Map(); // repeated features add up
      for (const word of typed.split(/\s+/).filter(Boolean)) {
        const [, id, value] = word.match(/^(\d+)(?::([-+.\deE]+))?$/) || [];
        if (!(id < this.settings.numFeatures) || isNaN(value ?? 1)) {
          throw new Error(
            `"${word}" is no feature:value with a feature below ` +
            `${this.settings.numFeatures}`);
        }
        const feature = Number(id);
        sums.set(feature, (sums.get(feature) || 0) + Number(value ?? 1));
      }
      const ids = [...sums.keys()];
      return { ids, values: [...sums.values()], names: ids.map(String) };
    }

    // Returns label ids, scores, best first, which of them reach their
    // thresholds, and the time it took. The label that a text is named after
    // is left out, if the settings say so.
    rank(typed, k) {
      const { ids, values } = this.row(typed);
      if (!this.ownLabels) return this.rankRow(ids, values, k);
      const own = this.ownLabels.of(typed);
      const answer = this.rankRow(ids, values, k + 1);
      const kept = (all) => all.filter(
        (_, place) => answer.labelIds[place] !== own).slice(0, k);
      return {
        ...answer,
        labelIds: kept(answer.labelIds),
        scores: kept(answer.scores),
        isAnswered: kept(answer.isAnswered),
      };
    }

    rankRow(ids, values, k) {
      const start = performance.now();
      const [answer] = this.rankRows(ids, [values], k);
      return {
        ...answer,
        known: ids.length,
        milliseconds: performance.now() - start,
      };
    }

    // Returns the answers to rows with the same features, of other values.
    rankRows(ids, rows, k) {
      // At least one place, of value 0.
      const places = Math.max(1, ids.length);
      const idArray = new Int32Array(rows.length * places);
      const valueArray = new Float32Array(rows.length * places);
      rows.forEach((values, row) => {
        idArray.set(ids, row * places);
        valueArray.set(values, row * places);
      });
      k = Math.min(k, this.labelNames.length);
      const [labelIds, scores, isAnswered] = tf.tidy(() => {
        const shape = [rows.length, places];
        return this.model.execute({
          feature_ids: tf.tensor2d(idArray, shape, "int32"),
          feature_values: tf.tensor2d(valueArray, shape),
          k: tf.scalar(k, "int32"),
        }, ["label_ids", "scores", "is_answered"].map(
          (name) => this.outputs[name])).map(
          (tensor) => [...tensor.dataSync()]);
      });
      const found = labelIds.length / rows.length;
      return rows.map((_, row) => {
        const ofRow = (all) => all.slice(row * found, (row + 1) * found);
        return {
          labelIds: ofRow(labelIds),
          scores: ofRow(scores),
          isAnswered: ofRow(isAnswered).map(Boolean),
        };
      });
    }

    // Returns for each of some labels the features that speak most for it or
    // against it: by how much its logit falls where a feature is left out.
    why(typed, labels) {
      const { ids, values, names } = this.row(typed);
      const places = ids.map((_, place) => place)
        .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]))
        .slice(0, LEFT_OUT);
      const rows = places.map(
        (place) => values.map((value, i) => i === place ? 0 : value));
      const [whole, ...without] = this.rankRows(
        ids, [values, ...rows], LOOKED_THROUGH);
      return labels.map((label) => places
        .map((place, row) => ({
          name: names[place],
          share: logitOf(label, whole) - logitOf(label, without[row]),
        }))
        .sort((a, b) => Math.abs(b.share) - Math.abs(a.share))
        .slice(0, EXPLAINED));
    }
  }

  // Returns a label's logit in an answer; of one that is not there, the lowest.
  function logitOf(label, { labelIds, scores }) {
    const place = labelIds.indexOf(label);
    const score = scores[place < 0 ? scores.length - 1 : place];
    const within = Math.min(1 - 1e-6, Math.max(1e-6, score));
    return Math.log(within / (1 - within));
  }

  // Returns an answer with those of its labels that reach their thresholds.
  function answered(answer) {
    const chosen = (all) => all.filter((_, place) => answer.isAnswered[place]);
    return {
      ...answer,
      labelIds: chosen(answer.labelIds),
      scores: chosen(answer.scores),
    };
  }

  function show(ranker, answer, reasons) {
    const list = document.getElementById("labels");
    const unit = ranker.text ? "known terms" : "features";
    if (!answer.known) {
      list.replaceChildren();
      say(`no ${unit}, on ${tf.getBackend()}`);
      return;
    }
    list.replaceChildren(...answer.labelIds.map((label, place) => {
      const score = answer.scores[place];
      const row = document.createElement("li");
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = ranker.labelNames[label];
      const bar = document.createElement("span");
      bar.className = "bar";
      const width = 100 * Math.min(1, Math.max(0, score));
      bar.style.setProperty("--width", `${width}%`);
      const number = document.createElement("span");
      number.className = "score";
      number.textContent = score.toFixed(3);
      row.append(name, bar, number);
      if (reasons) row.append(chips(reasons[place]));
      return row;
    }));
    const none = answer.labelIds.length ? "" : "none of the labels, ";
    say(`${none}${answer.known} ${unit}, ` +
        `${answer.milliseconds.toFixed(1)} ms on ${tf.getBackend()}`);
  }

  function chips(features) {
    const why = document.createElement("span");
    why.className = "why";
    for (const { name, share } of features) {
      const chip = document.createElement("span");
      chip.className = share > 0 ? "for" : "against";
      const sign = share > 0 ? "+" : "\u2212";
      chip.textContent = `${name} ${sign}${Math.abs(share).toFixed(2)}`;
      why.append(chip);
    }
    return why;
  }

  function say(message) {
    document.getElementById("status").textContent = message;
  }

  async function start() {
    const settings = json("settings");
    const ranker = new Ranker(settings);
    const input = document.getElementById("input");
    const choice = document.getElementById("backend");
    const explain = document.getElementById("explain");
    const byThreshold = document.getElementById("by-threshold");
    tf.wasm.setWasmPaths({
      "tfjs-backend-wasm.wasm": blobUrl("wasm"),
      "tfjs-backend-wasm-simd.wasm": blobUrl("wasm-simd"),
      "tfjs-backend-wasm-threaded-simd.wasm": blobUrl("wasm-simd"),
    });
    if (!ranker.text) {
      input.placeholder = "feature:value feature:value …";
    }
    document.getElementById("count").textContent =
      settings.labelNames.length.toLocaleString("en");
    const answer = () => {
      try {
        const ranked = ranker.rank(
          input.value, byThreshold.checked ? settings.numCandidates : MAX_BARS);
        const abstains = ranked.scores[0] < settings.abstainBelow;
        const found = byThreshold.checked || abstains ?
          answered(ranked) : ranked;
        const reasons = explain.checked && found.known ?
          ranker.why(input.value, found.labelIds) : null;
        show(ranker, found, reasons);
      } catch (error) {
        say(error.message);
      }
    };
    // Goes on to the next backend where the browser lacks one.
    const use = async (backends) => {
      for (const backend of backends) {
        say(`loading on ${backend} …`);
        try {
          await ranker.load(backend);
          choice.value = backend;
          answer();
          return;
        } catch (error) {
          say(error.message);
        }
      }
    };
    let waiting;
    input.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(answer, 150);
    });
    explain.addEventListener("change", answer);
    byThreshold.addEventListener("change", answer);
    choice.addEventListener("change", () => use([choice.value]));
    const asked = new URLSearchParams(location.search).get("backend");
    await use(BACKENDS.includes(asked) ? [asked] : BACKENDS);
    return ranker;
  }

  return { ready: start() };
})();
