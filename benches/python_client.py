#!/usr/bin/env python3
"""How long does a training job wait for its rows? 1 M rows x 25 columns over loopback, and 10 M rows by batches.

usage: benches/python_client.py --python PYTHON [--runs N] [--binary FILE] [--json FILE] [--only speed|memory]

PYTHON is one that has the client's packages, such as that of target/test-python-*/bin/python; the client itself is taken from
this checkout. Data are generated (700 MB), ingested, and gone at the end.

Speed: `Client.training_set(PATH, fresh=True).to_arrow()` against `hitherto training-set --out FILE --fresh` and reading that
file with pyarrow, jobs in turns, one warm-up, medians of N runs (5); start and imports of Python are outside of both, start and end of
the command are in. Fails where ours takes more than 1.5 x.
Memory: the peak of the server while the client reads 10 M rows by `batches`, with a memory limit of 512 MiB; fails over the bar.

Estimate: the join and its file are the same in both. What is added is 1 M x 4 columns up and 1 M x 25 down, 32 and 200 MB through a
socket at 1 GB/s; what is spared is the reading of the file. So about 1.2 x. Memory: the limit, some 100 MB of decoders and the encoder,
and messages of 2 MiB, whatever the number of rows.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import measure

SCRIPT = measure.root / "benches" / "python_client_job.py"
PACKAGES = ["pyarrow", "grpcio", "protobuf"]
RATIO = 1.5
MEMORY_LIMIT = "512MiB"
PEAK_MB = 1200


def main():
    arguments = parse()
    binary = (arguments.binary or measure.build()).resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hitherto-bench-"))
    report = {"machine": measure.machine(), "versions": measure.versions(binary, arguments.python, PACKAGES), "runs": arguments.runs}
    measure.show_machine(report)
    missed = []
    try:
        lay_out(folder, binary, arguments.python)
        if arguments.only in (None, "speed"):
            missed += speed(folder, binary, arguments, report)
        if arguments.only in (None, "memory"):
            missed += memory(folder, binary, arguments, report)
    except measure.Failed as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(folder)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit("\n".join(missed) if missed else 0)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=os.path.abspath, required=True, help="a Python that has the client's packages")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--binary", type=pathlib.Path, help="the release binary [default: built with cargo]")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    parser.add_argument("--only", choices=["speed", "memory"])
    return parser.parse_args()


def lay_out(folder, binary, python):
    """Definitions, history and spines."""
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([python, SCRIPT, "generate"], **quiet)
    subprocess.run([binary, "apply", "-f", "definitions.yaml"], **quiet)
    for view in ("daily", "hourly"):
        subprocess.run([binary, "ingest", view, f"{view}.parquet"], **quiet)


def speed(folder, binary, arguments, report):
    with served(folder, binary, {}) as (_, address):
        run = [arguments.python, SCRIPT]
        jobs = {
            "client, to an Arrow table": measure.Job([*run, "client", address, "spine.parquet"], folder, says_seconds=True),
            "command, and reading its file": measure.Job([*run, "command", binary, "spine.parquet"], folder, says_seconds=True),
        }
        results = measure.take_turns(jobs, arguments.runs)
    measure.show_jobs(results)
    ours, theirs = (job["wall_s_median"] for job in results.values())
    ratio = ours / theirs
    print(f"1 M rows x 25 columns: {ratio:.2f} x (bar {RATIO} x)")
    report["speed"] = {"jobs": results, "ratio": round(ratio, 3), "bar": RATIO}
    return [f"the client took {ratio:.2f} x of the command and reading its file; the bar is {RATIO} x"] if ratio > RATIO else []


def memory(folder, binary, arguments, report):
    with served(folder, binary, {"HITHERTO_OFFLINE__MEMORY_LIMIT": MEMORY_LIMIT}) as (pid, address):
        job = measure.Job([arguments.python, SCRIPT, "batches", address, "large.parquet"], folder, says_seconds=True)
        client = measure.timed(job)
        peak = peak_mb(pid)
    print(f"10 M rows by batches: {client.wall_s:.1f} s, server's peak {peak:.0f} MB (bar {PEAK_MB} MB), client's {client.peak_mb:.0f} MB")
    report["memory"] = {"wall_s": client.wall_s, "server_peak_mb": peak, "client_peak_mb": client.peak_mb, "bar_mb": PEAK_MB}
    return [f"the server's peak was {peak:.0f} MB; the bar is {PEAK_MB} MB"] if peak > PEAK_MB else []


@contextlib.contextmanager
def served(folder, binary, environment):
    """A server's process id and address."""
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    server = subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.match(r"gRPC .*on ([0-9.]+:[0-9]+)", line):
                # read on, so that it never waits for a reader
                threading.Thread(target=server.stderr.read, daemon=True).start()
                yield server.pid, found[1]
                return
        raise measure.Failed(f"serve ended: {''.join(said)}")
    finally:
        server.terminate()
        server.wait()


def peak_mb(pid):
    """The most resident memory that a process has had."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


if __name__ == "__main__":
    main()
