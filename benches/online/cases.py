"""What is measured of serving online, each case with the bars that it has to meet.

Estimate for a read of one entity, two cores that server, Redis and client share: some 20 us of processor for a request of
gRPC at either end (HTTP/2 frames, system calls, wake-ups), 10 us for a command in Redis with five rows, and 10 us for rows
into columns and columns into a message: 60 us a request, so some 30,000 requests a second on two cores at the very best, and
half of that where the ends wait for each other. redis-benchmark's GET costs some 40 us at both ends together.
"""
import dataclasses
import json
import statistics

import measure
from online.layout import CONNECTIONS, VIEWS, live_files, middle, run, take_turns
from online.layout import here as scripts
from peers.cases import Bar
from peers.layout import NotAvailable

GET = ("get", "--feature-set")


@dataclasses.dataclass
class Found:
    """A case's figures by job, its bars, what else is to be said, and what each run said."""

    jobs: dict
    bars: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)
    runs: dict = dataclasses.field(default_factory=dict)

    def ratio(self, over, under, figure="answered_per_s"):
        return self.jobs[over][figure] / max(self.jobs[under][figure], 1e-9)


def reads(bench, entities, *flags, of="all", each=1, more=(), serving=None, **how):
    """A job: load on the server of that many entities. `more` are flags of reads, `how` is of the run."""
    server, redis = serving or bench.serving(entities)
    watch = [("redis", redis.pid)] if redis else []
    return lambda: bench.loaded(server, "--keys", entities, *flags, *GET, of, "--entities", each, *more, watch=watch, **how)


def in_turns(bench, jobs, runs=None):
    said = take_turns(jobs, runs or bench.runs)
    return Found({name: middle(runs) for name, runs in said.items()}, runs=said)


def capacity(bench):
    """Closed loop, 16 connections, 50 features, 1 entity and 100: against GETs of Redis alone, and Feast's HTTP server."""
    jobs, notes = {}, []
    for size in bench.entities:
        redis = bench.serving(size)[1]
        jobs[f"redis-benchmark, GET of 400 bytes ({size:,})"] = lambda redis=redis: benchmarked(bench, redis)
        jobs[f"1 entity of {size:,}, uniform"] = reads(bench, size)
        jobs[f"1 entity of {size:,}, Zipf"] = reads(bench, size, "--zipf", 1)
        # for comparison alone: what the client's reading of 50 columns costs on the cores that it shares
        jobs[f"1 entity of {size:,}, uniform, answers unread"] = reads(bench, size, more=["--unread"])
        jobs[f"100 entities of {size:,}, uniform"] = reads(bench, size, each=100)
        jobs[f"100 entities of {size:,}, Zipf"] = reads(bench, size, "--zipf", 1, each=100)
    fewest = bench.fewest
    try:
        feast = bench.feast_server(fewest)
        for each in (1, 100):
            jobs[f"Feast, {each} of {fewest:,}"] = lambda each=each: feast_loaded(bench, feast, each)
    except NotAvailable as missing:
        notes.append(f"Feast: not available, {missing}")
    found = in_turns(bench, jobs)
    found.notes = notes
    for size in bench.entities:
        one, alone = f"1 entity of {size:,}, uniform", f"redis-benchmark, GET of 400 bytes ({size:,})"
        found.bars.append(Bar(f"requests/s, 1 of {size:,} / redis-benchmark", found.ratio(one, alone), 1 / 3, aim=0.5))
    for each, bar in ((1, 50), (100, 100)):
        ours = f"{'1 entity' if each == 1 else '100 entities'} of {fewest:,}, uniform"
        if f"Feast, {each} of {fewest:,}" in found.jobs:
            measured = found.ratio(ours, f"Feast, {each} of {fewest:,}")
            found.bars.append(Bar(f"requests/s, {each} of {fewest:,} / Feast", measured, bar))
    return found


def benchmarked(bench, redis):
    # as long as our own runs, if it does what it usually does
    said = redis.benchmark(int(40_000 * bench.seconds))
    micros = {name: float(said[f"{name}_latency_ms"]) * 1000 for name in ("p50", "p99", "max")}
    return {"answered_per_s": float(said["rps"]), "latency_us": micros}


def feast_loaded(bench, feast, each):
    arguments = [feast.port, CONNECTIONS, bench.seconds, each, bench.fewest]
    said = json.loads(run([bench.python, scripts / "http_load.py", *arguments], bench.folder))
    if said["failed"] * 1000 >= said["answered"]:
        raise measure.Failed(f"of Feast's answers {said['answered']} were whole, and {said['failed']} were not")
    return said


