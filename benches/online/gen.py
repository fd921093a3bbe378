"""Generate the online data: v0.parquet to v4.parquet, ten integers each for the users 0 to ENTITIES. usage: gen.py OUT ENTITIES

user_id i64, event_timestamp (a minute before now), v<view>_f0 to v<view>_f9 i64, uniform below 2^40.
"""
import pathlib
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

out, entities = pathlib.Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(4)
# not now: clocks that differ a little would make the rows come later
now = np.full(entities, time.time_ns() // 1_000_000_000 * 1_000_000 - 60_000_000)
for view in range(5):
    columns = {
        "user_id": np.arange(entities),
        "event_timestamp": pa.array(now, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
    }
    columns |= {f"v{view}_f{index}": rng.integers(0, 1 << 40, entities) for index in range(10)}
    pq.write_table(pa.table(columns), out / f"v{view}.parquet", row_group_size=1 << 17)
