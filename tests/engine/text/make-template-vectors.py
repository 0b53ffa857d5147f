#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records what jinja2 makes of small templates: make-template-vectors.py > template-vectors.json

Each line is a case of template-case.h; test-template.c runs them all. Needs the package jinja2."""
import json

import template_reference

EXTRA = {
    "s": "Hello, Wörld", "e": "", "n": 7, "f": 2.5, "t": True, "x": None, "l": [3, 1, 2], "d": {"b": 1, "a": [1, {"c": "z"}], "é": "x"},
    "u": "ÄÖÜ straße ΣΊΣΥΦΟΣ ǆ", "ws": " \t\n a b \n", "lines": "a\nb\r\nc\n", "q": "it's \"q\" \\ \n\t\u0007 \u00ad ☀ \U0001f600",
    "users": [{"name": "Bo", "age": 3, "tags": ["x"]}, {"name": "al", "age": 1, "tags": []}, {"name": "Cy", "age": 2}],
    "big": 9007199254740993, "mixed": [1, "a", None, True, 1.5, [2], {"k": "v"}],
}

EXPRESSIONS = r"""
s|upper; s|lower; u|upper; u|lower; u|title; u|capitalize; s|title; 'a-b c(d [e'|title; s.upper(); u.lower(); u.title(); u.swapcase(); u.capitalize()
'they\'re bill\'s'.title(); s|length; u|length; s[0]; s[-1]; s[1:4]; s[::-1]; s[::2]; s[-3:]; s[:-3]; s[5:2]; s[10:100]; s[-100:3]; s[8:2:-2]; s[:0:-1]; u[1:3]; e[1:]
s[100]; s['x']; s.nothing; l[0]; l[-1]; l[7]; l[1:]; l[::-1]; l[::-2]; l['0']; d.b; d['b']; d.nothing; d['é']; d.a[1].c; d.a.1.c; d.get('b'); d.get('q'); d.get('q', 5)
d.keys(); d.values(); d.items(); d|list; d.items()|list; d|length; d.keys()|list; d; l; mixed; x; t; n; f; none; true; [true, none]; (1,); (1, 2); (); []; {}; {'a': (1, [2])}; 'a' 'b' "c"
1 + 2; 1 - 2 * 3; 7 / 2; 6 / 3; 7 // 2; -7 // 2; 7 % 3; -7 % 3; 7 % -3; 2 ** 10; 2 ** -1; 2 ** 3 ** 2; -2 ** 2; 1.5 + 1; 1e3; 1e16; 1e15; 1.0; 0.1 + 0.2; 1e-5; 0.0001; 1/3; 123456789.123; 1e22; 1e100; 5e-324; -0.0; 1_000; 0x1f; 0b11; 0o17
7.5 // 2; -7.5 // 2; 7.5 % 2; -7.5 % 2; 2.0 ** 3; true + 1; 'a' + 'b'; 'a' * 3; 3 * 'ab'; [1] * 2; [1] + [2]; (1,) + (2,); 'a' ~ 1 ~ none ~ 2.0 ~ [1]; 'x' + 1; 1 + 'x'; [1] + (2,); none + 1; 1 / 0; 1 // 0; 1 % 0; 9223372036854775807; - 9223372036854775807
1 < 2; 1 < 2 < 3; 1 < 3 < 2; 1 == 1.0; 'a' < 'b'; 'a' == 1; [1, 2] < [1, 3]; none == none; none < 1; 'a' < 1; 1 != 2; 1 >= 1; t == 1; {'a': 1} == {'a': 1.0}; (1, 2) == [1, 2]; nope == nope2; nope == none
1 in l; 4 in l; 'b' in d; 'W' in s; 'z' not in s; '' in s; 1 in 'a'; 1 in n; x in [none]; nope in l; 'a' in nope; not 1 in l; not t; not not t; t and n; e or 'x'; e and 'x'; x or 0 or []; 1 if t else 2; 1 if e else 2; 1 if e; 'a' if t else 'b' if e else 'c'
n is odd; n is even; n is divisibleby 7; n is divisibleby(3); x is none; x is not none; s is string; n is number; t is number; t is integer; n is integer; f is float; t is boolean; t is true; t is false; d is mapping; l is sequence; d is sequence; s is sequence; l is iterable; n is iterable; d.items() is sequence; d.items() is iterable; l|map('string') is sequence; range(3) is sequence
nope is defined; nope is undefined; d.nope is defined; s is defined; nope is none; nope is iterable; nope is sequence; nope is string; 'a' is in 'abc'; 1 is in l; n is eq 7; n is equalto(7); n is ne 7; n is lt 8; n is gt 8; n is ge 7; n is le 6; n is sameas n; x is sameas none; 'abc' is lower; 'ABC' is upper; 'A1' is upper; '1' is lower; 'upper' is filter; 'nix' is filter; 'odd' is test; s is escaped; range is callable; n is callable; n is not odd and t; not n is odd
nope; nope|default('d'); nope|default; e|default('d'); e|default('d', true); e|d('d', boolean=true); x|default('d'); nope.a; nope['a']; nope(); nope + 1; nope ~ 'a'; nope|length; nope|upper; nope|list; nope|join(','); nope|first; nope|int; nope|tojson; nope|items|list; nope|string; nope|trim; -nope; nope < 1
ws.strip(); ws.lstrip(); ws.rstrip(); ws|trim; 'xxaxx'.strip('x'); 'xyaxy'.strip('yx'); 'xxaxx'|trim('x'); 'éaé'.strip('é'); '\u3000a\u00a0'|trim; s.split(','); s.split(', '); ws.split(); s.split('o', 1); s.rsplit('o', 1); ws.split(none, 1); ws.rsplit(none, 1); 'a,b,,c'.split(','); ''.split(); ''.split(','); s.split(''); 'a  b'.split(' '); 'a b c'.split(maxsplit=1); 'a</think>b'.split('</think>')[-1]
lines.splitlines(); lines.splitlines(true); 'a=b=c'.partition('='); 'a=b=c'.rpartition('='); 'a'.partition('='); s.replace('l', 'L'); s.replace('l', 'L', 1); s.replace('', '-'); s|replace('l', 'L'); s|replace('l', 'L', 1); 7|replace(7, 8); s.replace('o', ''); s.startswith('He'); s.endswith('ld'); s.startswith(('x', 'H')); s.startswith('l', 2); s.endswith('l', 0, 4); s.find('l'); s.rfind('l'); s.find('z'); s.index('z'); s.find('ö'); s.count('l'); s.count(''); s.find('l', 4); s.rindex('o')
','.join(['a', 'b']); ','.join([1]); ','.join('abc'); 'abc'.center(8); 'abc'.center(9, '*'); 'abcd'.center(9, '*'); 'a'.ljust(3, '.'); 'a'.rjust(3); '-4'.zfill(5); 'ab'.isalpha(); '12'.isdigit(); '²'.isdigit(); 'a1'.isalnum(); ' '.isspace(); 'Ab'.isupper(); 'ab'.islower(); 'é'.isascii(); 'abc'.removeprefix('a'); 'abc'.removesuffix('c'); 'abc'|center(8)
'{} {}'.format(1, 'a'); '{1} {0}'.format(1, 2); '{a}'.format(a=3); '{0.b} {0[b]}'.format(d); '{:>5}|{:<5}|{:^5}'.format(1, 2, 3); '{:05d}'.format(-42); '{:.2f}'.format(3.14159); '{:,}'.format(1234567); '{:x} {:X} {:#x} {:b} {:o}'.format(255, 255, 255, 5, 8); '{!r}'.format('a'); '{{}}'.format(); '{'.format(); '{}'.format(); '{:+}'.format(5); '{:e}'.format(12345.678); '{:%}'.format(0.25); '{:10}|'.format('a'); '{:*^9}'.format('mid'); '{:.2}'.format('abc'); '{:{}}'.format('a', 4); '{:g}'.format(1e10); '{:.3}'.format(2.0); '{}'.format(none); '{:5}'.format(true); '{:,.2f}'.format(1234.5)
'%s %d' % ('a', 3); '%s' % 'a'; '%d' % 3.7; '%5.2f|' % 3.14159; '%-5s|' % 'a'; '%05d' % 42; '%x' % 255; '%%' % (); '%(a)s' % {'a': 1}; '%s' % (1, 2); '%s %s' % (1,); '%r' % 'a'; '%+d' % 5; '%e' % 12345.678; '%s-%s'|format('a', 'b'); '%(k)s'|format(k='v'); '%d' % 'a'; '%c' % 65; '%s' % [1]; '%5s' % 'abc'; '%.1f' % 0.25; '%i' % true
l|sort; l|sort(reverse=true); ['b', 'A', 'c']|sort; ['b', 'A', 'c']|sort(case_sensitive=true); users|sort(attribute='age')|map(attribute='name')|list; users|sort(attribute='name')|map(attribute='name')|join(','); [1, 'a']|sort; users|sort(attribute='age,name')|map(attribute='name')|list; d|dictsort; {'b': 2, 'A': 3}|dictsort; {'b': 2, 'A': 3}|dictsort(true); {'b': 2, 'A': 3}|dictsort(by='value'); {'b': 2, 'A': 3}|dictsort(reverse=true)
l|join; l|join(', '); users|join(', ', attribute='name'); s|join('-'); d|join(','); l|first; l|last; s|first; s|last; []|first; []|last; d|first; l|reverse|list; s|reverse; l|sum; users|sum(attribute='age'); l|sum(start=10); l|min; l|max; ['b', 'A']|min; users|max(attribute='age'); []|max; l|unique|list; ['a', 'A', 'b']|unique|list; ['a', 'A']|unique(case_sensitive=true)|list; users|map(attribute='tags')|list; users|map(attribute='tags', default=[])|list; users|map(attribute='tags.0')|list
l|map('string')|list; ['a', 'b']|map('upper')|join; l|select('odd')|list; l|reject('odd')|list; mixed|select|list; mixed|select('string')|list; mixed|reject('none')|list; l|select('gt', 1)|list; users|selectattr('age', 'gt', 1)|map(attribute='name')|list; users|rejectattr('age', 'equalto', 1)|map(attribute='name')|list; users|selectattr('tags')|list|length; users|selectattr('tags', 'defined')|list|length; x|select|list; x|map('upper')|list; l|map('nix')|list; l|select('nix')|list; (l|map('string'))|length; l|batch(2)|list; l|batch(2, 'x')|list; l|slice(2)|list; l|slice(2, 'x')|list; users|groupby('age')|list|length; l|list; s|list|length; d|items|list; n|list
'3'|int; '3.7'|int; 'x'|int; 'x'|int(5); ' 42 '|int; '0x1f'|int(base=16); '1_000'|int; 3.9|int; -3.9|int; none|int(1); t|int; [1]|int; '1e3'|int; '3.5'|float; 'x'|float; 'inf'|float; '1e3'|float; 3|float; none|float; 3.7|round; 3.2|round; 2.5|round; 3.14159|round(2); 3.2|round(method='ceil'); 3.7|round(0, 'floor'); 3|round; 1234|round(-2); -3|abs; -3.5|abs; 3|string; [1]|string; none|string; 3.0|string
'a\nb\n\nc'|indent; 'a\nb'|indent(2); 'a\nb'|indent(2, true); 'a\n\nb'|indent(2, first=true, blank=true); 'a\nb\n'|indent('> '); 'a'|indent; ''|indent; 'foo bar baz qux'|truncate(9); 'foo bar baz qux'|truncate(11, true); 'foo bar'|truncate(5, false, '..', 0); 'foo bar baz'|wordcount; '<a href="x">&\'</a>'|escape; '<a>'|e; '<a>'|safe; '<a>'|safe + '<b>'; '<b>' + '<a>'|safe; '<a>'|safe ~ '<b>'; ('<a>'|safe)|escape; d|attr('items') is callable; d|attr('b')
d|tojson; l|tojson; s|tojson; q|tojson; q; [q]; x|tojson; t|tojson; f|tojson; 1.0|tojson; 1e16|tojson; mixed|tojson; mixed|tojson(indent=2); d|tojson(indent=4); {}|tojson(indent=2); []|tojson(indent=2); d|tojson(separators=(',', ':')); d|tojson(sort_keys=true); u|tojson(ensure_ascii=true); q|tojson(ensure_ascii=true); '<&>\''|tojson; {1: 2, none: 3, true: 4, 1.5: 5}|tojson; (1, 2)|tojson; d.items()|tojson; d|tojson(indent='--'); d|tojson(true); range(3)|tojson; big|tojson; big + 1
range(3)|list; range(1, 4)|list; range(5, 0, -2)|list; range(0)|list; range(3); range(3)|length; range(10)[2:5]|list; range(200000); dict(a=1, b=2); dict([('a', 1)]); dict({'a': 1}, b=2); namespace(a=1).a; namespace(a=1).b; {'a': 1, 'a': 2}; {1: 'x', 1.0: 'y', true: 'z'}; [1, 2, 3].index(2); [1, 1].count(1); [1].append(2); d.pop('b'); d.update({}); d.clear; l.append; l.sort(); ''.__class__; d.__class__; ''['__class__']; d|attr('__class__'); namespace.__init__; ().__class__.__bases__; cycler('a', 'b').next(); joiner('|')(); strftime_now('%Y-%m-%d'); strftime_now('%d %b %Y %H:%M %A %B %j'); raise_exception('no: ' ~ n)
*l; dict(**d)|length; dict(*[[('a', 1)]]); 'a' if; 1 +; (1; [1; {1}; a b; 'a; {{; 1.2.3; 01; s|nix; s is nix; s|upper(1); s|replace; s.replace('a'); s.split(1); l|join(1); 1 is; s is string is string; foo.bar.baz; "\x41\u00e9\U0001f600\101\q\
z"; s|trim|upper|length; -n|abs; n|abs * 2; s ~ n + 1; 1 ~ 2 * 3; -1 ** 2; not n == 7; n == 7 and s; [l, d][0][1]; d['a'][1]['c'][0]; ('a', 'b')[1]; {'a': {'b': 'c'}}.a.b; 'abc'[1:][0]; (s)[0]; l[1:][0]; l[-2:]; 's'.join(['1', '2']) + '!'; s|default(none) is none
"""

TEMPLATES = [
    "a\n{% if t %}\n  b\n{% endif %}\nc\n", "  {% if t %}x{% endif %}  \n  {{ n }}\n", "a {%- if t -%} b {%- endif -%} c", "a\n\n {{- n -}} \n\n b",
    "{%+ if t %} x{%+ endif %}\n", "a\n  {%+ if t +%}\n b{% endif +%}\n", "{# c #}\nx {#- c -#} y {# a #} z\n", "x\n  {# c #}\ny", "{% raw %}{{ x }}{% y %}{% endraw %}\nz",
    "{%- raw -%} {{ x }} {%- endraw -%} z", "a\r\nb\rc\n\n", "\n\n", "", "{{ '%}' }}{{ '}}' }}", "{{ {'a': {'b': 1}} }}", "{% set a = {'x': 1} %}{{ a.x }}", "{{ 1 }}\n{{ 2 }}\n",
    "{% if e %}1{% elif x %}2{% elif n == 7 %}3{% else %}4{% endif %}", "{% if nope %}1{% else %}2{% endif %}", "{% if not nope is defined and t %}y{% endif %}",
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in l if i > 1 %}{{ loop.index }}:{{ i }}{{ loop.length }} {% endfor %}", "{% for i in [] %}x{% else %}none{% endfor %}", "{% for i in nope %}x{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for c in s %}{{ c }}.{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for i in n %}{% endfor %}", "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}", "{% set i = 9 %}{% for i in l %}{{ i }}{% endfor %}{{ i }}", "{% set a = 1 %}{% for i in l %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}",
    "{% for i in l recursive %}{{ i }}{% if i is number and i > 2 %}{{ loop([7, 8]) }}{% endif %}{{ loop.depth }} {% endfor %}", "{% if t %}{% set a = 1 %}{% endif %}{{ a }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set a %}x{{ n }}{% endset %}{{ a }}{{ a|length }}",
    "{% set a | upper | replace('X', 'y') %}x{{ n }}{% endset %}{{ a }}", "{% set ns = namespace(a=1, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.nope }}{{ ns['a'] }}", "{% set ns.a = 1 %}", "{% set d.a = 1 %}", "{% set ns = namespace({'k': 1}, z=2) %}{{ ns.k }}{{ ns.z }}{{ ns }}",
    "{% macro m(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=4) }}{{ m(b=1, a=0) }}{{ m() }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, z=3) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(z=2) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m() %}{{ caller() }}!{{ caller() }}{% endmacro %}{% call m() %}x{{ n }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{% set g = 2 %}{{ g }}{% endmacro %}{{ m() }}{{ g }}{% set g = 3 %}{{ m() }}", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() %}  a  \n{% endmacro %}{{ m()|trim }}{{ m() is string }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ l|map('string')|map('length')|join }}{{ m(m(m(1))) }}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aXa{% endfilter %}", "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}", "{% generation %}{% set z = 1 %}{{ z }}{% endgeneration %}{{ z }}", "{% block b %}x{{ n }}{% endblock %}", "{% print n %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}", "{% set j = joiner() %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}", "{% set g = l|select('odd') %}{{ g|list }}{{ g|list }}", "{% set g = d.items() %}{{ g|list }}{{ g|list }}", "{% set g = l|map('string') %}{% for i in g %}{{ loop.last }}{{ loop.length }}{% endfor %}{% for i in g %}x{% else %}used{% endfor %}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% do l.append(1) %}", "{% nix %}", "{% if t %}", "{% for %}{% endfor %}", "{% endif %}", "{{ }}", "{% %}", "{{ n ", "{% if t %", "{# x", "{% raw %}", "{{ n }", "{{ (n }}", "{{ n) }}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% for loop in l %}{{ loop }}{% endfor %}", "{% else %}",
    "{% if t: %}x{% endif %}", "{{ n if t }}|{{ n if e }}", "{% for i in l if t else l %}{% endfor %}", "{% for i in (l if t else []) %}{{ i }}{% endfor %}", "{{ [1, 2, ] }}{{ {'a': 1, } }}{{ (1, ) }}", "{{ 1, 2 }}", "{% for i in 1, 2 %}{{ i }}{% endfor %}", "{% set x = [] %}{% for i in l %}{% set x = x + [i] %}{% endfor %}{{ x }}", "{% set ns = namespace(x=[]) %}{% for i in l %}{% set ns.x = ns.x + [i] %}{% endfor %}{{ ns.x }}",
    "\t {% if t %}\tx\n\t{% endif %}\n", "{{ n }}\n  {{ n }}\n", " {{- n }} \n {{ n -}} \n x", "{%if t%}x{%endif%}", "{{n}}{{-n-}}", "{{ 'a' -}}\n\n{{- 'b' }}", "a{% if t %}\n\nb{% endif %}", "{% if t -%}\n\n b {%- endif %}", "{{ '\\n' }}{{ \"\\t\" }}|", "{{ \"a\nb\" }}", "ü{{ 'ü' }}☀{# ☀ #}ü",
    "{% if messages %}{{ messages|length }}{% endif %}{{ tools is none }}{{ bos_token }}{{ add_generation_prompt }}", "{% for m in messages %}{{ m.role }}: {{ m['content'] }}\n{% endfor %}", "{{ messages[0].content.split('\\n')|map('trim')|select|list|join('/') }}", "{{ messages|tojson }}", "{{ messages }}", "{{ messages|map(attribute='role')|unique|list }}", "{{ (messages|selectattr('role', 'equalto', 'system')|first).content }}", "{{ messages|last }}",
]


def cases():
    for template in [f"{{{{ {e.strip()} }}}}" for e in EXPRESSIONS.replace("\n", ";").split(";") if e.strip()] + TEMPLATES:
        yield {"template": template, "extra": EXTRA, "bos_token": "<s>", "messages": [
            {"role": "system", "content": "Be\n  kind \n\n"}, {"role": "user", "content": "Hi {{ x }} é"}, {"role": "user", "content": ""}]}


def main():
    out = {"extra": EXTRA, "cases": []}
    for case in cases():
        out["messages"] = case["messages"]
        answer = template_reference.render(case["template"], case)
        record = {"template": case["template"]}
        record.update({k: v for k, v in answer.items() if k != "reason"})
        if answer.get("error") == "raised":
            record["reason"] = answer["reason"]
        out["cases"].append(record)
    print('{"bos_token": "<s>",\n"extra": ' + json.dumps(out["extra"], ensure_ascii=False) + ',\n"messages": ' + json.dumps(out["messages"], ensure_ascii=False) + ',\n"cases": [')
    print(",\n".join(json.dumps(c, ensure_ascii=False) for c in out["cases"]) + "\n]}")


main()
