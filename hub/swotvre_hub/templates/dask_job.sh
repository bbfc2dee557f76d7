#!/bin/bash
# A part of a Dask cluster of swot-vre. This script is readable by its owner alone; it holds the cluster's token and key.
umask 077
unset BASH_ENV ENV
{% for name, value in environment %}
export {{ name }}={{ value }}
{% endfor %}
cd {{ folder }} || exit 70
exec {{ command }}
