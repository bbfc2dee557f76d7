"""The session's own knowledge of its end: size, walltime and idleness, for the user's screen and for the hub.

Importing this package imports nothing else: it is on the path of every session start.
"""

from typing import Any


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Return where the built front end lies and under which name JupyterLab serves it."""
    return [{"src": "labextension", "dest": "swotvre-lab"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Return the module that Jupyter Server loads."""
    return [{"module": "swotvre_lab"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    """Watch the activity and the kernels of this server, record them in what is saved, and add the endpoints to it.

    Args:
        server_app: the running ``jupyter_server.serverapp.ServerApp``.
    """
    from swotvre_lab.activity import watch_activity
    from swotvre_lab.kernel_deaths import watch_kernel_deaths
    from swotvre_lab.routes import add_routes
    from swotvre_lab.saved_kernel import record_kernels
    from swotvre_lab.session import SessionEnvironmentError, describe_nothing, read_session

    activity = watch_activity(server_app.web_app)
    deaths = watch_kernel_deaths(server_app.web_app)
    record_kernels(server_app.web_app)
    try:
        session = read_session()
    except SessionEnvironmentError as error:
        server_app.log.error("swotvre_lab: %s. Size and end of the session will not be shown.", error)
        session = describe_nothing()
    add_routes(server_app.web_app, session, activity, deaths)
