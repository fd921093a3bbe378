"""What reading and writing alone cost: every key and feature column of our tables, then a training set's own rows.

usage: scan.py STORE TRAINING_SET.parquet OUT.parquet; prints its own seconds, without its start and imports

By pyarrow on two threads: STORE's data files without the columns of times, then TRAINING_SET (read before the clock
runs) written to OUT with zstd at level 1, as ours is.
"""
import pathlib
import sys
import time

import pyarrow
import pyarrow.dataset
import pyarrow.parquet

store, training_set, out = sys.argv[1:4]
pyarrow.set_cpu_count(2)
rows = pyarrow.parquet.read_table(training_set)
files = {}
for path in sorted(pathlib.Path(store).glob("**/data/**/*.parquet")):
    names = pyarrow.parquet.read_schema(path).names
    wanted = tuple(name for name in names if not name.startswith("_") and not name.endswith("_timestamp"))
    files.setdefault(wanted, []).append(str(path))
began = time.monotonic()
for columns, paths in files.items():
    for batch in pyarrow.dataset.dataset(paths).scanner(columns=list(columns)).to_batches():
        del batch
pyarrow.parquet.write_table(rows, out, compression="zstd", compression_level=1)
print("seconds", time.monotonic() - began)
