"""Owns the claims that a hub's notebooks mount: the three shared ones of the catalogue, bound by the real controller-
manager.
"""

from __future__ import annotations

from kube import Json, Kube

CLAIMS = ("berth-notebooks", "berth-datasets", "berth-models")


ZONE = "topology.kubernetes.io/zone"


def volume_manifest(claim: str, namespace: str, storage_class: str = "", zone: str = "") -> Json:
    """A volume for that claim; with a zone it can be mounted on the zone's nodes only."""
    selected = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}
    confined = {"nodeAffinity": {"required": {"nodeSelectorTerms": [selected]}}} if zone else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{claim}"},
        "spec": {
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": storage_class,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": f"/srv/{claim}"},
            **confined,
        },
    }


def claim_manifest(claim: str, namespace: str, storage_class: str = "") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "1Ti"}},
        },
    }


def class_manifest(name: str, binding_mode: str) -> Json:
    """A class whose provisioner nobody runs: a claim of it gets the volume that a test makes."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "example.org/away",
        "volumeBindingMode": binding_mode,
    }


def create_claims(kube: Kube, namespace: str) -> None:
    """The catalogue's claims, each with a volume of its own; done when all are Bound."""
    for claim in CLAIMS:
        kube.create(volume_manifest(claim, namespace))
        kube.create(claim_manifest(claim, namespace))
    for claim in CLAIMS:
        wait_bound(kube, claim, namespace)


def wait_bound(kube: Kube, claim: str, namespace: str) -> None:
    kube.wait_until(
        "PersistentVolumeClaim", claim, lambda item: item["status"].get("phase") == "Bound", "is bound",
        namespace=namespace,
    )  # fmt: skip


def remove_claim(kube: Kube, claim: str, namespace: str) -> None:
    """The claim and its volume, if there is one."""
    kube.delete("PersistentVolumeClaim", claim, namespace)
    kube.wait_gone("PersistentVolumeClaim", claim, namespace)
    kube.delete("PersistentVolume", f"{namespace}-{claim}")
    kube.wait_gone("PersistentVolume", f"{namespace}-{claim}")
