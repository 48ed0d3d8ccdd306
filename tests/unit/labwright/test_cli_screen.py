"""Nothing that a stranger wrote can steer the terminal it is shown in."""

from __future__ import annotations

import json

from labwright.cli_screen import emit, printable, table

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\u202etxt\u202c\U000e0041 μ ok\x7f"
STEERING = ("\x1b", "\x07", "\x9b", "\u202e", "\u202c", "\U000e0041", "\x7f")


def test_a_line_holds_no_terminal_sequences():
    assert not [c for c in STEERING if c in printable(HOSTILE)]
    assert "μ ok" in printable(HOSTILE)


def test_a_table_holds_no_terminal_sequences(capsys):
    table(("title",), [(HOSTILE,)])
    assert not [c for c in STEERING if c in capsys.readouterr().out]


def test_a_json_document_escapes_them_and_says_the_same(capsys):
    emit({"title": HOSTILE, "name": "β-catenin"})
    out = capsys.readouterr().out
    assert not [c for c in STEERING if c in out]
    assert "β-catenin" in out
    assert json.loads(out) == {"title": HOSTILE, "name": "β-catenin"}
