import pytest

from hardedge.deploy.backends.request import Target
from hardedge.deploy.targets import KNOWN, parse_target, parse_targets
from hardedge.errors import BadInput


def test_every_known_target_parses_to_itself() -> None:
    assert [str(parse_target(name)) for name in KNOWN] == list(KNOWN)
    assert parse_target("tensorrt-rtx:sm86") == Target("tensorrt-rtx", "sm86")
    assert parse_target("tensorrt") == Target("tensorrt")
    assert parse_target("onnxruntime:tensorrt") == Target("onnxruntime", "tensorrt")


def test_a_device_alone_continues_the_runtime_before_it() -> None:
    assert parse_targets("tensorrt-rtx:sm86,sm89, sm120") == (
        "tensorrt-rtx:sm86",
        "tensorrt-rtx:sm89",
        "tensorrt-rtx:sm120",
    )
    assert parse_targets("onnxruntime:cpu,cuda,tensorrt,tensorrt-rtx:sm75") == (
        "onnxruntime:cpu",
        "onnxruntime:cuda",
        "tensorrt",
        "tensorrt-rtx:sm75",
    )


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("onnxruntime:cpuu", "onnxruntime:cpu"), ("tensorrt-rtx:sm87", "tensorrt-rtx:sm8"), ("TensorRT", "tensorrt")],
)
def test_an_unknown_target_names_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(BadInput, match=f'unknown target "{wrong}". Did you mean {nearest}') as caught:
        parse_target(wrong)
    assert all(name in str(caught.value) for name in KNOWN)


@pytest.mark.parametrize("text", ["", "sm86", "tensorrt-rtx:sm86,sm90", "tensorrt-rtx:sm86,,"])
def test_wrong_lists_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="unknown target"):
        parse_targets(text)


def test_a_target_named_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="tensorrt-rtx:sm86 is named twice"):
        parse_targets("tensorrt-rtx:sm86,sm86")
