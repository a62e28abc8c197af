"""Draws the pictures of docs/pictures.md: `python docs/diagrams.py`.

Hashes, estimates and propensities in them are computed by tfxml itself. The
same code gives the same bytes, which a test compares with what is committed.
"""

import html
import pathlib

import numpy as np

from tfxml.evaluation import metrics
from tfxml.mach import hashing

FOLDER = pathlib.Path(__file__).parent / "images"
INK, SOFT, LINE, PAPER = "#1b1f24", "#5b6570", "#d5dae0", "#ffffff"
BLUE, PALE, RED, GREEN = "#2f6fde", "#dbe6fa", "#b3452c", "#4b8b5a"

LABELS = ("cats", "dogs", "law", "trade", "fish", "milk", "ships", "tax")
NUM_BUCKETS, TRUE = 4, 4  # the label of the example: fish
HASHES = (
    hashing.UniversalHash(NUM_BUCKETS, 3, 1, prime=11),
    hashing.UniversalHash(NUM_BUCKETS, 7, 4, prime=11),
    hashing.UniversalHash(NUM_BUCKETS, 5, 8, prime=11),
)
TABLES = [one.table(len(LABELS)) for one in HASHES]  # [R][L]
# What three classifiers might say of a text about fish, by bucket.
LOGITS = np.full((len(HASHES), NUM_BUCKETS), -2.0)
for repetition, table in enumerate(TABLES):
    LOGITS[repetition, table[TRUE]] = (2.0, 1.5, 2.5)[repetition]
    LOGITS[repetition, (table[TRUE] + 1) % NUM_BUCKETS] = -0.5


class Picture:
    """An SVG under way."""

    def __init__(self, width: int, height: int, title: str):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-family="system-ui, sans-serif" '
            f'font-size="13" role="img">',
            f"<title>{html.escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
            f'<path d="M0 0 L8 4 L0 8 z" fill="{SOFT}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="10" fill="{PAPER}"/>',
        ]

    def box(self, x, y, width, height, text="", fill=PAPER, ink=INK):
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'rx="5" fill="{fill}" stroke="{LINE}"/>'
        )
        if text:
            self.text(x + width / 2, y + height / 2 + 4.5, text, ink, "middle")

    def text(self, x, y, words, ink=INK, anchor="start", size=13, weight=400):
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{ink}" text-anchor="{anchor}" '
            f'font-size="{size}" font-weight="{weight}">'
            f"{html.escape(words)}</text>"
        )

    def line(self, x1, y1, x2, y2, ink=LINE, width=1.2, tip="", dash=""):
        ends = {
            "": "",
            "end": ' marker-end="url(#tip)"',
            "both": ' marker-start="url(#tip)" marker-end="url(#tip)"',
        }[tip]
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" '
            f'stroke="{ink}" stroke-width="{width}"{ends}{dashes}/>'
        )

    def curve(self, points, ink):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{ink}" '
            'stroke-width="2"/>'
        )

    def svg(self) -> str:
        return "\n".join([*self.parts, "</svg>\n"])


def repetitions() -> str:
    """MACH: each repetition hashes the labels into buckets of its own."""
    picture = Picture(720, 420, "MACH: labels hashed into buckets, three times")
    height, top = 36, 78
    picture.text(20, 30, "8 labels", weight=600)
    picture.text(20, 50, "an output each would be 8", SOFT, size=12)
    for label, name in enumerate(LABELS):
        fill = PALE if label == TRUE else PAPER
        picture.box(20, top + label * height, 80, 28, name, fill)
    for repetition, table in enumerate(TABLES):
        left = 220 + repetition * 170
        picture.text(left, 30, f"repetition {repetition + 1}", weight=600)
        picture.text(left, 50, f"{NUM_BUCKETS} buckets", SOFT, size=12)
        for bucket in range(NUM_BUCKETS):
            members = [LABELS[i] for i in np.flatnonzero(table == bucket)]
            is_hit = bucket == table[TRUE]
            y = top + bucket * 2 * height
            fill = PALE if is_hit else PAPER
            picture.box(left, y, 140, 58, "", fill)
            picture.text(left + 8, y + 20, f"bucket {bucket}", SOFT, size=11)
            picture.text(left + 8, y + 42, ", ".join(members) or "empty")
            if is_hit:
                x = 100 if not repetition else left - 30
                before = top + TRUE * height + 14
                if repetition:
                    before = (
                        top + TABLES[repetition - 1][TRUE] * 2 * height + 29
                    )
                picture.line(x, before, left - 4, y + 29, SOFT, 1.2, "end")
    picture.text(
        20,
        400,
        "fish shares each of its buckets with others, but with no other label "
        "all three of them.",
        SOFT,
    )
    return picture.svg()


