"""Differences in text."""


def signed_text(value: float, digits: int) -> str:
    """A number with its sign and so many decimals; what rounds to nothing is +0, never -0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def span_text(low: float, high: float, digits: int) -> str:
    """Both ends of an interval as `signed_text` has them."""
    return f"[{signed_text(low, digits)}, {signed_text(high, digits)}]"
