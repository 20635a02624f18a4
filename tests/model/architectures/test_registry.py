"""Every architecture of the zoo: published sizes, any sensible input, and the faults of public implementations."""

import pytest
import torch

from capsnet.config import ModelConfig
from model.architectures.registry import ARCHITECTURES, CHOICES, build, refuse_unused
from model.nn.layers import CapsuleNetwork

every_architecture = pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
# The 35 million parameters of the paper's CNN take seconds to draw, so the tests of many networks leave it out.
every_light_one = pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"cnn"}))


def network(**values: object) -> CapsuleNetwork:
    torch.manual_seed(0)
    return build(ModelConfig(**values)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "encoder"),
    [
        ({"architecture": "capsnet"}, 6_804_224),
        ({"architecture": "capsnet", "class_bias": True}, 6_804_384),
        ({"architecture": "efficient"}, 161_824),
        ({"architecture": "efficient", "primary_capsules": 32}, 267_072),
        ({"architecture": "efficient", "height": 36, "width": 36}, 154_656),
        ({"architecture": "cnn", "pose_dim": 1}, 35_445_522),
        ({"architecture": "cnn-small"}, 161_824),
        ({"architecture": "residual"}, 684_672),
        ({"architecture": "shared", "pose_dim": 30, "routing_iterations": 5}, 22_848),
    ],
)
def test_parameters_are_as_many_as_published(config: dict[str, object], encoder: int) -> None:
    assert network(**config).parameter_counts()["encoder"] == encoder


def test_decoder_has_as_many_parameters_as_published() -> None:
    assert network(architecture="efficient").parameter_counts()["decoder"] == 1_411_344


@every_light_one
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"height": 20, "width": 20},
        {"height": 36, "width": 36, "num_classes": 3},
        {"height": 40, "width": 28, "channels": 2, "pose_dim": 4},
        {"height": 64, "width": 64, "channels": 3, "num_classes": 2, "pose_dim": 8},
    ],
)
def test_any_sensible_shape(architecture: str, shape: dict[str, object]) -> None:
    net = network(architecture=architecture, decoder_hidden=(16,), **shape)
    c = net.config
    with torch.inference_mode():
        lengths, poses, drawn = net(torch.rand(2, *c.image_shape))
    assert lengths.shape == (2, c.num_classes)
    assert poses.shape == (2, c.num_classes, c.pose_dim)
    assert drawn.shape == (2, *c.image_shape)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1


@every_light_one
def test_a_prediction_does_not_depend_on_its_batch_mates(architecture: str) -> None:
    net = network(architecture=architecture)
    images = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, _ = net.encode(images)
        alone = torch.cat([net.encode(images[i : i + 1])[0] for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@every_architecture
def test_a_new_network_is_not_saturated(architecture: str) -> None:
    """All lengths at 1 (weights too large) or 0 (too small) are the two ways in which training never starts."""
    net = network(architecture=architecture)
    with torch.inference_mode():
        lengths, _ = net.encode(torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    assert 0.01 < float(lengths.mean()) < 0.85


@every_light_one
@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_gradients_are_finite(architecture: str, value: float) -> None:
    net = network(architecture=architecture).train()
    lengths, _, drawn = net(torch.full((2, 1, 28, 28), value), torch.tensor([0, 1]))
    (lengths.sum() + drawn.sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@every_architecture
def test_routing_is_float32_under_autocast(architecture: str) -> None:
    net = network(architecture=architecture)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        lengths, poses, _ = net(torch.rand(2, 1, 28, 28))
    assert lengths.dtype == poses.dtype == torch.float32


@every_architecture
def test_without_a_label_the_longest_capsule_is_drawn(architecture: str) -> None:
    net = network(architecture=architecture)
    with torch.inference_mode():
        lengths, poses, drawn = net(torch.rand(3, 1, 28, 28))
        expected = net.decode(poses, lengths.argmax(dim=1))
    torch.testing.assert_close(drawn, expected)


def test_an_unknown_architecture_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError,
        match="'capsnett'; known are capsnet, cnn, cnn-residual, cnn-small, efficient, residual, shared",
    ):
        build(ModelConfig(architecture="capsnett"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_classes", 1),
        ("channels", 4),
        ("height", 19),
        ("pose_dim", 0),
        ("primary_capsules", 0),
        ("routing_iterations", 0),
    ],
)
def test_a_config_out_of_bounds_is_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value}; it must lie between"):
        ModelConfig(architecture="efficient", **{field: value})  # type: ignore[arg-type]


@every_light_one
@pytest.mark.parametrize("choice", CHOICES)
def test_an_architecture_has_a_use_for_what_it_says_and_for_nothing_else(
    architecture: str, choice: str
) -> None:
    other = {"primary_capsules": 24, "routing_iterations": 2, "class_bias": True, "detach_routing": True}[
        choice
    ]
    usual, chosen = gradients(architecture), gradients(architecture, **{choice: other})
    same = [(name, g.shape) for name, g in usual.items()] == [(name, g.shape) for name, g in chosen.items()]
    same = same and all(torch.equal(usual[name], chosen[name]) for name in usual)
    assert same != (choice in ARCHITECTURES[architecture].choices)


def gradients(architecture: str, **choice: object) -> dict[str, torch.Tensor]:
    net = network(architecture=architecture, decoder_hidden=(8,), height=20, width=20, **choice)
    net.capsules(torch.linspace(0, 1, 800).view(2, 1, 20, 20)).square().sum().backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def test_a_choice_without_a_use_is_refused_with_those_that_have_one() -> None:
    refuse_unused(ModelConfig(architecture="efficient", primary_capsules=32, pose_dim=8))
    with pytest.raises(
        ValueError,
        match="routing_iterations is 5, for which cnn has no use; those that have: capsnet, shared",
    ):
        refuse_unused(ModelConfig(architecture="cnn", routing_iterations=5))


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_card_knows_from_its_configuration_whether_its_classes_compete(name: str) -> None:
    assert ModelConfig(architecture=name).has_capsules is not ARCHITECTURES[name].softmax
