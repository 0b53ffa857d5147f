#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the seeds of fuzz-template: make-template-seeds.py tests/engine/text/template-vectors.json tests/fuzz/corpus/template

The small templates that jinja2 answered for, 12 to a file so that the fuzzer has something to cross."""
import json
import pathlib
import sys

vectors, folder = sys.argv[1], pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
cases = [c["template"] for c in json.load(open(vectors))["cases"] if "text" in c]
for i in range(0, len(cases), 12):
    source = "\n".join(cases[i:i + 12]).encode()
    tools = b'[{"type": "function", "function": {"name": "f", "parameters": {"a": [1, 2.5, null, true, "\\u00e9"]}}}]'
    (folder / f"vectors-{i // 12:02}").write_bytes(source + b"\0A <b> c\n\xc3\xa9\xff\0" + tools)
for i, source in enumerate(cases[-60:]):
    (folder / f"statement-{i:02}").write_bytes(source.encode())
