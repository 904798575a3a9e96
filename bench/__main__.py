"""`python -m bench [PART…]` measures parts and writes the report; `report` alone writes it from what was measured."""

import sys
from datetime import UTC, datetime

from bench import clustering, embedding, growth, live, machine, report, results, worker
from bench.lines import make_lines
from bench.measure import say
from bench.paths import Places
from bench.server import Server
from bench.sizes import Sizes

PARTS = {
    "embedding": embedding.measure,
    "clustering": clustering.measure,
    "growth": growth.measure,
    "live": live.measure,
    "worker": worker.measure,
}
# They make their tables themselves.
WITHOUT_LINES = {"live"}


def measure(names: list[str], sizes: Sizes) -> dict[str, results.Part]:
    """Measures parts and keeps what each has found as soon as it is there."""
    places = sizes.places
    places.saved.mkdir(parents=True, exist_ok=True)
    parts = results.load(places, sizes)
    server = Server()
    if not WITHOUT_LINES.issuperset(names):
        say(f"  {sizes.lines:,} lines")
        server.table(
            "lines", "id int, message text", enumerate(make_lines(sizes.lines), start=1)
        )
    for name in names:
        say(f"  {name}")
        described = machine.describe(server)
        part = PARTS[name](server, sizes)
        part.machine = described
        part.measured = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        parts[name] = part
        results.save(places, sizes, parts)
    return parts


def main(arguments: list[str]) -> int:
    """The exit code: 1 where both sides have not done the same work."""
    sizes = Sizes.of_environment()
    names = [name for name in arguments if name != "report"]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        say(f"error: no part {unknown[0]}\n       there are: {' '.join(PARTS)} report")
        return 2
    parts = (
        results.load(sizes.places, sizes)
        if arguments == ["report"]
        else measure(names or list(PARTS), sizes)
    )
    parts = {name: parts[name] for name in PARTS if name in parts}
    if not parts:
        say("error: nothing has been measured yet")
        return 1
    places = sizes.places
    if len(parts) < len(PARTS):
        # The documents show all of it or stay as they are.
        places = Places(places.saved, places.saved)
    print(report.write(sizes, places, parts))
    say(f"\nwritten: {places.report}")
    failed = [
        check for part in parts.values() for check in part.checks if not check.holds
    ]
    for check in failed:
        say(f"error: not the same work: {check.what}: {check.found}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
