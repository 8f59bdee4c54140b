"""Owns the claims that a hub's notebooks mount: the three shared ones of the catalogue, bound by the real controller-
manager.
"""

from __future__ import annotations

from kube import Json, Kube

CLAIMS = ("berth-notebooks", "berth-datasets", "berth-models")


def _volume(claim: str, namespace: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{claim}"},
        "spec": {
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": f"/srv/{claim}"},
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


def create_claims(kube: Kube, namespace: str) -> None:
    """The catalogue's claims, each with a volume of its own; done when all are Bound."""
    for claim in CLAIMS:
        kube.create(_volume(claim, namespace))
        kube.create(claim_manifest(claim, namespace))
    for claim in CLAIMS:
        kube.wait_until(
            "PersistentVolumeClaim", claim, lambda item: item["status"].get("phase") == "Bound", "is bound",
            namespace=namespace,
        )  # fmt: skip
