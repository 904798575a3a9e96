"""How fast are `tfidf_fit` and `log_embed`, over a table and one line at a time?"""

import os
import subprocess

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from bench.lines import make_lines
from bench.measure import OwnRun, interleave, say
from bench.results import Check, Part, Row, Target, ratio
from bench.server import Server
from bench.sizes import Sizes
from bench.vectors import to_matrix

FIT = """SELECT logintel.tfidf_fit(message, '{"ngram_range": [1, 2]}') FROM lines"""
EMBED = "SELECT count(logintel.log_embed((SELECT m FROM model), message)) FROM lines"
# Lines embedded one at a time in one run, and those over the table compared weight by weight.
SINGLE = 5_000
# Lines over a connection compared weight by weight.
COMPARED = 100

ONE_BY_ONE = """
CREATE OR REPLACE FUNCTION embed_one_by_one(messages text[]) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    model logintel.tfidf_model := (SELECT m FROM model);
    message text;
    vec logintel.logvec;
    begun timestamptz;
BEGIN
    FOREACH message IN ARRAY messages[1:1] || messages LOOP
        vec := logintel.log_embed(model, message);
        -- Warm: the first call, which decodes the model, is not counted.
        begun := coalesce(begun, clock_timestamp());
    END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - begun);
END $$"""
OVER_CONNECTION = "SELECT logintel.log_embed(m, %s::text) FROM model"


def measure(server: Server, sizes: Sizes) -> Part:
    """Everything about vectors of lines."""
    part = Part()
    lines = make_lines(sizes.lines)
    file = sizes.places.saved / "lines.txt"
    file.write_text("\n".join(lines) + "\n")
    part.facts.append(f"The lines hold {file.stat().st_size / 1e6:.1f} MB of text.")
    vectorizer = _fit(server, sizes, lines, part)
    _embed(server, sizes, lines, vectorizer, str(file), part)
    file.unlink()
    _one_line(server, sizes, lines[:SINGLE], vectorizer, part)
    return part


def _fit(server: Server, sizes: Sizes, lines: list[str], part: Part) -> TfidfVectorizer:
    say("    tfidf_fit")
    theirs = OwnRun(lambda: TfidfVectorizer(ngram_range=(1, 2)).fit(lines))
    sides = {
        "logintel": lambda: server.seconds(FIT),
        "scikit-learn": theirs,
        "one process": lambda: _in_one_process(server, FIT),
    }
    seconds = interleave(sizes.runs, sides)
    vectorizer = theirs.result
    memory = {"logintel": server.memory(FIT), "scikit-learn": theirs.memory}
    _two_rows(
        part,
        "`tfidf_fit`",
        "`.fit` on a list in memory",
        seconds,
        memory,
        Target(20),
        "fit",
    )
    part.facts.append(f"`tfidf_fit` was run by the leader and {_workers(server, FIT)}.")

    server.table_as("model", FIT.replace(" FROM lines", " AS m FROM lines"))
    terms = server.value(
        "SELECT (logintel.tfidf_summary(m) ->> 'terms')::bigint FROM model"
    )
    size = server.value(
        "SELECT (logintel.tfidf_summary(m) ->> 'bytes')::bigint FROM model"
    )
    expected = len(vectorizer.vocabulary_)
    part.facts.append(
        f"The model has {expected:,} terms and takes {size / 2**20:.0f} MiB."
    )
    part.checks.append(
        Check(
            "terms of the vocabulary", terms == expected, f"{terms:,} and {expected:,}"
        )
    )
    return vectorizer


