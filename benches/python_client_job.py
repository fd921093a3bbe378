"""The jobs of python_client.py, for the Python that has the client's packages. Each prints `seconds N`."""
import pathlib
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python" / "src"))
sys.dont_write_bytecode = True

import hitherto  # noqa: E402

USERS = 100_000
DAY_US = 86_400_000_000
DAYS = 30
# with id, user, event_timestamp and label 25 columns
FEATURES = {"daily": 12, "hourly": 9}
ROWS = {"daily": 2_000_000, "hourly": 3_000_000}


def main():
    what, *arguments = sys.argv[1:]
    if what == "generate":
        generate()
        return
    seconds = {"client": client, "command": command, "batches": batches}[what](*arguments)
    print(f"seconds {seconds:.3f}")


def client(address, spine):
    with hitherto.Client(address) as asking:
        began = time.monotonic()
        table = asking.training_set(spine, feature_set="activity", fresh=True, progress=False).to_arrow()
        seconds = time.monotonic() - began
    assert table.num_columns == 25 and table.num_rows == pq.read_metadata(spine).num_rows, table.shape
    return seconds


def command(binary, spine):
    line = [binary, "training-set", "--feature-set", "activity", "--spine", spine, "--out", "out.parquet", "--fresh"]
    began = time.monotonic()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    table = pq.read_table("out.parquet")
    seconds = time.monotonic() - began
    assert table.num_columns == 25 and table.num_rows == pq.read_metadata(spine).num_rows, table.shape
    return seconds


def batches(address, spine):
    with hitherto.Client(address) as asking:
        began = time.monotonic()
        rows = sum(batch.num_rows for batch in asking.training_set(spine, feature_set="activity", progress=False).batches())
        seconds = time.monotonic() - began
    assert rows == pq.read_metadata(spine).num_rows, rows
    return seconds


def generate():
    """Definitions, history of two views, and two spines, in the working folder; the same bytes each time."""
    random = np.random.default_rng(7)
    views = [hitherto.Entity("user", {"user": "int64"})]
    for view, count in FEATURES.items():
        names = [f"{view[0]}{number}" for number in range(count)]
        views.append(hitherto.FeatureView(view, entity="user", features=dict.fromkeys(names, "float64"), source_delay="5m"))
        columns = {"user": random.integers(0, USERS, ROWS[view]), "event_timestamp": times(random, ROWS[view])}
        columns |= {name: random.random(ROWS[view]) for name in names}
        pq.write_table(pa.table(columns), f"{view}.parquet")
    features = hitherto.FeatureSet("activity", [f"{view}:*" for view in FEATURES])
    pathlib.Path("definitions.yaml").write_text(hitherto.to_yaml(*views, features))
    for name, rows in (("spine", 1_000_000), ("large", 10_000_000)):
        columns = {"id": np.arange(rows), "user": random.integers(0, USERS, rows), "event_timestamp": times(random, rows)}
        pq.write_table(pa.table(columns | {"label": random.random(rows) < 0.1}), f"{name}.parquet", row_group_size=100_000)


def times(random, rows):
    micros = np.sort(random.integers(0, DAYS * DAY_US, rows)) + 1_372_636_800_000_000
    return pa.array(micros, pa.timestamp("us", "UTC"))


if __name__ == "__main__":
    main()
