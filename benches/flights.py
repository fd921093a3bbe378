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
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
data = root / "data" / "flights"
views = ["aircraft_last_leg", "origin_hour", "carrier_day", "weather"]


def main():
    arguments = parse()
    binary = arguments.binary or build()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hitherto-bench-"))
    try:
        jobs = lay_out(folder, binary, arguments.peer)
        results = measure(folder, jobs, arguments.runs)
        if arguments.peer:
            agree(folder, arguments.peer)
    finally:
        shutil.rmtree(folder)
    report = {"machine": machine(), "versions": versions(binary, arguments.peer), "runs": arguments.runs, "jobs": results}
    show(report)
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


def build():
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=root, check=True)
    metadata = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=root, check=True, stdout=subprocess.PIPE
    )
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"]) / "release" / "hitherto"


def lay_out(folder, binary, peer):
    """History, ingested; and the jobs to be timed."""
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([binary, "apply", "-f", data / "definitions.yaml"], **quiet)
    for view in views:
        subprocess.run([binary, "ingest", view, data / f"{view}.parquet"], **quiet)
    ours = [binary, "training-set", "--feature-set", "late_arrival", "--spine", data / "spine.parquet"]
    jobs = {
        "training-set, mode knowledge": [*ours, "--out", "knowledge.parquet"],
        "training-set, mode event": [*ours, "--out", "event.parquet", "--mode", "event"],
    }
    if peer:
        jobs["DuckDB, ASOF JOIN"] = [peer, root / "benches" / "flights_duckdb.py", data, "duckdb.parquet"]
    return jobs


def measure(folder, jobs, runs):
    """Jobs take turns, so that a busy moment of the machine hits all alike."""
    walls, peaks = {name: [] for name in jobs}, {name: [] for name in jobs}
    for turn in range(runs + 1):
        for name, command in jobs.items():
            wall, peak = timed(command, folder)
            if turn > 0:
                walls[name].append(wall)
                peaks[name].append(peak)
    return {
        name: {
            "wall_s_median": round(statistics.median(walls[name]), 3),
            "wall_s_min": round(min(walls[name]), 3),
            "wall_s_max": round(max(walls[name]), 3),
            "peak_mb_max": round(max(peaks[name])),
        }
        for name in jobs
    }


def timed(command, folder):
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed: {said.decode()}")
    # kilobytes on Linux, bytes on macOS
    return wall, usage.ru_maxrss / (1 << 10 if sys.platform == "linux" else 1 << 20)


def agree(folder, peer):
    done = subprocess.run(
        [peer, root / "benches" / "flights_duckdb.py", "--compare", "event.parquet", "duckdb.parquet"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    print(done.stdout.decode().strip())


def machine():
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    busy = os.getloadavg()[0]
    return {"cpu": model, "cores": os.cpu_count(), "memory_gb": round(memory, 1), "load": round(busy, 1)}


def versions(binary, peer):
    said = {"hitherto": subprocess.check_output([binary, "--version"], text=True).split()[-1]}
    if peer:
        said["duckdb"] = subprocess.check_output([peer, "-c", "import duckdb; print(duckdb.__version__)"], text=True).strip()
    return said


def show(report):
    machine = report["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, load {machine['load']}; {report['versions']}")
    print(f"{'job':<32}{'median s':>10}{'min s':>10}{'max s':>10}{'peak MB':>10}")
    for name, job in report["jobs"].items():
        print(
            f"{name:<32}{job['wall_s_median']:>10.2f}{job['wall_s_min']:>10.2f}{job['wall_s_max']:>10.2f}{job['peak_mb_max']:>10}"
        )


if __name__ == "__main__":
    main()
