"""Generate the benchmark's data: one spine and three feature tables, as Parquet. Every engine reads exactly these files.

usage: gen.py OUT [--spine N] [--users N] [--merchants N] [--txn N] [--days N] [--seed N] [--hot SHARE] [--tables NAME,…]

  spine.parquet            spine_id i64, user_id i64, merchant_id string, event_timestamp, label i8
  user_daily.parquet       user_id, event_timestamp (midnight of each day), created_timestamp, d_f0..d_f9 f64
  user_txn.parquet         user_id, event_timestamp (irregular, skewed), created_timestamp, t_f0..t_f4 f64
  merchant_hourly.parquet  merchant_id string, event_timestamp (hourly, gaps), created_timestamp, m_f0..m_f4 f32

Times are UTC, to the microsecond. About 1 % of the feature rows repeat an (entity, event_timestamp) with a later
created_timestamp: a correction. Rows are in ingestion order (by created time), not sorted by entity: what an append-only
table looks like. With --hot, that share of the rows of user_txn belongs to one user, who has 0.6 % of the spine.
"""
import argparse
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86_400_000_000
HOUR = 3_600_000_000
START = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
FIRST_USER = 1_000_000
TABLES = ["spine", "user_daily", "user_txn", "merchant_hourly"]


def main():
    asked = parse()
    asked.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(asked.seed)
    spine(asked, rng)
    if "user_daily" in asked.tables:
        users = np.tile(np.arange(asked.users) * 3 + FIRST_USER, asked.days)
        days = np.repeat(START + np.arange(asked.days) * DAY, asked.users)
        features(asked, rng, "user_daily", users, days, "d_f", 10, "f8")
    if "user_txn" in asked.tables:
        users = zipf_users(asked, rng, asked.txn)
        times = START + rng.integers(0, asked.days * DAY, asked.txn)
        if asked.hot:
            users[rng.random(asked.txn) < asked.hot] = FIRST_USER
        features(asked, rng, "user_txn", users, times, "t_f", 5, "f8")
    if "merchant_hourly" in asked.tables:
        hours = asked.days * 24
        merchants = np.repeat(np.arange(asked.merchants), hours)
        times = np.tile(START + np.arange(hours) * HOUR, asked.merchants)
        there = rng.random(len(merchants)) < 0.7
        features(asked, rng, "merchant_hourly", merchants[there], times[there], "m_f", 5, "f4")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--spine", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--merchants", type=int, default=2_000)
    parser.add_argument("--txn", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--hot", type=float, default=0.0)
    parser.add_argument("--tables", type=lambda names: names.split(","), default=TABLES)
    return parser.parse_args()


def spine(asked, rng):
    """Drawn even where it is not written: what is drawn after it comes out the same."""
    count = asked.spine
    columns = {
        "spine_id": pa.array(np.arange(count)),
        "user_id": pa.array(zipf_users(asked, rng, count)),
        "merchant_id": merchant_ids(rng.integers(0, asked.merchants, count)),
        "event_timestamp": micros(START + rng.integers(0, asked.days * DAY, count)),
        "label": pa.array(rng.integers(0, 2, count).astype(np.int8)),
    }
    if "spine" in asked.tables:
        write(asked, "spine", pa.table(columns))


def features(asked, rng, name, entities, events, prefix, width, dtype):
    delay = rng.exponential(HOUR, len(events)).astype(np.int64)
    repeated = rng.integers(0, len(events), len(events) // 100)
    rows = np.concatenate([np.arange(len(events)), repeated])
    created = (events + delay)[rows]
    created[len(events) :] += DAY
    order = np.argsort(created, kind="stable")
    entities = entities[rows]
    columns = {
        "merchant_id" if name == "merchant_hourly" else "user_id": (
            merchant_ids(entities) if name == "merchant_hourly" else pa.array(entities)
        ),
        "event_timestamp": micros(events[rows]),
        "created_timestamp": micros(created),
    }
    for index in range(width):
        values = rng.normal(size=len(rows)).astype(dtype)
        columns[f"{prefix}{index}"] = pa.array(values, mask=rng.random(len(rows)) < 0.01)
    write(asked, name, pa.table(columns).take(pa.array(order)))


def zipf_users(asked, rng, count):
    rank = (asked.users * rng.power(0.45, count)).astype(np.int64)
    return rank * 7919 % asked.users * 3 + FIRST_USER


def merchant_ids(numbers):
    return pa.array(np.char.add("m-", numbers.astype("U8")))


def micros(times):
    return pa.array(times, pa.timestamp("us", tz="UTC"))


def write(asked, name, table):
    path = asked.out / f"{name}.parquet"
    pq.write_table(table, path, row_group_size=1 << 20, compression="snappy")
    print(f"{path.name:24} {table.num_rows:>12,} rows {path.stat().st_size / 1e6:9.1f} MB", flush=True)


if __name__ == "__main__":
    main()
