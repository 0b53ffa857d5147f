#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What meson install puts where, against the list in tests/cli/installed; run with the build folder."""
import json, os, stat, subprocess, sys, tempfile

from tap import check, case, run_cases

BUILD = sys.argv[1]
LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "installed")
TMP = tempfile.TemporaryDirectory(prefix="spark-installed-")
options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", BUILD], check=True, capture_output=True).stdout)
PREFIX = next(o["value"] for o in options if o["name"] == "prefix")
TREE = TMP.name + PREFIX


def found():
    for folder, _, files in os.walk(TREE):
        for f in files:
            yield os.path.relpath(os.path.join(folder, f), TREE)


@case("meson install works into DESTDIR")
def _():
    r = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], env=dict(os.environ, DESTDIR=TMP.name),
                       capture_output=True, text=True)
    check(r.returncode == 0, r.stdout + r.stderr)


@case("it puts there what the list says, and nothing else")
def _():
    with open(LIST) as f:
        wanted = {line.strip() for line in f if line.strip() and not line.startswith("#")}
    there = set(found())
    check(there == wanted, f"missing: {sorted(wanted - there)}; not in the list: {sorted(there - wanted)}")
    check(os.listdir(TMP.name) == [PREFIX.split("/")[1]], "something lies outside the prefix")


@case("programs may be run by all, data is not executable, nothing may be written by others")
def _():
    for path in found():
        mode = os.stat(os.path.join(TREE, path)).st_mode
        program = path.startswith(("bin/", "libexec/"))
        check(bool(mode & stat.S_IXOTH) == program, f"{path}: mode {mode:o}")
        check(not mode & (stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID), f"{path}: mode {mode:o}")


@case("installed files lead to installed files, not to the build folder")
def _():
    for path in found():
        if path.startswith(("bin/", "libexec/")):
            continue
        with open(os.path.join(TREE, path), "rb") as f:
            check(BUILD.encode() not in f.read(), path)


@case("the installed sparkctl runs and finds its catalogue's place")
def _():
    r = subprocess.run([os.path.join(TREE, "bin", "sparkctl"), "--version"], capture_output=True, text=True)
    check(r.returncode == 0 and r.stdout.startswith("spark "), r.stderr)


try:
    run_cases()
finally:
    TMP.cleanup()
