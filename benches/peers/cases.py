"""What is measured by default, each case with the bars that it has to meet.

Estimate for the training set of all 20 features at full scale, two cores: 22 M rows of keys and times decoded at some
50 M values a second (1 s), 22 M probes at some 50 ns (0.6 s), 450 MB of winners' values decoded and gathered (1 s), 160 MB
encoded at some 150 MB/s on one thread (1 s, beside the rest): 2 to 3 s.
"""
import dataclasses

import measure
from peers.layout import SIZES, NotAvailable, run

EVENT = ("--mode", "event")


@dataclasses.dataclass
class Bar:
    """A ratio that was measured, and what it has to be."""

    what: str
    measured: float
    bar: float
    at_least: bool = True
    aim: float | None = None

    @property
    def met(self):
        return self.measured >= self.bar if self.at_least else self.measured <= self.bar


@dataclasses.dataclass
class Found:
    """A case's figures by job, its bars, and what else is to be said."""

    jobs: dict
    bars: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)

    def wall(self, over, under):
        return self.ratio(over, under, "wall_s_median")

    def peak(self, over, under):
        return self.ratio(over, under, "peak_mb_max")

    def ratio(self, over, under, figure):
        return self.jobs[over][figure] / max(self.jobs[under][figure], 0.001)


def training(bench):
    """All 20 features: ours in both modes and layouts, DuckDB, Polars, and reading and writing alone."""
    data, store = bench.sized(), bench.main_store()
    spine = data / "spine.parquet"
    jobs = {
        "ours, event": bench.training_set(store, spine, "event.parquet", *EVENT),
        "ours, knowledge": bench.training_set(store, spine, "knowledge.parquet"),
        "DuckDB, no tie-break": bench.job("run_duckdb.py", data, "duckdb.parquet", "--no-ties"),
        "Polars, streaming": bench.job("run_polars.py", data, "polars.parquet", "--stream"),
        "scan and write (pyarrow)": bench.job(
            "scan.py", store.folder, "event.parquet", "scan.parquet", says_seconds=True
        ),
    }
    notes = [f"ingest of {view}: {took['wall_s']} s, {took['peak_mb']} MB" for view, took in store.ingests.items()]
    try:
        compacted = bench.compacted(store)
        notes.append(f"compact, all three: {compacted.ingests['compact']['wall_s']} s")
        jobs["ours, event, compacted"] = bench.training_set(compacted, spine, "event_compacted.parquet", *EVENT)
        jobs["ours, knowledge, compacted"] = bench.training_set(compacted, spine, "knowledge_compacted.parquet")
    except NotAvailable as missing:
        notes.append(f"compacted layout: not available, {missing}")
    found = Found(measure.take_turns(jobs, bench.runs), notes=notes)
    found.bars = [
        Bar("wall, DuckDB without tie-break / ours", found.wall("DuckDB, no tie-break", "ours, event"), 3, aim=5),
        Bar("wall, Polars streaming / ours", found.wall("Polars, streaming", "ours, event"), 4, aim=6),
        Bar("peak memory, ours / DuckDB", found.peak("ours, event", "DuckDB, no tie-break"), 0.25, at_least=False),
        Bar("wall, knowledge / event", found.wall("ours, knowledge", "ours, event"), 1.1, at_least=False),
        Bar("wall, ours / scan and write", found.wall("ours, event", "scan and write (pyarrow)"), 2, at_least=False),
    ]
    agree(bench, data, found)
    return found


def agree(bench, data, found):
    """DuckDB with ties has to give the same rows. It is slow, and runs once."""
    ties = {"DuckDB, ties, once": bench.job("run_duckdb.py", data, "ties.parquet")}
    found.jobs |= measure.take_turns(ties, 1, warm_up=False)
    said = run(bench.script("compare.py", "event.parquet", "ties.parquet"), bench.out)
    found.notes.append(f"mode event against DuckDB with ties: {said}")
    for mode in ("event", "knowledge"):
        if (bench.out / f"{mode}_compacted.parquet").exists() and "ours, event, compacted" in found.jobs:
            same_bytes(bench, f"{mode}.parquet", f"{mode}_compacted.parquet")


def same_bytes(bench, *names):
    if len({measure.sha256(bench.out / name) for name in names}) != 1:
        raise measure.Failed(f"{' and '.join(names)} hold different bytes")


def feast(bench):
    """Feast's DuckDB store on a tenth of the data, which its size allows."""
    data, store = bench.sized("tenth"), bench.sized_store("tenth")
    jobs = {
        "ours, event": bench.training_set(store, data / "spine.parquet", "tenth.parquet", *EVENT),
        "Feast, duckdb store": bench.job("run_feast.py", data, "feast.parquet", "duckdb"),
    }
    found = Found(measure.take_turns(jobs, bench.runs))
    found.bars = [Bar("wall, Feast / ours, a tenth", found.wall("Feast, duckdb store", "ours, event"), 30)]
    return found


