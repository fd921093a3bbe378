"""Client of Hitherto, the feature store that is right at every point in time.

    import hitherto

    client = hitherto.Client("127.0.0.1:7420")
    flights = client.training_set("spine.parquet", feature_set="late_arrival")
    frame = flights.to_pandas()
    print(flights.dataset_id)

`Client` has training sets, online features, pushes, SQL, definitions and models; `AsyncClient` has online features and pushes. What
goes wrong is an `Error`, of one class a kind.
"""

from hitherto.address import Tls
from hitherto.aio import AsyncClient
from hitherto.applying import Change, Plan
from hitherto.client import Client
from hitherto.definitions import (
    Definition,
    Entity,
    Feature,
    FeatureSet,
    FeatureView,
    Gate,
    Metric,
    Ref,
    Transform,
    ViewRef,
    to_yaml,
)
from hitherto.errors import (
    AlreadyExists,
    Cancelled,
    Conflict,
    Error,
    Exhausted,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Timeout,
    Unauthenticated,
    Unavailable,
    Unsupported,
    Violation,
)
from hitherto.features import Features, Status
from hitherto.models import Alias, ModelVersion
from hitherto.progress import Progress
from hitherto.pushes import Pushed
from hitherto.retry import Retry
from hitherto.rows import Rows
from hitherto.spine import SQL
from hitherto.splits import Split
from hitherto.training_set import TrainingSet

__all__ = [
    "Alias",
    "AlreadyExists",
    "AsyncClient",
    "Cancelled",
    "Change",
    "Client",
    "Conflict",
    "Definition",
    "Entity",
    "Error",
    "Exhausted",
    "Feature",
    "FeatureSet",
    "FeatureView",
    "Features",
    "Gate",
    "Internal",
    "InvalidArgument",
    "Metric",
    "ModelVersion",
    "NotFound",
    "PermissionDenied",
    "Plan",
    "Progress",
    "Pushed",
    "Ref",
    "Retry",
    "Rows",
    "SQL",
    "Split",
    "Status",
    "Timeout",
    "Tls",
    "TrainingSet",
    "Transform",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "ViewRef",
    "Violation",
    "to_yaml",
]
