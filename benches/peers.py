#!/usr/bin/env python3
"""The same training set by others and by us: 1 M spine rows, three views with 22 M rows, 20 features, Parquet to Parquet.

usage: benches/peers.py --python PYTHON [--scale tenth|full] [--only NAME,…] [--runs N] [--data DIR] [--binary FILE]
                        [--json FILE] [--plot DIR]

PYTHON is one with the peers in it: python3 -m venv target/peers && target/peers/bin/pip install -r
benches/peers/requirements.txt. Data are generated, and ingested by each new binary, once; the full data take 1.5 GB, and
their stores as much. Whole processes are timed, start and end included, two threads each: one warm-up, then N runs (5),
jobs in turns, medians. Needs Python's standard library only, and Linux. Ends with 1 where a bar is missed.

Cases: training, feast (on a tenth), ingest, views, few, hot, memory, verify; and by name only growth, wide, datafusion, explain.
"""
import argparse
import json
import os
import pathlib
import sys

import measure
from peers.cases import CASES
from peers.curves import CURVES, plot
from peers.layout import Bench, NotAvailable

PACKAGES = ["polars", "duckdb", "pyarrow", "feast"]


def main():
    arguments = parse()
    two_threads()
    folder = (arguments.data or measure.target_folder() / "bench-data").resolve()
    binary = (arguments.binary or measure.build()).resolve()
    bench = Bench(binary, arguments.python, folder, arguments.scale, arguments.runs)
    report = {
        "machine": measure.machine(),
        "versions": measure.versions(binary, arguments.python, PACKAGES),
        "scale": arguments.scale,
        "runs": arguments.runs,
        "cases": {},
    }
    measure.show_machine(report)
    missed = False
    for name, case in (CASES | CURVES).items():
        if name in arguments.only:
            report["cases"][name], well = measured(name, case, bench, arguments.plot)
            missed |= not well
            if arguments.json:
                arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(1 if missed else 0)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=measure.interpreter, required=True, help="a Python that has the peers")
    parser.add_argument("--scale", choices=["tenth", "full"], default="full")
    parser.add_argument("--only", type=names, default=list(CASES), help="cases, with commas between them")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=pathlib.Path, help="where data and stores go [default: bench-data in cargo's target]")
    parser.add_argument("--binary", type=pathlib.Path, help="the release binary [default: built with cargo]")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    parser.add_argument("--plot", type=pathlib.Path, help="draw what `growth` finds into this folder")
    return parser.parse_args()


def names(text):
    unknown = [name for name in text.split(",") if name not in CASES | CURVES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no case is called {', '.join(unknown)}")
    return text.split(",")


def two_threads():
    """For this process and all that it starts."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    os.environ["POLARS_MAX_THREADS"] = "2"


def measured(name, case, bench, drawings):
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
    if drawings and name == "growth":
        drawings.mkdir(parents=True, exist_ok=True)
        plot(bench, found, drawings.resolve())
    bars = [{"what": bar.what, "measured": round(bar.measured, 3), "bar": bar.bar, "met": bar.met} for bar in found.bars]
    return {"jobs": found.jobs, "bars": bars, "notes": found.notes}, all(bar.met for bar in found.bars)


def show(found):
    if found.jobs:
        measure.show_jobs(found.jobs)
    for bar in found.bars:
        wanted = f"{'at least' if bar.at_least else 'at most'} {bar.bar:g}" + (f", aim {bar.aim:g}" if bar.aim else "")
        print(f"{bar.what:<42}{bar.measured:>8.2f}  {wanted:<20} {'met' if bar.met else 'NOT met'}")
    for note in found.notes:
        print(note)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
