"""Generates the Python stubs and the descriptor image from the .proto files.

`python protos/generate.py` rewrites them in place; `--check` generates into a temporary folder and
exits 1 naming every file that differs from what is committed.

protovalidate ships its rules as a descriptor, not as a .proto file, and google.api comes with
googleapis-common-protos: both reach protoc as one descriptor set, so nothing is fetched or copied in.
The image (`metachat.binpb`) keeps comments, which generated code drops: OpenAPI and buf read it.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent
WELL_KNOWN = [
    "google/api/annotations.proto",
    "google/api/http.proto",
    *(
        f"google/protobuf/{name}.proto"
        for name in (
            "descriptor",
            "duration",
            "timestamp",
            "field_mask",
            "struct",
            "empty",
            "any",
            "wrappers",
        )
    ),
]
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi", ".binpb")


def protoc(*arguments: str) -> None:
    """Run the pinned protoc with this environment's plugins on its path."""
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)  # noqa: S603 - our own arguments
    if done.returncode:
        sys.exit(done.stderr)


def write_dependencies(target: Path) -> None:
    """Write one descriptor set with everything our files import from elsewhere."""
    google_api = Path(next(iter(google.api.__path__))).parents[1]
    protoc(f"-I{google_api}", "--include_imports", f"--descriptor_set_out={target}", *WELL_KNOWN)
    files = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    files.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    target.write_bytes(files.SerializeToString(deterministic=True))


def generate(out: Path) -> None:
    """Generate all stubs and the image below `out`."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "metachat").rglob("*.proto"))
    services = [name for name in sources if "\nservice " in (ROOT / name).read_text()]
    with tempfile.TemporaryDirectory() as folder:
        dependencies = Path(folder) / "dependencies.binpb"
        write_dependencies(dependencies)
        common = [f"--descriptor_set_in={dependencies}", "-I."]
        # In one call, so that a fault in one file shows with those of the others.
        protoc(*common, f"--python_out={out}", f"--mypy_out=quiet:{out}", *sources)
        protoc(*common, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services)
        protoc(
            f"--descriptor_set_in={dependencies}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            "buf/validate/validate.proto",
        )
        image = out / "metachat" / "metachat.binpb"
        protoc(
            *common, "--include_imports", "--include_source_info", f"--descriptor_set_out={image}", *sources
        )


def generated_files(root: Path) -> set[str]:
    """Paths of all generated files below `root`, relative to it."""
    found = (path for top in ("metachat", "buf") for path in (root / top).rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in found if path.name.endswith(GENERATED)}


def drifted() -> list[str]:
    """Committed files that differ from what the .proto files give, or stand on one side only."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        wanted, present = generated_files(fresh), generated_files(ROOT)
        changed = {n for n in wanted & present if not filecmp.cmp(fresh / n, ROOT / n, shallow=False)}
        return sorted(changed | (wanted ^ present))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description="Generate the stubs of protos/ (or check that they are up to date)."
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail where a committed file is stale"
    )
    if parser.parse_args().check:
        stale = drifted()
        if stale:
            sys.exit("stale stubs, run `make protos`:\n  " + "\n  ".join(stale))
    else:
        generate(ROOT)


if __name__ == "__main__":
    main()
