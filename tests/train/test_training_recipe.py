import json
from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from hardedge.errors import BadInput
from hardedge.train.branches import BoundaryBranch, DetailBranch, HardnessBranch
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.recipes import RECIPES, find_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_is_usable_and_says_its_command(name: str) -> None:
    recipe = RECIPES[name]()
    require_usable(recipe)
    assert recipe.name == name
    assert f"hardedge train {name} --data DIR" in (RECIPES[name].__doc__ or "")


@pytest.mark.parametrize("name", RECIPES)
def test_json_and_back_is_the_same_recipe(name: str) -> None:
    recipe = replace(RECIPES[name](), loss=parse_loss("hardness + 0.25*cpg(kernel=5)"), scale=(1, 1), seed=3)
    text = json.dumps(recipe.to_json())
    again = Recipe.from_json(json.loads(text))
    assert again == recipe
    assert set(json.loads(text)) == {field.name for field in fields(Recipe)}
    assert json.loads(text)["loss"] == str(recipe.loss)


def test_json_with_faults_names_each_of_them() -> None:
    record = RECIPES["streets"]().to_json() | {"stepz": 3, "steps": "many", "crop": [32]}
    with pytest.raises(BadInput) as caught:
        Recipe.from_json(record, "run.json")
    message = str(caught.value)
    assert message.startswith("run.json is not a recipe")
    assert all(field in message for field in ("stepz", "steps", "'many'", "crop"))


def test_json_with_an_unknown_loss_is_the_losses_own_message() -> None:
    with pytest.raises(BadInput, match="unknown term cgp. Did you mean cpg"):
        Recipe.from_json(RECIPES["streets"]().to_json() | {"loss": "ce + 0.5*cgp"})


def test_every_fault_is_reported_at_once() -> None:
    recipe = replace(
        RECIPES["streets"](),
        network="fpn_resnet18",
        loss=parse_loss("ce"),
        auxiliary=True,
        steps=0,
        crop=(16, 64),
        scale=(2.0, 1.0),
        hue=0.7,
        final_rate=0.1,
        warm_up=-1,
    )
    with pytest.raises(BadInput) as caught:
        require_usable(recipe)
    lines = str(caught.value).splitlines()
    assert lines[0] == "recipe streets cannot be used:"
    assert [line.split(":")[0].strip() for line in lines[3:-1]] == [
        *("final_rate", "warm_up", "steps", "crop", "scale", "hue")
    ]
    assert 'branches has a hardness branch, which loss "ce" does not use' in lines[1]
    assert "fpn_resnet18 has no auxiliary head" in lines[2]


def test_a_loss_without_its_branch_is_a_fault() -> None:
    with pytest.raises(BadInput, match='loss "hardness" needs a hardness branch, and branches is empty'):
        require_usable(replace(RECIPES["streets"](), loss=parse_loss("hardness"), branches=()))


def test_two_hardness_branches_are_a_fault() -> None:
    with pytest.raises(BadInput, match="2 hardness branches, expected at most one"):
        require_usable(replace(RECIPES["streets"](), branches=(HardnessBranch(), HardnessBranch("faithful"))))


def test_a_head_without_its_loss_and_a_loss_without_its_head_are_faults() -> None:
    recipe = replace(RECIPES["streets"](), loss=parse_loss("ce + detail"), branches=(BoundaryBranch(),))
    with pytest.raises(BadInput) as caught:
        require_usable(recipe)
    assert str(caught.value).splitlines()[1:3] == [
        '  branches has a boundary head, which loss "ce + detail" does not use: set branches=',
        '  loss "ce + detail" needs a detail head, and branches has none: set branches=boundary_head,detail_head',
    ]
    with pytest.raises(BadInput, match='auxiliary_loss "detail": an auxiliary head gives logits alone'):
        require_usable(replace(RECIPES["stdc1_camvid"](), auxiliary_loss=parse_loss("detail")))


def test_an_unknown_network_is_a_fault_and_a_users_own_is_not(tiny_recipe: Callable[..., Recipe]) -> None:
    require_usable(tiny_recipe())
    with pytest.raises(BadInput, match="Did you mean deeplabv3_resnet50"):
        require_usable(tiny_recipe(network="deeplab_resnet50"))


def test_fields_are_set_from_text() -> None:
    settings = {"loss": "ce + 0.5*cpg", "branches": "", "steps": "7", "crop": "256,352", "amp": "false", "name": "7"}
    changed = find_recipe("camvid", settings)
    expected = replace(
        RECIPES["camvid"](), loss=parse_loss("ce + 0.5*cpg"), branches=(), steps=7, crop=(256, 352), amp=False, name="7"
    )
    assert changed == expected
    assert find_recipe("camvid", {"branches": "faithful"}).branches == (HardnessBranch("faithful"),)
    assert find_recipe("camvid", {"branches": "light@encoder.layer4"}).branches == (
        HardnessBranch("light", tap="encoder.layer4"),
    )
    assert find_recipe("camvid", {"branches": "faithful,boundary_head,detail_head@encoder"}).branches == (
        HardnessBranch("faithful"),
        BoundaryBranch(),
        DetailBranch(tap="encoder"),
    )
    assert find_recipe("camvid", {"branches": ""}).branches == ()
    assert str(find_recipe("camvid", {"auxiliary_loss": "ohem(min_kept=0.1)"}).auxiliary_loss) == "ohem(min_kept=0.1)"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("street", {}, "unknown recipe street. Did you mean streets?"),
        ("streets", {"step": "3"}, "a recipe has no field step. Did you mean steps?"),
        ("streets", {"steps": "many"}, "steps: Input should be a valid integer, got 'many'"),
        (
            "streets",
            {"branches": "edges"},
            "branches.0: Input tag 'edges' .* expected tags: 'light', 'faithful', 'boun",
        ),
        ("streets", {"optimiser": "adam"}, "optimiser: Input should be 'sgd' or 'adamw', got 'adam'"),
    ],
)
def test_a_wrong_name_or_setting_is_told(name: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("?", r"\?")):
        find_recipe(name, settings)
