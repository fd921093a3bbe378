"""How many rows of two answers differ. usage: compare.py OURS.arrow THEIRS.arrow ordered|unordered

Columns are compared by place, under the same names: times as moments, whatever zone they are shown in, integers of any width by
value, and floats within 1e-9 of the greater. Rows of no order are sorted by all of their columns first.
"""
import sys

import pyarrow as pa
import pyarrow.compute as pc

RELATIVE = 1e-9
# a sum that cancels out has no digits that count
NOTHING = 1e-12


def main():
    ours, theirs = (pa.ipc.open_file(pa.memory_map(path)).read_all() for path in sys.argv[1:3])
    if ours.column_names != theirs.column_names:
        sys.exit(f"the columns differ: {ours.column_names} and {theirs.column_names}")
    if ours.num_rows != theirs.num_rows:
        sys.exit(f"{ours.num_rows} rows and {theirs.num_rows} rows")
    ours, theirs = plain(ours), plain(theirs)
    if sys.argv[3] == "unordered":
        order = [(name, "ascending") for name in ours.column_names]
        ours, theirs = ours.sort_by(order), theirs.sort_by(order)
    differ = pa.array([False] * ours.num_rows, pa.bool_())
    for name in ours.column_names:
        if ours.schema.field(name).type != theirs.schema.field(name).type:
            types = [str(table.schema.field(name).type) for table in (ours, theirs)]
            sys.exit(f"column {name} is {' and '.join(types)}")
        differ = pc.or_(differ, unlike(ours[name].combine_chunks(), theirs[name].combine_chunks()))
    count = pc.sum(differ).as_py() or 0
    for row in pc.indices_nonzero(differ).to_pylist()[:3]:
        print(f"{ours.slice(row, 1).to_pylist()} and {theirs.slice(row, 1).to_pylist()}")
    print(f"{ours.num_rows:,} rows, {ours.num_columns} columns: {count:,} rows differ")
    sys.exit(1 if count else 0)


def plain(table):
    """The same values, in one type of each kind."""
    return pa.table({name: cast(column) for name, column in zip(table.column_names, table.columns)})


def cast(column):
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.int64())
    return column.cast(pa.string())


def unlike(a, b):
    if pa.types.is_floating(a.type):
        apart = pc.abs(pc.subtract(a, b))
        bound = pc.max_element_wise(pc.multiply(pc.max_element_wise(pc.abs(a), pc.abs(b)), RELATIVE), NOTHING)
        equal = pc.or_(pc.equal(a, b), pc.less_equal(apart, bound))
        equal = pc.or_kleene(equal, pc.and_(pc.is_nan(a), pc.is_nan(b)))
    else:
        equal = pc.equal(a, b)
    both_null = pc.and_(pc.is_null(a), pc.is_null(b))
    return pc.invert(pc.or_(both_null, pc.fill_null(equal, False)))


main()
