"""What takes long, and runs where it is asked for by name only: growth, wide rows, DataFusion's own plan, a profile."""
import subprocess

import measure
from peers.cases import EVENT, Found
from peers.layout import here

SPINES = [100_000, 1_000_000, 10_000_000]
# rows of user_txn, in files of at most ten million, since all of a file is made in memory
HISTORIES = [1_000_000, 10_000_000, 100_000_000]
FILE_ROWS = 10_000_000


def growth(bench):
    """Time and memory from 0.1 M to 10 M spine rows over all views, and from 1 M to 100 M rows of user_txn."""
    store = bench.main_store()
    jobs = {}
    for rows in SPINES:
        data = bench.data(f"spine-{rows}", arguments=["--spine", rows, "--tables", "spine"])
        spine = data / "spine.parquet"
        jobs[f"spine rows {rows}"] = bench.training_set(store, spine, "growth.parquet")
    spine = bench.sized() / "spine.parquet"
    for rows in HISTORIES:
        store = history(bench, rows)
        jobs[f"feature rows {rows}"] = bench.training_set(store, spine, "growth.parquet", feature_set="txn")
    return Found(measure.take_turns(jobs, min(bench.runs, 3)))


def history(bench, rows):
    files = []
    for seed in range(max(1, rows // FILE_ROWS)):
        arguments = ["--txn", min(rows, FILE_ROWS), "--tables", "user_txn", "--seed", 100 + seed]
        files.append(bench.data(f"txn-{min(rows, FILE_ROWS)}-{seed}", arguments=arguments) / "user_txn.parquet")
    return bench.store(f"txn-{rows}", {"user_txn": files})


def wide(bench):
    """One view of 300 features, a million rows, and a spine of a tenth of that."""
    spine = bench.sized("tenth") / "spine.parquet"
    shape = ["--views", 1, "--features", 300, "--rows", 1_000_000, "--users", 10_000]
    data = bench.data("wide", "gen_views.py", shape)
    store = bench.store("wide", {"view_00": [data / "view_00.parquet"]}, data / "definitions.yaml")
    found = Found(measure.take_turns({"300 features": bench.training_set(store, spine, "wide.parquet")}, bench.runs))
    took = store.ingests["view_00"]
    found.notes = [f"ingest: {took['wall_s']} s, {took['peak_mb']} MB"]
    return found


def datafusion(bench):
    """DataFusion has no as-of join; its plan for the same is a window function over spine and history."""
    data, store = bench.sized(), bench.main_store()
    jobs = {
        "ours, event": bench.training_set(store, data / "spine.parquet", "event.parquet", *EVENT),
        "DataFusion, window": bench.job("run_datafusion.py", data, "datafusion.parquet"),
    }
    found = Found(measure.take_turns(jobs, min(bench.runs, 3)))
    ratio = found.wall("DataFusion, window", "ours, event")
    found.notes = [f"wall, DataFusion / ours: {ratio:.2f}"]
    return found


def explain(bench):
    """Where the time goes, in the words of `training-set --explain`."""
    bench.needs("training-set", "--explain")
    spine, store = bench.sized() / "spine.parquet", bench.main_store()
    notes = []
    for mode in ("event", "knowledge"):
        job = bench.training_set(store, spine, "explain.parquet", "--mode", mode, "--explain")
        command = [str(part) for part in job.command]
        done = subprocess.run(command, cwd=job.folder, capture_output=True, text=True)
        notes += [f"mode {mode}:", *done.stderr.splitlines()]
    return Found({}, notes=notes)


def plot(bench, found, folder):
    """Two drawings of `growth`, by the peers' Python, if it has matplotlib."""
    points = {"spine rows": [], "feature rows": []}
    for name, figures in found.jobs.items():
        kind, rows = name.rsplit(" ", 1)
        points[kind].append([int(rows), figures["wall_s_median"], figures["peak_mb_max"]])
    for kind, values in points.items():
        svg = folder / f"growth-{kind.replace(' ', '-')}.svg"
        flat = [str(value) for point in values for value in point]
        measure.timed(measure.Job([bench.python, here / "plot.py", svg, kind, *flat], folder))


CURVES = {case.__name__: case for case in (growth, wide, datafusion, explain)}
