"""Prints matrices and what scikit-learn's StandardScaler(with_mean=False) makes of them, for src/scale.rs.

    python standard_scaler.py > ../data/standard_scaler.txt
"""
import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import StandardScaler


def number(x):
    """A float4 as PostgreSQL prints it: shortest digits, fixed notation from 1e-4 to 1e6."""
    scientific = np.format_float_scientific(np.float32(x), unique=True, trim="-", exp_digits=2)
    exponent = int(scientific.split("e")[1])
    if -4 <= exponent < 6:
        return np.format_float_positional(np.float32(x), unique=True, trim="-")
    return scientific


def literal(row):
    cells = [f"{j + 1}:{number(v)}" for j, v in enumerate(row) if np.float32(v) != 0]
    return "{" + ",".join(cells) + "}/" + str(len(row))


def case(name, dense):
    dense = np.asarray(dense, dtype=np.float32).astype(np.float64)
    scaled = StandardScaler(with_mean=False).fit_transform(sp.csr_matrix(dense)).toarray()
    print("case", name)
    for row in dense:
        print("in", literal(row))
    for row in scaled:
        print("out", literal(row))


random = np.random.default_rng(20240229)
sparse = random.random((40, 12)) * (random.random((40, 12)) < 0.3)
case("random", sparse)
case("one row", [[1, 0, 2.5]])
case("constant columns", [[0.1, 5, 0], [0.1, 5, 0], [0.1, 5, 0.3]])
# 0.1 summed many times leaves a variance of rounding errors only, which is no spread.
case("near constant", [[0.1, 1e-20, 3e38 if i % 2 else 1e-38] for i in range(25)])
case("wide range", [[1e30, 1e-30, 1], [2e30, 3e-30, 1.0000001], [0, 0, 1]])
case("all zero row", [[0, 0], [1, -1], [2, 4]])
case("unit rows", sparse / np.maximum(np.linalg.norm(sparse, axis=1, keepdims=True), 1e-9))
