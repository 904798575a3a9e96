"""What scikit-learn's TfidfVectorizer makes of some lines: `tfidf.py OUT [small]`.

Random options, seeded, on text made to hurt and, where LOGINTEL_DATA names the data folder, on real logs; what Python
holds of every character; and what `re.findall` finds for random patterns. `small` writes the cases that are kept in
crates/logintel-core/tests/fixtures.
"""

import csv
import json
import os
import random
import re
import sys
import unicodedata
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

SMALL = "small" in sys.argv
SYSTEMS = ["Android", "Apache", "BGL", "HDFS", "Hadoop", "Linux", "OpenSSH", "Zookeeper"]
# Every code point but surrogates.
CODE_POINTS = [*range(0xD800), *range(0xE000, 0x110000)]

# Text ----------------------------------------------------------------------------------------------------------

SCRIPTS = [
    "abcdefghij", "ABCDEFGHIJ", "0123456789", "_", "éèüßñçøå", "ÉÈÜẞÑÇØÅ", "αβγδσςω", "ΑΒΓΔΣΩ", "абвгдё", "АБВГДЁ", "אבגדה",
    "ابجده", "अआकखग", "ักขคง", "中文日本語", "かなカナ", "한국어", "ᚠᚡᚢ", "ᏣᏤꭳ", "ԱԲաբ", "ႠႡაბᲐᲑ", "𐐀𐐨𞤀𞤢", "İıIiſK", "ǅǆǄ", "ﬁﬀﬆ",
]  # fmt: skip
MARKS = ["\u0301", "\u0308", "\u0307", "\u0345", "\u093e", "\u0e31", "\u20dd", "\u200d", "\u200c", "\u200f", "\u202e", "\ufe0f", "\u203f"]
NUMBERS = ["²", "½", "Ⅷ", "ⅷ", "㊿", "٣", "۴", "९", "１２", "𝟙", "〇", "Ⓐ", "ⓐ", "①", "৹", "𐄇"]
EMOJI = ["😀", "👩‍👩‍👧", "🇩🇪", "❤️", "👍🏽", "☃"]
SPACES = [chr(c) for c in CODE_POINTS if chr(c).isspace()] + ["\u200b", "\u2060", "\ufeff", "\u180e"]
CONTROLS = [chr(c) for c in [*range(1, 0x20), 0x7F, 0x80, 0x9F]]
PUNCTUATION = list("-.:/\\,;!?'\"()[]{}<>=+*&%$#@~^|`") + ["–", "“", "·", "،", "。"]


def word(rng):
    script = rng.choice(SCRIPTS)
    letters = [rng.choice(script) for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 7]))]
    if rng.random() < 0.3:
        letters.insert(rng.randrange(len(letters) + 1), rng.choice(MARKS + NUMBERS + SCRIPTS))
    return "".join(letters)


def hurtful_line(rng):
    pieces = []
    for _ in range(rng.choice([0, 1, 2, 5, 9, 20])):
        kind = rng.random()
        if kind < 0.55:
            pieces.append(word(rng))
        else:
            pieces.append(rng.choice(rng.choice([MARKS, NUMBERS, EMOJI, CONTROLS, PUNCTUATION])))
        if rng.random() < 0.6:
            pieces.append(rng.choice(SPACES) if rng.random() < 0.4 else " ")
    return "".join(pieces)


def hurtful(rng, lines):
    fixed = [
        "", " ", "\n", "a", "ab", "ab", "ab\n", "AB ab Ab aB", "ΌΔΟΣ ΟΔΟΣ. ΣΑΣ Σ ΑΣ͏Α ΑΣ\u0301", "İSTANBUL ıI İ", "STRASSE STRAẞE straße",
        "cafe\u0301s cafés", "x\x1cy\x1dz\x1eyy\x1fzz\x85zz\xa0zz", "a  b\t\tc \t d\u3000\u3000e", "l" * 5000, "١٢٣ ४५ ½½ ²² Ⅷⅷ",
        "שלום עולם שלום", "a_b __ _ _1 1_", "𝟙𝟚 𐐀𐐁 𐐨𐐩", "the THE of and computer is", "-0 1e5 0x1f 3.14", "ﬁnd ﬀ ǅ Ǆ ǆ",
    ]  # fmt: skip
    return fixed + [hurtful_line(rng) for _ in range(lines)]


def long_lines(rng):
    """Lines of a megabyte: many words, one word, and no word."""
    words = [word(rng) for _ in range(3000)]
    many = " ".join(rng.choice(words) for _ in range(180_000))
    return [many, "x" * 1_000_000, "é" * 500_000, "- " * 500_000, "a\u0301 " * 250_000, "short one", many[:99_999]]


def real(system):
    folder = Path(os.environ["LOGINTEL_DATA"])
    with open(folder / f"loghub_2k/{system}_2k.log_structured.csv", encoding="utf-8", newline="") as file:
        return [row["Content"] for row in csv.DictReader(file)]


