# %% [markdown]
# # Will this flight be late? A model that is honest, and one that is not
#
# At its scheduled departure, will a flight out of New York arrive 15 minutes late or more? We train the same model twice: on
# what was *known* at that moment, and on what was *true* by then (an ordinary join on event time). Then we look at what each
# promises in its test, and at what it is worth in service, where nobody knows the future.
#
# Needs a server over the flights, in another terminal:
#
#     hitherto demo                      # leaves a folder hitherto-demo
#     cd hitherto-demo
#     hitherto serve --clock 2013-07-10T18:00:00Z
#
# and `pip install './python[pandas]' scikit-learn`. Run it as a script in the folder above `hitherto-demo`, or cell by cell.

# %%
import subprocess

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import hitherto

FOLDER = "hitherto-demo"
client = hitherto.Client("127.0.0.1:7420")

# %% [markdown]
# ## The spine: which flights, at which moment, and what became of them
# The flights' own spine asks two hours before the scheduled departure. We ask at the departure itself. Cancelled flights have
# no label, and are left out.

# %%
spine = pd.read_parquet(f"{FOLDER}/data/spine.parquet")
spine = spine[spine["late"].notna()].reset_index(drop=True)
spine["event_timestamp"] += pd.Timedelta(hours=2)
split = hitherto.Split.by_time("2013-10-01")

# %% [markdown]
# ## Two training sets
# The same rows, the same features, the same history. Rows come back as they went, in their order, with the features behind them;
# `split` adds the column of that name.

# %%
known = client.training_set(spine, feature_set="late_arrival", split=split, name="at_departure", tags={"example": "flights"})
leaky = client.training_set(spine, feature_set="late_arrival", split=split, mode="event", name="at_departure_leaky")
print("known", known.dataset_id[:12], known.manifest["mode"], "| leaky", leaky.dataset_id[:12], leaky.manifest["mode"])
known_rows, leaky_rows = known.to_pandas(), leaky.to_pandas()

# %%
feature_names = [column for column in known_rows.columns if column not in [*spine.columns, "split"]]
differs = (known_rows["aircraft_last_leg__arr_delay"].fillna(-999) != leaky_rows["aircraft_last_leg__arr_delay"].fillna(-999)).mean()
print(f"{differs:.1%} of the rows have another arrival delay of 'the last leg': often it is this very flight's own, hours before it lands")

# %% [markdown]
# ## One model, trained on each


# %%
def features_of(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[feature_names].astype("float64")


def trained(rows: pd.DataFrame) -> HistGradientBoostingClassifier:
    train = rows[rows["split"] == "train"]
    model = HistGradientBoostingClassifier(max_iter=60, random_state=7)
    return model.fit(features_of(train), train["late"].astype(bool))


def auc(model: HistGradientBoostingClassifier, rows: pd.DataFrame) -> float:
    test = rows[rows["split"] == "test"]
    return float(roc_auc_score(test["late"].astype(bool), model.predict_proba(features_of(test))[:, 1]))


honest, dishonest = trained(known_rows), trained(leaky_rows)

# %% [markdown]
# ## What each promises, and what it is worth
# Measured: on the test rows of its own training set. Real: on what will be known when it is asked, which is what the other training
# set has.

# %%
scores = pd.DataFrame(
    {"measured": [auc(honest, known_rows), auc(dishonest, leaky_rows)], "real": [auc(honest, known_rows), auc(dishonest, known_rows)]},
    index=["trained on what was known", "trained on event time"],
)
print(scores.round(3).to_string())

# %% [markdown]
# The leaky model measures better and is worse: it has learnt to read the answer, and in service the answer is not there.
#
# ## The honest one goes into service
# It is registered with its training set, and so with the features that it must be served. Evaluations are the command line's.

# %%
version = client.models.register("late_at_departure", dataset=known, tags={"library": "scikit-learn"})
evaluation = ["--metric", f"auc={scores.loc['trained on what was known', 'measured']:.6f}", "--grader", "code:examples/flights.py"]
subprocess.run(["hitherto", "model", "evaluate", str(version), *evaluation, "--dataset", known.dataset_id], cwd=FOLDER, check=True)
client.models.move_alias(version, "champion")
print(client.models.get("late_at_departure@champion"))

# %%
waiting = {"tailnum": ["N14228", "N24211", "none such"], "origin": ["EWR", "LGA", "JFK"], "carrier": ["UA", "UA", "B6"]}
answer = client.get_features(waiting, model="late_at_departure@champion")
chances = honest.predict_proba(features_of(answer.to_pandas()))[:, 1]
for tailnum, chance, status in zip(waiting["tailnum"], chances, answer["aircraft_last_leg__arr_delay"].statuses, strict=True):
    print(f"{tailnum}: late with a chance of {chance:.0%} (its last leg: {status})")
