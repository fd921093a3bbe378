"""What the benchmarks share: whole processes timed in turns, and the machine that they ran on."""
import collections.abc
import dataclasses
import hashlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import typing

root = pathlib.Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A command that did not end well."""


@dataclasses.dataclass
class Job:
    """A command to be timed, the folder that it runs in, and what is done before each run, which is not timed."""

    command: list
    folder: pathlib.Path
    before: collections.abc.Callable[[], object] = lambda: None
    # its last line is `seconds N`, and N counts, not the process's time
    says_seconds: bool = False


def build():
    """The release binary."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=root, check=True)
    return target_folder() / "release" / "hitherto"


def target_folder():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    metadata = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE)
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"])


class Taken(typing.NamedTuple):
    """What one run took: seconds from start to end, seconds of processors, megabytes of resident memory at the peak."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def take_turns(jobs, runs, warm_up=True):
    """Figures by name. Jobs take turns, so that a busy moment of the machine hits all alike; the warm-up does not count."""
    taken = {name: [] for name in jobs}
    for turn in range(runs + warm_up):
        for name, job in jobs.items():
            run = timed(job)
            if turn >= warm_up:
                taken[name].append(run)
    return {name: figures(runs) for name, runs in taken.items()}


def figures(runs):
    walls = [run.wall_s for run in runs]
    return {
        "wall_s_median": round(statistics.median(walls), 3),
        "wall_s_min": round(min(walls), 3),
        "wall_s_max": round(max(walls), 3),
        "cpu_s_median": round(statistics.median(run.cpu_s for run in runs), 3),
        "peak_mb_max": round(max(run.peak_mb for run in runs)),
    }


def timed(job):
    job.before()
    command = [str(part) for part in job.command]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=job.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {said[-2000:].strip()}")
    if job.says_seconds:
        wall = float(said.split()[-1])
    # kilobytes on Linux, bytes on macOS
    peak = usage.ru_maxrss / (1 << 10 if sys.platform == "linux" else 1 << 20)
    return Taken(wall, usage.ru_utime + usage.ru_stime, peak)


def sha256(path):
    """Piece by piece: what this process holds in memory would count as the peak of those that it starts."""
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            hashed.update(piece)
    return hashed.hexdigest()


def interpreter(path):
    # not resolved: a venv's python is a link, and knows its packages by where the link is
    return pathlib.Path(os.path.abspath(path))


def machine():
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    busy = os.getloadavg()[0]
    return {"cpu": model, "cores": os.cpu_count(), "memory_gb": round(memory, 1), "load": round(busy, 1)}


def versions(binary, python=None, packages=()):
    """Of ours, and of what is installed in the peers' Python."""
    said = {"hitherto": subprocess.check_output([binary, "--version"], text=True).split()[-1]}
    if python:
        ask = "import sys, importlib.metadata as m; print(sys.version.split()[0], *map(m.version, sys.argv[1:]))"
        answer = subprocess.check_output([python, "-c", ask, *packages], text=True).split()
        said |= dict(zip(["python", *packages], answer))
    return said


def show_machine(report):
    machine, runs = report["machine"], report["runs"]
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, load {machine['load']}")
    print(", ".join(f"{name} {version}" for name, version in report["versions"].items()) + f"; medians of {runs}")


def show_jobs(jobs, width=32):
    print(f"{'job':<{width}}{'median s':>10}{'min s':>10}{'max s':>10}{'cpu s':>10}{'peak MB':>10}")
    for name, job in jobs.items():
        seconds = "".join(f"{job[f'wall_s_{which}']:>10.2f}" for which in ("median", "min", "max"))
        print(f"{name:<{width}}{seconds}{job['cpu_s_median']:>10.2f}{job['peak_mb_max']:>10}")
