"""Templates in one or a few lines, each for one habit of Python or Jinja2. `messages` are those of CONTEXT."""

from __future__ import annotations

from typing import Any

CONTEXT: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "a\nb", "n": 2, "tags": ["x", "y"]},
        {"role": "assistant", "content": "C d", "n": 1, "extra": None},
        {"role": "user", "content": "", "n": 1.5, "call": {"name": "f", "arguments": {"z": 1, "a": [True, None]}}},
    ],
    "flag": True,
    "word": "wOrd",
}

PRINTING = r"""
{{ [1, 'a', None, True, 1.5, {'a': 'it\'s'}] }}|{{ ('a',) }}|{{ () }}|{{ {} }}|{{ [[]] }}
{{ "a\tb" ~ ['\n', "it's", 'a"b', "a'\"b", '\u2028é\x07\\', '\ud83d', '\ufdd0'] }}
{{ none }} {{ None }} {{ true }} {{ True }} {{ false }} {{ False }} {{ none ~ true ~ 1 ~ 1.0 ~ [none] }}
{{ 1e22 }} {{ 1.0 }} {{ 1e-7 }} {{ 1e16 }} {{ 1e15 }} {{ 123456789.123456789 }} {{ 0.1 + 0.2 }} {{ -0.0 }} \
{{ 1e400 }} {{ -1e400 }}
{{ 10 ** 20 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 1 / 3 }} {{ 2 ** -1 }} {{ 6 / 2 }} \
{{ 5 // 2.0 }} {{ 2 ** 0.5 }}
{{ 123456789012345678901234567890 + 1 }} {{ 1_000 }} {{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1.5e3 }} {{ +1 }} {{ -(-1) }}
{{ {1: 2, 'a': 3, none: 4, true: 5, 1.5: 6, (1, 2): 7} }}
{{ messages }}
{{ messages[2] }}
{{ {'a': 1}.keys() }} {{ {'a': 1}.values() }} {{ {'a': 1}.items() }} {{ range(3) }} {{ namespace(a=1) }} \
{{ dict(a=1) }}
{{ 'x' if false }}|{{ nothing }}|{{ messages[0].nothing }}|{{ messages[9] }}|{{ messages.nothing }}
{{ 'é' }}{{ "\u00e9\x41\101\N{BULLET}\n" }}{{ '\'' }}{{ "a" "b" 'c' }}
{{ messages[0].content.encode('utf-8') }} {{ 'é'.encode('latin-1') }}
{{ 'a' is defined }} {{ (1, 2) + (3,) }} {{ 1 < 2 < 3 }} {{ not 1 }} {{ 1 and 0 or 'x' }} {{ '' or none or [] }}
{{ lipsum is callable }} {{ raise_exception is callable }} {{ word is callable }}
"""

