"""A user's own files, handled as that user: `session_files` by way of sudo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.engines.base import SchedulerUnavailableError
from swotvre_hub.engines.pbs_refusals import describe_sudo_fault


async def handle_user_files(runner: CommandRunner, python: Path, user_name: str, *arguments: str) -> dict[str, Any]:
    """Run `session_files` as a user; return what it says, ``error`` in it when it could not be run.

    Args:
        runner: runs it.
        python: interpreter of the session environment.
        user_name: a validated account name.
        arguments: of `session_files`: the verb, the id, the folder.
    """
    command = [str(python), "-I", "-m", "swotvre_hub.session_files", *arguments]
    try:
        result = await runner.run_as(user_name, command, for_files=True)
        answer = json.loads(result.stdout)
    except SchedulerUnavailableError as error:
        return {"error": f"the files of {user_name} cannot be reached: {error}"}
    except ValueError:
        if fault := describe_sudo_fault(result, "start"):
            return {"error": fault}
        said = result.stderr.strip()[-300:] or f"exit code {result.exit_code}"
        return {
            "error": f"the session environment {python.parent.parent} cannot be used by {user_name}: {said}. "
            "Tell who runs this site."
        }
    return answer if isinstance(answer, dict) else {"error": "the files of the session cannot be read"}
