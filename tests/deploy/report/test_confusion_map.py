"""The confusions on the page: the largest in the table, all for the script, none where they are not recorded."""

import importlib.util
import json
from html import unescape
from pathlib import Path

import numpy as np

from hardedge.deploy.report.confusion_map import ABSENT, confusions_section

_spec = importlib.util.spec_from_file_location("example_report", Path(__file__).parent / "example_report.py")
assert _spec is not None
assert _spec.loader is not None
_made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_made)


counts_of = _made.counts_of


def test_the_largest_stand_in_the_table_with_links_to_what_is_shown() -> None:
    counts_NCC = np.zeros((3, 11, 11), np.int64)
    counts_NCC[:, 2, 2], counts_NCC[:, 1, 1] = 50, 50
    counts_NCC[:, 2, 1] = 10, 90, 0  # pole taken for building
    counts_NCC[0, 1, 9] = 25
    text = confusions_section(_made.example(), counts_of(counts_NCC), {"scene1"})
    first, second = text.split("<tbody>")[1].split("</tr>")[:2]
    assert "</span>pole</span>" in first
    assert "</span>building</span>" in first
    assert "40.00\u202f%" in first  # 100 of 250
    assert '<a href="#image-scene1">scene1</a>, scene0<' in first
    assert "14.29\u202f%" in second  # 25 of 175
    drawn = json.loads(unescape(text.split('data-confusions="')[1].split('"')[0]))
    assert drawn["pairs"] == [[2, 1, 100, 1, 0], [1, 9, 25, 0]]
    assert drawn["ids"] == ["scene0", "scene1"]
    assert drawn["parts"][2] == [150, 250, 150]


def test_what_is_not_recorded_is_said() -> None:
    assert ABSENT in confusions_section(_made.example(), None, ())
    counts_NCC = np.zeros((3, 11, 11), np.int64)
    assert ABSENT in confusions_section(_made.example(), counts_of(counts_NCC, recorded=False), ())
    assert "no labelled pixel has another class" in confusions_section(_made.example(), counts_of(counts_NCC), ())
