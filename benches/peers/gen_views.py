"""Generate many views of one entity, or one wide view, and their definitions.

usage: gen_views.py OUT --views N --features N --rows N [--users N] [--days N] [--seed N]

  view_00.parquet …  user_id i64, event_timestamp, created_timestamp, f000_00… f32; rows by created time
  definitions.yaml   the entity, the views (ttl 7d) and the feature set `all`

The spine is that of gen.py with as many users and days.
"""
import argparse
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen import DAY, FIRST_USER, HOUR, START, micros

ENTITY = "kind: entity\nname: user\njoin_keys: {user_id: int64}\n"


def main():
    asked = parse()
    asked.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(asked.seed)
    documents, references = [ENTITY], []
    for view in range(asked.views):
        name = f"view_{view:02}"
        features = [f"f{index:03}_{view:02}" for index in range(asked.features)]
        pq.write_table(rows(asked, rng, features), asked.out / f"{name}.parquet", row_group_size=1 << 20)
        typed = "".join(f"  {feature}: float32\n" for feature in features)
        documents.append(
            f"kind: feature_view\nname: {name}\nentity: user\ncreated_timestamp: created_timestamp\nttl: 7d\n"
            f"features:\n{typed}"
        )
        references += [f"  - {{ref: \"{name}:{feature}\", as: {feature}}}\n" for feature in features]
    documents.append(f"kind: feature_set\nname: all\nfeatures:\n{''.join(references)}")
    (asked.out / "definitions.yaml").write_text("---\n".join(documents))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--views", type=int, required=True)
    parser.add_argument("--features", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True, help="of each view")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seed", type=int, default=11)
    return parser.parse_args()


def rows(asked, rng, features):
    events = np.sort(START + rng.integers(0, asked.days * DAY, asked.rows))
    created = events + rng.exponential(HOUR, asked.rows).astype(np.int64)
    order = np.argsort(created, kind="stable")
    columns = {
        "user_id": pa.array(rng.integers(0, asked.users, asked.rows) * 3 + FIRST_USER),
        "event_timestamp": micros(events[order]),
        "created_timestamp": micros(created[order]),
    }
    for feature in features:
        columns[feature] = pa.array(rng.normal(size=asked.rows).astype("f4"))
    return pa.table(columns)


main()
