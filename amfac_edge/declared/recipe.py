"""A recipe: everything that makes one pose model, as frozen values (`export/*.toml`).

Axis order is height, width wherever two sizes stand together; the mean and standard deviation are RGB, of pixel values
scaled to 0..1. `*_reduction` is how many times fewer channels a bottleneck has. What the papers leave open is a field
here with the value that reproduces their printed parameters and GFLOPs as its default.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.declared.library import declared_names, declared_path
from amfac_edge.declared.reading import Table, read_toml, reading
from amfac_edge.declared.training_fields import (
    LossRule,
    TrainingRule,
    loss_as_json,
    read_loss,
    read_training,
    training_as_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "AmfacPoseNetwork",
    "CropRule",
    "EbaPrnetCcNetwork",
    "ForeignNetwork",
    "PublishedRow",
    "Recipe",
    "load_recipe",
    "recipe_from_json",
    "recipe_names",
]

_SCHEMA = "amfac-recipe/1"
# As printed: 4.3 of AMFACPose, 4.2 of EBA-PRNetCC.
_BATCH_SIZES = {"amfacpose": 32, "eba-prnetcc": 16}
# As printed: 3.6 of AMFACPose; EBA-PRNetCC has none.
_TEMPERATURES = {"amfacpose": 0.8}
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class CropRule:
    """How a person's box becomes a crop: the crop's size and the one affine convention.

    Attributes:
        height: of the crop, in pixels.
        width: of the crop, in pixels.
        padding: the box is made this many times larger on both axes after it got the crop's aspect.
        pixel_centres: true: the box's centre lands at ((W-1)/2, (H-1)/2), integers being pixel centres (ours). False:
            it lands at (W/2, H/2), as in MMPose's `TopdownAffine` and in rtmlib.
    """

    height: int
    width: int
    padding: float = 1.25
    pixel_centres: bool = True


@dataclass(frozen=True)
class PublishedRow:
    """A row of a paper's table that this recipe is held against; None where the table has no such column."""

    table: str
    row: str
    ap: float | None
    params_m: float | None
    gflops: float | None
    note: str = ""


@dataclass(frozen=True)
class AmfacPoseNetwork:
    """AMFACPose (Electronics 2025, 14, 2107): every module can be switched off for the ablation of its Table 6.

    Attributes:
        backbone: "resnet18" or "resnet34": 2-2-2-2 or 3-4-6-3 basic blocks.
        coordconv: which of the three stem convolutions are CoordConv (3.1.1).
        depthwise_norm: batch-norm after the depthwise convolution too, not only after the pointwise one.
        scrm: where the Spatial-Channel Refinement Module sits (3.4.2): after every "block", every "stage", or "none".
        se: where Squeeze-and-Excitation sits (3.4.1), likewise.
        attention_order: which of the two comes first where both are there.
        afpn: the Adaptive Feature Pyramid Network (3.2); without it the final convolution reads the last stage.
        dgcb: Dual-Gate Context Blocks (3.3) in the pyramid.
        embedding: d of 3.5.1, values for each joint and place.
        hidden: width of the two MLP heads (3.5.2).
    """

    backbone: str
    stem_channels: tuple[int, ...] = (32, 32, 64)
    stage_channels: tuple[int, ...] = (64, 128, 256, 512)
    coordconv: tuple[bool, ...] = (True, False, True)
    depthwise_norm: bool = True
    scrm: str = "block"
    scrm_kernel: int = 3
    se: str = "block"
    se_reduction: int = 16
    attention_order: str = "scrm-se"
    afpn: bool = True
    afpn_width: int = 96
    dgcb: bool = True
    dgcb_reduction: int = 2
    final_kernel: int = 3
    embedding: int = 1
    hidden: int = 256


@dataclass(frozen=True)
class EbaPrnetCcNetwork:
    """EBA-PRNetCC (VISIGRAPP 2024, pp. 133-144).

    Attributes:
        backbone: "resnet18", "resnet34" (basic blocks), "resnet50", "resnet101", "resnet152" (bottleneck blocks).
        eba: the Efficient Bridge Attention of 3.2 in every block.
        eba_reduction: r of 3.2.
        bridge: q of equation 2: how many convolutions before a block's last one join its bridge; -1 for all of them.
        head: "mlp" (two layers with Mish) or "slp" (one layer), Table 3.
        hidden: width of the MLP head.
    """

    backbone: str
    stage_channels: tuple[int, ...] = (64, 128, 256, 512)
    eba: bool = True
    eba_reduction: int = 16
    bridge: int = -1
    deconv_layers: int = 3
    deconv_channels: int = 256
    deconv_kernel: int = 4
    final_kernel: int = 1
    head: str = "mlp"
    hidden: int = 256


@dataclass(frozen=True)
class ForeignNetwork:
    """A SimCC network from elsewhere, known by its ONNX file only (RTMPose and its kin)."""

    origin: str = ""