METHODS = r"""
{{ 'a-b-c'.split('-') }} {{ 'a-b-c'.split('-', 1) }} {{ ' a  b '.split() }} {{ 'a-b-c'.rsplit('-', 1) }} \
{{ 'ab'.split('') }}
{{ 'a b'.rsplit(None, 1) }} {{ 'abc'.partition('b') }} {{ 'abcb'.rpartition('b') }} {{ 'a\nb\r\nc'.splitlines() }} \
{{ 'a\nb'.splitlines(true) }}
{{ ' a '.strip() }}|{{ 'xax'.strip('x') }}|{{ 'xyaxy'.lstrip('xy') }}|{{ '\n a \n'.rstrip() }}|\
{{ '\x1c\u3000a'.strip() }}|{{ 'a'.strip(none) }}
{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} \
{{ 'abc'.startswith('b', 1) }} {{ ''.startswith('') }}
{{ 'aXbX'.removesuffix('X') }} {{ 'XaX'.removeprefix('X') }} {{ 'aaa'.replace('a', 'b', 2) }} \
{{ 'abc'.replace('', '-') }}
{{ 'hELLO wORLD'.title() }} {{ 'hELLO'.capitalize() }} {{ 'ß'.upper() }} {{ 'İ'.lower() | length }} \
{{ 'aB'.swapcase() }} {{ 'ß'.casefold() }} {{ "they're".title() }}
{{ 'abcb'.find('b') }} {{ 'abcb'.rfind('b') }} {{ 'abc'.find('x') }} {{ 'abc'.index('c') }} {{ 'abcb'.count('b') }} \
{{ 'abc'.find('c', 1, 2) }}
{{ 'abc'.index('x') }}
{{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ 'a1'.isalnum() }} \
{{ 'é'.isalpha() }} {{ ''.isdigit() }} {{ ' '.isspace() }} {{ 'A'.isupper() }} {{ 'a'.islower() }} \
{{ 'Ab'.istitle() }} {{ 'a_1'.isidentifier() }}
{{ 'a'.zfill(3) }} {{ '-1'.zfill(4) }} {{ 'a'.center(5, '*') }} {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} \
{{ 'a\tb'.expandtabs(4) }}
{{ ', '.join(['a', 'b']) }} {{ ''.join(messages[0].tags) }} {{ '-'.join('abc') }} {{ ','.join({'a': 1, 'b': 2}) }}
{{ ', '.join([1]) }}
{{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{:>5}|{a:.2f}|{b!r}'.format(3, a=4, b='x') }} \
{{ '{:,}'.format(1234567) }} {{ '{a[0]}'.format(a=[1]) }} {{ '{{}}'.format() }} {{ '{x}'.format_map({'x': 1}) }}
{{ '{}'.format() }}
{{ 'abc'.translate({97: 'x'}) }} {{ 'a'.isascii() }} {{ 'abc'.maketrans('a', 'b') }}
{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 3) }} {{ {'a': 1}.items() | list }} \
{{ {'b': 1, 'a': 2}.keys() | list }} {{ {'a': 1}.copy() }}
{{ {'a': 1}.pop('a') }}
{{ {'a': 1}.update({'b': 2}) }}
{{ {}.setdefault('a', 1) }}
{{ {'items': 1}.items }} {{ {'items': 1}['items'] }} {{ {'get': 2}.get('get') }}
{{ [1].append(2) }}
{{ [1].extend([2]) }}
{{ [2, 1].sort() }}
{{ [1, 2, 3].index(2) }} {{ [1, 1].count(1) }} {{ (1, 2).index(2) }} {{ [1].copy() }} {{ (1, 1).count(1) }}
{{ [1].pop() }}
{{ (5).bit_length() }} {{ (1.5).is_integer() }} {{ (2.0).hex() }} {{ 1.5.as_integer_ratio() }} {{ (1).real }} \
{{ (2).to_bytes(2, 'big') }}
{{ 'abc'[::-1] }} {{ 'abc'[-2:] }} {{ 'abc'[1] }} {{ [1, 2, 3][1:] }} {{ [1, 2, 3][::2] }} {{ [1, 2, 3][:-1] }} \
{{ (1, 2, 3)[1:] }} {{ [1, 2][5:] }} {{ 'abc'[:none] }} {{ messages[1:][0].role }} {{ messages[:-1] | length }} \
{{ range(10)[2:5] }}
{{ 'abc'[5] }}|{{ [1][2] }}|{{ [1]['a'] }}|{{ {'a': 1}[0] }}
{{ '%s %d %05.2f %r %x %%' % ('a', 3, 3.14159, 'b', 255) }} {{ '%s' % 'a' }} {{ '%(a)s' % {'a': 1} }} \
{{ '%s' | format([1, 'a']) }} {{ '%s-%s' | format(1, 2) }} {{ '%(a)s' | format(a=1) }} {{ '%s' % none }}
{{ '%d' % 'a' }}
{{ '%s %s' % 'a' }}
{{ 'a' * 3 }} {{ [0] * 2 }} {{ [1] + [2] }} {{ 'a' + 'b' }} {{ 3 * 'a' }} {{ 'a' * 0 }} {{ (1,) * 2 }}
{{ 'a' + 1 }}
{{ 1 + none }}
{{ [] + 'a' }}
{{ {} + {} }}
{{ 'a'.nothing }}|{{ (1).nothing is defined }}|{{ none.nothing }}|{{ [].nothing }}
{{ 'a'.nothing() }}
{{ none.a.b }}
{{ messages[0].content.split('\n')[0].strip().upper() }} {{ messages[0]['role'] }} {{ messages[0].get('role') }} \
{{ messages[-1].call.arguments.items() | list }}
"""

