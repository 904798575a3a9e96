"""How long scikit-learn takes to cluster lines: `timing.py MATRIX METHOD ARGUMENT... < LINES`.

Vectorises the lines as the seed preset does, keeps distinct vectors, writes them to MATRIX for the engine's example
`cluster_timing`, and clusters them: `dbscan EPS MIN_POINTS` or `hdbscan MIN_CLUSTER_SIZE MIN_SAMPLES`; `none` only
writes. MATRIX.labels gets a label a line. LOGINTEL_ROWS bounds the distinct vectors, LOGINTEL_MIN_DF and
LOGINTEL_MAX_FEATURES change the vocabulary.
"""

import os
import resource
import sys
import time

import numpy as np
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.feature_extraction.text import TfidfVectorizer

path, method, *arguments = sys.argv[1:]
limit = int(os.environ.get("LOGINTEL_ROWS", 20000))
most = int(os.environ.get("LOGINTEL_MAX_FEATURES", 5000)) or None
least = int(os.environ.get("LOGINTEL_MIN_DF", 5))

lines = [line.rstrip("\n") for line in sys.stdin]
vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=least, max_df=0.9, max_features=most, dtype=np.float32)
matrix = vectorizer.fit_transform(lines)
matrix.sort_indices()
first = {}
for row in range(matrix.shape[0]):
    start, end = matrix.indptr[row], matrix.indptr[row + 1]
    if start < end:
        first.setdefault(matrix.indices[start:end].tobytes() + matrix.data[start:end].tobytes(), row)
matrix = matrix[list(first.values())[:limit]]
with open(path, "wb") as file:
    np.array([matrix.shape[1], matrix.shape[0], matrix.nnz], dtype="<u8").tofile(file)
    matrix.indptr.astype("<u8").tofile(file)
    matrix.indices.astype("<u4").tofile(file)
    matrix.data.astype("<f4").tofile(file)
print(f"{len(lines)} lines, {matrix.shape[0]} distinct vectors, {matrix.nnz / matrix.shape[0]:.1f} entries each")

if method == "dbscan":
    fit = DBSCAN(eps=float(arguments[0]), min_samples=int(arguments[1]), metric="cosine", algorithm="brute")
elif method == "hdbscan":
    fit = HDBSCAN(min_cluster_size=int(arguments[0]), min_samples=int(arguments[1]), metric="cosine")
else:
    sys.exit()
begun = time.process_time(), time.perf_counter()
labels = fit.fit_predict(matrix.astype(np.float64))
took = time.process_time() - begun[0], time.perf_counter() - begun[1]
np.savetxt(path + ".labels", labels, fmt="%d")
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
noise = np.count_nonzero(labels < 0)
print(f"{took[0]:.2f} s of processor, {took[1]:.2f} s, {memory:.1f} GiB, {labels.max() + 1} clusters, {noise} noise rows")