@dataclass(frozen=True)
class Recipe:
    """One model: its network, its crop, and what its outputs mean.

    Attributes:
        name: of the recipe.
        family: "amfacpose", "eba-prnetcc" or "simcc-onnx".
        skeleton: name of the joints' definition ("coco-17", "crowdpose-14").
        crop: size and rule of the input crop.
        mean: RGB mean that is subtracted from pixel values scaled to 0..1.
        std: RGB standard deviation that they are divided by.
        split_ratio: k, bins a pixel.
        bin_centres: true: bin b stands for (b + 1/2)/k - 1/2 crop pixels. False: for b/k (foreign weights).
        temperature: T; the score is a softmax of logits / T.
        network: the fields of the family.
        published: the papers' rows for this model; empty where they have none.
        loss: what the papers leave open of their loss.
        training: how it is trained.
    """

    name: str
    family: str
    skeleton: str
    crop: CropRule
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    split_ratio: float
    bin_centres: bool
    temperature: float
    network: AmfacPoseNetwork | EbaPrnetCcNetwork | ForeignNetwork
    published: tuple[PublishedRow, ...] = ()
    loss: LossRule = field(default_factory=LossRule)
    training: TrainingRule = field(default_factory=TrainingRule)

    @property
    def bins(self) -> tuple[int, int]:
        """Number of bins (x, y): (W·k, H·k)."""
        return round(self.crop.width * self.split_ratio), round(self.crop.height * self.split_ratio)

    def as_json(self) -> dict[str, Any]:
        """The recipe as a JSON object, in the form that `recipe_from_json` and the TOML files share."""
        fields: dict[str, Any] = {
            "schema": _SCHEMA,
            "name": self.name,
            "family": self.family,
            "skeleton": self.skeleton,
        }
        fields["input"] = dataclasses.asdict(self.crop) | {"mean": list(self.mean), "std": list(self.std)}
        fields["simcc"] = {
            "split_ratio": self.split_ratio,
            "bin_centres": self.bin_centres,
            "temperature": self.temperature,
        }
        fields["network"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self.network).items()
        }
        fields["loss"] = loss_as_json(self.loss)
        fields["training"] = training_as_json(self.training)
        return fields


def recipe_names() -> list[str]:
    """The names of the declared recipes, sorted."""
    return declared_names("export")


def load_recipe(name: str | Path) -> Recipe:
    """The recipe of a declared name, or of a TOML file of the user's own.

    Raises:
        DeclaredError: unknown name (near ones are shown), or a faulty file (all faults are shown).
    """
    path = declared_path("export", str(name), noun="recipe")
    return recipe_from_json(read_toml(path), where=str(path), default_name=path.stem)


def recipe_from_json(data: object, *, where: str, default_name: str | None = None) -> Recipe:
    """Read a recipe from a parsed TOML file or from the JSON in a checkpoint or artefact.

    Raises:
        DeclaredError: all faults, each with its key path.
    """
    with reading(data, where=where) as table:
        table.text("schema", default=_SCHEMA, choices=[_SCHEMA])
        family = table.text("family", choices=sorted(_NETWORKS))
        simcc = table.table("simcc", required=False)
        inputs = table.table("input")
        crop = CropRule(
            height=inputs.integer("height", minimum=32, maximum=2048),
            width=inputs.integer("width", minimum=32, maximum=2048),
            padding=inputs.number("padding", default=1.25, minimum=1.0, maximum=4.0),
            pixel_centres=inputs.flag("pixel_centres", default=True),
        )
        recipe = Recipe(
            name=table.text("name", default=default_name),
            family=family,
            skeleton=table.text("skeleton"),
            crop=crop,
            mean=_triple(inputs.numbers("mean", count=3, default=_IMAGENET_MEAN)),
            std=_triple(inputs.numbers("std", count=3, default=_IMAGENET_STD)),
            split_ratio=simcc.number("split_ratio", default=2.0, minimum=1.0, maximum=8.0),
            bin_centres=simcc.flag("bin_centres", default=True),
            temperature=simcc.number("temperature", default=_TEMPERATURES.get(family, 1.0), minimum=1e-3, maximum=1e3),
            network=_NETWORKS.get(family, _read_foreign)(table.table("network", required=family != "simcc-onnx"), crop),
            published=tuple(_published(row) for row in table.tables("published")),
            loss=read_loss(table.table("loss", required=False)),
            training=read_training(
                table.table("training", required=False), batch_size=_BATCH_SIZES.get(family, TrainingRule.batch_size)
            ),
        )
        if min(recipe.std) <= 0:
            inputs.fault("std", f"{list(recipe.std)} has a value that is not above 0")
        for side, bins in zip((crop.width, crop.height), recipe.bins, strict=True):
            if bins != side * recipe.split_ratio:
                simcc.fault("split_ratio", f"{recipe.split_ratio:g} times {side} pixels is no whole number of bins")
    return recipe


