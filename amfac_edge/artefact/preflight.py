"""Whether an artefact will load on a machine, said before any library sees it: expected against found, and the cure.

TensorRT has no such check: it logs a line and returns nothing. The verdict is a pure function of the manifest, the
plan's first bytes and what is known of the machine, so that a board's can be told anywhere. Rules and their sources:
NVIDIA's TensorRT documentation ("Version Compatibility", "Hardware Compatibility"), and for TensorRT-RTX 1.7 its plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact.plan_facts import RTX, TENSORRT, PlanFacts
from amfac_edge.artefact.plan_header import LARGEST_PLAN
from amfac_edge.artefact.verdict import ONNXRUNTIME, Check, Host, Outcome, Verdict
from amfac_edge.declared.versions import version_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amfac_edge.artefact.manifest import Manifest
    from amfac_edge.artefact.plan_header import PlanHeader

__all__ = ["preflight"]

_LIBRARY = {TENSORRT: "TensorRT", RTX: "TensorRT-RTX", ONNXRUNTIME: "ONNX Runtime"}
# Plans of the version-compatible form run on a later TensorRT of the same major, and of these later majors.
_NEXT_MAJORS = {(8, 10), (10, 11)}
_AMPERE = 8
_COPY = "# copy the file and its .json once more, both from the same place"


def preflight(
    header: PlanHeader, host: Host, *, manifest: Manifest | None, manifest_fault: str | None, digest: str | None
) -> Verdict:
    """The verdict on a file.

    Args:
        header: of the file.
        host: the machine that is to load it.
        manifest: beside the file (an ONNX may have it inside); None where there is none, or a faulty one.
        manifest_fault: what is wrong with it.
        digest: the SHA-256 of the file; None where none is recorded (inside an ONNX, say) or it wasn't worth computing.
    """
    file_checks = [*_file(header), *_manifest(manifest, manifest_fault, digest)]
    if any(check.outcome is Outcome.REFUSED and check.subject == "kind" for check in file_checks):
        # What is no artefact lacks no manifest.
        return Verdict(tuple(check for check in file_checks if check.outcome is not Outcome.UNKNOWN))
    if header.flavour is None:
        return Verdict((*file_checks, _onnxruntime(host)))
    facts = manifest.plan if manifest else None
    plan = _Plan(header, facts, manifest.target if manifest else None, host)
    return Verdict((*file_checks, *plan.contradictions(), *plan.against_host()))


def _file(header: PlanHeader) -> Iterator[Check]:
    wanted = "a plan or an ONNX artefact"
    if header.kind not in {"plan", "onnx"}:
        cure = _FOREIGN["pointer"] if "Git LFS" in header.title else _FOREIGN.get(header.kind, "")
        yield Check(Outcome.REFUSED, "kind", wanted, header.title, cure)
    elif header.fault is not None:
        yield Check(Outcome.REFUSED, "length", "a whole file", header.fault, _COPY)
    elif header.size > LARGEST_PLAN:
        limit = f"at most {LARGEST_PLAN:,} bytes"
        yield Check(Outcome.REFUSED, "size", limit, f"{header.size:,} bytes", _COPY)
    else:
        yield Check(Outcome.FITS, "kind", header.title, header.title)


_FOREIGN = {
    "ultralytics": "# make it from its ONNX: amfac-export MODEL.onnx --target auto",
    "pointer": "git lfs pull",
    "text": "# give the .onnx or .plan that amfac-export wrote; if this came in its place, download it again",
    "zip": "amfac-export FILE --target auto  # if it is a checkpoint",
    "safetensors": "amfac-export FILE --target auto",
    "gzip": "tar xzf NAME.kit.tar.gz && python3 NAME/build.py  # on the board, if it is a board kit",
    "empty": _COPY,
    "unknown": _COPY,
}


def _manifest(manifest: Manifest | None, fault: str | None, digest: str | None) -> Iterator[Check]:
    if fault is not None:
        yield Check(Outcome.REFUSED, "manifest", "one that can be read", fault, _COPY)
    elif manifest is None:
        yield Check(Outcome.UNKNOWN, "manifest", "a .json beside the file", "none", _COPY)
    if manifest is None or digest is None:
        return
    recorded, found = manifest.digests.get("artefact", "none"), f"{digest[:16]}…"
    if digest == recorded:
        yield Check(Outcome.FITS, "SHA-256", found, found)
    else:
        shown = recorded if recorded == "none" else f"{recorded[:16]}…"
        found += ": the file or its manifest was replaced or damaged"
        yield Check(Outcome.REFUSED, "SHA-256", shown, found, _COPY)


def _onnxruntime(host: Host) -> Check:
    version = host.libraries.get(ONNXRUNTIME)
    if version is None:
        return Check(
            Outcome.REFUSED, "library", "ONNX Runtime", "none", 'pip install "amfac-edge[cpu]"', on_machine=True
        )
    return Check(Outcome.FITS, "library", "ONNX Runtime", f"ONNX Runtime {version}".rstrip())


@dataclass(frozen=True)
class _Plan:
    header: PlanHeader
    facts: PlanFacts | None
    target: str | None
    host: Host

    @property
    def version(self) -> str | None:
        return self.header.version or (self.facts.tensorrt_version if self.facts else None)

    @property
    def capabilities(self) -> tuple[str, ...]:
        return self.header.compute_capabilities or (self.facts.compute_capabilities if self.facts else ())

    def contradictions(self) -> Iterator[Check]:
        """Where the manifest says other than the plan itself: one of them was edited."""
        if self.facts is None:
            return
        pairs = (
            ("flavour", self.facts.flavour, self.header.flavour),
            ("version in the header", self.facts.tensorrt_version, self.header.version),
            ("engine name", self.facts.engine_name, self.header.engine_name),
        )
        for subject, said, is_so in pairs:
            if said and is_so and said != is_so:
                yield Check(Outcome.REFUSED, subject, said, is_so, _COPY)
        told = set(self.header.compute_capabilities)
        if told and not self.header.unknown_capabilities and told != set(self.facts.compute_capabilities):
            said, is_so = ", ".join(self.facts.compute_capabilities), ", ".join(sorted(told))
            yield Check(Outcome.REFUSED, "compute capability in the header", said, is_so, _COPY)

    def against_host(self) -> Iterator[Check]:
        yield from self._platform()
        yield self._library()
        yield self._capability()
        yield from self._device()
        yield from self._software()
        if self.facts and self.facts.host_code:
            yield self._host_code()

    def _platform(self) -> Iterator[Check]:
        if self.facts is None or not (self.facts.system and self.facts.architecture):
            yield Check(Outcome.UNKNOWN, "system", "unknown", f"{self.host.system} {self.host.architecture}")
            return
        built = f"{self.facts.system} {self.facts.architecture}"
        here = f"{self.host.system} {self.host.architecture}"
        if built == here:
            yield Check(Outcome.FITS, "system", built, here)
        else:
            yield Check(Outcome.REFUSED, "system", built, here, self.host.rebuild, on_machine=True)

    def _library(self) -> Check:
        flavour = self.header.flavour or TENSORRT
        name, found = _LIBRARY[flavour], self.host.libraries.get(flavour)
        expected = f"{name} {self.version or 'of a version that nothing tells'}"
        here = "none for this Python" if found is None else f"{name} {found or 'of a version that it does not tell'}"
        if found is None:
            return Check(Outcome.REFUSED, "library", expected, here, self._install(), on_machine=True)
        if self.version is None or not found:
            return Check(Outcome.UNKNOWN, "library", expected, here)
        if self._runs_on(found):
            return Check(Outcome.FITS, "library", expected, here)
        return Check(Outcome.REFUSED, "library", expected, here, self._install(), on_machine=True)

    def _runs_on(self, found: str) -> bool:
        built, here = version_number(self.version or ""), version_number(found)
        if self.header.flavour == RTX:  # a plan doesn't cross releases, whatever part of the version differs
            return built == here
        # A package and its library count a build number that the other may leave out.
        parts = max(3, min(len(built), len(here)))
        if built[:parts] == here[:parts]:
            return True
        compatible = self.facts is not None and self.facts.host_code
        return compatible and here > built and (here[0] == built[0] or (built[0], here[0]) in _NEXT_MAJORS)

    def _install(self) -> str:
        if self.host.l4t is not None:
            lacks = self.host.libraries.get(TENSORRT) is None
            return "sudo apt install python3-libnvinfer" if lacks else self.host.rebuild
        if self.header.flavour == RTX:
            return f'pip install "tensorrt-rtx=={self.version}"' if self.version else self.host.rebuild
        return (
            f'pip install "tensorrt=={self.version}"  # or: {self.host.rebuild}' if self.version else self.host.rebuild
        )

    def _capability(self) -> Check:
        subject, expected = "compute capability", " or ".join(self.capabilities) or "unknown"
        here = [gpu.compute_capability for gpu in self.host.gpus]
        found = ", ".join(capability or "unknown" for capability in here) or "no NVIDIA GPU that answers"
        if not here:
            cure = "amfac-doctor  # says what is wrong with the driver, if there is a card"
            return Check(Outcome.REFUSED, subject, expected, found, cure, on_machine=True)
        if set(here) & set(self.capabilities) or self._ampere_plus():
            return Check(Outcome.FITS, subject, expected, found)
        if not self.capabilities or self.header.unknown_capabilities or "" in here:
            return Check(Outcome.UNKNOWN, subject, expected, found)
        return Check(Outcome.REFUSED, subject, expected, found, self.host.rebuild, on_machine=True)

    def _ampere_plus(self) -> bool:
        """The level that covers every later GPU; NVIDIA doesn't support it on JetPack."""
        if self.facts is None or self.facts.hardware_compatibility != "ampere_plus" or self.host.l4t is not None:
            return False
        return any(version_number(gpu.compute_capability)[:1] >= (_AMPERE,) for gpu in self.host.gpus)

    def _device(self) -> Iterator[Check]:
        """Another model of the same architecture: TensorRT loads the plan and warns, since its tactics were timed."""
        if self.facts is None or self.header.flavour == RTX or not self.host.gpus:
            return
        pairs = [("GPU", self.facts.gpu_name, [gpu.name for gpu in self.host.gpus])]
        if self.host.l4t is not None:  # every Orin calls itself Orin
            pairs = [("board", self.target, [self.host.target])]
        counts = [str(gpu.sm_count) for gpu in self.host.gpus if gpu.sm_count]
        pairs.append(("SMs", str(self.facts.sm_count) if self.facts.sm_count else None, list(counts)))
        for subject, built, here in pairs:
            known = [name for name in here if name]
            if not built or not known:
                continue
            if built in known:
                yield Check(Outcome.FITS, subject, built, built)
            else:
                yield Check(Outcome.DIFFERS, subject, built, ", ".join(known), self.host.rebuild)

    def _software(self) -> Iterator[Check]:
        """What may differ as long as the library is the same, and is worth knowing where something goes wrong."""
        if self.facts is None:
            return
        pairs = (
            ("L4T", self.facts.l4t, self.host.l4t),
            ("power mode", self.facts.power_mode, self.host.power_mode),
        )
        for subject, built, here in pairs:
            if built and here:
                yield Check(Outcome.FITS if built == here else Outcome.DIFFERS, subject, built, here)
        built, here = self.facts.driver, self.host.driver
        if built and here:
            older = version_number(here) < version_number(built)
            yield Check(Outcome.DIFFERS if older else Outcome.FITS, "driver", f"{built} or later", here)

    def _host_code(self) -> Check:
        # Whoever wrote the plan wrote that code too: a digest in its manifest is theirs as well.
        expected = "a maker whom you trust: this version-compatible plan runs code of its own on the CPU"
        if self.host.host_code_allowed:
            return Check(Outcome.FITS, "host code", expected, "allowed")
        cure = f"{self.host.rebuild}  # without --version-compatible; or allow it: --allow-host-code"
        return Check(Outcome.REFUSED, "host code", expected, "not allowed", cure)
