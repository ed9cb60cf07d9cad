"""Files that are no checkpoint, broken ones, and ones made to do harm: a sentence each, never torch's traceback."""

from __future__ import annotations

import contextlib
import pickle  # noqa: TID251 - to make the files that are refused
import struct
import sys
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.errors import CheckpointError, MissingExtraError
from amfac_edge.networks import build_network, describe_checkpoint, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.networks.conftest import MakeRecipe

    State = dict[str, Tensor]


class Malicious:
    """Unpickled by an unguarded reader, it makes a file named `harm` beside itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.folder / "harm"), "w")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pth"


@pytest.fixture
def good(path: Path, tiny: Recipe, state: State) -> bytes:
    """The bytes of a sound checkpoint."""
    network = build_network(tiny)
    network.load_state_dict(state)
    save_checkpoint(path, network, tiny, trained=None)
    return path.read_bytes()


def refused(path: Path, message: str, **arguments: Any) -> None:  # noqa: ANN401 - of load_checkpoint
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path, **arguments)
    assert str(path) in caught.value.problem
    assert caught.value.cure
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "\x1b" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------- no checkpoint


def test_a_missing_file(path: Path) -> None:
    refused(path, r"model\.pth: the checkpoint does not exist\s+Give the path")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, r"the checkpoint is not a file\s+Give the path")


def test_a_name_longer_than_a_file_can_have(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300), r"(can't be read: File name too long|does not exist)")


def test_an_empty_file(path: Path) -> None:
    path.touch()
    refused(path, r"the checkpoint is empty\s+Copy or download the file again\.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", r"is a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html></html>", r"is a web page or XML, not a checkpoint"),
        (b"\x1f\x8b\x08\x00" + bytes(40), r"is a gzip archive; unpack it first"),
        (b"\x08\x08\x12\x07pytorch" + bytes(40), r"looks like an ONNX file, not a checkpoint"),
        (b"\x93NUMPY\x01\x00" + bytes(40), r"is not a checkpoint; its first bytes are 93 4e 55 4d 50 59 01 00"),
        (b"\x00", r"is not a checkpoint; its first bytes are 00\s+Give a file of torch\.save or safetensors\."),
    ],
)
def test_other_kinds_of_files(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    refused(path, message)


def test_a_file_larger_than_any_checkpoint(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate((4 << 30) + 1)  # sparse: takes no room on the disk
    refused(path, r"4,294,967,297 bytes are more than a checkpoint of these networks can have \(4,294,967,296\)")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=200), start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x10" + bytes(7) + b"{"])
)
def test_random_bytes(path: Path, content: bytes, start: bytes) -> None:
    path.write_bytes(start + content)
    with pytest.raises(CheckpointError, match=r"model\.pth: "):
        load_checkpoint(path)


# ------------------------------------------------------------------------------------------------------------ damaged


@pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(path: Path, good: bytes, part: float) -> None:
    path.write_bytes(good[: int(len(good) * part)])
    refused(path, r"the checkpoint is truncated or damaged: .*\s+Copy or download the file again")


def test_a_changed_weight_is_noticed(path: Path, good: bytes, state: State) -> None:
    weight = state["head_x.bins.weight"].numpy().tobytes()
    place = good.index(weight)
    path.write_bytes(good[:place] + struct.pack("<f", 1.0) + good[place + 4 :])
    refused(
        path, r"its weights are not those that were saved: the digest [0-9a-f]{16} doesn't match\s+Copy the file again"
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4), value=st.integers(0, 255))
def test_changed_bytes_never_end_in_another_error(path: Path, good: bytes, places: list[float], value: int) -> None:
    changed = bytearray(good)
    for place in places:
        changed[int(place * len(changed))] = value
    path.write_bytes(changed)
    with contextlib.suppress(CheckpointError):
        load_checkpoint(path)


# --------------------------------------------------------------------------------------------------------------- code


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_not_run(path: Path, state: State, *, legacy: bool) -> None:
    torch.save({"state_dict": state, "a": Malicious(path.parent)}, path, _use_new_zipfile_serialization=not legacy)
    refused(
        path,
        r"the file contains code, the Python object (io|_io|builtins)?\.?open; it was not run"
        r"\s+Where the model was made: Save the weights alone, .* or as safetensors\.",
    )
    assert not (path.parent / "harm").exists()


def test_a_bare_pickle_with_code_is_not_run(path: Path) -> None:
    path.write_bytes(pickle.dumps(Malicious(path.parent), protocol=2))
    refused(path, r"the file contains code, the Python object .*open; it was not run")
    assert not (path.parent / "harm").exists()


def test_a_whole_pickled_module_is_code(path: Path, tiny: Recipe) -> None:
    torch.save(build_network(tiny), path)
    refused(path, r"contains code, the Python object amfac_edge\.networks\.amfacpose\.AmfacPose; it was not run")


def test_a_torchscript_program(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
        archive.writestr("model/constants.pkl", b"")
    refused(path, r"a TorchScript program, not a checkpoint\s+Save the weights alone")


# -------------------------------------------------------------------------------------------------------------- bombs


def test_a_compressed_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(10_000_000))
    refused(path, r"a zip archive with compressed entries, which torch\.save never writes")


def test_an_archive_whose_entries_claim_more_than_the_file(path: Path, good: bytes) -> None:
    place = good.index(b"PK\x01\x02") + 20  # sizes in the first entry of the directory
    path.write_bytes(good[:place] + struct.pack("<LL", 1 << 30, 1 << 30) + good[place + 8 :])
    refused(path, r"its entries claim 1,07\d,\d{3},\d{3} bytes, the file has \d+,\d+")


def test_a_small_storage_shown_as_a_huge_tensor(path: Path, tiny: Recipe, state: State) -> None:
    """Stride 0 makes terabytes of four bytes; reading them would fill the memory."""
    state["head_x.bins.weight"] = torch.zeros(1).expand(1 << 20, 1 << 20)
    torch.save(state, path)
    refused(path, r"its tensors claim 4,398,\d{3},\d{3},\d{3} bytes, more than the whole file", recipe=tiny)


def test_a_dict_within_itself(path: Path) -> None:
    circle: dict[str, object] = {}
    circle |= dict.fromkeys(("model", "state_dict", "ema", "net"), circle)
    torch.save(circle, path)
    refused(path, r"no weights found in it: it holds model, state_dict, ema, net\s+Save the weights alone")


def test_weights_nested_deeper_than_anybody_does(path: Path, state: State) -> None:
    data: dict[str, Any] = state
    for _ in range(10):
        data = {"model": data}
    torch.save(data, path)
    refused(path, r"no weights found in it: it holds model")


# -------------------------------------------------------------------------------------------------------- no weights


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([torch.zeros(3)], r"no weights found in it: it holds one list"),
        (torch.zeros(3), r"no weights found in it: it holds one Tensor"),
        ({}, r"no weights found in it: it holds nothing"),
        ({"epoch": 3, "\x1b[2J": 1}, r"no weights found in it: it holds epoch, '\\x1b\[2J'"),
        ({"state_dict": {3: torch.zeros(3)}}, r"an entry named 3, not by text"),
        (
            {"module.a": torch.zeros(1), "a": torch.zeros(1)},
            r"two entries become a when the prefixes of wrappers are taken",
        ),
    ],
)
def test_contents_that_are_no_weights(path: Path, data: object, message: str) -> None:
    torch.save(data, path)
    refused(path, message)


def complex_tensor(shape: tuple[int, ...]) -> object:
    return torch.zeros(shape, dtype=torch.complex64)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda shape: torch.zeros(shape).tolist(), "of the type list, not a tensor"),
        (lambda _: "weights", "of the type str, not a tensor"),
        (lambda shape: torch.zeros(shape).to_sparse(), "a sparse or nested tensor"),
        (complex_tensor, "of the type complex64"),
        (lambda shape: torch.zeros(shape, dtype=torch.int8), "of the type int8"),
        (lambda shape: torch.zeros(shape).to(torch.float8_e4m3fn), "of the type float8_e4m3fn"),
        (lambda shape: torch.zeros(shape, device="meta"), "a tensor without data"),
    ],
)
def test_entries_that_can_not_be_weights(
    path: Path, tiny: Recipe, state: State, make: Callable[[tuple[int, ...]], object], message: str
) -> None:
    entries: OrderedDict[str, object] = OrderedDict(state)
    entries["final.weight"] = make(tuple(state["final.weight"].shape))
    torch.save(entries, path)
    refused(path, rf"1 of its entries can't be weights: final\.weight is {message}\s+Save the plain float", recipe=tiny)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:UserWarning")
def test_quantized_weights(path: Path, tiny: Recipe, state: State) -> None:
    quantized = torch.quantize_per_tensor(state["final.weight"], 0.1, 0, torch.qint8)
    torch.save({**state, "final.weight": quantized}, path)
    refused(path, r"can't be weights: final\.weight is a quantized tensor", recipe=tiny)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers(path: Path, tiny: Recipe, state: State, number: float) -> None:
    state["final.bias"][3:5] = number
    state["head_y.bins.bias"][0] = number
    torch.save(state, path)
    message = (
        r"2 of its tensors have NaN, infinity or a negative variance: "
        r"final\.bias \(2 of 17\), head_y\.bins\.bias \(1 of 128\)\s+The training diverged"
    )
    refused(path, message, recipe=tiny)


def test_a_negative_variance(path: Path, tiny: Recipe, state: State) -> None:
    state["stem.0.1.running_var"][0] = -0.5
    torch.save(state, path)
    refused(path, r"a negative variance: stem\.0\.1\.running_var \(1 of 4\)", recipe=tiny)


def test_a_number_too_large_for_float32(path: Path, tiny: Recipe, state: State) -> None:
    torch.save({**state, "final.bias": torch.full((17,), 1e300, dtype=torch.float64)}, path)
    refused(path, r"final\.bias \(17 of 17\)", recipe=tiny)


# -------------------------------------------------------------------------------------------------- lies about itself


def with_block(path: Path, state: State, **block: object) -> Path:
    torch.save({"state_dict": state, "amfac": {"schema": "amfac-checkpoint/1", **block}}, path)
    return path


def test_a_recipe_in_the_file_that_does_not_fit_its_weights(path: Path, state: State, make_recipe: MakeRecipe) -> None:
    liar = make_recipe(name="liar", hidden=9)
    message = (
        r"its weights don't fit the recipe liar in the file itself:\s+6 of another shape.*\s+No declared recipe fits"
    )
    refused(with_block(path, state, recipe=liar.as_json()), message)
    assert "6 of another shape: head_x.hidden.weight" in describe_checkpoint(path)["misfit"]


def test_a_lying_recipe_does_not_hinder_the_one_that_is_given(path: Path, tiny: Recipe, state: State) -> None:
    assert load_checkpoint(with_block(path, state, recipe={"family": "cnn"}), recipe=tiny).recipe == tiny


def test_the_declared_recipe_that_fits_is_named(path: Path, make_recipe: MakeRecipe) -> None:
    state = build_network("amfacpose-r18-128x128").state_dict()
    with_block(path, state, recipe=make_recipe(name="liar").as_json())
    refused(path, r"Its weights fit amfacpose-r18-128x128: give --recipe amfacpose-r18-128x128")
    assert load_checkpoint(path, recipe=load_recipe("amfacpose-r18-128x128")).metadata["recipe_from"] == "argument"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"recipe": {"family": "cnn"}}, r'amfac\.recipe: \d faults:\s+.*family: "cnn" is none of'),
        ({"recipe": 7}, r"amfac\.recipe: 8 faults:\s+.*expected a table, got 7"),
        (
            {"schema": "amfac-checkpoint/2"},
            r"schema: 'amfac-checkpoint/2' is not amfac-checkpoint/1; a newer amfac-edge",
        ),
        ({"trained": "yes"}, r'trained: expected true or false, got "yes"'),
        ({"weights_sha256": 7}, r"weights_sha256: expected a string, got 7"),
    ],
)
def test_faulty_facts(path: Path, state: State, block: dict[str, object], message: str) -> None:
    refused(with_block(path, state, **block), message)


def test_facts_that_are_no_table(path: Path, state: State) -> None:
    torch.save({"state_dict": state, "amfac": [1, 2]}, path)
    refused(path, r"amfac: 2 faults:\s+\(the whole file\): expected a table, got \[1, 2\]")


def test_a_skeleton_that_nobody_knows(path: Path, tiny: Recipe, state: State) -> None:
    recipe = {**tiny.as_json(), "skeleton": "octopus-8"}
    refused(
        with_block(path, state, recipe=recipe), r'unknown skeleton "octopus-8"\s+Name the right recipe with --recipe'
    )


def test_a_foreign_recipe_in_a_checkpoint(path: Path, tiny: Recipe, state: State) -> None:
    recipe = {**tiny.as_json(), "family": "simcc-onnx", "network": {}}
    refused(with_block(path, state, recipe=recipe), r"recipe tiny: its family simcc-onnx has no torch network")


def test_names_that_would_play_with_the_terminal(path: Path, state: State) -> None:
    state["\x1b[31mred\n"] = torch.zeros(1)
    state["long" * 100] = torch.zeros(1)
    torch.save(state, path)
    refused(path, r"'\\x1b\[31mred\\n' \(1,\).*")


# -------------------------------------------------------------------------------------------------------- safetensors


def tensors_file(path: Path, header: bytes, *, claimed: int | None = None, body: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if claimed is None else claimed) + header + body)
    return path


@pytest.mark.parametrize("claimed", [1_000, 1 << 40, (1 << 64) - 1])
def test_safetensors_with_a_header_longer_than_the_file(path: Path, claimed: int) -> None:
    tensors_file(path, b'{"a":1}', claimed=claimed)
    refused(path, rf"its header claims {claimed:,} bytes; the file has 15 and a header at most 16,777,216")


def test_safetensors_with_a_huge_header(path: Path) -> None:
    tensors_file(path, b'{"a":' + b" " * (17 << 20) + b"1}")
    refused(path, r"its header claims 17,825,\d{3} bytes; the file has 17,825,\d{3} and a header at most 16,777,216")


@pytest.mark.parametrize(
    "header",
    [
        b"{nonsense",
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
        b'{"a":{"dtype":"??","shape":[1],"data_offsets":[0,4]}}',
    ],
)
def test_safetensors_whose_header_lies(path: Path, header: bytes) -> None:
    tensors_file(path, header, body=bytes(4))
    refused(path, r"the safetensors file is damaged: .*\s+Copy or download the file again")


def test_safetensors_without_tensors(path: Path) -> None:
    tensors_file(path, b"{}")
    refused(path, r"no tensors in the file")


@pytest.mark.parametrize("facts", ["{", "[" * 100_000, "7"])
def test_safetensors_with_faulty_facts(path: Path, state: State, facts: str) -> None:
    save_file(state, path, metadata={"amfac": facts})
    refused(path, r"(the safetensors file is damaged|expected a table, got 7)")


@pytest.mark.parametrize("length", [0x80, 0x4B50])
def test_safetensors_whose_length_begins_like_another_format(
    path: Path, tiny: Recipe, state: State, length: int
) -> None:
    """0x80 begins a pickle, "PK" a zip archive."""
    save_file(state, path)
    content = path.read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    padded = header.ljust(len(header) // 0x10000 * 0x10000 + 0x10000 + length)
    tensors_file(path, padded, body=content[8 + len(header) :])
    assert path.read_bytes().startswith((b"\x80", b"PK"))
    assert load_checkpoint(path, recipe=tiny).metadata["weights"] == ""


def test_safetensors_that_is_not_installed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    tensors_file(path, b"{}")
    with pytest.raises(
        MissingExtraError,
        match=r'safetensors, which is not installed\s+pip install "amfac-edge\[export\]"',
    ):
        load_checkpoint(path)
