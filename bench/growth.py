"""How does the time grow with what there is to do?"""

from collections.abc import Callable
from statistics import median

import numpy as np

from bench import clustering, vectors
from bench.measure import interleave, say
from bench.results import Curve, Part, Row, Target
from bench.server import Server
from bench.sizes import Sizes

# 1 is linear; what small sizes spend on beginning and the noise of the machine are allowed for.
LINEAR = Target(1.1, at_least=False)


def measure(server: Server, sizes: Sizes) -> Part:
    """Times at sizes that double."""
    part = Part()
    lines = [sizes.lines // 4, sizes.lines // 2, sizes.lines]
    _vectors_of_lines(server, sizes, lines, part)
    vectors.make_distinct(server, sizes.distinct * 2)
    _clusters_by_rows(server, sizes, lines, part)
    _clusters_by_distinct(server, sizes, part)
    return part


def _vectors_of_lines(
    server: Server, sizes: Sizes, counts: list[int], part: Part
) -> None:
    def fit(count: int) -> str:
        return f"""SELECT logintel.tfidf_fit(message, '{{"ngram_range": [1, 2]}}') AS m FROM lines_{count}"""

    def embed(count: int) -> str:
        return f"SELECT count(logintel.log_embed((SELECT m FROM model_{count}), message)) FROM lines_{count}"

    for count in counts:
        server.table_as(
            f"lines_{count}",
            f"SELECT id, message FROM lines WHERE id <= {count} ORDER BY id",
        )
        server.table_as(f"model_{count}", fit(count))
    _curve(
        server,
        sizes,
        part,
        "tfidf_fit",
        "lines",
        {count: fit(count) for count in counts},
        LINEAR,
    )
    _curve(
        server,
        sizes,
        part,
        "log_embed",
        "lines",
        {count: embed(count) for count in counts},
        LINEAR,
    )
    for count in counts:
        server.run(f"DROP TABLE lines_{count}, model_{count}")


def _clusters_by_rows(
    server: Server, sizes: Sizes, counts: list[int], part: Part
) -> None:
    queries = {}
    for count in counts:
        table, _ = vectors.make_repeated(server, count, sizes.distinct)
        queries[count] = clustering.dbscan(table)
    _curve(
        server,
        sizes,
        part,
        "dbscan_cluster",
        "rows",
        queries,
        LINEAR,
        f" with {sizes.distinct:,} distinct vectors",
    )


def _clusters_by_distinct(server: Server, sizes: Sizes, part: Part) -> None:
    counts = [
        sizes.distinct // 4,
        sizes.distinct // 2,
        sizes.distinct,
        sizes.distinct * 2,
    ]
    tables = {count: vectors.make_once(server, count) for count in counts}
    kinds: dict[str, Callable[[str], str]] = {
        "dbscan_cluster": clustering.dbscan,
        "hdbscan_cluster": clustering.hdbscan,
    }
    for name, query in kinds.items():
        queries = {count: query(table) for count, table in tables.items()}
        _curve(server, sizes, part, name, "distinct vectors", queries, None)


def _curve(
    server: Server,
    sizes: Sizes,
    part: Part,
    name: str,
    axis: str,
    queries: dict[int, str],
    target: Target | None,
    remark: str = "",
) -> None:
    say(f"    {name} by {axis}")
    sides = {
        str(size): lambda query=query: server.seconds(query)
        for size, query in queries.items()
    }
    seconds = interleave(sizes.runs, sides)
    medians = [median(seconds[str(size)]) for size in queries]
    power = float(np.polyfit(np.log(list(queries)), np.log(medians), 1)[0])
    part.curves.append(Curve(name, axis, seconds, power))
    part.rows.append(
        Row(
            work=f"`{name}` by {axis}{remark}",
            against="1 is linear",
            value=power,
            unit="",
            target=target,
            note=", ".join(
                f"{size:,}: {time:.3g} s"
                for size, time in zip(queries, medians, strict=True)
            ),
        )
    )
