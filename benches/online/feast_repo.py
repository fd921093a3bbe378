"""A Feast repository of the same views in the working folder, and their rows in Redis. usage: feast_repo.py DATA REDIS_PORT

Prints its own seconds of materializing, without its start and imports. Then `feast serve` serves it, as `all`.
"""
import pathlib
import sys
import time
import warnings
from datetime import datetime, timedelta, timezone

warnings.filterwarnings("ignore")

from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Int64

CONFIGURATION = """\
project: bench
provider: local
registry: registry.db
offline_store: {{type: duckdb}}
online_store: {{type: redis, connection_string: "127.0.0.1:{port}"}}
entity_key_serialization_version: 3
"""

data, port = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]


def main():
    pathlib.Path("feature_store.yaml").write_text(CONFIGURATION.format(port=port))
    store = FeatureStore(".")
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    views = [view(number, user) for number in range(5)]
    store.apply([user, *views, FeatureService(name="all", features=views)])
    now = datetime.now(timezone.utc)
    began = time.monotonic()
    store.materialize(now - timedelta(days=1), now)
    print("seconds", time.monotonic() - began)


def view(number, user):
    schema = [Field(name=f"v{number}_f{index}", dtype=Int64) for index in range(10)]
    source = FileSource(path=str(data / f"v{number}.parquet"), timestamp_field="event_timestamp")
    return FeatureView(name=f"v{number}", entities=[user], ttl=timedelta(days=7), schema=schema, source=source)


main()