def latency(bench):
    """Open loop at a third of the capacity that was measured just before: waiting counts from the intended start."""
    found = Found({})
    for size in bench.entities:
        for each in (1, 100):
            most = middle(take_turns({"": reads(bench, size, each=each)}, bench.runs)[""])["answered_per_s"]
            rate, what = most / 3, "1 entity" if each == 1 else "100 entities"
            jobs = {}
            for keys, zipf in (("uniform", ()), ("Zipf", ("--zipf", 1))):
                for arrivals in ("poisson", "even"):
                    flags = ("--rate", rate, "--arrivals", arrivals, *zipf)
                    jobs[f"{what} of {size:,}, {keys}, {arrivals}"] = reads(bench, size, *flags, each=each)
            these = in_turns(bench, jobs)
            found.jobs |= these.jobs
            found.runs |= these.runs
            found.notes.append(f"{what} of {size:,}: {rate:,.0f} requests/s, a third of {most:,.0f}")
            if each == 1:
                p99 = these.jobs[f"1 entity of {size:,}, uniform, poisson"]["latency_us"]["p99"] / 1000
                found.bars.append(Bar(f"p99 in ms, 1 of {size:,}, poisson", p99, 2, at_least=False))
    return found


def memory(bench):
    """Redis' memory for an entity with 50 integers: our rows, and Feast's layout of the same values."""
    filled = {size: bench.filled(size) for size in bench.entities}
    found = Found({f"ours, {size:,} entities": {"bytes": round(one.bytes_per_entity)} for size, one in filled.items()})
    feast, ours = f"Feast, {bench.fewest:,} entities", f"ours, {bench.fewest:,} entities"
    try:
        found.jobs[feast] = {"bytes": round(bench.feast(bench.fewest).bytes_per_entity)}
        found.bars = [Bar("memory, ours / Feast", found.ratio(ours, feast, "bytes"), 0.75, at_least=False)]
    except NotAvailable as missing:
        found.notes = [f"Feast: not available, {missing}"]
    return found


def materialize(bench):
    """All rows of five views into an empty Redis: our whole process, and Feast's call without its start."""
    jobs, fewest = {}, bench.fewest
    for size in bench.entities:
        jobs[f"ours, {size:,} entities"] = materialized(bench, size)
    notes, theirs = [], f"Feast, {fewest:,} entities"
    try:
        jobs[theirs] = materialized_by_feast(bench, fewest)
    except NotAvailable as missing:
        notes = [f"Feast: not available, {missing}"]
    found = in_turns(bench, jobs)
    found.notes = notes
    if theirs in jobs:
        found.bars = [Bar("rows/s, ours / Feast", found.ratio(f"ours, {fewest:,} entities", theirs, "rows_per_s"), 20)]
    return found


def materialized(bench, size):
    redis, folder = bench.redis(), bench.history(size)

    def job():
        redis.flush()
        taken = measure.timed(bench.materialize(folder, redis.url))
        return rate(size, taken.wall_s) | {"cpu_s": round(taken.cpu_s, 2), "peak_mb": round(taken.peak_mb)}

    return job


def materialized_by_feast(bench, size):
    feast = bench.feast(size)

    def job():
        feast.redis.flush()
        return rate(size, bench.feast_materialize(feast.folder, size, feast.redis))

    return job


def rate(entities, seconds):
    return {"rows_per_s": round(len(VIEWS) * entities / seconds), "took_s": round(seconds, 3)}


