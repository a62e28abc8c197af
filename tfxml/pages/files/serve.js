// The page: asks the server for labels, and sends files to it.

"use strict";

const page = (() => {
  const EXPLAINED = 5; // features a label
  const PREVIEW = 10; // lines of an answered file
  const element = (id) => document.getElementById(id);
  const base = `v1/models/${document.body.dataset.model}`;
  let asked = 0;

  function say(id, text, isError = false) {
    element(id).textContent = text;
    element(id).classList.toggle("error", isError);
  }

  function add(parent, kind, className, text) {
    const child = document.createElement(kind);
    child.className = className;
    if (text !== undefined) child.textContent = text;
    parent.append(child);
    return child;
  }

  // Returns the body of a response; throws what the server says is wrong.
  async function checked(response) {
    if (response.ok) return response;
    let message = `${response.status} ${response.statusText}`;
    try {
      message = (await response.json()).error;
    } catch {} // not from us: the status says it
    throw new Error(message);
  }

  // Returns an instance of what was typed.
  function instance() {
    const typed = element("input").value;
    if (element("input").dataset.isText === "true") return { text: typed };
    const ids = [];
    const values = [];
    for (const word of typed.split(/\s+/).filter(Boolean)) {
      const [, id, value] = word.match(/^(\d+)(?::([-+.\deE]+))?$/) || [];
      if (id === undefined || isNaN(value ?? 1)) {
        throw new Error(`"${word}" is no feature:value`);
      }
      ids.push(Number(id));
      values.push(Number(value ?? 1));
    }
    return { feature_ids: ids, feature_values: values };
  }

  function show(answer) {
    element("labels").replaceChildren();
    answer.label_names.forEach((name, place) => {
      const row = add(element("labels"), "li", "");
      const score = answer.scores[place];
      add(row, "span", "name", name);
      const bar = add(row, "span", "bar");
      const width = 100 * Math.min(1, Math.max(0, score));
      bar.style.setProperty("--width", `${width}%`);
      add(row, "span", "score", score.toFixed(3));
      const told = answer.explanations?.[place];
      if (!told?.features.length) return;
      const why = add(row, "span", "why");
      told.features.forEach((feature, i) => {
        const share = told.contributions[i];
        const side = share > 0 ? "for" : "against";
        const sign = share > 0 ? "+" : "−";
        const size = Math.abs(share).toFixed(2);
        add(why, "span", side, `${feature} ${sign}${size}`);
      });
    });
  }

  async function ask() {
    const number = ++asked; // answers to what was typed before are dropped
    if (!element("input").value.trim()) {
      show({ label_names: [], scores: [] });
      say("status", "");
      return;
    }
    try {
      const start = performance.now();
      const body = {
        instances: [instance()],
        k: Number(element("k").value),
        predict: element("way").value,
      };
      if (element("explain")?.checked) body.explain = EXPLAINED;
      const response = await checked(await fetch(`${base}:predict`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      }));
      const [answer] = (await response.json()).predictions;
      if (number !== asked) return;
      show(answer);
      const said = [`${(performance.now() - start).toFixed(0)} ms`];
      if (answer.empty) said.push("no known feature");
      if (!answer.label_names.length) said.push("none of the labels");
      say("status", said.join(", "));
    } catch (error) {
      if (number !== asked) return;
      show({ label_names: [], scores: [] });
      say("status", error.message, true);
    }
  }

  // Returns the fields of the first lines of CSV; quotes may hold line ends.
  function csvRows(text, most) {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < text.length && rows.length <= most; i++) {
      const row = rows[rows.length - 1];
      const c = text[i];
      if (quoted && c === '"' && text[i + 1] === '"') {
        row[row.length - 1] += '"';
        i++;
      } else if (c === '"') {
        quoted = !quoted;
      } else if (c === "," && !quoted) {
        row.push("");
      } else if (c === "\n" && !quoted) {
        rows.push([""]);
      } else if (c !== "\r" || quoted) {
        row[row.length - 1] += c;
      }
    }
    return rows.slice(0, most);
  }

  function preview(text, kind) {
    const rows = kind === "csv"
      ? csvRows(text, PREVIEW + 1)
      : text.split("\n").slice(0, PREVIEW).filter(Boolean).map((line) => {
        const answer = JSON.parse(line);
        const names = answer.label_names?.join(", ");
        return [String(answer.uid ?? answer.line), names ?? answer.error];
      });
    element("preview").replaceChildren();
    rows.filter((row) => row.length > 1).forEach((row, place) => {
      const line = add(element("preview"), "tr", "");
      const kindOfCell = kind === "csv" && !place ? "th" : "td";
      row.forEach((cell) => add(line, kindOfCell, "", cell));
    });
  }

  let link;
  async function send() {
    const [file] = element("file").files;
    if (!file) {
      say("upload-status", "choose a file first", true);
      return;
    }
    const most = Number(document.body.dataset.uploadBytes);
    if (file.size > most) {
      say("upload-status", `the file is larger than ${most} bytes`, true);
      return;
    }
    const output = element("output").value;
    const query = new URLSearchParams({
      input: /\.csv$/i.test(file.name) ? "csv" : "jsonl",
      output,
      k: element("k").value,
      predict: element("way").value,
    });
    element("send").disabled = true;
    say("upload-status", "…");
    try {
      const response = await checked(await fetch(
        `${base}:upload?${query}`, { method: "POST", body: file }));
      const answers = await response.blob();
      URL.revokeObjectURL(link);
      link = URL.createObjectURL(answers);
      element("download").href = link;
      element("download").download =
        `${file.name.replace(/\.[^.]*$/, "")}.labels.${output}`;
      element("download").textContent =
        `Save ${element("download").download}`;
      element("result").hidden = false;
      preview(await answers.slice(0, 1 << 16).text(), output);
      say("upload-status", "done");
    } catch (error) {
      say("upload-status", error.message, true);
    } finally {
      element("send").disabled = false;
    }
  }

  let waiting;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 150);
  };
  element("input").addEventListener("input", soon);
  element("k").addEventListener("input", soon);
  element("way").addEventListener("change", ask);
  element("explain")?.addEventListener("change", ask);
  element("send").addEventListener("click", send);
  document.querySelector(".origin").textContent = location.origin;
  return { csvRows };
})();
