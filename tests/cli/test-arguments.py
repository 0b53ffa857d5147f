#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What sparkctl says and returns where the command line makes no sense, or there is nobody to talk to."""
import json, os, sys, tempfile

from tap import case, check, environment, run, run_cases

SPARKCTL = sys.argv[1]
COMMANDS = [["ask"], ["chat"], ["status"], ["verify"], ["model"], ["model", "list"], ["model", "install"], ["model", "verify"],
            ["model", "remove"], ["model", "info"], ["agent"], ["permission"], ["permission", "list"], ["permission", "set"],
            ["permission", "reset"], ["policy"], ["policy", "check"], ["policy", "explain"], ["ledger"], ["monitor"]]


def says(argv, code, *words, **more):
    r = run([SPARKCTL] + argv, **more)
    check(r.returncode == code, f"{argv}: exit status {r.returncode}, {code} expected: {r.stderr}")
    for w in words:
        check(w in r.stderr, f"{argv}: '{w}' not in {r.stderr!r}")
    return r


@case("every command has --help, on standard output")
def _():
    for c in [[]] + COMMANDS:
        r = says(c + ["--help"], 0)
        check(r.stdout.startswith("sparkctl " + " ".join(c)), r.stdout)
        check("--help" in r.stdout and not r.stderr)


@case("an unknown command is named, with the nearest one")
def _():
    says(["akk"], 2, "'akk'", "Did you mean 'ask'?", "sparkctl --help")
    says(["frobnicate"], 2, "'frobnicate'")
    says(["model", "instal"], 2, "'model instal'", "'install'")
    says([], 2, "ask, chat, status, verify, model, permission, policy")
    says(["model"], 2, "list, install, verify, remove, info")


@case("an unknown option is named, and where help is")
def _():
    for c in [[]] + COMMANDS:
        says(c + ["--frobnicate"], 2, "'--frobnicate'", "--help")
        says(c + ["-z"], 2, "'-z'")
        says(c + ["--json=yes"], 2, "takes no value")


@case("values that make no sense are named with what is wanted")
def _():
    says(["ask", "--temperature", "hot", "x"], 2, "--temperature", "'hot'", "0 to 2")
    says(["ask", "--temperature", "2.1", "x"], 2, "2.1")
    says(["ask", "--temperature", "nan", "x"], 2)
    says(["ask", "--seed", "-1", "x"], 2, "--seed")
    says(["ask", "--seed", "18446744073709551616", "x"], 2)
    says(["ask", "--max-tokens", "0", "x"], 2, "--max-tokens")
    says(["ask", "--max-time", "0", "x"], 2, "--max-time")
    says(["ask", "--seed"], 2, "needs a value")
    says(["chat", "--max-tokens", "many"], 2, "'many'")
    says(["chat", "hello"], 2, "'hello'", "sparkctl ask")
    says(["status", "x"], 2)
    says(["verify", "x"], 2)


@case("permissions: usage")
def _():
    says(["permission"], 2, "list, set, reset")
    says(["permission", "lst"], 2, "Did you mean 'list'?")
    says(["permission", "list", "a", "b"], 2)
    says(["permission", "list", "--uid", "me"], 2, "'me'")
    says(["permission", "set", "a", "generate"], 2, "APP", "CAPABILITY")
    says(["permission", "set", "a", "generate", "once"], 2, "'once'")
    says(["permission", "reset"], 2, "--all")
    says(["permission", "reset", "--all", "a"], 2, "--all")
    says(["policy"], 2, "check, explain")
    says(["policy", "check", "x"], 2)
    says(["policy", "explain", "a"], 2, "CAPABILITY")
    says(["ledger", "x"], 2)
    says(["ledger", "--since", "tomorrow"], 2, "'tomorrow'")
    says(["ledger", "--uid", "4294967295"], 2)
    says(["monitor", "x"], 2)
    says(["agent", "x"], 2)


@case("nothing to ask")
def _():
    says(["ask"], 2, "nothing to ask")
    with tempfile.TemporaryFile() as f:
        f.write(b" \n\n")
        f.seek(0)
        says(["ask"], 2, "nothing to ask", stdin=f)


@case("text that is not UTF-8 is refused before anybody is asked")
def _():
    for data, where in ((b"abc\xff", "byte 3 is 0xff"), (b"a\0b", "byte 1 is 0x00"), (b"\xc0\x80", "byte 0"),
                        (b"\xed\xa0\x80", "byte 0"), (b"\xf4\x90\x80\x80", "byte 0"), (b"caf\xc3", "byte 3")):
        with tempfile.TemporaryFile() as f:
            f.write(data)
            f.seek(0)
            says(["ask", "x"], 1, "not text in UTF-8", where, stdin=f)


