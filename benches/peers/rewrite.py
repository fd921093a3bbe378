"""Read a Parquet file whole and write it again with zstd, by pyarrow on two threads. usage: rewrite.py IN.parquet OUT.parquet"""
import sys

import pyarrow
import pyarrow.parquet

pyarrow.set_cpu_count(2)
pyarrow.parquet.write_table(pyarrow.parquet.read_table(sys.argv[1]), sys.argv[2], compression="zstd")