FILTERS = r"""
{{ ' a ' | trim }}|{{ 'xax' | trim('x') }}|{{ 5 | trim }}|{{ none | trim }}|{{ '\x1c a' | trim }}
{{ 'abc' | length }} {{ [1] | count }} {{ {'a': 1} | length }} {{ messages | length }} {{ '' | length }} \
{{ range(4) | length }}
{{ none | length }}
{{ 5 | length }}
{{ nothing | length }} {{ nothing | list }} {{ nothing | join }} {{ nothing | string }} {{ nothing | upper }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} \
{{ messages | selectattr('call') | list | length }} {{ messages | selectattr('extra', 'none') | list | length }} \
{{ messages | selectattr('call', 'defined') | map(attribute='n') | list }} \
{{ messages | rejectattr('role', '==', 'user') | map(attribute='role') | list }} \
{{ messages | selectattr('role', 'in', ['user']) | list | length }} \
{{ messages | selectattr('n', 'gt', 1) | list | length }}
{{ messages | map(attribute='call.name') | list }} \
{{ messages | map(attribute='call.name', default='-') | join(',') }} \
{{ messages | map(attribute='tags') | map('first') | list }}
{{ messages | map(attribute='nothing', default=none) | list }} {{ messages | map('length') | list }} \
{{ messages | map(attribute='content') | map('upper') | join('|') }} \
{{ ['a', 'b'] | map('replace', 'a', 'x') | list }} {{ [1, 2] | map('string') | join }}
{{ messages | map('nothing') | list }}
{{ messages | map }}
{{ [1, 'a', none] | join(', ') }} {{ messages | join(',', attribute='role') }} {{ [] | join }} \
{{ 'abc' | join('-') }} {{ [1, [2]] | join }}
{{ 'abc' | list }} {{ {'a': 1} | list }} {{ 'abc' | first }} {{ [1, 2] | last }} {{ [] | first }} {{ [] | last }} \
{{ 'abc' | last }} {{ {'a': 1} | first }} {{ {'a': 1, 'b': 2} | last }}
{{ [1, 1.0, true, 2] | unique | list }} {{ ['A', 'a'] | unique | list }} {{ ['A', 'a'] | unique(true) | list }} \
{{ messages | unique(attribute='role') | map(attribute='n') | list }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'a'] | sort }} {{ ['b', 'A', 'a'] | sort(case_sensitive=true) }} \
{{ ['b', 'a'] | sort(reverse=true) }} {{ messages | sort(attribute='n') | map(attribute='n') | list }} \
{{ messages | sort(attribute='role,n') | map(attribute='n') | list }} \
{{ [[3, 'a'], [1, 'b']] | sort(attribute=0) }} {{ {'b': 1, 'a': 2} | sort }}
{{ [1, 'a'] | sort }}
{{ {'b': 1, 'A': 3, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} \
{{ {'b': 1, 'a': 2} | dictsort(false, 'key', true) }} {{ {'b': 1, 'A': 2} | dictsort(case_sensitive=true) }}
{{ messages | tojson }}
{{ {'b': 1, 'a': 1.0, 'c': [none, true, 1e16, 'é<>&\'"\u2028\x7f\n']} | tojson }}|\
{{ 'é😀' | tojson(ensure_ascii=true) }}|{{ 'é' | tojson(ensure_ascii=false) }}
{{ messages[2] | tojson(indent=2) }}|{{ messages[2] | tojson(2) }}|{{ [] | tojson(indent=4) }}|\
{{ {'a': {}} | tojson(indent=4) }}|{{ [1] | tojson(indent='\t') }}
{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }} \
{{ {'b': [1, 2]} | tojson(separators=(', ', ': ')) }} {{ [1, 2] | tojson(indent=0) }} {{ tojson is defined }}
{{ (1, 2) | tojson }} {{ 1.0 | tojson }} {{ 'a' | tojson }} {{ none | tojson }} \
{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ 1e400 | tojson }}
{{ nothing | tojson }}
{{ range(3) | tojson }}
{{ {(1, 2): 3} | tojson }}
{{ 'a' | default('d') }} {{ nothing | default('d') }} {{ '' | default('d', true) }} {{ none | default('d') }} \
{{ nothing | d }} {{ messages[0].nothing | default([]) }} {{ 0 | default(1, boolean=true) }}
{{ 'aXa' | replace('a', 'b') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'a' | replace('', '-') }} \
{{ 12 | replace(1, 2) }}
{{ word | upper }} {{ word | lower }} {{ word | capitalize }} {{ "hello wORLD it's a-b (c)" | title }} {{ 5 | upper }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(2, blank=true) }}|\
{{ 'a\nb' | indent('> ') }}|{{ 'a' | indent(first=true) }}
{{ '12' | int + 1 }} {{ 'x' | int(7) }} {{ 'x' | int }} {{ 3.7 | int }} {{ '0x1f' | int(0, 16) }} {{ '1.5' | int }} \
{{ none | int }} {{ true | int }} {{ '1.5' | float }} {{ 'x' | float(1.5) }} {{ 3 | float }} {{ '1e3' | float }}
{{ 1.5 | string ~ 2 }} {{ [1] | string }} {{ none | string }} {{ (1 | string) is string }} {{ true | string | lower }}
{{ '<a>' | e }} {{ '<a>' | escape ~ '<' }} {{ '<a>' | safe }} {{ ('<a>' | safe) ~ '<' }} {{ ('<' | e) + '<' }} \
{{ '<b>' | forceescape }} {{ ('<' | safe) | e }} {{ "it's" | e }} {{ ['<'] | safe }}
{{ '<b>a</b> &amp; c' | striptags }} {{ {'a': 1, 'b': none, 'c': '"'} | xmlattr }} {{ 'a=1&b c/é' | urlencode }} \
{{ {'a': 'b c'} | urlencode }} {{ 'see http://x.y z' | urlize }}
{{ {'a': 1, 'b': 2} | items | list }} {{ nothing | items | list }}
{{ [1] | items | list }}
{{ range(5) | batch(2) | list }} {{ range(5) | batch(2, 'x') | list }} {{ range(5) | slice(2) | list }} \
{{ range(5) | slice(3, 'x') | list }}
{{ messages | groupby('role') | map('first') | list }} {% for role, items in messages | groupby('role') %}\
{{ role }}={{ items | map(attribute='n') | list }};{% endfor %}{% for g in messages | groupby('n') %}{{ g.grouper }}\
{{ g.list | length }}{% endfor %}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.567 | round(2) }} {{ 3 | round }} {{ 2.5 | round(0, 'floor') | int }} \
{{ 2.1 | round(method='ceil') }} {{ 1234 | round(-2) }} {{ 1.005 | round(2, 'common') }}
{{ -5 | abs }} {{ -1.5 | abs }} {{ [3, 1] | min }} {{ [3, 1] | max }} {{ [] | min }} {{ ['b', 'A'] | min }} \
{{ messages | max(attribute='n') is mapping }} {{ [1, 2.5] | sum }} {{ messages | sum(attribute='n') }} \
{{ [[1], [2]] | sum(start=[]) }} {{ [] | sum }}
{{ 'abc' | reverse }} {{ [1, 2] | reverse | list }} {{ messages | reverse | map(attribute='n') | list }} \
{{ (1, 2) | reverse | list }} {{ 5 | reverse }}
{{ [1, 2, 3, 4] | select('odd') | list }} {{ [1, 2, 3] | reject('odd') | list }} \
{{ [0, 1, '', none] | select | list }} {{ [1, 2] | select('gt', 1) | list }} \
{{ ['a', 1] | select('string') | list }} {{ [0, 1] | reject | list }}
{{ 'a b c' | wordcount }} {{ 'abcdefghij klm' | truncate(9) }} {{ 'abc def ghi' | truncate(8, true, '…', 0) }} \
{{ 'a b c d' | wordwrap(3) }} {{ 'a' | center(5) }}|{{ 1000000 | filesizeformat }} \
{{ 1024 | filesizeformat(true) }} {{ ['a', {'b': [1]}] | pprint }}
{{ messages[0] | attr('role') }} {{ 'a' | attr('upper') is callable }} {{ word | attr('nothing') is defined }}
{{ 'a' | nofilter }}
{{ ['a', 'b'] | random in ['a', 'b'] }} {{ [1, 2] | tojson | length }} \
{{ 'a,b' | replace(',', ', ') | upper | trim | list | length }}
{{ [1, 2] | map('nofilter') | list }}
{% filter upper %}abc {{ word }}{% endfilter %} {% filter indent(2) %}a
b{% endfilter %}
"""

