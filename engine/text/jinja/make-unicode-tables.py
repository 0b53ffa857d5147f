#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes unicode-tables.c from Python's own unicodedata: make-unicode-tables.py > unicode-tables.c"""
import sys
import unicodedata

ALL = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def ranges(holds):
    out = []
    for c in ALL:
        if holds(chr(c)):
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def mapping(f):
    """Runs (first, last, stride, delta) of characters that map to one, and the few that map to several."""
    runs, special = [], []
    for c in ALL:
        to = f(chr(c))
        if to == chr(c):
            continue
        if len(to) > 1:
            special.append((c, [ord(t) for t in to]))
            continue
        delta = ord(to) - c
        last = runs[-1] if runs else None
        if last and last[3] == delta and (c - last[1] in (1, 2)) and (last[0] == last[1] or c - last[1] == last[2]):
            last[2] = c - last[1]
            last[1] = c
        else:
            runs.append([c, c, 1, delta])
    return runs, special


def print_rows(rows, per_line):
    for i in range(0, len(rows), per_line):
        print("        " + " ".join(rows[i:i + per_line]))


def print_ranges(name, holds):
    rows = ranges(holds)
    print(f"const UnicodeRange unicode_{name}[] = {{")
    print_rows([f"{{ {a:#x}, {b:#x} }}," for a, b in rows], 7)
    print(f"}};\nconst size_t n_unicode_{name} = {len(rows)};\n")


def print_mapping(name, f):
    runs, special = mapping(f)
    print(f"const UnicodeRun unicode_{name}[] = {{")
    print_rows([f"{{ {a:#x}, {b:#x}, {s}, {d} }}," for a, b, s, d in runs], 4)
    print(f"}};\nconst size_t n_unicode_{name} = {len(runs)};\n")
    print(f"const UnicodeSpecial unicode_{name}_special[] = {{")
    print_rows([f"{{ {c:#x}, {{ {', '.join(hex(t) for t in to)} }} }}," for c, to in special], 3)
    print(f"}};\nconst size_t n_unicode_{name}_special = {len(special)};\n")


print(f"""/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Written by make-unicode-tables.py from the Unicode Character Database {unicodedata.unidata_version}: do not edit. */

#include "engine/text/jinja/unicode-tables.h"
""")
print_mapping("upper", str.upper)
print_mapping("lower", str.lower)
print_mapping("title", str.title)
print_ranges("is_upper", str.isupper)
print_ranges("is_lower", str.islower)
print_ranges("is_alpha", str.isalpha)
print_ranges("is_digit", str.isdigit)
print_ranges("not_printable", lambda c: not c.isprintable())
