"""A site that keeps notebooks on one node, which has no GPU."""

from traitlets.config import get_config

c = get_config()

c.KubeSpawner.node_selector = {"kubernetes.io/hostname": "node-cpu-1"}
