"""Names from data and manifests: which may be a file's, and what is shown of the others."""

from typing import Any

import pytest

from hardedge.console import note
from hardedge.contracts import ClassInfo, NetworkSpec, ReferenceImage, Task, parse_json
from hardedge.errors import BadInput
from hardedge.names import escaped_json, id_fault, id_faults, path_fault, quoted, visible
from hardedge.pages.markup import tag

HOSTILE = [
    "",
    ".",
    "..",
    "../slip",
    "/slip",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\x1b]0;t\x07",
    "a\u202eb",
    "n" * 231,
    "\udcff",
]


@pytest.mark.parametrize("id", HOSTILE)
def test_what_cannot_name_a_file_is_no_id(id: str) -> None:
    assert id_fault(id) is not None
    (fault,) = id_faults("splits/test.txt", ["fine", id])
    assert fault == visible(fault)
    assert "\n" not in fault
    assert len(fault) < 300


@pytest.mark.parametrize("id", ["scene000", "straße 3", "猫.v2", "a..b", "-x", "%2e", "n" * 230])
def test_what_can_name_a_file_is_an_id(id: str) -> None:
    assert id_fault(id) is None


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../x", "a//b", "./a", "a\\b", "a\0b"])
def test_a_path_leaves_its_directory(path: str) -> None:
    assert path_fault(path) is not None


def test_a_path_stays_in_its_directory() -> None:
    assert path_fault("golden/masks/0001.png") is None


def test_what_is_shown_has_no_control_and_no_reordering() -> None:
    assert visible("a\tb\nc é 猫") == "a\tb\nc é 猫"
    assert visible("\x1b[2J\x9b1m\r\u202e\u2066\0\udcff\ufffe") == "\ufffd[2J\ufffd1m" + "\ufffd" * 6
    assert escaped_json('"a\x9b\u202e"') == '"a\\u009b\\u202e"'
    assert quoted("a\x1bb") == "'a\\x1bb'"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (ClassInfo, '{"name": "road\\u001b[2J", "color": [0, 0, 0]}'),
        (ClassInfo, '{"name": "road\\u202e", "color": [0, 0, 0]}'),
        (ClassInfo, '{"name": "", "color": [0, 0, 0]}'),
        (NetworkSpec, '{"name": "net\\u0000", "num_classes": 2}'),
        (ReferenceImage, '{"id": "../slip", "image_sha256": "", "label_sha256": ""}'),
        (Task, '{"classes": [{"name": "a\\nb", "color": [0, 0, 0]}], "ignore_index": 255}'),
    ],
)
def test_a_contract_refuses_them_and_names_the_file(kind: Any, content: str) -> None:
    with pytest.raises(BadInput, match=r"^bundle\.json: (class|network|reference image)") as caught:
        parse_json(kind, content.encode(), "bundle.json")
    assert visible(str(caught.value)) == str(caught.value)


def test_a_page_has_no_control_character() -> None:
    assert tag("p", "a\x1bb\u202e", title="\0") == '<p title="\ufffd">a\ufffdb\ufffd</p>'


def test_a_note_has_none(capfd: pytest.CaptureFixture[str]) -> None:
    note("a\x1b]0;title\x07b")
    assert capfd.readouterr().err == "a\ufffd]0;title\ufffdb\n"
