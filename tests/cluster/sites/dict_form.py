"""What an operator may have configured, in the dict forms that the stock chart uses, with its slow_spawn_timeout of 0.

Read by `jupyterhub_config.py` in its own namespace, before Berth is configured.
"""

from traitlets.config import get_config

c = get_config()

c.KubeSpawner.volumes = {
    "10-home": {"name": "home", "emptyDir": {}},
    "20-site-config": {"name": "site-config", "emptyDir": {}},
}
c.KubeSpawner.volume_mounts = {
    "10-home": {"name": "home", "mountPath": "/home/jovyan"},
    "20-site-config": {"name": "site-config", "mountPath": "/etc/site", "readOnly": True},
}
c.KubeSpawner.tolerations = {
    "10-reserved": {"key": "site/reserved", "operator": "Exists", "effect": "NoSchedule"},
}
c.KubeSpawner.node_affinity_required = {
    "10-arch": {"match_expressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]},
    "20-any": {"matchExpressions": [{"key": "site/any-arch", "operator": "Exists"}]},
}
c.KubeSpawner.extra_containers = {
    "10-proxy": {
        "name": "proxy",
        "image": "registry.example.org/site/proxy:1",
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}},
    }
}


def site_hook(spawner) -> None:  # noqa: ANN001
    spawner.environment["SITE_HOOK"] = f"seen {spawner.user.name}"


c.Spawner.pre_spawn_hook = site_hook
