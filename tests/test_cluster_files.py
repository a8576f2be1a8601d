"""The cluster files, read by Ray's own code as `ray up` and KubeRay's autoscaler read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "pipeline/cluster"


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def kuberay() -> Any:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    resource = read("kuberay.yaml")
    resource["metadata"]["namespace"] = "lab"  # Kubernetes adds it
    return _derive_autoscaling_config_from_ray_cr(resource)


def test_ray_up_accepts_the_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(read("aws.yaml"))
    validate_config(config)
    wrong = prepare_config(read("aws.yaml") | {"max_worker": 3})
    with pytest.raises(Exception, match="max_worker"):
        validate_config(wrong)
    types = config["available_node_types"]
    assert sum(node["max_workers"] for node in types.values()) <= config["max_workers"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    for exclude in config["rsync_exclude"]:
        assert exclude.startswith("/"), f"rsync would leave out every {exclude}, jscgc/{exclude} too"


def test_kuberay_reads_what_is_meant(kuberay: Any) -> None:
    types = kuberay["available_node_types"]
    assert {name: node["resources"].get("GPU", 0) for name, node in types.items()} == {
        "headgroup": 0,
        "train": 8,
        "evaluate": 1,
    }
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert {name: node["max_workers"] for name, node in types.items()} == {"headgroup": 0, "train": 1, "evaluate": 8}


def test_every_pod_has_the_image_the_volume_and_the_secret() -> None:
    spec = read("kuberay.yaml")["spec"]
    pods = [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    for pod in pods:
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert container["envFrom"] == [{"secretRef": {"name": "jscgc-s3", "optional": True}}]
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_versions_are_the_locks() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (version,) = re.findall(r"^ray==(\S+)$", lock, re.MULTILINE)
    assert read("kuberay.yaml")["spec"]["rayVersion"] == version
    assert f"rayproject/ray:{version}-" in (FOLDER / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["aws.yaml", "kuberay.yaml"])
def test_dashboards_stay_on_loopback(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert re.findall(r"dashboard-host[=:]\s*(\S+?)[},\s]", text) == ["127.0.0.1"]
    assert "0.0.0.0" not in text
