"""The training set by Polars: three sorted join_asof, 7-day tolerance, ties by created time.

usage: run_polars.py DATA OUT.parquet [--stream]; POLARS_MAX_THREADS says how many threads.
"""
import sys

import polars as pl

data, out = sys.argv[1:3]
rows = pl.scan_parquet(f"{data}/spine.parquet").sort("event_timestamp")
for view, key in (("user_daily", "user_id"), ("user_txn", "user_id"), ("merchant_hourly", "merchant_id")):
    history = pl.scan_parquet(f"{data}/{view}.parquet").sort("event_timestamp", "created_timestamp")
    history = history.drop("created_timestamp")
    rows = rows.join_asof(
        history, on="event_timestamp", by=key, strategy="backward", tolerance="7d", coalesce=True
    )
done = rows.collect(engine="streaming" if "--stream" in sys.argv else "in-memory")
done.write_parquet(out)
