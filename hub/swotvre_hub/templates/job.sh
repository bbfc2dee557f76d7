#!/bin/bash
# {{ what }} of swot-vre. This script is readable by its owner alone; it holds the token, and what else is secret.
umask 077
unset BASH_ENV ENV
{% for name, value in environment %}
export {{ name }}={{ value }}
{% endfor %}
cd {{ folder }} || exit 70
exec {{ command }}
