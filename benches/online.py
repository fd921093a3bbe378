#!/usr/bin/env python3
"""Serving online: capacity, latency, memory and freshness on 5 views of 10 integers, beside Redis alone and Feast.

usage: benches/online.py --python PYTHON [--only NAME,…] [--entities N,…] [--runs N] [--seconds N] [--push-seconds N]
                         [--binary FILE] [--load FILE] [--json FILE]

PYTHON is one with the peers in it: python3 -m venv target/peers && target/peers/bin/pip install -r
benches/peers/requirements.txt. Starts a redis-server of its own (with redis-cli and redis-benchmark: apt-get install
redis-server redis-tools), generates data, ingests and materializes them by the release binary, starts its server, and ends
all of it. Server, Redis and client share two cores. What is compared takes turns, medians of N runs (3) of N seconds (10).
Needs Linux. Ends with 1 where a bar is missed.

Cases: capacity, latency, memory, materialize, push (five minutes), transforms, embedded, cost.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import measure
from online.cases import CASES
from online.layout import Bench
from peers.layout import NotAvailable

PACKAGES = ["feast", "pyarrow"]
MILLION = 1_000_000


def main():
    arguments = parse()
    for command in ("redis-server", "redis-cli", "redis-benchmark"):
        if not shutil.which(command):
            sys.exit(f"there is no {command}: apt-get install redis-server redis-tools")
    # for this process and all that it starts
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    binary = (arguments.binary or measure.build()).resolve()
    load = (arguments.load or build_load()).resolve()
    report = {
        "machine": measure.machine(),
        "versions": versions(binary, arguments.python),
        "runs": arguments.runs,
        "seconds": arguments.seconds,
        "entities": arguments.entities,
        "cases": {},
    }
    measure.show_machine(report)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hitherto-online-"))
    bench, missed = Bench(folder, arguments, binary, load), False
    try:
        with bench.started:
            for name in [name for name in CASES if name in arguments.only]:
                report["cases"][name], well = measured(name, CASES[name], bench)
                missed |= not well
                if arguments.json:
                    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    finally:
        shutil.rmtree(folder)
    sys.exit(1 if missed else 0)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=measure.interpreter, required=True, help="a Python that has the peers")
    parser.add_argument("--only", type=names, default=list(CASES), help="cases, with commas between them")
    parser.add_argument("--entities", type=sizes, default=[10_000, MILLION], help="how many, with commas between them")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each run of load")
    parser.add_argument("--push-seconds", type=float, default=300, help="of the pushes")
    parser.add_argument("--binary", type=pathlib.Path, help="the release binary [default: built with cargo]")
    parser.add_argument("--load", type=pathlib.Path, help="the load generator [default: built with cargo]")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    return parser.parse_args()


def names(text):
    unknown = [name for name in text.split(",") if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no case is called {', '.join(unknown)}")
    return text.split(",")


def sizes(text):
    return [int(size) for size in text.split(",")]


def build_load():
    """The load generator, which no build of the product contains."""
    command = ["cargo", "build", "--release", "--quiet", "-p", "hitherto-client", "--features", "load"]
    subprocess.run([*command, "--bin", "hitherto-load"], cwd=measure.root, check=True)
    return measure.target_folder() / "release" / "hitherto-load"


def versions(binary, python):
    ask = "import importlib.metadata as m; print(*{d.name.lower() for d in m.distributions()})"
    there = subprocess.check_output([python, "-c", ask], text=True).split()
    said = measure.versions(binary, python, [name for name in PACKAGES if name in there])
    redis = subprocess.check_output(["redis-server", "--version"], text=True)
    return said | {"redis": redis.split("v=")[1].split()[0]}


def measured(name, case, bench):
    """What is reported of a case, and whether it met its bars."""
    print(f"\n{name}: {case.__doc__.splitlines()[0]}", flush=True)
    try:
        found = case(bench)
    except NotAvailable as missing:
        print(f"not available: {missing}", flush=True)
        return {"not_available": str(missing)}, True
    except measure.Failed as failure:
        print(f"failed: {failure}", flush=True)
        return {"failed": str(failure)}, False
    show(found)
    bars = [{"what": bar.what, "measured": round(bar.measured, 3), "bar": bar.bar, "met": bar.met} for bar in found.bars]
    return {"jobs": found.jobs, "bars": bars, "notes": found.notes, "runs": found.runs}, all(bar.met for bar in found.bars)


# heading, where the figure lies, and with how many decimals it is shown
COLUMNS = [
    ("requests/s", ("answered_per_s",), 0),
    ("p50 us", ("latency_us", "p50"), 0),
    ("p90 us", ("latency_us", "p90"), 0),
    ("p99 us", ("latency_us", "p99"), 0),
    ("p99.9 us", ("latency_us", "p99_9"), 0),
    ("max us", ("latency_us", "max"), 0),
    ("late p99", ("late_us", "p99"), 0),
    ("cpu: server", ("cpu_us_per_request", "server"), 1),
    ("redis", ("cpu_us_per_request", "redis"), 1),
    ("client", ("cpu_us_per_request", "client"), 1),
    ("server us", ("server_us",), 1),
    ("rows/s", ("rows_per_s",), 0),
    ("took s", ("took_s",), 2),
    ("bytes", ("bytes",), 0),
]


def show(found):
    shown = [column for column in COLUMNS if any(figure(job, column[1]) is not None for job in found.jobs.values())]
    width = max(map(len, found.jobs), default=0)
    print("job".ljust(width) + "".join(heading.rjust(13) for heading, _, _ in shown))
    for name, job in found.jobs.items():
        cells = ["" if (value := figure(job, at)) is None else f"{value:,.{decimals}f}" for _, at, decimals in shown]
        print(name.ljust(width) + "".join(cell.rjust(13) for cell in cells))
    for bar in found.bars:
        wanted = f"{'at least' if bar.at_least else 'at most'} {bar.bar:.3g}" + (f", aim {bar.aim:g}" if bar.aim else "")
        print(f"{bar.what:<46}{bar.measured:>10.2f}  {wanted:<22} {'met' if bar.met else 'NOT met'}")
    for note in found.notes:
        print(note)
    sys.stdout.flush()


def figure(job, at):
    for part in at:
        job = job.get(part) if job else None
    return job


if __name__ == "__main__":
    main()
