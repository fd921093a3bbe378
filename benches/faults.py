#!/usr/bin/env python3
"""What faults cost: how long until every reader is answered right again, and the server says that it is ready.

usage: benches/faults.py [--strikes N] [--only NAME] [--json FILE]

Runs the fault run of the integration tests (tests/it/faults) in release mode, one test at a time, each fault N times (20), and a
hundred rebuilds of a view; each starts redis-servers and servers of its own (apt-get install redis-server). An oracle judges every
answer: a wrong one fails the run. Four readers and two writers, each with a connection of its own and at most 200 requests a
second. Ends with 1 where a test fails or a bar is missed.

Estimate of the heal: a script of Redis compares and sets 256 rows in a millisecond, so 100,000 rows keep it busy for 0.4 s; reading
them from history and packing them takes as long again, one after the other; and the follower and a push may both be at it. So about
1 s after the follower's next run, which is at most 1 s away.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import measure

MARK = "fault run: "
# in seconds, from an empty Redis that answers to the last row
HEAL = ("100,000 rows lost", 10)


def main():
    arguments = parse()
    report = {"machine": measure.machine(), "strikes": arguments.strikes, "faults": []}
    machine = report["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, load {machine['load']}", flush=True)
    status, report["faults"] = run(arguments)
    show(report["faults"])
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(1 if status or missed(report["faults"]) else 0)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strikes", type=int, default=20, help="how often each fault strikes")
    parser.add_argument("--only", default="", help="a part of the tests' names, such as heal, outages, rebuilds")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    return parser.parse_args()


def run(arguments):
    """The exit code of the tests, and what each fault's line says; what else they say goes on to the terminal."""
    tests = f"faults::{arguments.only}" if arguments.only else "faults::"
    command = ["cargo", "test", "--release", "--test", "it", tests, "--", "--nocapture", "--test-threads", "1"]
    environment = os.environ | {"HITHERTO_FAULTS": str(arguments.strikes)}
    process = subprocess.Popen(command, cwd=measure.root, env=environment, stderr=subprocess.PIPE, text=True)
    faults = []
    for line in process.stderr:
        if line.startswith(MARK):
            faults.append(json.loads(line.removeprefix(MARK)))
        else:
            sys.stderr.write(line)
    return process.wait(), faults


def show(faults):
    print("\n| fault | times | well again, s, median | max | answers | of them stale | refused | pushes | refused, and sent again |")
    print("|---|---|---|---|---|---|---|---|---|")
    for fault in faults:
        cells = [
            fault["fault"],
            fault["times"],
            *(f"{fault['recovery_ms'][which] / 1000:.2f}" for which in ("median", "max")),
            f"{fault['answered'] + fault['stale']:,}",
            f"{fault['stale']:,}",
            told(fault["refused"]),
            f"{fault['pushed']:,}",
            told(fault["pushes_refused"]),
        ]
        print(f"| {' | '.join(map(str, cells))} |")


def told(refused):
    return ", ".join(f"{count:,} {word}" for word, count in refused.items()) or "none"


def missed(faults):
    what, bar_s = HEAL
    slow = [fault["recovery_ms"]["max"] for fault in faults if fault["fault"].startswith(what)]
    for taken_ms in slow:
        print(f"\n{what}: {taken_ms / 1000:.2f} s, at most {bar_s}: {'met' if taken_ms <= bar_s * 1000 else 'NOT met'}")
    return any(taken_ms > bar_s * 1000 for taken_ms in slow)


if __name__ == "__main__":
    main()