TESTS = r"""
{{ 1 is string }} {{ 'a' is string }} {{ 'a' is mapping }} {{ {} is mapping }} {{ [] is sequence }} \
{{ 'a' is sequence }} {{ {} is sequence }} {{ 1 is sequence }} {{ (1,) is sequence }} {{ range(1) is sequence }}
{{ 'a' is iterable }} {{ none is iterable }} {{ 1 is iterable }} {{ {} is iterable }} {{ nothing is iterable }} \
{{ [] is iterable }} {{ (messages | map('length')) is iterable }}
{{ 1 is number }} {{ true is number }} {{ '1' is number }} {{ 1.0 is float }} {{ 1 is float }} {{ 1 is integer }} \
{{ true is integer }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} \
{{ false is false }} {{ 0 is false }}
{{ none is none }} {{ nothing is none }} {{ nothing is undefined }} {{ nothing is defined }} {{ none is defined }} \
{{ messages[0].extra is none }} {{ messages[1].extra is none }} {{ messages[1].extra is defined }} \
{{ messages[7] is defined }} {{ messages[0].a.b is defined }}
{{ messages[0].a is not defined and messages[0].role is not none }} {{ 3 is divisibleby 3 }} \
{{ 3 is divisibleby(2) }} {{ 2 is even }} {{ 3 is odd }} {{ 'A' is upper }} {{ 'a' is lower }} {{ 'a1' is lower }}
{{ 1 is sameas 1 }} {{ [] is sameas [] }} {{ none is sameas none }} {{ true is sameas 1 }} {{ 'trim' is filter }} \
{{ 'nothing' is filter }} {{ 'odd' is test }} {{ 'a' is escaped }} {{ ('a' | safe) is escaped }}
{{ 1 is in [1] }} {{ 'a' is in 'abc' }} {{ 'a' in {'a': 1} }} {{ 'x' not in messages[0] }} \
{{ 'role' in messages[0] }} {{ 1 in [1.0] }} {{ none in [none] }} {{ '' in 'a' }} {{ true in [1] }}
{{ 1 in 'a' }}
{{ 'a' in none }}
{{ 'a' in 5 }}
{{ 'a' in nothing }}
{{ 1 is eq 1 }} {{ 1 is equalto 1.0 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is ge 2 }} {{ 2 is greaterthan 1 }} \
{{ 1 == true }} {{ '1' == 1 }} {{ [1] == [1.0] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }} \
{{ none == false }} {{ nothing == none }} {{ nothing == nothing2 }} {{ nothing == '' }} {{ 'a' < 'b' }} \
{{ [1, 2] < [1, 3] }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ nothing < 1 }}
{{ 1 is nothing }}
{{ nothing.a }}
{{ nothing.a is defined }}
{{ nothing['a'] }}
{{ nothing() }}
{{ nothing + 1 }}
{{ not nothing }} {{ nothing and 1 }}|{{ nothing or 2 }} {{ 'y' if nothing else 'n' }} \
{{ 'y' if messages else 'n' }} {{ [] is true }} {{ 'y' if 0.0 or () or {} else 'n' }}
{% for x in nothing %}{{ x }}{% else %}none{% endfor %}
{% for x in none %}{% endfor %}
{% for x in 5 %}{% endfor %}
"""

