"""The hub's own slow_spawn_timeout of 10 s, and nothing else.

Read by `jupyterhub_config.py` in its own namespace, before Berth is configured.
"""

from traitlets.config import get_config

c = get_config()

c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 10}
