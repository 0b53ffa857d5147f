# SPDX-License-Identifier: LGPL-2.1-or-later
"""Python's jinja2, set up as transformers sets it up for chat templates: what ours is measured against.

transformers/utils/chat_template_utils.py, _compile_jinja_template() and render_jinja_template(), is the source of
these settings. Needs the package jinja2; only the scripts that record vectors import this."""
import datetime
import functools
import json

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


class Raised(Exception):
    pass


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


@functools.lru_cache(maxsize=8)
def parsed(source):
    return environment().from_string(source)


class Arguments(dict):
    """A call's arguments as an object, where they came as a text: a template that prints them as they are wants the text."""

    def __str__(self):
        raise TypeError("arguments printed as an object")

    __repr__ = __str__


def arguments_as_objects(messages):
    """The messages with each call's arguments read, and whether there were any to read."""
    changed, out = False, json.loads(json.dumps(messages))
    for m in out:
        for call in m.get("tool_calls") or []:
            holder = call.get("function", call)
            try:
                arguments = json.loads(holder.get("arguments"))
            except (TypeError, ValueError):
                continue
            if isinstance(arguments, dict):
                holder["arguments"] = Arguments(arguments)
                changed = True
    return out, changed


def render(source, case):
    """{"text"} or {"error"} for a case as template-case.h describes it."""
    messages, changed = arguments_as_objects(case.get("messages", []))
    for attempt in [messages] + ([case["messages"]] if changed else []):
        variables = {"messages": attempt, "tools": case.get("tools"), "documents": None,
                     "add_generation_prompt": case.get("add_generation_prompt", False),
                     "bos_token": case.get("bos_token", ""), "eos_token": case.get("eos_token", "")}
        variables.update(case.get("extra") or {})
        try:
            return {"text": parsed(source).render(**variables)}
        except Raised as e:
            return {"error": "raised", "reason": str(e)}
        except RecursionError as e:
            answer = {"error": "bound", "reason": str(e)}
        except Exception as e:  # whatever Python raises, ours fails too
            answer = {"error": "failed", "reason": f"{type(e).__name__}: {e}"}
    return answer
