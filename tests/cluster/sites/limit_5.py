"""The stock chart's default, which Berth's overlay turns off: five failed spawns in a row end the hub."""

from traitlets.config import get_config

c = get_config()

c.Spawner.consecutive_failure_limit = 5
