"""The image, the compose file and the Kubernetes manifest of `deploy/`: read, as no engine runs here."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import PREFIX, Settings
from tests.snippets import snippets

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
OBJECTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
WORKLOADS = [it for it in OBJECTS if it["kind"] in ("StatefulSet", "Deployment")]
NATS_CONF = (DEPLOY / "nats.conf").read_text()
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")
KUBECTL = shutil.which("kubectl")
PROXY_CAPABILITIES = {"CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID"}


def name_of(it: dict[str, Any]) -> str:
    return f"{it['kind']}/{it['metadata']['name']}"


def object_called(name: str) -> dict[str, Any]:
    (found,) = (it for it in OBJECTS if name_of(it) == name)
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def test_the_image_is_locked_small_and_not_root() -> None:
    found = instructions()
    of: dict[str, list[str]] = {}
    for word, rest in found:
        of.setdefault(word, []).append(rest)
    assert of["ARG"] == ["PYTHON", "PYTHON"], "no default, which would have no digest"
    assert of["FROM"] == ["${PYTHON} AS build", "${PYTHON}"], "one base, which a digest can replace"
    assert of["USER"] == ["10001:10001"], "a number, so that `runAsNonRoot` can be checked"
    installs = re.findall(r"pip install ([^&]+)", " && ".join(of["RUN"]))
    assert len(installs) == 3
    assert all("--no-cache-dir" in install for install in installs)
    for install in installs[:2]:
        assert "--require-hashes --requirement requirements.lock" in " ".join(install.split())
    for option in ("--no-deps", "--no-index", "/wheel/*.whl"):
        assert option in installs[2], "the last one fetches nothing"
    last = found[[word for word, _ in found].index("FROM", 3) :]
    assert [rest for word, rest in last if word == "COPY"] == [
        "--from=build /opt/sightline /opt/sightline"
    ]
    assert not any(re.search("pip|apt|compile", rest) for word, rest in last)
    assert not re.search(r"ADD |sudo|curl|latest", (DEPLOY / "Dockerfile").read_text())
    (check,) = of["HEALTHCHECK"]
    assert "/api/health" in check
    assert " CMD [" in " ".join(check.split()), "no shell between"


def test_an_image_without_its_digest_is_refused_everywhere() -> None:
    (check,) = re.findall(r"^RUN (case .*)$", (DEPLOY / "Dockerfile").read_text(), re.M)
    for name, status in (("python:3.12-slim@sha256:0a", 0), ("python:3.12-slim", 1), ("", 1)):
        done = subprocess.run(["sh", "-c", check], env={"PYTHON": name}, capture_output=True)
        assert done.returncode == status, name
    given = {it.get("image") for it in COMPOSE["services"].values()}
    asked = "as in images.env"
    assert given == {"sightline", f"${{NATS_IMAGE:?{asked}}}", f"${{NGINX_IMAGE:?{asked}}}"}
    build = COMPOSE["services"]["gateway-1"]["build"]
    assert build["args"] == {"PYTHON": f"${{PYTHON_IMAGE:?{asked}}}"}
    pinned = {it["name"] for it in KUSTOMIZATION["images"] if it["digest"].startswith("sha256:")}
    containers = [
        container
        for workload in WORKLOADS
        for key in ("containers", "initContainers")
        for container in workload["spec"]["template"]["spec"].get(key, ())
    ]
    assert {container["image"].partition(":")[0] for container in containers} == pinned


def test_the_commands_of_the_page_name_each_image_with_its_digest(tmp_path: Path) -> None:
    guide = (ROOT / "docs/deploy.md").read_text()
    (naming,) = re.findall(r"^```sh\n(pinned\(\).*?)^```$", guide, re.M | re.S)
    docker = tmp_path / "docker"  # as `docker buildx imagetools inspect` answers
    docker.write_text(
        "#!/bin/sh\n"
        'echo "Name:      docker.io/library/$4\nDigest:    sha256:of-$4\n\nManifests:"\n'
        'echo "  Name:      docker.io/library/$4@sha256:other\n  Platform:  linux/amd64"\n'
    )
    docker.chmod(0o755)
    (tmp_path / "deploy").mkdir()
    path = f"{tmp_path}:/usr/bin:/bin"
    subprocess.run(["sh", "-euc", naming], cwd=tmp_path, env={"PATH": path}, check=True)
    assert (tmp_path / "deploy" / "images.env").read_text().splitlines() == [
        "PYTHON_IMAGE=python:3.12-slim@sha256:of-python:3.12-slim",
        "NATS_IMAGE=nats:2@sha256:of-nats:2",
        "NGINX_IMAGE=nginx:1@sha256:of-nginx:1",
    ]


def test_the_image_gets_a_compiled_wheel() -> None:
    runs = [" ".join(rest.split()) for word, rest in instructions() if word == "RUN"]
    (build,) = (run for run in runs if "hatchling build" in run)
    assert build.startswith("HATCH_BUILD_HOOKS_ENABLE=1 /opt/compile/bin/python")
    (tools,) = (run for run in runs if "/opt/compile/bin/pip install" in run)
    assert tools.endswith("--requirement requirements-compile.lock")
    compiler = next(run for run in runs if "apt-get install" in run)
    assert "--no-install-recommends gcc libc6-dev " in compiler
    lock = (ROOT / "requirements-compile.lock").read_text()
    assert {"mypy", "setuptools"} <= set(re.findall(r"^([\w-]+)==", lock, re.M))


def test_what_the_image_is_built_from_is_in_its_context() -> None:
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().split()[1:]}
    locks = {"requirements.lock", "requirements-compile.lock"}
    assert kept == {"app", "clients", "hatch_build.py", "pyproject.toml", "LICENSE", *locks}
    hatch = (ROOT / "pyproject.toml").read_text()
    for path in re.findall(r'"(clients/[\w./]+)"', hatch):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_is_confined_and_bounded(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= (PROXY_CAPABILITIES if name == "proxy" else set())
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service
    for volume in service.get("volumes", ()):
        source, _, rest = volume.partition(":")
        assert source in COMPOSE["volumes"] or rest.endswith(":ro"), volume


def test_only_the_proxy_is_open_and_only_gateways_reach_nats() -> None:
    services = COMPOSE["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    beside_nats = {name for name, service in services.items() if "back" in service["networks"]}
    assert beside_nats == {*GATEWAYS, "nats"}
    assert COMPOSE["networks"]["back"]["internal"] is True
    kept = [services[name]["volumes"] for name in GATEWAYS]
    assert len({*map(str, kept)}) == len(GATEWAYS), "a state folder for each"
    for name in GATEWAYS:
        assert f"server {name}:3000 max_fails=0;" in services["proxy"]["environment"]["GATEWAYS"]


def test_secrets_are_in_no_file_of_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    for name in ("secret.env", "nats-secret.env"):
        assert f"deploy/{name}" in ignored
    assert not [it for it in OBJECTS if it["kind"] == "Secret"]
    assert "operator" not in str(COMPOSE["services"]["gateway-1"])


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_is_what_the_restricted_standard_asks_for(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"] + pod.get("initContainers", []):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]
    for container in pod["containers"]:
        assert {"readinessProbe", "livenessProbe"} <= container.keys()
    spec = workload["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_three_gateways_are_drained_one_by_one_and_each_has_an_address_and_a_state_folder() -> None:
    spec = object_called("StatefulSet/gateway")["spec"]
    pod = spec["template"]["spec"]
    (gateway,) = pod["containers"]
    assert spec["replicas"] == 3
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["state"]
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    pause = int(gateway["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + 15 <= pod["terminationGracePeriodSeconds"]
    budget = object_called("PodDisruptionBudget/gateway")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == spec["selector"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        (header,) = gateway[probe]["httpGet"]["httpHeaders"]
        assert header == {"name": "Host", "value": "localhost"}
        assert gateway[probe]["httpGet"]["path"] == "/api/health"
    proxy = object_called("Deployment/proxy")["spec"]["template"]["spec"]["containers"][0]
    environment = {it["name"]: it["value"] for it in proxy["env"]}
    for number in range(spec["replicas"]):
        service = object_called(f"Service/gateway-{number}")["spec"]
        assert service["selector"] == {"statefulset.kubernetes.io/pod-name": f"gateway-{number}"}
        assert f"server gateway-{number}:3000 max_fails=0;" in environment["GATEWAYS"]
    template = (DEPLOY / "nginx.conf.template").read_text()
    asked = set(re.findall(r"\$\{([A-Z_]+)\}", template))
    assert asked == set(environment) == set(COMPOSE["services"]["proxy"]["environment"])


def test_what_pods_refer_to_is_generated_or_documented() -> None:
    made = {"certificate"}
    for generator in KUSTOMIZATION["configMapGenerator"] + KUSTOMIZATION["secretGenerator"]:
        made.add(generator["name"])
        for name in generator.get("files", []) + generator.get("envs", []):
            assert (DEPLOY / name).is_file() or name in ("secret.env", "nats-secret.env")
    text = (DEPLOY / "kubernetes.yaml").read_text()
    for pattern in (
        r"(?:configMapRef|secretRef|secretKeyRef|configMap): \{ name: ([\w-]+)",
        r"secretName: ([\w-]+)",
        r"configMap:\n +name: ([\w-]+)",
    ):
        assert set(re.findall(pattern, text)) <= made
    guide = (ROOT / "docs/deploy.md").read_text()
    assert "kubectl --namespace sightline create secret tls certificate" in guide
    environment = object_called("StatefulSet/gateway")["spec"]["template"]["spec"]["containers"][0]
    given = {it["name"]: it.get("value", "") for it in environment["env"]}
    Settings.from_environ({name: value for name, value in given.items() if name.startswith(PREFIX)})


def test_the_commands_of_the_page_make_the_secrets_and_fill_the_template(tmp_path: Path) -> None:
    guide = (ROOT / "docs/deploy.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", guide, re.M | re.S)
    (making,) = snippets("docs/deploy.md", "sh")
    (tmp_path / "deploy").mkdir()
    # The page goes on in the same shell: what it installs must not be private.
    after = subprocess.run(
        ["sh", "-euc", f"umask 022\n{making}\numask"], cwd=tmp_path, check=True, capture_output=True
    )
    assert int(after.stdout, 8) == 0o022
    made = {path.name: path for path in (tmp_path / "deploy").iterdir()}
    assert made.keys() == {"secret.env", "nats-secret.env"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.values()} == {0o600}
    secrets = dict(re.findall(r"^(\w+)=(.+)$", made["secret.env"].read_text(), re.M))
    passwords = dict(re.findall(r"^(\w+)=(p\w{64})$", made["nats-secret.env"].read_text(), re.M))
    settings = Settings.from_environ(secrets)
    assert settings.nats_url == (
        f"nats://gateway:{passwords['NATS_GATEWAY_PASSWORD']}@127.0.0.1:4222"
    )
    assert passwords.keys() == set(re.findall(r"\$(NATS_\w+_PASSWORD)", NATS_CONF))
    (filling,) = (block for block in blocks if "envsubst" in block)
    (names,) = re.findall(r"envsubst '([^']+)'", filling)
    template = (DEPLOY / "nginx.conf.template").read_text()
    assert set(names.replace("$", "").split()) == set(re.findall(r"\$\{([A-Z_]+)\}", template))
    for name in names.replace("$", "").split():
        assert re.search(rf"^export .*\b{name}=", filling, re.M), name


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl")
def test_kustomize_adds_the_settings_the_secrets_and_the_digests(tmp_path: Path) -> None:
    for path in DEPLOY.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "secret.env").write_text("SIGHTLINE_SESSION_TOKEN=t\n")
    (tmp_path / "nats-secret.env").write_text("NATS_GATEWAY_PASSWORD=p1\n")
    done = subprocess.run([str(KUBECTL), "kustomize", "."], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    built = {name_of(it): it for it in yaml.safe_load_all(done.stdout)}
    for it in WORKLOADS:
        pod = built[name_of(it)]["spec"]["template"]["spec"]
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert container["image"].endswith("@sha256:REPLACE")
    (gateway,) = built["StatefulSet/gateway"]["spec"]["template"]["spec"]["containers"]
    for source in gateway["envFrom"]:  # a changed setting has another name, and renews the pods
        ((kind, ref),) = source.items()
        made = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind]
        assert f"{made}/{ref['name']}" in built
        assert re.search(r"-\w{10}$", ref["name"])


def test_every_file_of_the_deployment_is_in_the_page() -> None:
    guide = (ROOT / "docs/deploy.md").read_text()
    ours = {path.name for path in DEPLOY.iterdir() if path.is_file()}
    for name in ours - {"secret.env", "nats-secret.env", "images.env"}:
        assert f"`{name}`" in guide, name


def test_the_schema_of_kubernetes_takes_every_object() -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate: 100 MB of schemas"
    )
    for it in OBJECTS:
        validate.validate(it, "1.33", strict=True)
