"""What an operator may have configured, in KubeSpawner's list forms, with the hub's own slow_spawn_timeout of 10 s.

Read by `jupyterhub_config.py` in its own namespace, before Berth is configured.
"""

import asyncio

from traitlets.config import get_config

c = get_config()

c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 10}
del c.KubeSpawner["environment"]
c.Spawner.environment = {"SITE_PROXY": "http://proxy.example.org:3128", "SITE_NAME": "list"}
c.KubeSpawner.volumes = [
    {"name": "site-config", "emptyDir": {}},
    {"name": "scratch", "emptyDir": {"medium": "Memory"}},
]
c.KubeSpawner.volume_mounts = [
    {"name": "site-config", "mountPath": "/etc/site", "readOnly": True},
    {"name": "scratch", "mountPath": "/home/jovyan/scratch/"},
]
c.KubeSpawner.tolerations += [{"key": "site/reserved", "operator": "Exists", "effect": "NoSchedule"}]
c.KubeSpawner.node_affinity_required = [
    {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]},
    {"matchExpressions": [{"key": "site/any-arch", "operator": "Exists"}]},
]
c.KubeSpawner.node_selector = {"kubernetes.io/os": "linux"}
c.KubeSpawner.extra_containers = [
    {
        "name": "proxy",
        "image": "registry.example.org/site/proxy:1",
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }
]
c.Spawner.group_overrides = {
    "10-research": {
        "groups": ["research"],
        "spawner_override": {
            "environment": {"SITE_GROUP": "research"},
            "extra_annotations": {"site/group": "research"},
            "node_selector": {"kubernetes.io/arch": "amd64"},
        },
    },
    "20-students": {
        "groups": ["students"],
        "spawner_override": {"node_selector": {"kubernetes.io/hostname": "node-cpu-1"}},
    },
}


async def site_hook(spawner) -> None:  # noqa: ANN001
    await asyncio.sleep(0)
    spawner.environment["SITE_HOOK"] = f"seen {spawner.user.name}"
    spawner.extra_labels["site/hook"] = "seen"


c.KubeSpawner.pre_spawn_hook = site_hook
