#!/usr/bin/env python3
"""Ten queries of an analyst's day, asked of our server and of DuckDB over the same Parquet files.

usage: benches/sql.py --python PYTHON [--scale tenth|full] [--layout ingested|compacted] [--only NAME,…] [--runs N]
                      [--data DIR] [--binary FILE] [--json FILE] [--plans DIR]

PYTHON is one with the peers in it: python3 -m venv target/peers && target/peers/bin/pip install -r
benches/peers/requirements.txt. The flights and the data of peers.py are ingested by each new binary, once. Then both are asked in
turns, each in a process that goes on, on two threads: ours by Flight SQL of `hitherto serve`, DuckDB over those files that the logs
of our tables list. From the question until all rows are an Arrow table; one warm-up, then N runs (5), medians. The answers are
compared. At the end one query is asked of new processes. With --plans, both say what they did, and how long it took them.
Needs Python's standard library only, and Linux. Ends with 1 where a bar is missed or an answer differs.

Estimate: decoding is most of it, at some 100 M values a second and thread in both; the plan, the log and the socket add some
5 ms to each of ours, which is as much as the smallest of DuckDB's take. So about 1.2 x, and 2 x for the smallest.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import urllib.parse

import measure
from peers.cases import Bar
from peers.layout import VIEWS, Bench, run
from peers.layout import here as peers
from python_client import served
from sql.queries import QUERIES

here = pathlib.Path(__file__).resolve().parent / "sql"
flights = measure.root / "data" / "flights"
FLIGHTS = ["aircraft_last_leg", "origin_hour", "carrier_day", "weather"]
PACKAGES = ["duckdb", "pyarrow"]
# what is asked of new processes
COLD = "busiest_users"


def main():
    arguments = parse()
    # for this process and all that it starts
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    folder = (arguments.data or measure.target_folder() / "bench-data").resolve()
    binary = (arguments.binary or measure.build()).resolve()
    bench = Bench(binary, arguments.python, folder, arguments.scale, arguments.runs)
    versions = measure.versions(binary, arguments.python, PACKAGES)
    report = {"machine": measure.machine(), "versions": versions, "scale": arguments.scale, "layout": arguments.layout}
    report |= {"runs": arguments.runs}
    measure.show_machine(report)
    try:
        store = ingested(bench)
        if arguments.layout == "compacted":
            store = bench.compacted(store)
        bars = measured(bench, store, arguments, report)
    except measure.Failed as failure:
        sys.exit(str(failure))
    finally:
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if all(bar.met for bar in bars) else 1)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=measure.interpreter, required=True, help="a Python that has the peers")
    parser.add_argument("--scale", choices=["tenth", "full"], default="full")
    parser.add_argument("--layout", choices=["ingested", "compacted"], default="ingested", help="of our files")
    parser.add_argument("--only", type=names, default=list(QUERIES), help="queries, with commas between them")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=pathlib.Path, help="where data and stores go [default: bench-data in cargo's target]")
    parser.add_argument("--binary", type=pathlib.Path, help="the release binary [default: built with cargo]")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    parser.add_argument("--plans", type=pathlib.Path, help="write what EXPLAIN ANALYZE says of each query into this folder")
    return parser.parse_args()


def names(text):
    unknown = [name for name in text.split(",") if name not in QUERIES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no query is called {', '.join(unknown)}")
    return text.split(",")


def ingested(bench):
    """One store with all views in it."""
    definitions = bench.folder / "sql-definitions.yaml"
    both = [flights / "definitions.yaml", peers / "definitions.yaml"]
    definitions.write_text("---\n".join(path.read_text() for path in both))
    data = bench.sized()
    files = {view: [data / f"{view}.parquet"] for view in VIEWS} | {view: [flights / f"{view}.parquet"] for view in FLIGHTS}
    return bench.store(f"{bench.scale}-sql", files, definitions)


def live_files(store):
    """The files of each view, as the log of its table lists them."""
    files = {}
    for log in sorted(store.folder.glob("**/_delta_log")):
        if list(log.glob("*.checkpoint*.parquet")):
            raise measure.Failed(f"{log} has a checkpoint: remove {store.folder}, so that it is made again")
        live = {}
        for entry in sorted(log.glob("*.json")):
            for action in map(json.loads, entry.read_text().splitlines()):
                if "add" in action:
                    live[action["add"]["path"]] = True
                elif "remove" in action:
                    live.pop(action["remove"]["path"], None)
        view = log.parent.parent.name
        files[view] = [str(log.parent / urllib.parse.unquote(path)) for path in live]
    return files


def measured(bench, store, arguments, report):
    """Asks everything, and says what came of it: the bars."""
    files = bench.out / "sql-files.json"
    files.write_text(json.dumps(live_files(store), indent=2))
    # nothing is to happen beside the queries
    quiet = {"HITHERTO_ONLINE__FOLLOW": "0s"}
    with contextlib.ExitStack() as started:
        _, address = started.enter_context(served(store.folder, bench.binary, quiet))
        ours = started.enter_context(Asked(bench, "ours", address))
        duckdb = started.enter_context(Asked(bench, "duckdb", files))
        report["queries"] = {name: in_turns(bench, name, ours, duckdb) for name in arguments.only}
        if arguments.plans:
            plans(arguments, ours, duckdb)
    show(report["queries"])
    report["cold"] = cold(bench, store, files)
    measure.show_jobs(report["cold"], width=42)
    ratios = {name: found["ratio"] for name, found in report["queries"].items()}
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    worst = max(ratios, key=ratios.get)
    bars = [
        Bar("wall, ours / DuckDB, geometric mean", mean, 1.5, at_least=False),
        Bar(f"wall, ours / DuckDB, worst ({worst})", ratios[worst], 3, at_least=False),
    ]
    report["bars"] = [{"what": bar.what, "measured": round(bar.measured, 3), "bar": bar.bar, "met": bar.met} for bar in bars]
    for bar in bars:
        print(f"{bar.what:<52}{bar.measured:>8.2f}  at most {bar.bar:<6g}{'met' if bar.met else 'NOT met'}")
    return bars


class Asked:
    """Someone in a process of its own; ends it."""

    def __init__(self, bench, who, where):
        self.who = who
        self.command = [bench.python, here / "asked.py", who, where]
        self.folder = bench.out

    def __enter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([str(part) for part in self.command], cwd=self.folder, **pipes)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def __call__(self, query, keep=None):
        """Seconds, and how many rows came."""
        self.process.stdin.write(json.dumps({"query": query, "keep": str(keep) if keep else None}) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline() or '{"failed": "it ended"}')
        if "failed" in said:
            raise measure.Failed(f"{self.who}: {said['failed']}\n{query}")
        return said["seconds"], said["rows"]


def in_turns(bench, name, ours, duckdb):
    """Seconds of both, and whether they answer the same: the warm-up's rows are kept and compared."""
    query, kept = QUERIES[name], [bench.out / f"sql-{who}.arrow" for who in ("ours", "duckdb")]
    _, rows = ours(query.ours, kept[0])
    duckdb(query.theirs, kept[1])
    how = "ordered" if query.ordered else "unordered"
    try:
        said = run(bench.script(here / "compare.py", *kept, how), bench.out)
    except measure.Failed as failure:
        raise measure.Failed(f"{name}: the answers differ: {failure}") from None
    found = {"what": query.what, "rows": rows, "compared": said, "ours_s": [], "duckdb_s": []}
    for _ in range(bench.runs):
        found["ours_s"].append(ours(query.ours)[0])
        found["duckdb_s"].append(duckdb(query.theirs)[0])
    found["ratio"] = round(statistics.median(found["ours_s"]) / statistics.median(found["duckdb_s"]), 3)
    return found


