# Starts a user's own kernel, or one that says in the notebook why it does not start.
explain() {
    echo "$1" >&2
    # Any kernel of the site can say it: each has ipykernel.
    IFS=:
    for place in $JUPYTER_PATH; do
        for spec in "$place"/kernels/*/; do
            python=$(cd -P -- "$spec/../../../.." 2>/dev/null && pwd -P)/bin/python
            if [ -f "$spec/start.sh" ] && [ -x "$python" ]; then
                exec "$python" "$(dirname -- "$0")/explain_kernel.py" "$2" "$1"
            fi
        done
    done
    exit 1
}

if [ -n "$base" ] && ! [ -x "$base/bin/python" ]; then
    explain "The kernel '$name' stands on $base_title, which is no longer on this site ($base is gone). Your files are as they were. Make the kernel anew on the present version, in a terminal: $command" "$1"
fi
if ! [ -x "$folder/bin/python" ]; then
    explain "The packages of the kernel '$name' are gone: $folder has no Python that runs. Make the kernel anew, in a terminal: $command" "$1"
fi
PATH="$folder/bin${base:+:$base/bin}:$PATH"
export PATH
exec "$folder/bin/python" -m ipykernel_launcher -f "$1"
