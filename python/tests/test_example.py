"""The worked example says what it says it shows."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import served

import hitherto


@pytest.mark.server
@pytest.mark.flight
def test_leakage_promises_more_and_holds_less(
    demo: served.Place, checkout: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(demo.folder.parent)
    monkeypatch.setenv("PATH", served.environment()["PATH"])
    text = (checkout / "python/examples/flights.py").read_text()
    assert text.count('"127.0.0.1:7420"') == 1
    cells: dict[str, Any] = {"__name__": "example"}
    exec(compile(text.replace("127.0.0.1:7420", demo.address), "examples/flights.py", "exec"), cells)

    scores = cells["scores"]
    honest, leaky = scores.loc["trained on what was known"], scores.loc["trained on event time"]
    assert honest["measured"] == honest["real"] > 0.70
    assert leaky["measured"] > honest["measured"] + 0.08, "it promises more"
    assert leaky["real"] < honest["real"] - 0.02, "and holds less"

    spine, rows = cells["spine"], cells["known_rows"]
    assert len(rows) == len(spine) and rows["flight_id"].equals(spine["flight_id"])
    assert rows["late"].dtype == spine["late"].dtype
    with hitherto.Client(demo.address) as client:
        model = client.models.get("late_at_departure@champion")
        assert model.dataset == cells["known"].dataset_id
        found = client.sql("select value from registry.evaluations where model = 'late_at_departure' and metric = 'auc'").to_arrow()
    assert found.column("value").to_pylist() == pytest.approx([honest["measured"]], abs=1e-6)
    said = capsys.readouterr().out
    assert "none such: late with a chance of" in said and "(its last leg: NOT_FOUND)" in said