BLOCKS = r"""
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}\
{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}\
{{ loop.length }};{% endfor %}
{% for m in messages %}\
{{ loop.previtem.role if not loop.first }}>{{ m.role }}>{{ loop.nextitem.role if not loop.last else 'end' }} \
{{ loop.changed(m.role) }} {{ loop.cycle('a', 'b') }} {{ loop.depth }};{% endfor %}
{% for k, v in messages[2].items() %}{{ k }}={{ v }};{% endfor %}{% for k in messages[0] %}{{ k }}{% endfor %}\
{% for c in 'abc' %}{{ c }}.{% endfor %}
{% for a in [1, 2, 3] if a > 1 %}{{ a }}{{ loop.length }}{{ loop.index }}{% else %}e{% endfor %}{% for a in [] %}\
{% else %}e{% endfor %}{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x in [[1, [2]], 3] recursive %}{{ loop.depth }}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}\
{% endif %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% for a in messages | selectattr('nothing') %}{{ loop.length }}{% else %}none{% endfor %}\
{% for a in messages | map(attribute='role') %}{{ loop.last }}{% endfor %}
{{ loop }}
{% set ns = namespace(a=1, found=false) %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% set ns.found = true %}\
{% endfor %}{{ ns.a }}{{ ns.found }}{{ ns.nothing }}
{% set ns = namespace() %}{% set ns.x = [] %}{% set ns.x = ns.x + [1] %}{{ ns.x }}{{ ns['x'] }}\
{{ ns.nothing is defined }}
{% set ns = namespace({'b': 2}, a=1, self=3) %}{{ ns.a }}{{ ns.b }}{{ ns.self }}
{% set messages.x = 1 %}
{% set a, b = 1, 2 %}{{ a + b }}{% set c = a if false %}{{ c }}{% set x %}abc{{ a }}{% endset %}{{ x }}\
{{ x | length }}{% set y | upper %}abc{% endset %}{{ y }}{% set z = messages | list %}{{ z | length }}
{% if flag %}{% set z = 1 %}{% endif %}{{ z }} {% for m in messages %}{% set z = 2 %}{{ z }}{% endfor %}{{ z }} \
{% set word = 'new' %}{{ word }}
{% for m in messages %}{% set seen = true %}{% endfor %}{{ seen is defined }} {% set i = 9 %}{% for i in [1] %}\
{{ i }}{% endfor %}{{ i }}
{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }};{% endmacro %}{{ f(1) }}{{ f(1, 2, 3, 4) }}\
{{ f(1, d=4) }}{{ f(b=1) }}{{ f.name }}{{ f.arguments }}{{ f.catch_kwargs }}{{ f.catch_varargs }}{{ f.caller }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
{% macro g() %}[{{ caller('x') }}]{% endmacro %}{% call(y) g() %}{{ y }}!{% endcall %}{% macro h() %}\
{{ caller is defined }}{% endmacro %}{{ h() }}
{% macro r(n) %}{{ n }}{% if n > 0 %}{{ r(n - 1) }}{% endif %}{% endmacro %}{{ r(5) }}{% macro s() %}{{ word }}\
{{ messages | length }}{% endmacro %}{{ s() }}{{ (r(1) ~ 'a') | upper }}{{ r(1) | length }}
{% macro t() %}{% set inner = 1 %}{% endmacro %}{{ t() }}{{ inner is defined }}{{ t is callable }}\
{{ t() is string }}{{ t() == '' }}
{% generation %}x{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}|{% for m in messages %}{%- generation -%} \
{{ m.role }} {%- endgeneration -%}{% endfor %}
{% for m in messages %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% raw %}{{ a }}{% if %}{% endraw %}{# a comment {{ x }} #}{% raw -%}  a  {%- endraw %}
{% with a=1, b=2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}{% with %}{% set a = 3 %}{{ a }}{% endwith %}\
{{ a is defined }}
{% block b %}in a block{{ self.b is callable }}{% endblock %}{{ self.b() }}
{{ cycler('a', 'b').next() }}{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.reset() }}\
{{ c.next() }}{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b
{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d %H:%M:%S') }} {{ strftime_now(format='%A %j %%') }} \
{{ strftime_now is defined }} {{ strftime_now('') }}
{{ raise_exception('no way: é') }}
{{ raise_exception(1) }}
{% if messages[0].role != 'system' %}{{ raise_exception('The first message must be ' ~ ['system', 'it\'s']) }}\
{% endif %}
{{ dict(a=1, **{'b': 2}) }} {{ dict([['a', 1]]) }} {{ dict.fromkeys(['a', 'b'], 0) }} \
{{ dict(messages[0], role='x').role }}
{{ range(3) | list }} {{ range(1, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(0) | list }}
{{ range('a') }}
{% include 'x' %}
{% import 'x' as y %}
{% extends 'x' %}
{% do 1 %}
{% trans %}a{% endtrans %}
{% if flag %}a
{% endif %}
{{ }}
{{ 1 + }}
{% for %}
{% else %}
{% endfor %}
{{ 'a }}
{{ a b }}
{% set %}
{% set 1 = 2 %}
{% unknown %}
{# open
"""

