"""What docs/deployment.md says of signatures: ssh-keygen vouches for the manifest, the manifest for the plan."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import Host, Outcome, examine, manifest_path

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

KEYGEN = shutil.which("ssh-keygen")
pytestmark = pytest.mark.skipif(KEYGEN is None, reason="no ssh-keygen on this machine")


def _keygen(*words: str, content: bytes = b"") -> int:
    assert KEYGEN is not None
    return subprocess.run([KEYGEN, *words], input=content, capture_output=True, check=False, timeout=60).returncode


def test_a_signed_manifest_vouches_for_its_plan(made_plans: ModuleType, tmp_path: Path) -> None:
    path = made_plans.write(tmp_path / "model.plan", "orin-nx-16", made_plans.facts("orin-nx-16"), made_plans.plan())
    beside = manifest_path(path)
    key, allowed = tmp_path / "key", tmp_path / "allowed_signers"
    assert _keygen("-q", "-t", "ed25519", "-N", "", "-f", str(key)) == 0
    allowed.write_text(f"maker {key.with_suffix('.pub').read_text()}")
    assert _keygen("-Y", "sign", "-n", "amfac", "-f", str(key), str(beside)) == 0
    check = ("-Y", "verify", "-n", "amfac", "-f", str(allowed), "-I", "maker", "-s", f"{beside}.sig")
    assert _keygen(*check, content=beside.read_bytes()) == 0
    # An edited manifest is not signed any more; a replaced plan is not the signed manifest's.
    assert _keygen(*check, content=beside.read_bytes().replace(b"fp16", b"fp32")) != 0
    path.write_bytes(made_plans.plan(b"another"))
    refused = examine(path, Host("linux", "aarch64")).verdict.of(Outcome.REFUSED)
    assert "SHA-256" in [one.subject for one in refused]