def push(bench):
    """1,000 pushes of one row a second: from the intended start until a read has the row; then files, and a cold start."""
    size, asked = bench.fewest, 1000
    # of its own, for it is written to
    fresh = bench.new_history(size)
    redis = bench.redis()
    measure.timed(bench.materialize(fresh, redis.url))
    server = bench.server(fresh, redis.url)
    last = min(60, bench.push_seconds)
    flags = ["--rate", asked, "--arrivals", "even", "--last", last, "--timeout", 30, "--keys", size]
    command = ["push", "--view", "v0", "--feature-set", "all"]
    said = bench.loaded(server, *flags, *command, watch=[("redis", redis.pid)], seconds=bench.push_seconds)
    files, most, commits = live_files(fresh, "v0-1")
    on_disk = len(list(fresh.glob(".hitherto/offline/**/v0-1/data/*.parquet")))
    server.stop()
    starts = []
    for _ in range(3):
        again = bench.server(fresh, redis.url)
        starts.append({"listens_s": round(again.listens_s, 3), "ready_s": round(again.ready_s, 3)})
        again.stop()
    of_the_last = {**said, "latency_us": said["last_latency_us"]}
    jobs = {"to readable": said, f"to readable, last {last:g} s": of_the_last}
    jobs["to acknowledged"] = {**said, "latency_us": said["acknowledged_us"]}
    cold = middle(starts)
    found = Found(jobs, runs={"pushes": [said], "cold starts": starts})
    found.bars = [
        Bar("push to readable, last minute, p99 in ms", of_the_last["latency_us"]["p99"] / 1000, 50, at_least=False),
        Bar("pushes/s", said["answered_per_s"], 0.99 * asked),
        Bar("live files, after any commit", most, 200, at_least=False),
        Bar("cold start in s, until ready", cold["ready_s"], 1, at_least=False),
    ]
    found.jobs["the table"] = {"commits": commits, "live_files": files, "live_files_most": most, "files_on_disk": on_disk}
    found.jobs["cold start"] = {"took_s": cold["ready_s"], "listens_s": cold["listens_s"]}
    failed = said["failed"] or "none"
    found.notes = [f"{commits} commits, {files} live files at the end; the server listens after {cold['listens_s']} s; failed: {failed}"]
    return found


def transforms(bench):
    """Three SQL transforms: what they add to the time that the server says it took, on the embedded store, one connection."""
    size = bench.fewest
    serving = (embedded_server(bench, size), None)
    sets = {"50 features": "all", "50 features, 3 transforms": "transformed"}
    jobs = {name: timed_by_the_server(bench, serving, size, of) for name, of in sets.items()}
    found = in_turns(bench, jobs, runs=3 * bench.runs)
    plain, more = (found.runs[name] for name in sets)
    added = statistics.median(b["server_us"] - a["server_us"] for a, b in zip(plain, more))
    found.bars = [Bar("added to the server's time, in us", added, 20, at_least=False)]
    cpu = [statistics.median(one["cpu_us_per_request"]["server"] for one in runs) for runs in (plain, more)]
    found.notes = [f"processor time of the server: {cpu[0]:.1f} and {cpu[1]:.1f} us a request"]
    return found


def timed_by_the_server(bench, serving, size, of):
    server = serving[0]
    job = reads(bench, size, of=of, serving=serving, connections=1, seconds=max(1, bench.seconds / 5))

    def timed():
        before = server.seconds_of_reads()
        said = job()
        took, requests = (after - before for after, before in zip(server.seconds_of_reads(), before))
        return said | {"server_us": round(took / requests * 1e6, 2)}

    return timed


def embedded_server(bench, size):
    """A server on the embedded store, which needs no other process."""

    def make():
        folder = bench.history(size)
        url = f"embedded://{folder / 'embedded'}"
        measure.timed(bench.materialize(folder, url))
        return bench.server(folder, url)

    return bench.once(("embedded", size), make)


def embedded(bench):
    """The embedded store against Redis, closed loop, 16 connections."""
    size = bench.fewest
    here = (embedded_server(bench, size), None)
    jobs = {}
    for each in (1, 100):
        what = "1 entity" if each == 1 else "100 entities"
        jobs[f"{what} of {size:,}, Redis"] = reads(bench, size, each=each)
        jobs[f"{what} of {size:,}, embedded"] = reads(bench, size, each=each, serving=here)
    found = in_turns(bench, jobs)
    for each in ("1 entity", "100 entities"):
        measured = found.ratio(f"{each} of {size:,}, embedded", f"{each} of {size:,}, Redis")
        found.bars.append(Bar(f"requests/s, embedded / Redis, {each}", measured, 1))
    return found


def cost(bench):
    """What a feature and a view cost: feature sets that read more and less, 1 entity, in processor time and capacity."""
    size = bench.fewest
    sets = ["one_of_one", "five_of_one", "ten_of_one", "five_of_five", "all"]
    found = in_turns(bench, {name: reads(bench, size, of=name) for name in sets})

    def per(more, less, count, process):
        cpu = [found.jobs[name]["cpu_us_per_request"][process] for name in (more, less)]
        return (cpu[0] - cpu[1]) / count

    for process in ("server", "redis", "client"):
        feature, view = per("ten_of_one", "one_of_one", 9, process), per("five_of_five", "five_of_one", 4, process)
        found.notes.append(f"processor time of {process}: {feature:.2f} us a feature more, {view:.2f} us a view more")
    return found


CASES = {
    case.__name__: case
    for case in (capacity, latency, memory, materialize, push, transforms, embedded, cost)
}
