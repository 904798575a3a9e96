"""What scikit-learn's DBSCAN makes of some vectors: `dbscan.py OUT [small]`.

`small` writes the cases that are kept in crates/logintel-core/tests/fixtures.
"""

import sys

import numpy as np
from scipy.sparse import csr_matrix, vstack
from sklearn.cluster import DBSCAN

import logs

# Where a distance is so near to eps, the last bits of two ways to compute it decide.
TIE = 1e-9


def case(name, matrix, eps, min_points, weights=None):
    distances = logs.distances(matrix)
    while np.min(np.abs(distances - eps)) < TIE:
        eps += 7.3e-9
    options = {"eps": eps, "min_samples": min_points}
    # On all pairs, because NearestNeighbors finds a zero vector at distance 1 from itself.
    fit = DBSCAN(metric="precomputed", **options).fit(distances, sample_weight=weights)
    if matrix.getnnz(axis=1).min() > 0:
        direct = DBSCAN(metric="cosine", algorithm="brute", **options).fit(matrix, sample_weight=weights)
        assert np.array_equal(direct.labels_, fit.labels_), name
        assert np.array_equal(direct.core_sample_indices_, fit.core_sample_indices_), name
    core = np.zeros(matrix.shape[0], dtype=bool)
    core[fit.core_sample_indices_] = True
    return {
        "name": name,
        "weights": None if weights is None else weights.tolist(),
        "eps": eps,
        "min_points": min_points,
        "labels": fit.labels_.tolist(),
        "core": core.tolist(),
    }


def data_sets(sizes):
    for seed, (rows, variety) in enumerate(sizes):
        rng = np.random.default_rng(seed)
        for options in ({}, {"ngram_range": (1, 2), "min_df": 3}):
            name = f"logs {rows} {variety} {options}"
            matrix = logs.vectors(rng, rows, variety, **options)
            weights = rng.integers(1, 9, size=rows)
            yield logs.data_set(
                matrix,
                [case(name, matrix, eps, least) for eps in (0.1, 0.3, 0.5, 0.7) for least in (2, 10)]
                + [case(name, matrix, 0.4, 12, weights)],
            )
        zeros = csr_matrix((3, matrix.shape[1]))
        matrix = csr_matrix(vstack([matrix[:40], zeros, matrix[40:80], zeros]))
        yield logs.data_set(matrix, [case(f"zero vectors {rows}", matrix, eps, 4) for eps in (0.6, 1.2)])
        matrix = logs.scattered(rng, rows, 12, 0.7)
        cases = [case(f"scattered {rows}", matrix, eps, 5) for eps in (0.05, 0.3, 1.1, 1.7)]
        yield logs.data_set(matrix, cases)


def systems():
    for name, matrix in logs.systems():
        yield logs.data_set(matrix, [case(name, matrix, eps, least) for eps in (0.1, 0.3, 0.5, 0.7) for least in (2, 10)])


logs.write(list(data_sets([(90, 12)] if "small" in sys.argv else [(90, 12), (400, 8), (700, 40), (1500, 400)])) + list(systems()))