def _triple(values: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def _published(row: Table) -> PublishedRow:
    return PublishedRow(
        table=row.text("table"),
        row=row.text("row"),
        ap=row.optional_number("ap", minimum=0),
        params_m=row.optional_number("params_m", minimum=0),
        gflops=row.optional_number("gflops", minimum=0),
        note=row.text("note", default=""),
    )


def _read_amfacpose(table: Table, crop: CropRule) -> AmfacPoseNetwork:
    network = AmfacPoseNetwork(
        backbone=table.text("backbone", choices=("resnet18", "resnet34")),
        stem_channels=_channels(table, "stem_channels", 3, AmfacPoseNetwork.stem_channels),
        stage_channels=_channels(table, "stage_channels", 4, AmfacPoseNetwork.stage_channels),
        coordconv=table.flags("coordconv", count=3, default=AmfacPoseNetwork.coordconv),
        depthwise_norm=table.flag("depthwise_norm", default=AmfacPoseNetwork.depthwise_norm),
        scrm=table.text("scrm", default=AmfacPoseNetwork.scrm, choices=("block", "stage", "none")),
        scrm_kernel=_odd(table, "scrm_kernel", AmfacPoseNetwork.scrm_kernel),
        se=table.text("se", default=AmfacPoseNetwork.se, choices=("block", "stage", "none")),
        se_reduction=_reduction(table, "se_reduction", AmfacPoseNetwork.se_reduction),
        attention_order=table.text(
            "attention_order", default=AmfacPoseNetwork.attention_order, choices=("scrm-se", "se-scrm")
        ),
        afpn=table.flag("afpn", default=AmfacPoseNetwork.afpn),
        afpn_width=table.integer("afpn_width", default=AmfacPoseNetwork.afpn_width, minimum=1, maximum=4096),
        dgcb=table.flag("dgcb", default=AmfacPoseNetwork.dgcb),
        dgcb_reduction=_reduction(table, "dgcb_reduction", AmfacPoseNetwork.dgcb_reduction),
        final_kernel=_odd(table, "final_kernel", AmfacPoseNetwork.final_kernel),
        embedding=table.integer("embedding", default=AmfacPoseNetwork.embedding, minimum=1, maximum=64),
        hidden=table.integer("hidden", default=AmfacPoseNetwork.hidden, minimum=1, maximum=8192),
    )
    if network.dgcb and not network.afpn:
        table.fault("dgcb", "the gates sit in the pyramid: dgcb = true needs afpn = true")
    _whole_strides(table, crop, 16)
    return network


def _read_eba_prnetcc(table: Table, crop: CropRule) -> EbaPrnetCcNetwork:
    backbones = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    network = EbaPrnetCcNetwork(
        backbone=table.text("backbone", choices=backbones),
        stage_channels=_channels(table, "stage_channels", 4, EbaPrnetCcNetwork.stage_channels),
        eba=table.flag("eba", default=EbaPrnetCcNetwork.eba),
        eba_reduction=_reduction(table, "eba_reduction", EbaPrnetCcNetwork.eba_reduction),
        bridge=table.integer("bridge", default=EbaPrnetCcNetwork.bridge, minimum=-1, maximum=2),
        deconv_layers=table.integer("deconv_layers", default=EbaPrnetCcNetwork.deconv_layers, maximum=5),
        deconv_channels=table.integer(
            "deconv_channels", default=EbaPrnetCcNetwork.deconv_channels, minimum=1, maximum=4096
        ),
        deconv_kernel=table.integer("deconv_kernel", default=EbaPrnetCcNetwork.deconv_kernel, minimum=2, maximum=4),
        final_kernel=_odd(table, "final_kernel", EbaPrnetCcNetwork.final_kernel),
        head=table.text("head", default=EbaPrnetCcNetwork.head, choices=("mlp", "slp")),
        hidden=table.integer("hidden", default=EbaPrnetCcNetwork.hidden, minimum=1, maximum=8192),
    )
    if network.backbone in {"resnet18", "resnet34"} and network.bridge > 1:
        table.fault("bridge", f"{network.bridge} convolutions before the last one: a basic block has only 1")
    _whole_strides(table, crop, 32)
    return network


def _read_foreign(table: Table, _crop: CropRule) -> ForeignNetwork:
    return ForeignNetwork(origin=table.text("origin", default=""))


def _channels(table: Table, key: str, count: int, default: tuple[int, ...]) -> tuple[int, ...]:
    values = table.integers(key, count=count, default=default)
    if min(values) < 1 or max(values) > 4096:  # noqa: PLR2004 - no network of this kind is wider
        table.fault(key, f"{list(values)} has a number outside 1 and 4096")
        return default
    return values


def _odd(table: Table, key: str, default: int) -> int:
    value = table.integer(key, default=default, minimum=1, maximum=15)
    if value % 2 == 0:
        table.fault(key, f"{value} is even; the kernel must have a middle")
    return value


def _reduction(table: Table, key: str, default: int) -> int:
    return table.integer(key, default=default, minimum=1, maximum=512)


def _whole_strides(table: Table, crop: CropRule, stride: int) -> None:
    if crop.height % stride or crop.width % stride:
        table.fault("", f"its input {crop.height}x{crop.width} must be a multiple of {stride} on both sides")


_NETWORKS: dict[str, Callable[[Table, CropRule], AmfacPoseNetwork | EbaPrnetCcNetwork | ForeignNetwork]] = {
    "amfacpose": _read_amfacpose,
    "eba-prnetcc": _read_eba_prnetcc,
    "simcc-onnx": _read_foreign,
}
