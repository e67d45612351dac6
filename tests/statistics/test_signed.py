import pytest

from hardedge.statistics.signed import signed_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0004, "+0.000"),
        (0.0, "+0.000"),
        (-0.0, "+0.000"),
        (-0.0006, "-0.001"),
        (1.2345, "+1.234"),
        (-12.0, "-12.000"),
    ],
)
def test_what_rounds_to_nothing_is_not_negative(value: float, text: str) -> None:
    assert signed_text(value, 3) == text
