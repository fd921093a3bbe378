"""What the cases measure on: generated data, stores that our binary has made of them, and the commands."""
import dataclasses
import json
import pathlib
import shutil
import subprocess

import measure

here = pathlib.Path(__file__).resolve().parent
VIEWS = ["user_daily", "user_txn", "merchant_hourly"]
# arguments of gen.py; the full data are its defaults
SIZES = {
    "full": [],
    "tenth": ["--spine", 100_000, "--users", 10_000, "--txn", 1_000_000, "--merchants", 500],
}


class NotAvailable(Exception):
    """The binary has no such command yet."""


@dataclasses.dataclass
class Store:
    """A folder with history in it, and what ingesting it took, by view."""

    folder: pathlib.Path
    ingests: dict


class Bench:
    """A folder of data, a binary, and the peers' Python."""

    def __init__(self, binary, python, folder, scale, runs):
        self.binary = binary
        self.python = python
        self.folder = folder
        self.scale = scale
        self.runs = runs
        self.stores = folder / "stores" / measure.sha256(binary)[:12]
        for old in (folder / "stores").glob("*"):
            if old != self.stores:
                shutil.rmtree(old)
        self.out = folder / "out"
        for made in (self.stores, self.out):
            made.mkdir(parents=True, exist_ok=True)

    def script(self, name, *arguments):
        return [self.python, here / name, *arguments]

    def job(self, name, *arguments, **how):
        """A script of the peers' Python."""
        return measure.Job(self.script(name, *arguments), self.out, **how)

    def data(self, name, script="gen.py", arguments=()):
        """The folder of this name, generated where it is not there yet."""
        folder = self.folder / name
        asked = json.dumps([script, *map(str, arguments)])
        done = folder / "generated.json"
        if not done.exists() or done.read_text() != asked:
            shutil.rmtree(folder, ignore_errors=True)
            run(self.script(script, folder, *arguments), self.folder)
            done.write_text(asked)
        return folder

    def sized(self, scale=None):
        scale = scale or self.scale
        return self.data(scale, arguments=SIZES[scale])

    def store(self, name, files, definitions=here / "definitions.yaml"):
        """The store of this name, with `files` (view: paths) ingested by this binary where it is not there yet."""
        folder = self.stores / name
        done = folder / "ingests.json"
        if not done.exists():
            self.applied(folder, definitions)
            ingests = {view: self.ingested(folder, view, paths) for view, paths in files.items()}
            done.write_text(json.dumps(ingests, indent=2))
        return Store(folder, json.loads(done.read_text()))

    def applied(self, folder, definitions=here / "definitions.yaml"):
        """An empty store, in place of what was there."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run([self.binary, "apply", "-f", definitions], folder)

    def ingested(self, folder, view, paths):
        taken = [measure.timed(measure.Job([self.binary, "ingest", view, path], folder)) for path in paths]
        wall, peak = sum(run.wall_s for run in taken), max(run.peak_mb for run in taken)
        return {"wall_s": round(wall, 2), "peak_mb": round(peak)}

    def main_store(self):
        """All three views at the scale that was asked for."""
        return self.sized_store(self.scale)

    def sized_store(self, scale):
        data = self.sized(scale)
        return self.store(scale, {view: [data / f"{view}.parquet"] for view in VIEWS})

    def compacted(self, store):
        """A copy of the store, compacted."""
        self.needs("compact")
        folder = store.folder.with_name(f"{store.folder.name}-compacted")
        done = folder / "compact.json"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(store.folder, folder)
            took = measure.timed(measure.Job([self.binary, "compact"], folder))
            done.write_text(json.dumps({"compact": {"wall_s": round(took.wall_s, 2), "peak_mb": round(took.peak_mb)}}))
        return Store(folder, json.loads(done.read_text()))

    def training_set(self, store, spine, out, *flags, feature_set="all"):
        command = [self.binary, "training-set", "--feature-set", feature_set, "--spine", spine, "--out", self.out / out]
        # the same request on the same history is answered with the file that is there, which is not what is timed
        return measure.Job([*command, "--fresh", *flags], store.folder)

    def needs(self, command, flag=None):
        done = subprocess.run([self.binary, command, "--help"], capture_output=True, text=True)
        if done.returncode != 0:
            raise NotAvailable(f"this hitherto has no command {command}")
        if flag and flag not in done.stdout:
            raise NotAvailable(f"this hitherto's {command} has no {flag}")


def run(command, folder):
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise measure.Failed(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout.strip()
