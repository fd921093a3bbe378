"""Objects print to the YAML that a person would write."""

from __future__ import annotations

import pathlib

import pytest
import yaml

import hitherto
from hitherto import Entity, Feature, FeatureSet, FeatureView, Gate, Metric, Ref, Transform, ViewRef
from hitherto.applying import apply_request, plan_request


def test_an_entity() -> None:
    entity = Entity("aircraft", {"tailnum": "string", "leg": "int64"}, "an aircraft, by its tail: two keys")
    assert str(entity) == (
        "kind: entity\n"
        "name: aircraft\n"
        "join_keys: {tailnum: string, leg: int64}\n"
        'description: "an aircraft, by its tail: two keys"\n'
    )


def test_a_feature_view() -> None:
    view = FeatureView(
        "weather",
        entity="airport",
        features={"visib": "float32", "gust": Feature("float32", column="wind_gust", description="mph", tags={"owner": "ops"})},
        source_delay="10m",
        ttl="6h",
        join_keys={"origin": "airport_code"},
    )
    assert view.to_yaml() == (
        "kind: feature_view\n"
        "name: weather\n"
        "entity: airport\n"
        "join_keys: {origin: airport_code}\n"
        "source_delay: 10m\n"
        "ttl: 6h\n"
        "features:\n"
        "  visib: float32\n"
        "  gust: {type: float32, column: wind_gust, description: mph, tags: {owner: ops}}\n"
    )
    both = FeatureView("pair", entity=["a", "b"], features={"x": "vector<float32, 3>", "z": Feature("list<int64>")})
    assert both.to_yaml().endswith('entities: [a, b]\nfeatures:\n  x: "vector<float32, 3>"\n  z: list<int64>\n')


def test_a_feature_set() -> None:
    features = FeatureSet(
        "late",
        ["leg:delay", "leg@2:distance", "hour:*", Ref("weather:wind_gust", as_="gust"), ViewRef("hour", "dest_hour", {"origin": "dest"})],
        request={"prepaid": "float64"},
        transforms=[Transform("is_gusty", "coalesce(gust, 0) > 25")],
    )
    assert features.to_yaml() == (
        "kind: feature_set\n"
        "name: late\n"
        "features:\n"
        "  - leg:delay\n"
        "  - leg@2:distance\n"
        '  - "hour:*"\n'
        "  - {ref: weather:wind_gust, as: gust}\n"
        "  - {view: hour, as: dest_hour, join_keys: {origin: dest}}\n"
        "request: {prepaid: float64}\n"
        "transforms:\n"
        '  - {name: is_gusty, expr: "coalesce(gust, 0) > 25"}\n'
    )


def test_a_gate() -> None:
    metrics = [Metric("auc", slice="carrier=AA", min=0.6)]
    gate = Gate("careful", "late", "champion", is_dataset_verified=True, max_lag="10m", metrics=metrics)
    assert yaml.safe_load(gate.to_yaml()) == {
        "kind": "gate",
        "name": "careful",
        "model": "late",
        "alias": "champion",
        "dataset": "verified",
        "online": {"max_lag": "10m"},
        "metrics": [{"metric": "auc", "slice": "carrier=AA", "min": 0.6}],
    }


def test_the_flights_definitions_as_objects_are_the_file(checkout: pathlib.Path) -> None:
    text = (checkout / "data/flights/definitions.yaml").read_text()
    written = list(yaml.safe_load_all(text))
    made = [_object(document) for document in written]
    assert list(yaml.safe_load_all(hitherto.to_yaml(*made))) == written
    assert len(made) == 8


def _object(document: dict[str, object]) -> hitherto.definitions.Definition:
    """What a person would write for one document of the flights."""
    fields: dict[str, object] = {name: value for name, value in document.items() if name != "kind"}
    if document["kind"] == "feature_view":
        features = document["features"]
        assert isinstance(features, dict)
        fields["features"] = {name: Feature(**one) if isinstance(one, dict) else one for name, one in features.items()}
        return FeatureView(**fields)  # type: ignore[arg-type]
    if document["kind"] == "feature_set":
        members, transforms = document["features"], document["transforms"]
        assert isinstance(members, list) and isinstance(transforms, list)
        fields["features"] = [Ref(one["ref"], one["as"]) if isinstance(one, dict) else one for one in members]
        fields["transforms"] = [Transform(**one) for one in transforms]
        return FeatureSet(**fields)  # type: ignore[arg-type]
    return Entity(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["null", "Yes", "on", "no", "1.10", "0x1f", "a: b", "a #b", "#a", "- a", "{a}", "[a", "'", '"', "\\", "é", "a\nb", "a\tb"]
    + ["\x7f\x85\u2028", "", " a", "~", "*a", "&a", "!a", "a,b", "2013-01-01", "10m", "😀"],
)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    entity = Entity("e", {"k": "string"}, description=text, tags={"tag": text})
    read = yaml.safe_load(entity.to_yaml())
    assert (read["description"], read["tags"]["tag"]) == (text, text)


def test_definitions_are_objects_text_files_or_folders(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.yaml").write_text("kind: entity\nname: b\n")
    (tmp_path / "a.yml").write_text("kind: entity\nname: a\n")
    (tmp_path / "c.txt").write_text("no definition")
    sent = apply_request([Entity("e", {"k": "string"}), "kind: entity\nname: t\n", tmp_path, str(tmp_path / "b.yaml")], False)
    names = [text.name for text in sent.definitions]
    assert names == ["Entity('e')", "definitions 2", str(tmp_path / "a.yml"), str(tmp_path / "b.yaml"), str(tmp_path / "b.yaml")]
    assert sent.definitions[0].text == "kind: entity\nname: e\njoin_keys: {k: string}\n"
    assert plan_request(Entity("e", {"k": "string"}), True).allow_new_table
    with pytest.raises(hitherto.NotFound, match="there is no file 'kind: entity'"):
        plan_request("kind: entity", False)
    with pytest.raises(hitherto.InvalidArgument, match="a int is no definition"):
        plan_request([3], False)  # type: ignore[list-item]
    with pytest.raises(hitherto.InvalidArgument, match="features is a list"):
        FeatureSet("late", "leg:delay").to_yaml()
