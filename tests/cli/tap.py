# SPDX-License-Identifier: LGPL-2.1-or-later
"""The frame of the tests of sparkctl that are written in Python: cases in order, TAP on standard output."""
import os, subprocess, sys, traceback

CASES = []


def case(title):
    def add(f):
        CASES.append((title, f))
        return f
    return add


class Skip(Exception):
    pass


def check(condition, what=""):
    if not condition:
        raise AssertionError(what)


def run_cases():
    print(f"1..{len(CASES)}", flush=True)
    bad = 0
    for number, (title, f) in enumerate(CASES, 1):
        try:
            f()
            print(f"ok {number} - {title}", flush=True)
        except Skip as e:
            print(f"ok {number} - {title} # SKIP {e}", flush=True)
        except Exception:
            bad += 1
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            print(f"not ok {number} - {title}", flush=True)
    sys.exit(1 if bad else 0)


def environment(**more):
    """Ours, without what would lead to the person's own models, bus or terminal."""
    e = {k: v for k, v in os.environ.items()
         if k not in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "SPARK_MODELS_DIR", "NO_COLOR")}
    e.update(DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent/bus", **more)
    return e


def run(argv, stdin=subprocess.DEVNULL, env=None, timeout=120):
    return subprocess.run(argv, stdin=stdin, capture_output=True, text=True, env=env or environment(), timeout=timeout)