def _embed(
    server: Server,
    sizes: Sizes,
    lines: list[str],
    vectorizer: TfidfVectorizer,
    file: str,
    part: Part,
) -> None:
    say("    log_embed over a table")
    theirs = OwnRun(lambda: vectorizer.transform(lines))
    words = OwnRun(
        lambda: subprocess.run(
            ["wc", "-w", file],
            env={**os.environ, "LC_ALL": "C"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    )
    sides = {
        "logintel": lambda: server.seconds(EMBED),
        "scikit-learn": theirs,
        "wc": words,
        "one process": lambda: _in_one_process(server, EMBED),
    }
    seconds = interleave(sizes.runs, sides)
    memory = {"logintel": server.memory(EMBED), "scikit-learn": theirs.memory}
    _two_rows(
        part,
        "`log_embed` over the table",
        "`.transform`",
        seconds,
        memory,
        Target(10),
        "embed",
    )
    part.rows.append(
        Row(
            work="`log_embed` over the table, time as a multiple of wc's",
            against="`LC_ALL=C wc -w` on the same bytes",
            value=ratio(seconds, "logintel", "wc"),
            target=Target(4, at_least=False),
            seconds={"logintel": seconds["logintel"], "other": seconds["wc"]},
        )
    )
    part.facts.append(
        f"`log_embed` was run by the leader and {_workers(server, EMBED)}."
    )

    entries = server.value(
        "SELECT sum(logintel.nnz(logintel.log_embed((SELECT m FROM model), message))) FROM lines"
    )
    expected = theirs.result.nnz
    part.checks.append(
        Check(
            "entries of all vectors",
            entries == expected,
            f"{entries:,} and {expected:,}",
        )
    )
    vectors = server.rows(
        "SELECT logintel.log_embed((SELECT m FROM model), message)::text FROM lines WHERE id <= %s ORDER BY id",
        SINGLE,
    )
    part.checks.append(
        _same_vectors("weights over the table", vectors, theirs.result[:SINGLE])
    )


def _one_line(
    server: Server,
    sizes: Sizes,
    lines: list[str],
    vectorizer: TfidfVectorizer,
    part: Part,
) -> None:
    say("    one line at a time")
    server.run(ONE_BY_ONE)
    theirs = OwnRun(lambda: [vectorizer.transform([line]) for line in lines])
    # This also warms up: a connection plans a statement for good at its sixth run.
    checked = _over_connection(server, lines[:COMPARED], binary=False)
    sides = {
        "loop": lambda: server.value("SELECT embed_one_by_one(%s)", lines),
        "socket": OwnRun(lambda: _over_connection(server, lines, binary=True)),
        "scikit-learn": theirs,
    }
    seconds = {
        side: [run / len(lines) for run in runs]
        for side, runs in interleave(sizes.runs, sides).items()
    }
    part.rows += [
        Row(
            work="`log_embed` of one line, warm, in a loop of PL/pgSQL",
            against="`.transform([line])`",
            value=ratio(seconds, "scikit-learn", "loop"),
            target=Target(30),
            seconds=_against_theirs(seconds, "loop"),
            chart="one line",
        ),
        Row(
            work="`log_embed` of one line as a prepared statement over a socket, answer included",
            against="`.transform([line])`",
            value=ratio(seconds, "scikit-learn", "socket"),
            seconds=_against_theirs(seconds, "socket"),
            note="A client in Python (psycopg); the model stands in a table.",
            chart="one line, socket",
        ),
    ]
    expected = vectorizer.transform(lines[:COMPARED])
    part.checks.append(_same_vectors("weights over a connection", checked, expected))


def _over_connection(server: Server, lines: list[str], *, binary: bool) -> list[tuple]:
    """Each line's vector as a row, by a statement of its own."""
    return [
        server.connection.execute(
            OVER_CONNECTION, (line,), prepare=True, binary=binary
        ).fetchone()
        for line in lines
    ]


def _against_theirs(seconds: dict, side: str) -> dict:
    return {"logintel": seconds[side], "scikit-learn": seconds["scikit-learn"]}


def _two_rows(
    part: Part,
    work: str,
    against: str,
    seconds: dict,
    memory: dict,
    target: Target,
    chart: str,
) -> None:
    """The row with a target, by PostgreSQL's own choice of workers, and beside it the one without workers."""
    theirs = seconds["scikit-learn"]
    by_plan = {"logintel": seconds["logintel"], "scikit-learn": theirs}
    alone = {"logintel": seconds["one process"], "scikit-learn": theirs}
    part.rows += [
        Row(
            work=work,
            against=against,
            value=ratio(by_plan, "scikit-learn", "logintel"),
            target=target,
            seconds=by_plan,
            memory=memory,
            chart=chart,
        ),
        Row(
            work=f"{work}, without parallel workers",
            against=against,
            value=ratio(alone, "scikit-learn", "logintel"),
            seconds=alone,
            chart=f"{chart}, one process",
        ),
    ]


def _in_one_process(server: Server, query: str) -> float:
    server.run("SET max_parallel_workers_per_gather = 0")
    seconds = server.seconds(query)
    server.run("RESET max_parallel_workers_per_gather")
    return seconds


def _workers(server: Server, query: str) -> str:
    plan = server.explain(query)
    return f"{plan.workers} parallel worker(s), {'with' if plan.jit else 'without'} JIT"


def _same_vectors(what: str, vectors: list[tuple[str]], expected) -> Check:
    """float4 keeps 24 bits of a weight."""
    ours = to_matrix([text for (text,) in vectors])
    ours.sort_indices()
    expected.sort_indices()
    if ours.shape != expected.shape or not np.array_equal(ours.indptr, expected.indptr):
        return Check(
            what,
            False,
            f"shapes {ours.shape} and {expected.shape}, {ours.nnz} and {expected.nnz} entries",
        )
    if not np.array_equal(ours.indices, expected.indices):
        return Check(what, False, "other terms")
    error = float(np.max(np.abs(ours.data / expected.data - 1)))
    return Check(
        what,
        error <= 1e-6,
        f"{len(vectors):,} lines, largest relative difference {error:.1e}",
    )
