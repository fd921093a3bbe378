"""YAML, written: as much of it as definitions need."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

Fields = dict[str, Any]

# texts that are the same text without quotes, in a block and within {} and []
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./@<>-]*(?::[A-Za-z_][A-Za-z0-9_]*)?|[0-9]+(?:us|ms|s|m|h|d)")
# words that other readers of YAML take for something else than text
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def document(fields: Fields, block: Collection[str] = ()) -> str:
    """One document: a field a line; what is in `block` has an entry a line. Fields that are None are left out."""
    lines = []
    for name, value in fields.items():
        if value is None:
            continue
        if name in block and isinstance(value, dict) and value:
            lines += [f"{name}:", *(f"  {_scalar(key)}: {_flow(one)}" for key, one in value.items())]
        elif name in block and isinstance(value, list) and value:
            lines += [f"{name}:", *(f"  - {_flow(one)}" for one in value)]
        else:
            lines.append(f"{name}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return json.dumps(value)
    return _scalar(str(value))


def _scalar(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    # JSON leaves as they are what YAML takes for a line's end, or does not take at all
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]", lambda odd: f"\\u{ord(odd[0]):04x}", quoted)
