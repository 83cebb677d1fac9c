"""What the official Python client hears: over standard streams from `tongkuan mcp`, over HTTP from `tongkuan serve`.

Prints the conversation. Called by `.ci/mcp` with the binary and a folder to work in.
"""

import asyncio
import json
import os
import pathlib
import subprocess
import sys

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

BINARY, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
ENV = {name: value for name, value in os.environ.items() if not name.startswith("TONGKUAN_") or name == "TONGKUAN_RUNTIME_DIR"}


def start(*args):
    process = subprocess.Popen([BINARY, *args, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENV, text=True)
    return process, json.loads(process.stdout.readline())["base_url"]


async def call(session, name, arguments, fails_with=None):
    """Calls a tool, and prints both sides. The client holds the answer against the tool's schema."""
    heard = []

    async def hear(progress, total, message):
        heard.append(message)

    result = await session.call_tool(name, arguments, progress_callback=hear)
    print(f"> {name} {json.dumps(arguments, ensure_ascii=False)}")
    print("\n".join(f"  {line}" for block in result.content for line in block.text.splitlines()))
    assert result.isError == (fails_with is not None), result
    if fails_with:
        assert result.meta["tongkuan/error"]["code"] == fails_with, result.meta
        return None
    assert heard or name in ("quota", "offer_details", "similar_pictures"), "no progress was told of"
    return result.structuredContent


async def over_streams(sandbox):
    parameters = StdioServerParameters(
        command=BINARY, args=["mcp", "--root", str(WORK / "pictures"), "--allow-spend", "2", "--log", "warn"], env=ENV)
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        told = await session.initialize()
        print(f"server {told.serverInfo.name}, protocol {told.protocolVersion}")
        for tool in (await session.list_tools()).tools:
            print(f"tool {tool.name}: read only {tool.annotations.readOnlyHint}, open world {tool.annotations.openWorldHint}")
        mug = {"picture": {"path": "mug.jpg"}}
        assert (await call(session, "search_picture", mug))["not_asked"]["reason"] == "spend_not_requested"
        paid = await call(session, "search_picture", mug | {"spend": True, "max_offers": 3})
        assert paid["source"] == "upstream" and paid["cost"]["upstream_calls"] == 1 and paid["cost"]["calls_left_here"] == 1
        known = await call(session, "search_picture", mug | {"spend": True, "max_offers": 3})
        assert known["verdict"] == "hit" and known["cost"]["upstream_calls"] == 0
        assert (await call(session, "check_picture", mug))["outcome"] == "seen"
        assert (await call(session, "similar_pictures", mug | {"count": 1}))["similar"][0]["similarity"] == 100
        offer = {"offer_id": paid["offers"][0]["offer_id"]}
        assert (await call(session, "offer_details", offer))["detail"] is None
        assert (await call(session, "offer_details", offer | {"spend": True}))["detail"]["variants"]
        assert (await call(session, "search_picture", {"picture": {"path": "other.jpg"}, "spend": True}))[
            "not_asked"]["reason"] == "spend_limit_reached"
        assert (await call(session, "quota", {}))["cost"]["calls_left_here"] == 0
        await call(session, "search_picture", {"picture": {"path": "/etc/hostname"}}, "path_outside")
        await call(session, "check_picture", mug | {"add": True}, "add_not_allowed")
        await call(session, "search_picture", {"picture": {"image": "bm8gcGljdHVyZQ=="}}, "not_a_picture")


async def over_http(base_url, key):
    headers = {"Authorization": f"Bearer {key}"}
    async with streamablehttp_client(f"{base_url}/mcp", headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            told = await session.initialize()
            print(f"server {told.serverInfo.name}, protocol {told.protocolVersion}, over HTTP")
            paths = (await session.list_tools()).tools[0].inputSchema["properties"]["picture"]["properties"]
            assert "path" not in paths
            assert (await call(session, "quota", {}))["cost"]["calls_left_here"] == 1
            import base64
            picture = {"picture": {"image": base64.b64encode((WORK / "pictures/other.jpg").read_bytes()).decode()}}
            answer = await session.call_tool("search_picture", picture | {"spend": True})
            assert not answer.isError, answer
            assert answer.structuredContent["cost"] | {"upstreams": []} == {
                "upstream_calls": 1, "may_spend": True, "calls_left_here": 0, "upstreams": []}, answer


def main():
    sandbox, url = start("sandbox", "--port", "0", "--min-interval-ms", "0")
    (WORK / "pictures").mkdir()
    ids = [line.split("/")[0] for line in httpx.get(url, timeout=120).text.split("/img/")[1:]]
    for name, offer_id in (("mug.jpg", ids[0]), ("other.jpg", ids[-1])):
        (WORK / "pictures" / name).write_bytes(httpx.get(f"{url}/img/{offer_id}/main.jpg", timeout=120).content)
    (WORK / "config.toml").write_text(
        f'upstreams = ["article"]\n[upstream.article]\nbase_url = "{url}"\napp_key = "sandbox"\nmin_interval_ms = 0\ntimeout_secs = 300\n')
    ENV.update(TONGKUAN_HOME=str(WORK / "home"), TONGKUAN_CONFIG=str(WORK / "config.toml"), TONGKUAN_APP_SECRET="sandbox-secret")
    server = None
    try:
        asyncio.run(over_streams(sandbox))
        key = subprocess.run([BINARY, "keys", "add", "assistant", "--rights", "read,spend", "--daily-budget", "1"],
                             env=ENV, capture_output=True, text=True, check=True).stdout.strip()
        server, base_url = start("serve", "--listen", "127.0.0.1:0", "--log", "warn", "--deadline-secs", "600")
        asyncio.run(over_http(base_url, key))
    finally:
        for process in (server, sandbox):
            if process:
                process.terminate()
                process.wait()


main()
