"""How fast are `dbscan_cluster` and `hdbscan_cluster`, and how much memory do they take?"""

import warnings
from collections.abc import Callable

import numpy as np
from hdbscan import HDBSCAN as HdbscanPackage
from numpy._core._multiarray_umath import __cpu_features__
from scipy.sparse import csr_matrix
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors, sort_graph_by_row_values

from bench import vectors
from bench.measure import OwnRun, Seconds, interleave, say
from bench.results import Check, Part, Row, Target, ratio
from bench.server import Server
from bench.sizes import Sizes

# The first eps is a detector's default.
EPS = (0.5, 0.3)
MIN_POINTS = 5
MIN_CLUSTER_SIZE = 5
# Where scikit-learn's labels depend on the order of rows, because edges of the spanning tree are equally long.
SAME_ENOUGH = 0.98
GIB = 2**30
TWO_THREADS = ", two threads"


def dbscan(table: str, eps: float = EPS[0]) -> str:
    """A query that clusters a table (id, vec)."""
    return _counting(f"logintel.dbscan_cluster(vec, {eps}, {MIN_POINTS})", table)


def hdbscan(table: str) -> str:
    """A query that clusters a table (id, vec)."""
    return _counting(f"logintel.hdbscan_cluster(vec, {MIN_CLUSTER_SIZE})", table)


def _counting(call: str, table: str) -> str:
    return f"SELECT count(cluster) FROM (SELECT {call} OVER (ORDER BY id) AS cluster FROM {table}) AS labelled"


def measure(server: Server, sizes: Sizes) -> Part:
    """Everything about clusters."""
    part = Part()
    vectors.make_distinct(server, sizes.more_distinct)
    table, matrix = (
        vectors.make_once(server, sizes.distinct),
        vectors.matrix(server, sizes.distinct),
    )
    part.facts.append(
        f"A vector to be clustered has {matrix.nnz / matrix.shape[0]:.1f} entries on average."
    )
    for eps in EPS:
        _dbscan(server, sizes, table, matrix, eps, part)
    _hdbscan(server, sizes, table, matrix, part)
    _many_rows(server, sizes, part)
    return part


def _in_threads(server: Server, query: str) -> dict[str, Callable[[], float]]:
    """Ways to time a query: with one thread, which is the default, and with two."""

    def timed(threads: int) -> float:
        server.run(f"SET logintel.max_parallel_threads = {threads}")
        seconds = server.seconds(query)
        server.run("RESET logintel.max_parallel_threads")
        return seconds

    return {"logintel": lambda: timed(1), "two threads": lambda: timed(2)}


def _labels(server: Server, query: str, table: str) -> np.ndarray:
    """The label of each row, -1 for noise as scikit-learn says it."""
    call = query[query.index("logintel.") : query.index(" OVER ")]
    rows = server.rows(
        f"SELECT coalesce({call} OVER (ORDER BY id), -1) FROM {table} ORDER BY id"
    )
    return np.array([label for (label,) in rows])


def _same_clusters(
    what: str, ours: np.ndarray, theirs: np.ndarray, least: float
) -> Check:
    agreement = adjusted_rand_score(ours, theirs)
    noise = [int(np.count_nonzero(labels < 0)) for labels in (ours, theirs)]
    found = f"adjusted Rand index {agreement:.6g}; {ours.max() + 1:,} and {theirs.max() + 1:,} clusters, noise {noise[0]:,} and {noise[1]:,} rows"
    # 1.0 may be missed by rounding alone.
    holds = agreement >= least - 1e-12 and (least < 1 or noise[0] == noise[1])
    return Check(what, bool(holds), found)


def _dbscan(
    server: Server, sizes: Sizes, table: str, matrix: csr_matrix, eps: float, part: Part
) -> None:
    say(f"    dbscan_cluster, eps {eps}")
    query = dbscan(table, eps)
    theirs = OwnRun(
        lambda: DBSCAN(
            eps=eps, min_samples=MIN_POINTS, metric="cosine", algorithm="brute"
        ).fit_predict(matrix)
    )
    seconds = interleave(
        sizes.runs, _in_threads(server, query) | {"scikit-learn": theirs}
    )
    what = f"`dbscan_cluster`, {sizes.distinct:,} distinct vectors, eps {eps}"
    part.rows += [
        Row(
            work=f"{what}{remark}",
            against="`DBSCAN(metric='cosine', algorithm='brute')`, same eps and min_samples",
            value=ratio(seconds, "scikit-learn", side),
            target=Target(50),
            seconds={"logintel": seconds[side], "scikit-learn": seconds["scikit-learn"]},
            memory=memory,
            chart=f"DBSCAN, eps {eps}{remark}",
        )
        for side, remark, memory in (
            (
                "logintel",
                "",
                {"logintel": server.memory(query), "scikit-learn": theirs.memory},
            ),
            ("two threads", TWO_THREADS, {}),
        )
    ]
    part.checks.append(
        _same_clusters(what, _labels(server, query, table), theirs.result, 1.0)
    )