# Refused there and here, in other words.
REFUSED = [
    "{% set ns = namespace(_a=1) %}",
    "{% set ns = namespace(a=1) %}{% set ns._a = 1 %}",
    "{{ raise_exception() }}",
]

ESCAPES = r"""
{{ ''.__class__ }}
{{ dict.__init__ }}
{{ namespace.__init__.__globals__ }}
{{ lipsum.__globals__ }}
{{ cycler.__init__.__globals__.os }}
{{ self._TemplateReference__context }}
{{ '{0.__class__}'.format(1) }}
{{ '{0.__class__}'.format_map({'0': 1}) }}
{{ messages | map(attribute='__class__') | map('string') | list | join | int('x'.y.z) }}
{{ (messages | attr('__class__')).mro() }}
"""

SPACES = [
    "a\n  {% if flag %}  \n b\n  {% endif %}\n c\n",
    "{%- if flag -%}  a  {%- endif %}   \n",
    "   {%+ if flag %} c{% endif +%}\nx\n",
    "x {# comment #}\n  {# another #}\ny\n\n",
    "  {{ word }}\n\n  {{- word -}}\n  z\n",
    "{% for m in messages %}\n  {{ m.role }}\n{% endfor %}\n",
    "{%- for m in messages -%}\n  {{ m.role }}\n{%- endfor -%}\n",
    "{% if flag %}\r\n  a\r\n{% endif %}\r\nb\r",
    "{% raw %}\n a\n{% endraw %}\n{%- raw -%}\n b \n{%- endraw -%}\n c",
    "{% set x %}\n  a\n{% endset %}\n{{ x | tojson }}\n",
    "{% macro f() %}\n  a\n{% endmacro %}\n{{ f() | tojson }}",
    "{#- c -#} a {#- d +#} \n b",
    "\t{% if flag %}\tx\t{% endif %}\t\n\ty",
    "é\u2028 {% if flag %}\u00a0{% endif %}\x0b\x85\n",
    "{{ '\n' }}{{ '{{' }}{{ '%}' }}{{ \"#}\" }}\n\n\n",
    "# line\n## comment\n{% if flag -%}\n\n a {% endif %}\n",
    "",
    "\n",
    "\n\n",
    "no newline at the end",
    "{{ word }}\n",
]


def snippets() -> list[str]:
    """All of them: a line each, joined to the next where it ends with a backslash; those about spaces as they are."""
    found = list(SPACES)
    for group in (PRINTING, METHODS, FILTERS, TESTS, BLOCKS, ESCAPES):
        found += group.strip("\n").replace("\\\n", "").split("\n")
    return found