def ingest(bench):
    """A file of ten million rows into an empty store, against pyarrow reading it and writing it again."""
    source, folder = bench.sized() / "user_txn.parquet", bench.stores / "ingest"
    jobs = {
        "ours": measure.Job([bench.binary, "ingest", "user_txn", source], folder, lambda: bench.applied(folder)),
        "pyarrow, read and write": bench.job("rewrite.py", source, "rewritten.parquet"),
    }
    found = Found(measure.take_turns(jobs, bench.runs))
    found.bars = [Bar("wall, ingest / pyarrow", found.wall("ours", "pyarrow, read and write"), 1.5, at_least=False)]
    ours = sum(path.stat().st_size for path in folder.glob("**/data/**/*.parquet"))
    theirs = (bench.out / "rewritten.parquet").stat().st_size
    found.notes = [f"bytes: {ours / 1e6:.0f} MB ours, {theirs / 1e6:.0f} MB pyarrow's"]
    return found


def views(bench):
    """50 views of 2 features against 5 views of 20, with as many rows in each view.

    So there are as many values of features (100 x rows) and as many columns in the training set (100) in both; the keys and
    times of 50 views are ten times those of 5, which is to our disadvantage.
    """
    spine = bench.sized() / "spine.parquet"
    rows, users = (200_000, 100_000) if bench.scale == "full" else (20_000, 10_000)
    jobs = {}
    for count, features in ((5, 20), (50, 2)):
        shape = ["--views", count, "--features", features, "--rows", rows, "--users", users]
        data = bench.data(f"{bench.scale}-views-{count}", "gen_views.py", shape)
        files = {path.stem: [path] for path in sorted(data.glob("view_*.parquet"))}
        store = bench.store(data.name, files, data / "definitions.yaml")
        jobs[f"{count} views of {features} features"] = bench.training_set(store, spine, f"views-{count}.parquet")
    found = Found(measure.take_turns(jobs, bench.runs))
    many, few = "50 views of 2 features", "5 views of 20 features"
    found.bars = [Bar("peak memory, 50 views / 5 views", found.peak(many, few), 1.3, at_least=False)]
    found.notes = [f"wall, 50 views / 5 views: {found.wall(many, few):.2f}"]
    return found


def few(bench):
    """A thousand spine rows over user_txn, compacted, against the whole spine over the same."""
    compacted = bench.compacted(bench.main_store())
    users = 100_000 if bench.scale == "full" else 10_000
    small = bench.data(f"{bench.scale}-few", arguments=["--spine", 1_000, "--users", users, "--tables", "spine"])
    spines = {"1,000 rows": small, "whole spine": bench.sized()}
    jobs = {
        name: bench.training_set(compacted, data / "spine.parquet", "few.parquet", feature_set="txn")
        for name, data in spines.items()
    }
    found = Found(measure.take_turns(jobs, bench.runs))
    found.bars = [Bar("wall, whole spine / 1,000 rows", found.wall("whole spine", "1,000 rows"), 10)]
    return found


def hot(bench):
    """One user holds half of user_txn: the same spine over it and over the even one."""
    spine = bench.sized() / "spine.parquet"
    arguments = [*SIZES[bench.scale], "--hot", 0.5, "--tables", "user_txn"]
    data = bench.data(f"{bench.scale}-hot", arguments=arguments)
    skewed = bench.store(data.name, {"user_txn": [data / "user_txn.parquet"]})
    stores = {"even": bench.main_store(), "one user has half": skewed}
    jobs = {
        name: bench.training_set(store, spine, "hot.parquet", feature_set="txn") for name, store in stores.items()
    }
    found = Found(measure.take_turns(jobs, bench.runs))
    found.bars = [Bar("wall, half in one user / even", found.wall("one user has half", "even"), 1.5, at_least=False)]
    return found


def memory(bench):
    """A sixteenth of the memory that it takes when it may: the same bytes, in more time."""
    bench.needs("training-set", "--memory-limit")
    spine, store = bench.sized() / "spine.parquet", bench.main_store()
    free = bench.training_set(store, spine, "free.parquet")
    limit = f"{max(1, int(measure.timed(free).peak_mb / 16))}MiB"
    limited = bench.training_set(store, spine, "limited.parquet", "--memory-limit", limit)
    found = Found(measure.take_turns({"no limit": free, f"limit {limit}": limited}, bench.runs))
    same_bytes(bench, "free.parquet", "limited.parquet")
    found.notes = ["the same bytes", f"wall, limited / not: {found.wall(f'limit {limit}', 'no limit'):.2f}"]
    return found


def verify(bench):
    """The leakage certificate of a training set of all 20 features, against building it."""
    bench.needs("dataset")
    store, out = bench.main_store(), "verified.parquet"
    jobs = {
        "training-set": bench.training_set(store, bench.sized() / "spine.parquet", out),
        # it fails where a single cell is not proven
        "dataset verify": measure.Job([bench.binary, "dataset", "verify", bench.out / out], store.folder),
    }
    found = Found(measure.take_turns(jobs, bench.runs))
    found.bars = [Bar("wall, verify / build", found.wall("dataset verify", "training-set"), 4, at_least=False)]
    found.notes = [f"peak memory, verify / build: {found.peak('dataset verify', 'training-set'):.2f}"]
    return found


CASES = {case.__name__: case for case in (training, feast, ingest, views, few, hot, memory, verify)}
