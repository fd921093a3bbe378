#!/usr/bin/env python3
"""How long does a training set take? The flights: 336,776 spine rows, four feature views with 380,000 rows.

usage: benches/flights.py [--runs N] [--binary FILE] [--peer PYTHON] [--json FILE] [--limit SECONDS]

Runs the release binary as a user does, whole processes, start and end included: one warm-up, then N runs (5), and takes
the median of wall time and the peak of resident memory. With --peer, a Python that has duckdb does the same join (mode
`event`, since an ASOF JOIN has one time axis) in turns with ours, and the two results are compared row by row.
Needs Python's standard library only, and Linux or macOS. Fails where the median in mode `knowledge` is over the limit.

Estimate: 720,000 rows of narrow columns decoded at some 50 M values a second, 336,776 slots probed at some 100 ns each,
14 columns of output compressed at some 100 MB/s: 0.1 + 0.1 + 0.3 s on one core, so well under a second on two.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import measure

data = measure.root / "data" / "flights"
peer_script = measure.root / "benches" / "flights_duckdb.py"
views = ["aircraft_last_leg", "origin_hour", "carrier_day", "weather"]


def main():
    arguments = parse()
    binary = (arguments.binary or measure.build()).resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hitherto-bench-"))
    try:
        jobs = lay_out(folder, binary, arguments.peer)
        results = measure.take_turns(jobs, arguments.runs)
        if arguments.peer:
            agree(folder, arguments.peer)
    except measure.Failed as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(folder)
    versions = measure.versions(binary, arguments.peer, ["duckdb"])
    report = {"machine": measure.machine(), "versions": versions, "runs": arguments.runs, "jobs": results}
    measure.show_machine(report)
    measure.show_jobs(results)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
    wall = results["training-set, mode knowledge"]["wall_s_median"]
    if wall >= arguments.limit:
        sys.exit(f"the training set took {wall:.2f} s; the limit is {arguments.limit:.2f} s")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--binary", type=pathlib.Path, help="the release binary [default: built with cargo]")
    parser.add_argument("--peer", help="a Python that has duckdb, such as that of target/test-python-*/bin/python")
    parser.add_argument("--json", help="write the figures to this file too")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds that a training set may take")
    return parser.parse_args()


def lay_out(folder, binary, peer):
    """History, ingested; and the jobs to be timed."""
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([binary, "apply", "-f", data / "definitions.yaml"], **quiet)
    for view in views:
        subprocess.run([binary, "ingest", view, data / f"{view}.parquet"], **quiet)
    ours = [binary, "training-set", "--feature-set", "late_arrival", "--spine", data / "spine.parquet", "--fresh"]
    jobs = {
        "training-set, mode knowledge": [*ours, "--out", "knowledge.parquet"],
        "training-set, mode event": [*ours, "--out", "event.parquet", "--mode", "event"],
    }
    if peer:
        jobs["DuckDB, ASOF JOIN"] = [peer, peer_script, data, "duckdb.parquet"]
    return {name: measure.Job(command, folder) for name, command in jobs.items()}


def agree(folder, peer):
    done = subprocess.run(
        [peer, peer_script, "--compare", "event.parquet", "duckdb.parquet"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    print(done.stdout.decode().strip())


if __name__ == "__main__":
    main()