def seed():
    with open(Path(os.environ["LOGINTEL_DATA"]) / "seed/logs_with_clusters.csv", encoding="utf-8", newline="") as file:
        return [row["message"] for row in csv.DictReader(file)]


def corpora(rng):
    if SMALL:
        return {"hurtful": hurtful(rng, 30)}
    texts = {f"hurtful {i}": hurtful(rng, lines) for i, lines in enumerate((0, 60, 400))}
    texts |= {"empty lines": ["", "", ""], "one token": ["token"], "a word each": [word(rng) for _ in range(300)]}
    texts["long lines"] = long_lines(rng)
    if "LOGINTEL_DATA" in os.environ:
        texts |= {system: real(system) for system in SYSTEMS}
        texts["seed"] = seed()
    return texts


# Options -------------------------------------------------------------------------------------------------------

TOKEN_PATTERNS = [
    r"\b\w+\b", r"(?u)\b\w+\b", r"\S+", r"[^\s]+", r"\w+", r"[a-zA-Z]+", r"(?i)[a-z]{2,}", r"(?i)\b[a-z_]\w*\b", r"\b[^\W\d_]{2,}\b",
    r"[^\W\d]+", r"\d+", r"\b\d+(?:\.\d+)?\b", r"(\w+)[:=]", r"(?:[A-Z][a-z]+)+", r"(?P<key>\w+)=", r"[A-Za-z0-9_./\\-]+", r"\w+$",
    r"^\w+", r"\w*", r"(?:\w\w)?", r"\b", r"[\w.-]+@?[\w.-]*", r"(?s).{3}", r"(?m)^\S+", r"(?m)\S+$", r"\w+?\b",
    r"\B\w", r"[^\x00-\x7f]+", r"[\u0400-\u04ff]+", r"(a|b)?\w", r"\w{,2}", r"{|\w+", r"\A\w+|\w\Z", r"(?i)[^a-z\s]+", r"(?i:İ|s)\w+", r".+", r".*",
]  # fmt: skip
STOP_LISTS = [[], ["the", "of"], ["block", "for", "ab", "session", "é"], ["", " "]]


def options(rng):
    """Some options, each left at its default half of the time."""
    chosen = {
        "analyzer": rng.choice(["word", "word", "word", "char", "char_wb"]),
        "lowercase": rng.random() < 0.5,
        "token_pattern": rng.choice(TOKEN_PATTERNS),
        "stop_words": rng.choice(["english", None, *STOP_LISTS]),
        "ngram_range": sorted(rng.choice([1, 1, 2, 2, 3, 4]) for _ in range(2)),
        "min_df": rng.choice([1, 2, 3, 5, 0.0, 0.01, 0.1]),
        "max_df": rng.choice([1.0, 0.9, 0.5, 0.05, 10, 1000]),
        "max_features": rng.choice([None, 1, 7, 50, 1000, 10**6]),
        "binary": rng.random() < 0.5,
        "norm": rng.choice(["l1", "l2", None]),
        "use_idf": rng.random() < 0.5,
        "smooth_idf": rng.random() < 0.5,
        "sublinear_tf": rng.random() < 0.5,
    }
    return {name: value for name, value in chosen.items() if rng.random() < 0.5}


def python_options(chosen):
    chosen = dict(chosen)
    if "ngram_range" in chosen:
        chosen["ngram_range"] = tuple(chosen["ngram_range"])
    return chosen


def vocabulary(lines, chosen):
    """The terms, with ties at the cut of max_features alphabetical; scikit-learn's own choice has the same counts."""
    fit = TfidfVectorizer(**chosen).fit(lines)
    most = chosen.get("max_features")
    if most is None:
        return fit.get_feature_names_out().tolist()
    shared = {name: value for name, value in chosen.items() if name not in ("max_features", "norm", "use_idf", "smooth_idf", "sublinear_tf")}
    counting = CountVectorizer(**shared)
    counts = np.asarray(counting.fit_transform(lines).sum(axis=0)).ravel()
    names = counting.get_feature_names_out().tolist()
    order = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))[:most]
    own = [counts[counting.vocabulary_[name]] for name in fit.get_feature_names_out()]
    assert sorted(own) == sorted(counts[i] for i in order)
    return sorted(names[i] for i in order)


