"""The training set by Feast's local offline store.

usage: run_feast.py DATA OUT.parquet duckdb|dask; dask exhausts 24 GB on a tenth of the data
"""
import pathlib
import sys
import tempfile
import warnings
from datetime import timedelta

warnings.filterwarnings("ignore")

import pandas
import pyarrow.parquet
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32, Float64

data, out, engine = sys.argv[1:4]
data = pathlib.Path(data).resolve()


def main():
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(config=configuration(folder))
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        merchant = Entity(name="merchant", join_keys=["merchant_id"], value_type=ValueType.STRING)
        views = [
            view("user_daily", user, "d_f", 10, Float64),
            view("user_txn", user, "t_f", 5, Float64),
            view("merchant_hourly", merchant, "m_f", 5, Float32),
        ]
        store.apply([user, merchant, *views])
        keys = ("user_id", "merchant_id")
        features = [f"{view.name}:{field.name}" for view in views for field in view.schema if field.name not in keys]
        spine = pandas.read_parquet(data / "spine.parquet")
        done = store.get_historical_features(entity_df=spine, features=features).to_arrow()
        pyarrow.parquet.write_table(done, out)


def configuration(folder):
    return RepoConfig(
        project="bench",
        provider="local",
        registry=f"{folder}/registry.db",
        offline_store={"type": "file" if engine == "dask" else "duckdb"},
        online_store={"type": "sqlite", "path": f"{folder}/online.db"},
        entity_key_serialization_version=3,
    )


def view(name, entity, prefix, width, dtype):
    source = FileSource(
        path=str(data / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    schema = [Field(name=f"{prefix}{index}", dtype=dtype) for index in range(width)]
    return FeatureView(name=name, entities=[entity], ttl=timedelta(days=7), schema=schema, source=source)


main()
