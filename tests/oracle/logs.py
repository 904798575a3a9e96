"""Vectors like those of logs, and the parts that the clustering oracles share."""

import csv
import glob
import json
import os
import sys

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

TEMPLATES = [
    "Receiving block {id} src {ip} dest {ip}",
    "PacketResponder {small} for block {id} terminating",
    "Verification succeeded for block {id}",
    "authentication failure for user {user} from {ip}",
    "session opened for user {user} by uid {small}",
    "connection from {ip} port {number} closed",
    "instruction cache parity error corrected in unit {small}",
    "{number} double hummer alignment exceptions at {small}",
    "request {id} took {number} ms for user {user}",
]


def messages(rng, rows, variety):
    """Lines of a few templates; the higher `variety`, the fewer of them are equal."""

    def value(kind):
        return {
            "id": lambda: f"blk{rng.integers(3 * variety)}",
            "ip": lambda: f"10.{rng.integers(variety)}.{rng.integers(4)}.1",
            "user": lambda: f"user{rng.integers(1 + variety // 4)}",
            "small": lambda: f"n{rng.integers(4)}",
            "number": lambda: f"v{rng.integers(variety)}",
        }[kind]()

    lines = []
    for _ in range(rows):
        words = TEMPLATES[rng.integers(len(TEMPLATES))].split()
        lines.append(" ".join(value(w[1:-1]) if w[0] == "{" else w for w in words))
    return lines


def vectors(rng, rows, variety, **options):
    """TF-IDF vectors of such lines."""
    return as_stored(TfidfVectorizer(token_pattern=r"\S+", **options).fit_transform(messages(rng, rows, variety)))


def as_stored(matrix):
    """A matrix rounded to float4 as logvec stores it and widened again."""
    matrix = csr_matrix(matrix.astype(np.float32).astype(np.float64))
    matrix.sort_indices()
    matrix.eliminate_zeros()
    return matrix


def systems():
    """Names and vectors of real logs, of the folder that LOGINTEL_DATA names."""
    folder = os.environ.get("LOGINTEL_DATA")
    for path in sorted(glob.glob(f"{folder}/loghub_2k/*_2k.log_structured.csv")) if folder else []:
        with open(path, newline="", encoding="utf-8") as file:
            lines = [row["Content"] for row in csv.DictReader(file)]
        name = os.path.basename(path).split("_")[0]
        yield f"{name}, words", as_stored(TfidfVectorizer().fit_transform(lines))
        yield f"{name}, pairs of words", as_stored(TfidfVectorizer(ngram_range=(1, 2)).fit_transform(lines))


def scattered(rng, rows, dim, density):
    """Vectors with both signs around a few centres, without ties."""
    centres = rng.normal(size=(6, dim))
    dense = centres[rng.integers(6, size=rows)] + rng.normal(scale=rng.uniform(0.2, 1.2, size=(rows, 1)), size=(rows, dim))
    dense[rng.random((rows, dim)) > density] = 0.0
    return csr_matrix(dense.astype(np.float32).astype(np.float64))


def distances(matrix):
    """Cosine distance of each pair in float64: 1 to a zero vector, 0 to itself."""
    product = (matrix @ matrix.T).toarray()
    norms = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = product / np.sqrt(np.outer(norms, norms))
    result = 1.0 - np.clip(np.nan_to_num(cosine), -1.0, 1.0)
    np.fill_diagonal(result, 0.0)
    return result


def rows_of(matrix):
    """Each row as its 0-based columns and its values, in as few digits as tell float4 values apart."""
    ends = zip(matrix.indptr, matrix.indptr[1:])
    values = [float(str(value)) for value in matrix.data.astype(np.float32)]
    return [[matrix.indices[a:b].tolist(), values[a:b]] for a, b in ends]


def data_set(matrix, cases):
    """Some rows and what was found in them."""
    return {"dim": matrix.shape[1], "rows": rows_of(matrix), "cases": cases}


def write(data_sets):
    """Writes the data sets to the file named by the first argument."""
    with open(sys.argv[1], "w", encoding="ascii") as file:
        json.dump(data_sets, file, separators=(",", ":"))
        file.write("\n")
