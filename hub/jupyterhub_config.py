"""JupyterHub's configuration: the settings first, then whatever the site adds in ``jupyterhub_config.d/*.py``."""

from pathlib import Path

from swotvre_hub.configure import configure
from swotvre_hub.spawner.batch_runtime import look_after_leftovers
from swotvre_hub.state import find_state, load_installed_settings

c = get_config()
_state = find_state()
_settings = load_installed_settings(_state)
configure(c, _settings, _state)
look_after_leftovers(_settings, _state)
for _path in sorted((_state.root.parent / "jupyterhub_config.d").glob("*.py")):
    load_subconfig(str(_path), path=str(Path(_path).parent))
