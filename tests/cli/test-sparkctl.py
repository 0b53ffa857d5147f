#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""sparkctl with a real sparkd, worker and model: run by tests/with-spark."""
import json, os, re, signal, subprocess, sys, time

from tap import case, check, run_cases

SPARKCTL = sys.argv[1]
STORY = "Tell me a very long story about the sea."
STATS = re.compile(r"^\[time to first token \d+ ms, [\d.]+ tokens/s; (\d+) tokens.*prompt of (\d+), (\d+) of them kept\]$", re.M)


def ask(*argv, stdin=subprocess.DEVNULL, code=0, **more):
    r = subprocess.run([SPARKCTL, "ask", *argv], stdin=None if "input" in more else stdin, capture_output=True, timeout=300, **more)
    check(r.returncode == code, f"{argv}: exit status {r.returncode}, {code} expected: {r.stderr.decode()}")
    return r


def start(*argv):
    return subprocess.Popen([SPARKCTL, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_some(pipe, n):
    data = b""
    while len(data) < n:
        block = os.read(pipe.fileno(), 4096)
        check(block, "it ended early")
        data += block
    return data


def worker_pid():
    for _ in range(100):
        pid = json.loads(subprocess.run([SPARKCTL, "verify", "--json"], capture_output=True).stdout)["facts"]["pid"]
        if pid:
            return pid
    check(False, "no worker comes")


@case("a reply through a pipe is plain text and ends with a newline")
def _():
    out = ask("--max-tokens", "20", "Say hello.").stdout
    check(out.decode().strip() and b"\033" not in out and out.endswith(b"\n"), out)


@case("JSON: text, reason, usage")
def _():
    j = json.loads(ask("--json", "--max-tokens", "5", "--temperature", "0", "--seed", "7", STORY).stdout)
    check(j["text"] and j["reason"] == "length", j)
    check(j["usage"]["generated-tokens"] == 5 and j["usage"]["seed"] == 7 and j["usage"]["where"] == "local", j)


@case("what is piped in is joined to the question")
def _():
    plain = json.loads(ask("--json", "--max-tokens", "1", "What is this about?").stdout)
    joined = json.loads(ask("--json", "--max-tokens", "1", "What is this about?", input=b"lighthouse " * 50).stdout)
    alone = json.loads(ask("--json", "--max-tokens", "1", input=b"What is this about?").stdout)
    check(joined["usage"]["prompt-tokens"] > plain["usage"]["prompt-tokens"] + 50, joined)
    check(alone["usage"]["prompt-tokens"] == plain["usage"]["prompt-tokens"], alone)


@case("temperature 0 says the same twice, and figures are told with --stats")
def _():
    a, b = (ask("--temperature", "0", "--max-tokens", "24", "--stats", "Name three rivers.") for _ in range(2))
    check(a.stdout == b.stdout, (a.stdout, b.stdout))
    check(STATS.search(a.stderr.decode()), a.stderr)


@case("--max-time ends the reply: exit status 124, what was said stays")
def _():
    # However fast the machine is, a stopped worker does not come to the end in that time.
    worker = worker_pid()
    p = start("ask", "--max-time", "5", STORY)
    begin = time.monotonic()
    p.stdin.close()
    some = read_some(p.stdout, 20)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(max(0, begin + 5.5 - time.monotonic()))
    os.kill(worker, signal.SIGCONT)
    rest = p.stdout.read()
    check(p.wait(60) == 124, p.returncode)
    check((some + rest).endswith(b"\n"), rest)


@case("Ctrl-C ends ask: exit status 130, what was said stays")
def _():
    p = start("ask", STORY)
    p.stdin.close()
    some = read_some(p.stdout, 20)
    p.send_signal(signal.SIGINT)
    rest = p.stdout.read()
    check(p.wait(60) == 130, p.returncode)
    check((some + rest).endswith(b"\n"))


@case("instructions shape the reply's context")
def _():
    a = json.loads(ask("--json", "--max-tokens", "1", "Hello").stdout)["usage"]["prompt-tokens"]
    b = json.loads(ask("--json", "--max-tokens", "1", "--instructions", "You are a pirate. " * 10, "Hello").stdout)["usage"]["prompt-tokens"]
    check(b > a + 10, (a, b))


@case("too long: an error by name, nothing hangs")
def _():
    r = subprocess.run([SPARKCTL, "ask", "--json"], input=b"many words " * 900_000, capture_output=True, timeout=300)
    check(r.returncode in (1, 4), r.returncode)
    check(json.loads(r.stdout)["error"].startswith("org."), r.stdout)
    ask("--max-tokens", "2", "Still there?")


@case("chat through a pipe: a line a turn, the second turn keeps the first one's work")
def _():
    r = subprocess.run([SPARKCTL, "chat", "--stats", "--max-tokens", "12"], input=b"My name is Ada.\n\nWhat is my name?\n/new\nHello\n",
                       capture_output=True, timeout=300)
    check(r.returncode == 0, r.stderr)
    turns = [tuple(map(int, m.groups())) for m in STATS.finditer(r.stderr.decode())]
    check(len(turns) == 3, r.stderr)
    check(turns[1][1] > turns[0][1] and turns[1][2] >= turns[0][1], turns)
    check(turns[2][1] < turns[1][1], turns)


@case("a conversation that grows too long goes on, and says what it costs")
def _():
    line = b" ".join(b"%d stones" % i for i in range(700)) + b"\n"
    r = subprocess.run([SPARKCTL, "chat", "--json", "--max-tokens", "4"], input=3 * line, capture_output=True, timeout=600)
    check(r.returncode == 0, r.stderr)
    turns = [json.loads(t) for t in r.stdout.splitlines()]
    check(len(turns) == 3 and all(t["text"] for t in turns), turns)
    dropped = [t["usage"]["dropped-turns"] for t in turns]
    print(f"# {[t['usage']['prompt-tokens'] for t in turns]} tokens, dropped {dropped}")
    check(any(dropped) and not dropped[0], dropped)
    check(r.stderr.decode().count("forgotten") == sum(d > 0 for d in dropped), r.stderr)


@case("Ctrl-C in chat ends the reply and not the conversation")
def _():
    p = start("chat", "--stats", "--max-tokens", "400")
    p.stdin.write(STORY.encode() + b"\n")
    p.stdin.flush()
    read_some(p.stdout, 20)
    p.send_signal(signal.SIGINT)
    first = p.stderr.readline().decode()
    check("tokens, cancelled" in first, first)
    p.stdin.write(b"Thank you.\n")
    p.stdin.flush()
    second = p.stderr.readline().decode()
    check(STATS.search(second) and "cancelled" not in second, second)
    p.stdin.close()
    check(p.wait(60) == 0)


@case("a lost worker is told by name; the conversation goes on")
def _():
    p = start("chat", "--json", "--max-tokens", "400")
    p.stdin.write(STORY.encode() + b"\n")
    p.stdin.flush()
    os.kill(worker_pid(), signal.SIGKILL)
    first = json.loads(p.stdout.readline())
    check(first.get("error") == "org.spark.Assistant.Error.WorkerLost" or first.get("reason"), first)
    p.stdin.write(b"Say one word.\n")
    p.stdin.flush()
    second = json.loads(p.stdout.readline())
    check(second.get("text"), second)
    p.stdin.close()
    p.wait(60)


@case("status and verify as JSON; no layer fails")
def _():
    r = subprocess.run([SPARKCTL, "status", "--json"], capture_output=True)
    status = json.loads(r.stdout)
    check(r.returncode == 0 and status["availability"]["state"] == "available" and status["properties"]["ContextSize"] > 0, status)
    r = subprocess.run([SPARKCTL, "verify", "--json"], capture_output=True)
    verdicts = {layer["layer"]: (layer["verdict"], layer["text"]) for layer in json.loads(r.stdout)["layers"]}
    check(r.returncode == 0 and json.loads(r.stdout)["good"], verdicts)
    for must in ("User", "System calls", "Privileges", "Capabilities", "Core dumps", "Model"):
        check(verdicts[must][0] == "pass", (must, verdicts[must]))


@case("verify sees that the model's file was replaced")
def _():
    path = os.path.join(os.environ["SPARK_MODELS_DIR"], "smollm2-135m-instruct.gguf")
    os.rename(path, path + ".away")
    with open(path, "wb") as f:
        f.write(b"GGUF")
    r = subprocess.run([SPARKCTL, "verify"], capture_output=True, text=True)
    os.rename(path + ".away", path)
    check(r.returncode == 1 and re.search(r"^FAIL +Model .*replaced", r.stdout, re.M), r.stdout)


run_cases()
