"""A stand-in for OpenPBS: a daemon that starts and kills real processes, and commands that answer as recorded.

The recordings are of OpenPBS 23.06.06; what they do not show was read in its sources. `client` is what ``qsub``,
``qstat``, ``qdel``, ``qselect`` and ``pbsnodes`` run, `server` is ``pbs_server`` with its scheduler, `mom` starts
the jobs on the nodes, all of which are this machine.
"""
