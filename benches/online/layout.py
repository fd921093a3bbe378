"""What the online cases measure on: a Redis, history that our binary has made, its server, Feast's server, and load on them."""
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import threading
import time
import urllib.error
import urllib.request

import measure
from peers.layout import NotAvailable, run

here = pathlib.Path(__file__).resolve().parent
VIEWS = [f"v{number}" for number in range(5)]
CONNECTIONS = 16
# how long a process may take until it answers
PATIENCE_S = 60


def definitions():
    """Five views of ten integers, and feature sets that read more and less of them."""
    texts = ["kind: entity\nname: user\njoin_keys: {user_id: int64}\n"]
    for view in VIEWS:
        features = "".join(f"  {view}_f{index}: int64\n" for index in range(10))
        texts.append(f"kind: feature_view\nname: {view}\nentity: user\nttl: 7d\nfeatures:\n{features}")
    all_views = [f"{view}:*" for view in VIEWS]
    transforms = [
        "{name: ratio, expr: 'v0__v0_f0 * 1.0 / (v1__v1_f0 + 1)'}",
        "{name: spread, expr: 'coalesce(v2__v2_f1, 0) - coalesce(v3__v3_f1, 0)'}",
        "{name: is_large, expr: 'v4__v4_f2 > 549755813888 and v0__v0_f3 % 2 = 0'}",
    ]
    sets = {
        "all": all_views,
        "transformed": all_views,
        "one_of_one": ["v0:v0_f0"],
        "five_of_one": [f"v0:v0_f{index}" for index in range(5)],
        "ten_of_one": ["v0:*"],
        "five_of_five": [f"{view}:{view}_f0" for view in VIEWS],
    }
    for name, features in sets.items():
        text = f"kind: feature_set\nname: {name}\nfeatures: {json.dumps(features)}\n"
        texts.append(text + (f"transforms: [{', '.join(transforms)}]\n" if name == "transformed" else ""))
    return "---\n".join(texts)


