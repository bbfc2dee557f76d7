#!/bin/bash
# The session {{ session_id }} of swot-vre. This script is readable by its owner alone; it holds the session's token.
umask 077
unset BASH_ENV ENV
{% for name, value in environment %}
export {{ name }}={{ value }}
{% endfor %}
cd {{ folder }} || exit 70
exec {{ python }} -I -m swotvre_lab.batch
