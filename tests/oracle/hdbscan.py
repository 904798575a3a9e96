"""What scikit-learn's HDBSCAN makes of some vectors: `hdbscan.py OUT [small]`.

`small` writes the cases that are kept in crates/logintel-core/tests/fixtures.

Where edges of the spanning tree have the same weight, scikit-learn's labels depend on the order of rows. So each
case says how well it agrees with itself: the least adjusted Rand index between its labels and those that it gives to
permutations of the same rows. They depend on NumPy's sort too, which is another on processors without AVX-512, so each
case says which one it was.
"""

import sys

import numpy as np
from scipy.sparse import csr_matrix, vstack
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

import logs

PERMUTATIONS = 4
FEATURES = np._core._multiarray_umath.__cpu_features__
# As NumPy calls the processors for which its argsort has AVX-512, from 2.4 on and before.
SORTS_ALIKE = np.__version__ >= "2" and bool(FEATURES.get("X86_V4", FEATURES.get("AVX512_SKX")))


def case(name, matrix, min_cluster_size, min_samples, is_made_up=True):
    rng = np.random.default_rng(1)
    count = matrix.shape[0]
    options = {"min_cluster_size": min_cluster_size, "min_samples": min_samples, "metric": "cosine"}
    fit = HDBSCAN(**options).fit(matrix)
    agreement = 1.0
    for _ in range(PERMUTATIONS):
        order = rng.permutation(count)
        labels = np.empty(count, dtype=int)
        labels[order] = HDBSCAN(**options).fit(matrix[order]).labels_
        agreement = min(agreement, adjusted_rand_score(fit.labels_, labels))
    return {
        "name": name,
        "min_cluster_size": min_cluster_size,
        "min_samples": min_samples,
        "weights": np.sort(fit._single_linkage_tree_["value"]).tolist(),
        "labels": fit.labels_.tolist(),
        "agreement": agreement,
        "is_made_up": is_made_up,
        "sorts_alike": SORTS_ALIKE,
    }


def blobs(rng, rows, dim):
    """Vectors around a few centres far apart, and some anywhere."""
    centres = rng.normal(size=(5, dim)) * 4
    dense = centres[rng.integers(5, size=rows)] + rng.normal(scale=rng.uniform(0.3, 1.5, size=(rows, 1)), size=(rows, dim))
    lost = rng.random(rows) < 0.1
    dense[lost] = rng.normal(size=(lost.sum(), dim)) * 3
    return csr_matrix(dense.astype(np.float32).astype(np.float64))


def data_sets(sizes):
    parameters = ((5, 5), (12, 4), (8, 1), (25, 10))
    for seed, (rows, variety) in enumerate(sizes):
        rng = np.random.default_rng(seed)
        for kind, matrix in (
            ("scattered", logs.scattered(rng, rows, 12, 0.7)),
            ("blobs", blobs(rng, rows, 9)),
            ("logs", logs.vectors(rng, rows, variety)),
            ("pairs of words", logs.vectors(rng, rows, variety, ngram_range=(1, 2), min_df=3)),
        ):
            cases = [case(f"{kind} {rows} {variety}", matrix, *each) for each in parameters]
            yield logs.data_set(matrix, cases)
        matrix = csr_matrix(vstack([matrix[: rows // 2], csr_matrix((7, matrix.shape[1])), matrix[rows // 2 :]]))
        yield logs.data_set(matrix, [case(f"zero vectors {rows}", matrix, 5, least) for least in (1, 4)])


def systems():
    for name, matrix in logs.systems():
        parameters = ((5, 5), (10, 10), (20, 5))
        yield logs.data_set(matrix, [case(name, matrix, *each, is_made_up=False) for each in parameters])


logs.write(list(data_sets([(120, 14)] if "small" in sys.argv else [(120, 14), (400, 8), (900, 60), (1500, 900)])) + list(systems()))