def show(queries):
    print(f"{'query':<18}{'rows':>9}{'ours ms':>10}{'min':>9}{'max':>9}{'DuckDB ms':>12}{'min':>9}{'max':>9}{'ratio':>8}")
    for name, found in queries.items():
        cells = []
        for who, width in (("ours_s", 10), ("duckdb_s", 12)):
            seconds = found[who]
            cells.append(f"{statistics.median(seconds) * 1e3:>{width}.1f}{min(seconds) * 1e3:>9.1f}{max(seconds) * 1e3:>9.1f}")
        print(f"{name:<18}{found['rows']:>9,}{''.join(cells)}{found['ratio']:>8.2f}")
    print("the answers are the same")


def plans(arguments, ours, duckdb):
    folder = arguments.plans.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        query = QUERIES[name]
        ours(f"explain analyze {query.ours}", folder / f"{name}.ours.txt")
        duckdb(f"explain analyze {query.theirs}", folder / f"{name}.duckdb.txt")
    print(f"plans are in {folder}")


def cold(bench, store, files):
    """One query of new processes, for the record: no bar is about it."""
    query = QUERIES[COLD]
    jobs = {
        f"hitherto sql, {COLD}": measure.Job([bench.binary, "sql", query.ours, "--output", "json"], store.folder),
        f"python with DuckDB, {COLD}": measure.Job(
            bench.script(here / "asked.py", "duckdb", files, query.theirs), bench.out
        ),
    }
    return measure.take_turns(jobs, bench.runs)


if __name__ == "__main__":
    main()
