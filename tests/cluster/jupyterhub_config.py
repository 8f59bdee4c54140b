"""The configuration of the tests' hub: what the stock chart's defaults come to, and at the end Berth's two lines.

The chart itself can't be had here, so its values are written out: tolerations, labels, the preferred node purpose, a
1G guarantee, the container that blocks cloud metadata, no early end of a slow spawn, and no limit on failures in a
row (a refusal counts on JupyterHub 5). A volume and its mount in the chart's dict form stand for what an operator has
added; a file of `sites/` named by HUB_SITE changes more. Ports and tokens come from the environment.
"""

import os
import sys
from pathlib import Path

from traitlets.config import get_config

c = get_config()
env = os.environ
here = Path(__file__).resolve().parent

c.JupyterHub.bind_url = f"http://127.0.0.1:{env['HUB_PUBLIC_PORT']}{env['HUB_BASE_URL']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{env['HUB_API_PORT']}"
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "cookie-secret"
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{env['HUB_PROXY_PORT']}"
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}

c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
c.JupyterHub.load_groups = {"research": {}, "students": {}}  # the tests make the users, each for one test

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.allow_named_servers = True
c.Spawner.start_timeout = 300
c.Spawner.consecutive_failure_limit = 0
c.KubeSpawner.namespace = "jupyterhub"
c.KubeSpawner.image = "quay.io/jupyterhub/k8s-singleuser-sample:4.4.0"
c.KubeSpawner.port = int(env["HUB_NOTEBOOK_PORT"])
c.KubeSpawner.uid = 1000
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.mem_guarantee = "1G"
c.KubeSpawner.common_labels = {"app": "jupyterhub", "release": "test", "chart": "jupyterhub-4.4.0"}
c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}
c.KubeSpawner.environment = {"SITE": "berth-tests"}
c.KubeSpawner.tolerations = [
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
]
c.KubeSpawner.node_affinity_preferred = [
    {
        "weight": 100,
        "preference": {
            "matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]
        },
    }
]
c.KubeSpawner.volumes = {"site-config": {"name": "site-config", "emptyDir": {}}}
c.KubeSpawner.volume_mounts = {"site-config": {"name": "site-config", "mountPath": "/etc/site", "readOnly": True}}
c.KubeSpawner.init_containers = [
    {
        "name": "block-cloud-metadata",
        "image": "quay.io/jupyterhub/k8s-network-tools:4.4.0",
        "command": ["iptables", "-A", "OUTPUT", "-d", "169.254.169.254", "-j", "DROP"],
        "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
    }
]

c.JupyterHub.services = [
    {"name": "tests", "api_token": env["HUB_TESTS_TOKEN"]},
]
c.JupyterHub.load_roles = [
    {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:groups", "admin:servers", "tokens"]},
]

if env.get("HUB_SITE"):
    exec(compile(Path(env["HUB_SITE"]).read_text(), env["HUB_SITE"], "exec"))  # noqa: S102

if env.get("BERTH_URL"):
    c.JupyterHub.services.append(
        {"name": "berth", "url": env["BERTH_URL"], "api_token": env["BERTH_TOKEN"], "oauth_no_confirm": True}
    )
    access = "access:services!service=berth"
    c.JupyterHub.load_roles += [
        {"name": "berth-users", "groups": [env["HUB_BERTH_GROUP"]], "scopes": [access]}
        if env["HUB_BERTH_GROUP"]
        else {"name": "user", "scopes": ["self", access]},
        {
            "name": "berth",
            "services": ["berth"],
            "scopes": ["list:users", "read:users:name", "read:users:groups", "read:servers"],
        },
    ]
    sys.path.insert(0, str(here.parents[1] / "hub-config"))
    import berth_hub

    berth_hub.configure(c, url=env["BERTH_URL"], token=env["BERTH_TOKEN"])
