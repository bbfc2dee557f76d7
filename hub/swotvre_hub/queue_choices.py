"""Which queues and projects a user may choose, of those that the site offers and the scheduler would accept."""

from __future__ import annotations

from swotvre_hub.cluster_view import ClusterState, offered_queues
from swotvre_hub.sessions import BatchChoices
from swotvre_hub.settings import Settings
from swotvre_hub.unix_groups import groups_of


def choices_of(user_name: str, settings: Settings, state: ClusterState, what: str = "sessions") -> BatchChoices:
    """Return the queues and projects that the scheduler would accept from a user.

    Args:
        user_name: an account name.
        settings: the site's settings.
        state: the cluster as it was seen last.
        what: what is started, for the refusal of somebody whom no queue takes.
    """
    queues, groups = state.cluster.queues, groups_of(user_name)
    offer = settings.queues.offer
    names = offered_queues(offer, queues, user_name, groups)
    limits = {name: queue.max_walltime for name, queue in queues.items() if queue.max_walltime is not None}
    default = next((queue for queue in queues.values() if queue.is_default), None)
    if default is not None and default.max_walltime is not None:
        limits[""] = default.max_walltime
    refusal = ""
    if offer and not names:
        refusal = (
            f"none of the queues that are offered here ({', '.join(offer)}) takes {what} of "
            f"{user_name} at present; ask who runs this site for access"
        )
    return BatchChoices(names, settings.queues.matching_projects(groups), limits, refusal)
