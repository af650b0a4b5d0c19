"""The contracts as a whole: linted, in step with their stubs, a rule for every RPC, installable alone."""

from __future__ import annotations

import importlib
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from metachat.access.v1 import access_pb2
from protovalidate import Validator

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
MODULES = sorted(
    str(path.relative_to(PROTOS)).removesuffix(".proto").replace("/", ".") + "_pb2"
    for path in PROTOS.glob("metachat/*/v1/*.proto")
)


def services() -> Iterator[ServiceDescriptor]:
    for name in MODULES:
        yield from importlib.import_module(name).DESCRIPTOR.services_by_name.values()


def methods() -> list[MethodDescriptor]:
    return [method for service in services() for method in service.methods]


def rule(method: MethodDescriptor) -> access_pb2.Access:
    return method.GetOptions().Extensions[access_pb2.rule]


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_stubs_are_in_step_with_the_proto_files() -> None:
    done = run(sys.executable, "protos/generate.py", "--check")
    assert done.returncode == 0, done.stderr


def test_buf_lint_finds_nothing() -> None:
    buf = Path(sys.executable).parent / "buf"
    done = run(str(buf), "lint", "protos/metachat/metachat.binpb", "--config", "protos/buf.yaml")
    assert done.returncode == 0, done.stdout


def test_buf_lint_would_find_a_fault() -> None:
    buf = Path(sys.executable).parent / "buf"
    strict = '{"version": "v2", "lint": {"use": ["ENUM_VALUE_PREFIX"]}}'
    done = run(str(buf), "lint", "protos/metachat/metachat.binpb", "--config", strict)
    assert done.returncode != 0


@pytest.mark.parametrize("method", methods(), ids=lambda m: m.full_name)
def test_every_rpc_says_who_may_call_it(method: MethodDescriptor) -> None:
    assert method.GetOptions().HasExtension(access_pb2.rule)
    access = rule(method)
    assert access.open or access.scopes
    assert access_pb2.Access.SCOPE_UNSPECIFIED not in access.scopes
    assert bool(access.planned) == bool(access.planned_with)
    if access.tenant_field:
        assert access.tenant_field in method.input_type.fields_by_name


@pytest.mark.parametrize("method", methods(), ids=lambda m: m.full_name)
def test_what_one_tenant_may_call_names_its_tenant(method: MethodDescriptor) -> None:
    """A scope that a tenant's key can hold needs a tenant field, else nothing keeps tenants apart."""
    access = rule(method)
    of_a_tenant = {
        access_pb2.Access.PUBLIC,
        access_pb2.Access.CHAT,
        access_pb2.Access.AGENT,
        access_pb2.Access.ADMIN,
    }
    harmless = {
        "metachat.confidence.v1.ConfidenceService.GetScorer",
        "metachat.escalation.v1.EscalationService.Decide",
    }
    if of_a_tenant & set(access.scopes) and method.full_name not in harmless:
        assert access.tenant_field == "tenant_id"


def test_no_two_rpcs_share_a_path() -> None:
    seen: dict[tuple[str, str], str] = {}
    for method in methods():
        http = method.GetOptions().Extensions[annotations_pb2.http]
        verb = http.WhichOneof("pattern")
        if verb:
            key = (verb, getattr(http, verb))
            assert key not in seen, f"{method.full_name} and {seen[key]} are both at {key}"
            seen[key] = method.full_name


def test_the_rules_of_every_message_compile() -> None:
    validator = Validator()
    for name in MODULES:
        for descriptor in importlib.import_module(name).DESCRIPTOR.message_types_by_name.values():
            validator.collect_violations(GetMessageClass(descriptor)())


def test_the_status_table_of_the_readme_names_every_planned_rpc() -> None:
    readme = (ROOT / "README.md").read_text()
    for method in methods():
        row = f"| `{method.containing_service.name}.{method.name}` |"
        assert (row in readme) == rule(method).planned, f"README status table: {row}"


def test_the_contracts_install_alone(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    # A copy, so that the build leaves nothing in the checkout.
    done = run("cp", "-r", str(PROTOS), str(tmp_path / "protos"))
    assert done.returncode == 0
    done = run(
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(tmp_path / "protos")
    )
    assert done.returncode == 0, done.stderr
    program = (
        "from metachat.chat.v1 import chat_pb2_grpc; from metachat.confidence.v1 import confidence_pb2 as c; "
        "from importlib.resources import files; "
        "assert (files('metachat') / 'metachat.binpb').is_file(); "
        "assert (files('metachat') / 'py.typed').is_file(); "
        "print(c.ScoreRequest(user_message='a', reply='b').ByteSize())"
    )
    done = run(python, "-c", program, cwd=tmp_path)
    assert done.stdout.strip() == "6", done.stderr