def decode() -> str:
    """The decode: a label's estimate is the mean over its buckets."""
    picture = Picture(720, 400, "The decode: the mean over a label's buckets")
    estimates = np.mean(
        [logits[table] for logits, table in zip(LOGITS, TABLES, strict=True)],
        axis=0,
    )
    columns = (20, 130, 260, 390, 520)
    titles = ("label", "repetition 1", "repetition 2", "repetition 3", "mean")
    for x, title in zip(columns, titles, strict=True):
        picture.text(x, 34, title, SOFT, weight=600)
    picture.line(20, 46, 700, 46)
    for label, name in enumerate(LABELS):
        y = 60 + label * 36
        is_best = label == int(np.argmax(estimates))
        if is_best:
            picture.box(12, y - 4, 696, 32, "", PALE)
        picture.text(20, y + 17, name, weight=600 if is_best else 400)
        for repetition, table in enumerate(TABLES):
            value = LOGITS[repetition, table[label]]
            picture.text(
                columns[repetition + 1],
                y + 17,
                f"bucket {table[label]}: {value:+.1f}",
                INK if value > 0 else SOFT,
            )
        value = float(estimates[label])
        picture.text(columns[4], y + 17, f"{value:+.2f}")
        width = 55 * value / 2
        picture.line(635, y, 635, y + 24, LINE)
        picture.parts.append(
            f'<rect x="{635 + min(width, 0):.1f}" y="{y + 5}" '
            f'width="{abs(width):.1f}" height="14" rx="3" '
            f'fill="{BLUE if value > 0 else LINE}"/>'
        )
    picture.text(
        20,
        380,
        "With 8 labels it saves nothing; 32 x 10,000 outputs rank 49 million.",
        SOFT,
    )
    return picture.svg()


def propensities() -> str:
    """How likely a true label is in the data, by how often it occurs."""
    picture = Picture(720, 380, "Propensities by the frequency of a label")
    left, right, top, bottom = 60, 540, 40, 320
    counts = np.unique(np.geomspace(1, 100_000, 120).astype(np.int64))

    def x_of(count):
        return left + (right - left) * np.log10(count) / 5

    def y_of(share):
        return bottom - (bottom - top) * share

    for power in range(6):
        x = x_of(10**power)
        picture.line(x, top, x, bottom)
        picture.text(x, bottom + 18, f"{10**power:,}", SOFT, "middle", 11)
    for share in (0, 0.25, 0.5, 0.75, 1):
        picture.line(left, y_of(share), right, y_of(share))
        picture.text(
            left - 6, y_of(share) + 4, f"{share:g}", SOFT, "end", size=11
        )
    picture.text(left, 24, "chance that a true label is in the data", SOFT)
    picture.text(
        right, bottom + 38, "training instances of the label", SOFT, "end"
    )
    for number, (name, a, b, ink) in enumerate(
        (
            ("Wikipedia: a 0.5, b 0.4", 0.5, 0.4, GREEN),
            ("elsewhere: a 0.55, b 1.5", 0.55, 1.5, BLUE),
            ("Amazon: a 0.6, b 2.6", 0.6, 2.6, RED),
        )
    ):
        shares = 1 / metrics.inverse_propensities(counts, 100_000, a, b)
        picture.curve(
            [(x_of(c), y_of(s)) for c, s in zip(counts, shares, strict=True)],
            ink,
        )
        y = 80 + number * 26
        picture.line(552, y - 4, 566, y - 4, ink, 3)
        picture.text(572, y, name, size=11.5)
    picture.text(
        20, 370, "Of 100,000 training instances. PSP@k divides by it.", SOFT
    )
    return picture.svg()


def strategies() -> str:
    """What travels between devices in each step."""
    picture = Picture(720, 470, "What each strategy sends")
    rows = (
        ("default, one_device", 1, "nothing", ""),
        ("mirrored", 2, "gradients, added up over the GPUs", "both"),
        ("multi_worker", 2, "gradients, added up over the machines", "both"),
        ("tpu", 2, "gradients, added up over the cores", "both"),
        ("central_storage", 2, "weights out, gradients in: the host's", "hub"),
        ("parameter_server", 2, "weights out, gradients in: servers'", "hub"),
        ("--repetition_group", 2, "nothing: MACH's repetitions are apart", ""),
    )
    for number, (name, devices, words, kind) in enumerate(rows):
        y = 30 + number * 62
        picture.text(20, y + 20, name, weight=600)
        for device in range(devices):
            picture.box(190 + device * 150, y, 60, 32, "device", PAPER, SOFT)
        if kind == "both":
            picture.line(254, y + 16, 336, y + 16, SOFT, 1.2, "both")
        if kind == "hub":
            picture.box(272, y, 46, 32, "table", PALE)
            picture.line(252, y + 16, 270, y + 16, SOFT, 1.2, "both")
            picture.line(320, y + 16, 338, y + 16, SOFT, 1.2, "both")
        picture.text(430, y + 20, words, SOFT, size=12.5)
    return picture.svg()


PICTURES = {
    "mach-repetitions.svg": repetitions,
    "mach-decode.svg": decode,
    "propensities.svg": propensities,
    "strategies.svg": strategies,
}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
