"""What the page for training jobs tells a reader to write works, in its order."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import served


@pytest.mark.server
@pytest.mark.flight
def test_every_block_of_the_page_runs(demo: served.Place, checkout: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo.folder.parent)
    text = (checkout / "docs/training-job.md").read_text()
    blocks = [(text[: found.start()].count("\n") + 2, found[1]) for found in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)]
    assert len(blocks) >= 10
    names: dict[str, Any] = {"__name__": "page"}
    for line, block in blocks:
        # so that a failure names the page's line
        code = "\n" * (line - 1) + block.replace("127.0.0.1:7420", demo.address)
        exec(compile(code, "docs/training-job.md", "exec"), names)


def test_examples_of_the_package_are_short_forms_of_the_page(checkout: pathlib.Path) -> None:
    """What README and docstring show uses names that there are."""
    import hitherto

    for text in ((checkout / "python/README.md").read_text(), hitherto.__doc__ or ""):
        used = set(re.findall(r"\bclient\.(\w+)\(", text)) | set(re.findall(r"\bhitherto\.(\w+)\(", text))
        assert used, text
        assert all(hasattr(hitherto.Client, name) or hasattr(hitherto, name) for name in used), used
