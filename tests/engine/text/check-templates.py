#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real models' templates, each on every conversation of template_conversations.py, against what jinja2 gave.

check-templates.py RUN GET          compares, by digests, template-digests.json with what RUN (template-run) renders;
                                    GET (tests/models/get-templates) says in which folder they are
check-templates.py --record FOLDER  writes template-digests.json; needs the package jinja2

A template's digests are 8 hex digits a case and one whole sha256 over all answers. Answers in full are recorded nowhere:
they contain the templates, which are their makers'."""
import hashlib
import json
import pathlib
import subprocess
import sys

import template_conversations

RECORD = pathlib.Path(__file__).with_name("template-digests.json")


def canonical(answer):
    if "text" in answer:
        return "text:" + answer["text"]
    # Where Python runs out of recursion ours meets a bound: both refuse.
    return "error:" + ("raised:" + answer["reason"][:100] if answer["error"] == "raised" and answer["reason"].isascii()
                       and answer["reason"].isprintable() else "raised" if answer["error"] == "raised" else "failed")


def digests(answers):
    whole, short = hashlib.sha256(), []
    for a in answers:
        d = hashlib.sha256(canonical(a).encode("utf-8", "surrogatepass"))
        whole.update(d.digest())
        short.append(d.hexdigest()[:8])
    return {"all": whole.hexdigest(), "cases": "".join(short)}


def templates(folder):
    for path in sorted(pathlib.Path(folder).glob("*.jinja")):
        source = path.read_bytes()
        yield path.stem, hashlib.sha256(source).hexdigest(), source.decode()


def record(folder):
    import template_reference
    out = {}
    for name, sha256, source in templates(folder):
        answers = [template_reference.render(source, case) for _, case in template_conversations.cases()]
        out[name] = {"sha256": sha256, "texts": sum("text" in a for a in answers), **digests(answers)}
    RECORD.write_text(json.dumps(out, indent=0) + "\n")


def ours(run, source):
    requests = [json.dumps({**case, "template": source}) for _, case in template_conversations.cases()]
    out = subprocess.run([run], input="\n".join(requests) + "\n", capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.split("\n") if line]


def compare(run, get):
    r = subprocess.run([get], stdout=subprocess.PIPE, text=True)
    if r.returncode == 77:
        print("1..0 # SKIP the templates cannot be fetched")
        return
    r.check_returncode()
    folder = r.stdout.strip()
    wanted, names = json.loads(RECORD.read_text()), [name for name, _ in template_conversations.cases()]
    found = {name: (sha256, source) for name, sha256, source in templates(folder)}
    print(f"1..{len(wanted)}")
    for i, (name, want) in enumerate(wanted.items(), 1):
        sha256, source = found.get(name, (None, None))
        if sha256 != want["sha256"]:
            print(f"not ok {i} - {name}: its sha256 is {sha256}")
            continue
        answers = ours(run, source)
        got = digests(answers)
        bad = [n for k, n in enumerate(names) if got["cases"][8 * k:8 * k + 8] != want["cases"][8 * k:8 * k + 8]]
        for n in bad[:5]:
            print(f"# {name}, {n}: differs: {str(answers[names.index(n)])[:300]}")
        ok = got["all"] == want["all"] and len(answers) == len(names)
        print(f"{'ok' if ok else 'not ok'} {i} - {name}: {want['texts']} texts, {len(names) - want['texts']} refusals")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    record(sys.argv[2]) if sys.argv[1] == "--record" else compare(sys.argv[1], sys.argv[2])


main()