def cases(rng, texts):
    for name, lines in texts.items():
        count = 12 if SMALL else {"long lines": 4}.get(name, 14 if len(lines) > 1000 else 60)
        for i in range(count):
            chosen = options(rng) if i else {}
            if name == "long lines":
                # Few terms are kept, or the file of expected values would be as long as the lines are.
                chosen |= {"max_features": 500, "ngram_range": [1, 2]}
            # Half of the text is held out of some fits, so that it holds terms unknown to them.
            fitted = lines if rng.random() < 0.5 or len(lines) < 4 else lines[: len(lines) // 2]
            held = sorted(rng.sample(range(len(lines)), min(len(lines), 40)))
            try:
                yield fitted_case(name, lines, len(fitted), chosen, held)
            except Exception as error:
                raise RuntimeError(f"{name} {chosen}") from error


def fitted_case(name, lines, fitted, chosen, held):
    result = {"corpus": name, "options": chosen, "fitted": fitted, "held": held}
    arguments = python_options(chosen)
    try:
        terms = vocabulary(lines[:fitted], arguments)
    except ValueError as error:
        return result | {"error": str(error)}
    for key in ("min_df", "max_df", "max_features"):
        arguments.pop(key, None)
    fit = TfidfVectorizer(**arguments, vocabulary=terms).fit(lines[:fitted])
    matrix = fit.transform([lines[i] for i in held])
    matrix.sort_indices()
    ends = zip(matrix.indptr, matrix.indptr[1:])
    rows = [[matrix.indices[a:b].tolist(), [float(f"{v:.9g}") for v in matrix.data[a:b]]] for a, b in ends]
    idf = [float(f"{v:.12g}") for v in fit.idf_] if arguments.get("use_idf", True) else None
    return result | {"terms": terms, "idf": idf, "rows": rows}


# Characters ----------------------------------------------------------------------------------------------------


def spans(test):
    """Ranges, both ends included, of the code points for which the test holds."""
    found = []
    for c in CODE_POINTS:
        if test(chr(c)):
            if found and found[-1][1] == c - 1:
                found[-1][1] = c
            else:
                found.append([c, c])
    return found


def characters():
    # Characters with another case, in any way: for each, the others that it matches when case is ignored.
    cased = [chr(c) for c in CODE_POINTS if chr(c) != chr(c).lower() or chr(c) != chr(c).upper()]
    text = "".join(cased)
    alike = {c: "".join(re.findall("(?i)" + re.escape(c), text)) for c in cased}
    return {
        "unicode": unicodedata.unidata_version,
        "assigned": spans(lambda c: unicodedata.category(c) != "Cn"),
        "word": spans(re.compile(r"\w").match),
        "digit": spans(re.compile(r"\d").match),
        "space": spans(re.compile(r"\s").match),
        "lower": {chr(c): chr(c).lower() for c in CODE_POINTS if chr(c).lower() != chr(c)},
        "cased": text,
        "alike": alike,
    }


# Patterns ------------------------------------------------------------------------------------------------------

ATOMS = [
    "a", "b", "é", r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", "[ab]", "[^ab]", r"[\w.-]", r"[^\W\d]", r"[^\s]", "[a-c]", r"[\d_]", r"\.", r"\-",
    r"\x61", r"\u00e9", "[]a]", "[^]a]", "{", "}", "]", "-", "_", r"[\-a]", r"[a\]]", "[a-]", "[-a]", "[&&]", "[~a]", "[[a]", r"\t", r"[\b]", "i", "S", "[A-Z]", "[^i]",
]  # fmt: skip
PLACES = ["^", "$", r"\b", r"\B", r"\A", r"\Z"]
QUANTIFIERS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "{2,}", "{0,1}?", "{}", "{a}", "{1"]


def pattern(rng, depth=2):
    parts = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        kind = rng.random()
        if kind < 0.15:
            parts.append(rng.choice(PLACES))
            continue
        if kind < 0.4 and depth:
            opening = rng.choice(["(?:", "(?:", "(?:", "(", "(?i:", "(?s:", "(?m:", "(?-i:", "(?P<n>"])
            atom = opening + pattern(rng, depth - 1) + ")"
        else:
            atom = rng.choice(ATOMS)
        parts.append(atom + (rng.choice(QUANTIFIERS) if rng.random() < 0.45 else ""))
    body = "".join(parts)
    return body if rng.random() < 0.75 else body + "|" + pattern(rng, max(depth - 1, 0))


def patterns(rng, count):
    alphabet = "aabbcé.- _1٣²\n\t\u0301\u200diIıİsſSß{}]&~[A"
    found = []
    for i in range(count):
        source = TOKEN_PATTERNS[i] if i < len(TOKEN_PATTERNS) else rng.choice(["", "", "(?i)", "(?u)", "(?s)", "(?m)"]) + pattern(rng)
        texts = ["", *("".join(rng.choice(alphabet) for _ in range(rng.choice([1, 3, 8, 20]))) for _ in range(6))]
        try:
            compiled = re.compile(source)
        except re.error as error:
            found.append({"pattern": source, "error": str(error)})
            continue
        if compiled.groups <= 1:
            found.append({"pattern": source, "texts": texts, "found": [compiled.findall(text) for text in texts]})
    return found


def main():
    rng = random.Random(20250117)
    texts = corpora(rng)
    result = {"corpora": texts, "cases": list(cases(rng, texts)), "characters": characters(), "patterns": patterns(rng, 60 if SMALL else 4000)}
    with open(sys.argv[1], "w", encoding="ascii") as file:
        json.dump(result, file, separators=(",", ":"))
        file.write("\n")


main()
