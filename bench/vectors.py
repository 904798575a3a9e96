"""Vectors to be clustered, the same on both sides."""

import numpy as np
from scipy.sparse import csr_matrix

from bench.lines import SEED
from bench.server import Server

# Lines that are looked through for each distinct vector wanted.
PER_VECTOR = 4


def make_distinct(server: Server, count: int) -> None:
    """The table `distinct_vectors` (rank, vec): the first `count` distinct vectors of the lines, zero left out,
    because scikit-learn does not count a zero vector as its own neighbour."""
    server.table_as(
        "vector_model",
        "SELECT logintel.tfidf_fit(message) AS m FROM lines",
    )
    server.table_as(
        "distinct_vectors",
        f"""SELECT row_number() OVER (ORDER BY first)::int AS rank, vec
            FROM (SELECT vec, min(id) AS first
                  FROM (SELECT id, logintel.log_embed((SELECT m FROM vector_model), message) AS vec
                        FROM lines WHERE id <= {count * PER_VECTOR}) AS embedded
                  GROUP BY vec HAVING logintel.nnz(vec) > 0) AS found
            ORDER BY first LIMIT {count}""",
    )
    found = server.value("SELECT count(*) FROM distinct_vectors")
    if found < count:
        raise SystemExit(
            f"error: {found} distinct vectors in the lines, not {count}: more BENCH_LINES are needed"
        )


def make_once(server: Server, distinct: int) -> str:
    """A table (id, vec) with a row for each of the first distinct vectors; its name."""
    name = f"once_{distinct}"
    server.table_as(
        name,
        f"SELECT rank AS id, vec FROM distinct_vectors WHERE rank <= {distinct} ORDER BY rank",
    )
    return name


def make_repeated(server: Server, rows: int, distinct: int) -> tuple[str, np.ndarray]:
    """A table (id, vec) in which the distinct vectors repeat as log lines do, by Zipf's law: each of them once, the
    other rows drawn so that the r-th is drawn 1/r times as often as the first. Its name, and how often each occurs."""
    rng = np.random.default_rng(SEED)
    weights = 1 / np.arange(1, distinct + 1)
    drawn = rng.choice(distinct, size=rows - distinct, p=weights / weights.sum())
    ranks = rng.permutation(np.concatenate([np.arange(distinct), drawn]))
    server.table("picked", "id int, rank int", enumerate((ranks + 1).tolist(), start=1))
    name = f"rows_{rows}_{distinct}"
    server.table_as(
        name,
        "SELECT id, vec FROM picked JOIN distinct_vectors USING (rank) ORDER BY id",
    )
    return name, np.bincount(ranks, minlength=distinct)


def matrix(server: Server, distinct: int) -> csr_matrix:
    """The first distinct vectors, float4 as they are stored, widened to the float64 that scikit-learn computes with."""
    texts = server.rows(
        "SELECT vec::text FROM distinct_vectors WHERE rank <= %s ORDER BY rank",
        distinct,
    )
    return to_matrix([text for (text,) in texts])


def to_matrix(texts: list[str]) -> csr_matrix:
    """Vectors of their text form, `{index:value,…}/dimensions`, counted from 1."""
    starts, indices, values, dimensions = [0], [], [], 0
    for text in texts:
        entries, _, size = text[1:].partition("}/")
        for entry in filter(None, entries.split(",")):
            index, _, value = entry.partition(":")
            indices.append(int(index) - 1)
            values.append(value)
        starts.append(len(indices))
        dimensions = int(size)
    data = np.array(values, dtype=np.float32).astype(np.float64)
    return csr_matrix((data, indices, starts), shape=(len(texts), dimensions))