class Bench:
    """A folder for everything, our binaries, the peers' Python, and how long is measured. Ends what it started."""

    def __init__(self, folder, arguments, binary, load):
        self.folder = folder
        self.python = arguments.python
        self.binary = binary
        self.load = load
        self.entities = arguments.entities
        self.runs = arguments.runs
        self.seconds = arguments.seconds
        self.push_seconds = arguments.push_seconds
        self.started = contextlib.ExitStack()
        self.made = {}

    @property
    def fewest(self):
        """The size at which others are measured too: theirs would take hours for a million."""
        return min(self.entities)

    def once(self, name, make):
        """What was made under this name before, or is made now: data, stores and servers are shared by the cases."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def new_folder(self, name):
        folder = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        return folder

    def data(self, entities):
        def make():
            folder = self.new_folder(f"data-{entities}")
            run([self.python, here / "gen.py", folder, entities], folder)
            return folder

        return self.once(("data", entities), make)

    def redis(self):
        return self.started.enter_context(Redis(self.new_folder("redis")))

    def history(self, entities):
        """A folder with all rows ingested, and nothing online; shared, so nothing is pushed to it."""
        return self.once(("history", entities), lambda: self.new_history(entities))

    def new_history(self, entities):
        folder = self.new_folder(f"history-{entities}")
        (folder / "definitions.yaml").write_text(definitions())
        run([self.binary, "apply", "-f", "definitions.yaml"], folder)
        for view in VIEWS:
            run([self.binary, "ingest", view, self.data(entities) / f"{view}.parquet"], folder)
        return folder

    def materialize(self, folder, url):
        """A job that brings the store at this URL up to date."""
        return measure.Job(["env", f"HITHERTO_ONLINE__URL={url}", self.binary, "materialize"], folder)

    def filled(self, entities):
        """A Redis with all rows in it, and how many bytes of its memory these take."""

        def make():
            redis, folder = self.redis(), self.history(entities)
            before = redis.memory()
            measure.timed(self.materialize(folder, redis.url))
            return Filled(redis, folder, (redis.memory() - before) / entities)

        return self.once(("filled", entities), make)

    def server(self, folder, url):
        return self.started.enter_context(Server(self.binary, folder, url))

    def serving(self, entities):
        """A server on such a Redis, and the Redis."""

        def make():
            filled = self.filled(entities)
            return self.server(filled.folder, filled.redis.url), filled.redis

        return self.once(("serving", entities), make)

    def feast(self, entities):
        """The same rows by Feast: its Redis, its repository's folder, and the seconds of its materialization."""

        def make():
            asked = [self.python, "-c", "import feast, redis, pyarrow"]
            if subprocess.run(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
                raise NotAvailable(f"{self.python} has no feast with Redis: see benches/peers/requirements.txt")
            redis = self.redis()
            before = redis.memory()
            folder = self.new_folder("feast")
            seconds = self.feast_materialize(folder, entities, redis)
            return Feast(redis, folder, seconds, (redis.memory() - before) / entities)

        return self.once(("feast", entities), make)

    def feast_materialize(self, folder, entities, redis):
        said = run([self.python, here / "feast_repo.py", self.data(entities), redis.port], folder)
        return float(said.split("seconds")[-1])

    def feast_server(self, entities):
        def make():
            feast = self.feast(entities)
            return self.started.enter_context(FeastServer(pathlib.Path(self.python).with_name("feast"), feast.folder))

        return self.once(("feast server", entities), make)

    def loaded(self, server, *flags, watch=(), seconds=None, connections=CONNECTIONS):
        """What the load generator says of a run on the server; `flags` end with its command."""
        pids = [f"--watch={name}={pid}" for name, pid in [("server", server.pid), *watch]]
        command = [self.load, "--server", server.url, "--connections", connections, "--seconds", seconds or self.seconds]
        command = list(map(str, [*command, *pids, *flags]))
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if not done.stdout:
            raise measure.Failed(f"{' '.join(command)}: {done.stderr.strip()}")
        said = json.loads(done.stdout)
        lost = sum(said["failed"].values())
        if lost * 1000 > said["requests"]:
            raise measure.Failed(f"{lost} of {said['requests']} requests failed: {said['failed']}")
        return said


@dataclasses.dataclass
class Filled:
    redis: object
    folder: pathlib.Path
    bytes_per_entity: float


@dataclasses.dataclass
class Feast:
    redis: object
    folder: pathlib.Path
    materialize_s: float
    bytes_per_entity: float


class Process:
    """A process that is there while the `with` lasts."""

    process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Redis(Process):
    """A redis-server of our own, on a free port, that keeps nothing on disk."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self):
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([*command, "--dir", self.folder], stdout=subprocess.DEVNULL)
        wait_for("redis-server", self.process, self.answers)

    def answers(self):
        return subprocess.run(self.client("ping"), capture_output=True).stdout == b"PONG\n"

    def client(self, *command):
        return ["redis-cli", "-p", str(self.port), *command]

    def memory(self):
        lines = run(self.client("info", "memory"), self.folder).splitlines()
        return next(int(line.split(":")[1]) for line in lines if line.startswith("used_memory:"))

    def flush(self):
        run(self.client("flushall", "sync"), self.folder)

    def benchmark(self, requests):
        """GETs a second of one value of 400 bytes, by Redis' own benchmark. In a database that nobody else uses."""
        command = ["redis-benchmark", "-p", self.port, "-c", CONNECTIONS, "-d", 400, "--dbnum", 15, "--csv"]
        run([*command, "-t", "set", "-n", 1], self.folder)
        said = run([*command, "-t", "get", "-n", requests], self.folder).splitlines()
        return dict(zip(said[0].replace('"', "").split(","), said[-1].replace('"', "").split(",")))


class Server(Process):
    """`hitherto serve` on free ports. `ready_s` is how long it took from its start until it said that it is ready."""

    def __init__(self, binary, folder, online):
        self.command = [binary, "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self.folder = folder
        self.online = online
        self.said = []

    def start(self):
        began = time.monotonic()
        environment = os.environ | {"HITHERTO_ONLINE__URL": self.online}
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("gRPC on "):
                break
        else:
            raise measure.Failed(f"serve ended: {''.join(self.said)}")
        # gRPC on 127.0.0.1:1, health and metrics on http://127.0.0.1:2
        grpc, http = line.removeprefix("gRPC on ").strip().split(", health and metrics on ")
        self.url, self.http = f"http://{grpc}", http
        self.listens_s = time.monotonic() - began
        # what it says later must be read by somebody
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        wait_for("serve", self.process, lambda: answers(f"{self.http}/readyz"))
        self.ready_s = time.monotonic() - began

    def counted(self, metric, label):
        """The sum of a metric's series with this label."""
        with urllib.request.urlopen(f"{self.http}/metrics") as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{metric}{{") and label in line)

    def seconds_of_reads(self):
        """How long the server took for reads so far, and for how many."""
        metric, label = "hitherto_grpc_request_seconds", 'method="OnlineFeatures/GetFeatures"'
        return self.counted(f"{metric}_sum", label), self.counted(f"{metric}_count", label)


class FeastServer(Process):
    """`feast serve` with a worker a core."""

    def __init__(self, feast, folder):
        self.port = free_port()
        self.command = [feast, "serve", "-p", self.port, "-h", "127.0.0.1", "--no-access-log", "-w", 2]
        self.folder = folder

    def start(self):
        # a group of its own, for it starts workers
        self.process = subprocess.Popen(
            list(map(str, self.command)), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for("feast serve", self.process, lambda: answers(f"http://127.0.0.1:{self.port}/health"))

    def stop(self):
        super().stop()
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def wait_for(what, process, is_so):
    begun = time.monotonic()
    while not is_so():
        if process.poll() is not None:
            raise measure.Failed(f"{what} ended with {process.returncode} before it answered")
        if time.monotonic() - begun > PATIENCE_S:
            raise measure.Failed(f"{what} did not answer within {PATIENCE_S} s")
        time.sleep(0.002)


def take_turns(jobs, runs):
    """What each job said, `runs` times, by name; the jobs in turns, so that a busy moment hits all alike."""
    said = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            said[name].append(job())
    return said


def middle(said):
    """Of several runs' figures the median of each number, through all levels; of anything else the last."""
    if isinstance(said[0], dict):
        return {key: middle([one[key] for one in said if one and key in one]) for key in said[0]}
    numbers = [one for one in said if isinstance(one, (int, float)) and not isinstance(one, bool)]
    return statistics.median(numbers) if numbers else said[-1]


def live_files(folder, table):
    """How many data files the table has by its log, how many it has had at most after any commit, and how many commits there were.
    The log is read from its first entry."""
    most, files, entries = 0, set(), sorted(folder.glob(f".hitherto/offline/**/{table}/_delta_log/*.json"))
    if not entries or int(entries[0].stem) != 0:
        raise measure.Failed(f"the log of {table} does not begin with its first entry")
    for entry in entries:
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                files.add(action["add"]["path"])
            elif "remove" in action:
                files.discard(action["remove"]["path"])
        most = max(most, len(files))
    return len(files), most, len(entries)
