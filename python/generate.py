#!/usr/bin/env python3
"""Writes the package's generated modules anew, from ../proto and wire/: for those who have changed a .proto.

usage: generate.py [FOLDER]        (needs the grpcio-tools of tests/python/requirements.txt; FOLDER is src by default)

The modules are checked in, so that an install needs no compiler of protocol buffers; a test holds them against the files.
Services need no generated code: the client names their methods itself (src/hitherto/methods.py).
"""
import importlib.resources
import pathlib
import sys

from grpc_tools import protoc

here = pathlib.Path(__file__).resolve().parent


def generate(folder: pathlib.Path) -> None:
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    for root in (here.parent / "proto", here / "wire"):
        files = sorted(str(path) for path in root.rglob("*.proto"))
        out = [f"--python_out={folder}", f"--pyi_out={folder}"]
        status = protoc.main(["protoc", f"-I{root}", f"-I{well_known}", *out, *files])
        if status != 0:
            sys.exit(f"protoc ended with {status} on {root}")


if __name__ == "__main__":
    generate(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "src")