@case("no bus, no sparkd: exit status 3, and what to do")
def _():
    for c in (["ask", "x"], ["chat"], ["status"], ["verify"], ["agent"], ["permission", "list"], ["permission", "reset", "--all"],
              ["permission", "set", "a", "generate", "never"], ["policy", "check"], ["policy", "explain", "a", "generate"],
              ["ledger"], ["monitor"]):
        says(c, 3, "no sparkd", "sparkd --user")
        says(c + ["--system"], 3, "system bus")
        says(c + ["--user"], 3, "session bus", "dbus-run-session")


@case("models: usage")
def _():
    says(["model", "install"], 2, "Which model?")
    says(["model", "install", "a", "b"], 2, "One model")
    says(["model", "install", "--name", "Not A Name", "x"], 2, "'Not A Name'")
    says(["model", "install", "--sha256", "abc", "x"], 2, "64 hex digits")
    says(["model", "install", "http://example.org/x.gguf"], 2, "https://")
    says(["model", "install", "ftp://example.org/x.gguf"], 2, "https://")
    says(["model", "install", "https://example.org/x.gguf"], 2, "--sha256")
    says(["model", "remove"], 2, "Which model?")
    says(["model", "info"], 2, "Which model?")
    says(["model", "list", "x"], 2)


@case("models: what is not there")
def _():
    with tempfile.TemporaryDirectory() as data:
        e = environment(XDG_DATA_HOME=data)
        says(["model", "install", "no-such"], 3, "'no-such'", "sparkctl model list", env=e)
        says(["model", "install", "../../etc/passwd.gguf"], 1, "passwd", env=e)
        says(["model", "verify"], 3, "sparkctl model install", env=e)
        for verb in ("verify", "remove", "info"):
            says(["model", verb, "no-such"], 3, "'no-such'", env=e)
        says(["model", "info", "../x"], 3, env=e)


@case("models: the catalogue as a table and as JSON")
def _():
    with tempfile.TemporaryDirectory() as data:
        e = environment(XDG_DATA_HOME=data)
        r = says(["model", "list"], 0, env=e)
        check("smollm2-135m-instruct" in r.stdout and "\033" not in r.stdout)
        models = {m["name"]: m for m in json.loads(says(["model", "list", "--json"], 0, env=e).stdout)}
        check(models["smollm2-135m-instruct"]["default"] and not models["smollm2-135m-instruct"]["installed"])
        check(models["smollm2-135m-instruct"]["size"] == 98362432)
        info = json.loads(says(["model", "info", "--json", "gemma-3-270m"], 0, env=e).stdout)
        check(len(info["sources"]) == 1 and len(info["sources"][0]) == 4)
        check(info["sha256"].startswith("a5fd3b62"))


@case("a catalogue of one's own; broken entries are named when asked for")
def _():
    with tempfile.TemporaryDirectory() as folder:
        e = environment(SPARK_CATALOGUE_DIR=folder, XDG_DATA_HOME=folder)
        good = {"name": "a", "title": "A", "kind": "chat", "licence": "MIT", "size": 4, "sha256": "0" * 64,
                "sources": [["file:/nonexistent"]]}
        for name, text in (("a", json.dumps(good)), ("b", "{"), ("c", json.dumps(dict(good, name="c", size=0))),
                           ("d", json.dumps(dict(good, name="d", sha256="x"))),
                           ("e", json.dumps(dict(good, name="e", sources=[["http://x"]]))),
                           ("f", json.dumps(dict(good, name="f", sources=[["file:/x", 7]]))),
                           ("g", json.dumps(good))):
            with open(os.path.join(folder, name + ".json"), "w") as f:
                f.write(text)
        check([m["name"] for m in json.loads(says(["model", "list", "--json"], 0, env=e).stdout)] == ["a"])
        for name in "bcdefg":
            says(["model", "install", name], 1, "broken", name + ".json", env=e)
        says(["model", "install", "a"], 1, "/nonexistent", "not installed", env=e)


@case("output that cannot be written is an error")
def _():
    with open("/dev/full", "w") as full:
        import subprocess
        r = subprocess.run([SPARKCTL, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, env=environment())
    check(r.returncode == 1 and "Cannot write" in r.stderr, r.stderr)


run_cases()
