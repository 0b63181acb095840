"""Random templates: from a grammar of Jinja that is mostly right, and from bytes that are mostly wrong."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = ["messages", "flag", "word", "m", "x", "ns", "loop", "nothing", "f", "self", "namespace", "dict", "range"]
ATTRIBUTES = ["role", "content", "tags", "n", "call", "items", "keys", "get", "upper", "split", "strip", "index",
              "first", "format", "__class__", "_x", "a"]  # fmt: skip
FILTERS = ["length", "trim", "upper", "tojson", "list", "first", "last", "join(',')", "default('d')", "string", "int",
           "sort", "unique | list", "reverse | list", "map(attribute='role') | list", "selectattr('n') | list",
           "items | list", "batch(2) | list", "round", "abs", "sum", "indent", "title", "e", "safe", "dictsort",
           "replace('a', 'b')", "float", "tojson(indent=1)", "groupby('role') | list", "nofilter"]  # fmt: skip
TESTS = ["defined", "none", "string", "mapping", "iterable", "number", "not sequence", "eq 1", "in [1]", "odd"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in"]

LITERALS = st.one_of(
    st.integers(-3, 12).map(str),
    st.sampled_from(["1.5", "1e22", "none", "true", "'a'", "'x\\n'", '"it\'s"', "''", "[]", "{}", "(1,)", "'%s'"]),
)
HUGE = st.sampled_from(["99999", "10 ** 9", "(10 ** 10 ** 3)", "'x' * 10 ** 9", "range(99999)", "[[1] * 9999] * 9999"])


def _expressions(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("{}.{}".format, inner, st.sampled_from(ATTRIBUTES)),
            st.builds("{}[{}]".format, inner, inner),
            st.builds("{}[{}:{}]".format, inner, inner, inner),
            st.builds("{}({})".format, inner, inner),
            st.builds("({} | {})".format, inner, st.sampled_from(FILTERS)),
            st.builds("({} is {})".format, inner, st.sampled_from(TESTS)),
            st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
            st.builds("({} if {} else {})".format, inner, inner, inner),
            st.builds("[{}, {}]".format, inner, inner),
            st.builds("{{'a': {}, {}: 1}}".format, inner, inner),
        )

    return st.recursive(leaves, grow, max_leaves=6)


def templates(hostile: bool) -> st.SearchStrategy[str]:
    """Texts of templates; `hostile` ones may ask for more than there is."""
    leaves = st.one_of(LITERALS, st.sampled_from(NAMES), *([HUGE] if hostile else []))
    expressions = _expressions(leaves)
    words = st.one_of(st.sampled_from(["a", " ", "\n", "  \n ", "<b>", "é", "{", "}", "%}", "#"]), st.text(max_size=5))
    dash, trim = st.sampled_from(["", "-", "+"]), st.sampled_from(["", "-"])

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        body = st.lists(inner, max_size=3).map("".join)
        return st.one_of(
            st.builds("{{%{} if {} %}}{}{{% else {}%}}{}{{% endif %}}".format, dash, expressions, body, dash, body),
            st.builds("{{%{} for m in {} %}}{}{{% endfor {}%}}".format, dash, expressions, body, dash),
            st.builds("{{% set x %}}{}{{% endset %}}".format, body),
            st.builds("{{% macro f(x=1) %}}{}{{% endmacro %}}{{{{ f({}) }}}}".format, body, expressions),
            st.builds("{{% generation %}}{}{{% endgeneration %}}".format, body),
            st.builds("{{% filter upper %}}{}{{% endfilter %}}".format, body),
            st.builds("{{% for i in range(3) %}}{}{{% {} %}}{{% endfor %}}".format, body, st.sampled_from(
                ["break", "continue"])),
        )  # fmt: skip

    pieces = st.one_of(
        words,
        st.builds("{{{{{} {} {}}}}}".format, trim, expressions, trim),
        st.builds("{{% set x = {} %}}".format, expressions),
        st.builds("{{% set ns = namespace(a={}) %}}{{% set ns.a = {} %}}".format, expressions, expressions),
    )
    return st.lists(st.recursive(pieces, grow, max_leaves=8), min_size=1, max_size=5).map("".join)


NOISE = st.one_of(
    st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")),
    st.lists(st.sampled_from(["{{", "}}", "{%", "%}", "{#", "#}", "if", "for", "in", "x", "(", "[", "'", "|", ".", " ",
                              "{% if x %}", "endif", "endfor", "raw", "\n", "-", "1", "~", "\ud800", "\0"]))
    .map("".join),
)  # fmt: skip