def _hdbscan(
    server: Server, sizes: Sizes, table: str, matrix: csr_matrix, part: Part
) -> None:
    say("    hdbscan_cluster")
    query = hdbscan(table)
    theirs = OwnRun(
        lambda: HDBSCAN(
            min_cluster_size=MIN_CLUSTER_SIZE,
            min_samples=MIN_CLUSTER_SIZE,
            metric="cosine",
        ).fit_predict(matrix)
    )
    package = OwnRun(lambda: _hdbscan_package(matrix))
    sides = _in_threads(server, query) | {"scikit-learn": theirs, "hdbscan": package}
    seconds = interleave(sizes.runs, sides)
    what = f"`hdbscan_cluster`, {sizes.distinct:,} distinct vectors"
    memory = {"logintel": server.memory(query), "scikit-learn": theirs.memory}
    part.rows += [
        Row(
            work=what,
            against="`HDBSCAN(metric='cosine')`, same min_cluster_size and min_samples",
            value=ratio(seconds, "scikit-learn", "logintel"),
            target=Target(10),
            seconds=_only(seconds, "scikit-learn"),
            memory=memory,
            chart="HDBSCAN*",
        ),
        Row(
            work=f"{what}{TWO_THREADS}",
            against="`HDBSCAN(metric='cosine')`, same min_cluster_size and min_samples",
            value=ratio(seconds, "scikit-learn", "two threads"),
            target=Target(10),
            seconds={
                "logintel": seconds["two threads"],
                "scikit-learn": seconds["scikit-learn"],
            },
            chart=f"HDBSCAN*{TWO_THREADS}",
        ),
        Row(
            work=what,
            against="package hdbscan, `HDBSCAN(metric='cosine', algorithm='generic')`",
            value=ratio(seconds, "hdbscan", "logintel"),
            seconds=_only(seconds, "hdbscan", "other"),
            memory={"logintel": memory["logintel"], "other": package.memory},
            note="This package does not count the row itself among its min_samples: it was given one less.",
            chart="HDBSCAN*, hdbscan",
        ),
    ]
    ours = _labels(server, query, table)
    for name, labels in (("scikit-learn", theirs.result), ("hdbscan", package.result)):
        check = _same_clusters(f"{what}, {name}", ours, labels, SAME_ENOUGH)
        if _orders_ties_alike():
            part.checks.append(check)
        else:
            part.facts.append(
                f"{check.what}: not comparable on this processor, which has no AVX-512, so that equally long edges"
                f" are sorted otherwise: {check.found}."
            )


def _orders_ties_alike() -> bool:
    """Whether NumPy sorts equal keys here as `hdbscan_cluster` does: as with AVX-512."""
    return bool(__cpu_features__.get("AVX512_SKX"))


def _hdbscan_package(matrix: csr_matrix) -> np.ndarray:
    with warnings.catch_warnings():
        # Of names in scikit-learn that are to change.
        warnings.simplefilter("ignore", FutureWarning)
        return HdbscanPackage(
            min_cluster_size=MIN_CLUSTER_SIZE,
            min_samples=MIN_CLUSTER_SIZE - 1,
            metric="cosine",
            algorithm="generic",
        ).fit_predict(matrix)


def _only(seconds: Seconds, side: str, name: str | None = None) -> Seconds:
    return {"logintel": seconds["logintel"], name or side: seconds[side]}


def _many_rows(server: Server, sizes: Sizes, part: Part) -> None:
    say(f"    dbscan_cluster, {sizes.lines:,} rows")
    table, weights = vectors.make_repeated(server, sizes.lines, sizes.more_distinct)
    query = dbscan(table)
    seconds = interleave(sizes.runs, {"logintel": lambda: server.seconds(query)})
    memory = server.memory(query)
    labels, neighbours = _weighted(vectors.matrix(server, sizes.more_distinct), weights)
    what = f"`dbscan_cluster`, {sizes.lines:,} rows with {sizes.more_distinct:,} distinct vectors, eps {EPS[0]}: memory"
    part.rows.append(
        Row(
            work=what,
            against=f"scikit-learn's lists of neighbours alone would take {neighbours * 8 / GIB:,.0f} GiB",
            value=memory / GIB,
            unit="GiB",
            target=Target(1, at_least=False),
            seconds=seconds,
            memory={"logintel": memory},
        )
    )
    size = server.value(f"SELECT pg_table_size('{table}')")
    part.facts.append(
        f"The table of {sizes.lines:,} vectors takes {size / GIB:.2f} GiB."
    )
    ours = dict(
        server.rows(
            f"""SELECT DISTINCT ON (rank) rank, coalesce(cluster, -1) FROM picked JOIN (
                    SELECT id, logintel.dbscan_cluster(vec, {EPS[0]}, {MIN_POINTS}) OVER (ORDER BY id) AS cluster
                    FROM {table}) AS labelled USING (id) ORDER BY rank"""
        )
    )
    ours = np.array([ours[rank] for rank in range(1, sizes.more_distinct + 1)])
    part.checks.append(
        _same_clusters(
            f"{what.removesuffix(': memory')}, distinct vectors by weight",
            ours,
            labels,
            1.0,
        )
    )


def _weighted(matrix: csr_matrix, weights: np.ndarray) -> tuple[np.ndarray, int]:
    """What scikit-learn makes of distinct vectors with weights, and how many neighbours all their rows have."""
    near = NearestNeighbors(radius=EPS[0], metric="cosine", algorithm="brute").fit(
        matrix
    )
    graph = near.radius_neighbors_graph(matrix, mode="distance")
    sort_graph_by_row_values(graph, copy=False, warn_when_not_sorted=False)
    labels = DBSCAN(
        eps=EPS[0], min_samples=MIN_POINTS, metric="precomputed"
    ).fit_predict(graph, sample_weight=weights)
    graph.data[:] = 1
    return labels, int(weights @ (graph @ weights))
