"""What scikit-learn's TfidfVectorizer makes of some messages with each of its options: `tfidf.py > tests/data/tfidf_expected.sql`.

The file fills the tables `message` and `expected` of tests/sql/tfidf.sql. Written with scikit-learn 1.6.1.
"""

import json
import sys

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

MESSAGES = [
    "Connection from 10.0.0.1 refused: user root",
    "connection from 10.0.0.2 accepted, user root",
    "Connection reset by peer; user café",
    "ΣΟΦΟΣ İstanbul naïve straße Größe x²",
    "",
    "disk_full disk_full disk_full /dev/sda1 the",
    "the connection of the user was not the same connection",
    None,
    "日本語 ログ エラー user connection",
    "a  b\tc\nd",
    "user root: don't panic 3.14e-5 ½ Ⅷ",
]

OPTIONS = [
    {},
    {"lowercase": False},
    {"ngram_range": [1, 2]},
    {"ngram_range": [2, 3]},
    {"analyzer": "char", "ngram_range": [1, 2], "min_df": 3},
    {"analyzer": "char", "ngram_range": [3, 3], "min_df": 2, "lowercase": False},
    {"analyzer": "char_wb", "ngram_range": [2, 4], "min_df": 3},
    {"analyzer": "char_wb", "ngram_range": [9, 9], "min_df": 2},
    {"stop_words": "english"},
    {"stop_words": ["user", "Connection", "the"]},
    {"stop_words": ["user", "the"], "ngram_range": [2, 2]},
    {"stop_words": None},
    {"min_df": 2},
    {"min_df": 0.3},
    {"max_df": 3},
    {"max_df": 0.35},
    {"min_df": 2, "max_df": 0.5},
    {"max_df": 1.0, "min_df": 1},
    {"max_features": 2},
    {"max_features": 5, "ngram_range": [1, 2], "max_df": 0.5},
    {"binary": True},
    {"norm": "l1"},
    {"norm": "l2"},
    {"norm": None},
    {"use_idf": False},
    {"use_idf": False, "norm": None, "binary": True},
    {"smooth_idf": False},
    {"sublinear_tf": True},
    {"sublinear_tf": True, "norm": None, "smooth_idf": False, "min_df": 2},
    {"token_pattern": r"\S+"},
    {"token_pattern": r"(?u)\b\w+\b", "ngram_range": [1, 3], "min_df": 2},
    {"token_pattern": r"user (\w+)"},
    {"token_pattern": r"[^\W\d_]+|\d", "lowercase": False},
    {"token_pattern": r"(?i)\bCONN\w*|\.\d", "min_df": 1},
]


def literal(text):
    return "NULL" if text is None else "E'" + text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\t", "\\t") + "'"


def python(options):
    arguments = dict(options)
    if "ngram_range" in arguments:
        arguments["ngram_range"] = tuple(arguments["ngram_range"])
    return arguments


def expected(options):
    documents = [message for message in MESSAGES if message is not None]
    vectorizer = TfidfVectorizer(**python(options))
    rows = vectorizer.fit_transform(documents).tocsr()
    terms = list(vectorizer.get_feature_names_out())
    weighing = {"norm", "use_idf", "smooth_idf", "sublinear_tf"}
    counter = CountVectorizer(**{k: v for k, v in python(options).items() if k not in weighing})
    counts = counter.fit_transform(documents)
    if options.get("max_features"):
        # Which of equally frequent terms are kept is scikit-learn's secret.
        whole = {k: v for k, v in python(options).items() if k not in weighing | {"max_features"}}
        totals = np.sort(np.asarray(CountVectorizer(**whole).fit_transform(documents).sum(axis=0)).ravel())[::-1]
        assert totals[options["max_features"] - 1] > totals[options["max_features"]], options
    df = np.asarray((counts > 0).sum(axis=0)).ravel()
    idf = vectorizer.idf_ if options.get("use_idf", True) else np.ones(len(terms))
    vectors = iter(rows)
    literals = []
    for message in MESSAGES:
        if message is None:
            literals.append("NULL")
            continue
        row = next(vectors)
        row.sort_indices()
        elements = ",".join(f"{i + 1}:{np.float32(x)!s}" for i, x in zip(row.indices, row.data))
        literals.append(f"'{{{elements}}}/{len(terms)}'")
    return (
        f"({literal(json.dumps(options))}, ARRAY[{', '.join(map(literal, terms))}],\n"
        f"  '{{{','.join(map(str, df))}}}', '{{{','.join(repr(float(x)) for x in idf)}}}',\n"
        f"  ARRAY[{', '.join(literals)}]::logvec[])"
    )


out = sys.stdout
out.write("-- Written by tests/oracle/tfidf_sql.py: do not edit.\n")
out.write("INSERT INTO message (message) VALUES\n" + ",\n".join(f"({literal(m)})" for m in MESSAGES) + ";\n")
out.write("INSERT INTO expected (options, terms, df, idf, vectors) VALUES\n" + ",\n".join(map(expected, OPTIONS)) + ";\n")
