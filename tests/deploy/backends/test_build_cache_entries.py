"""Entries of a build cache that somebody else wrote are never run: whose folder it is, and whose code they bear."""

import dataclasses
import json
from pathlib import Path

import pytest

from hardedge.contracts import BuildOptions
from hardedge.contracts.sizes import Profile
from hardedge.deploy.backends.build_cache import BuildCache, BuildKey
from hardedge.errors import BadInput

KEY = BuildKey(
    onnx_sha256="1" * 64,
    builder="tensorrt_rtx",
    builder_version="1.7.1",
    device="sm86",
    profiles=(Profile(min=(1, 64, 64), opt=(1, 64, 64), max=(1, 64, 64)),),
    options=BuildOptions(),
    build=0,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildCache:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "plan").write_bytes(b"plan")
    made = BuildCache(tmp_path / "cache")
    made.keep(KEY, tmp_path / "plan", 1.5)
    return made


def test_what_this_user_kept_is_found(cache: BuildCache, tmp_path: Path) -> None:
    found = cache.find(KEY)
    assert found is not None
    assert (found.path.read_bytes(), found.seconds) == (b"plan", 1.5)
    assert (tmp_path / "config/hardedge/key").stat().st_mode & 0o777 == 0o600
    assert cache.find(dataclasses.replace(KEY, build=1)) is None


@pytest.mark.parametrize("who", ["another user", "another key of the cache"])
def test_a_plan_that_somebody_else_put_there_is_not_found(
    who: str, cache: BuildCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "poison").write_bytes(b"poison")
    plans = cache.root / "plans"
    if who == "another user":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
        cache.keep(KEY, tmp_path / "poison", 1.0)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    else:
        other = dataclasses.replace(KEY, onnx_sha256="2" * 64)
        cache.keep(other, tmp_path / "poison", 1.0)
        for suffix in ("plan", "json"):
            (plans / f"{other.key()}.{suffix}").replace(plans / f"{KEY.key()}.{suffix}")
    assert (plans / f"{KEY.key()}.plan").read_bytes() == b"poison"
    assert cache.find(KEY) is None


def test_an_entry_of_an_earlier_version_is_not_found(cache: BuildCache) -> None:
    told = cache.root / "plans" / f"{KEY.key()}.json"
    told.write_text(json.dumps({"sha256": "0" * 64, "seconds": 1.0}))
    assert cache.find(KEY) is None


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_folder_that_others_can_write_is_refused(mode: int, cache: BuildCache) -> None:
    cache.root.chmod(mode)
    with pytest.raises(BadInput, match="can be written by others"):
        cache.require_usable()
    cache.root.chmod(0o755)
    cache.require_usable()
