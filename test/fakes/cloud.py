# SPDX-License-Identifier: MIT
"""A stand-in for the cloud: users, keys, and sandboxes that are all served by one embedded agent.

Shapes of answers are those recorded of the real app server (the list in the order asked with null for
what is not there, deletion by the query parameter, 429 without `detail`, plain text for a 500) and those
the hosted product documents (keys of users, quotas).  Each sandbox has an address with a path,
/box/<id>, a key of its own and, for the commands that run in it, a /workspace of its own: the path
is replaced in commands on their way to the agent.

As a library:    cloud = Cloud(agent_url, agent_key); cloud.start(); cloud.url; cloud.stop()
As a program:    cloud.py --agent URL --agent-key KEY   prints its address; POST /_control sets what is in
                 `wishes`, GET /_state tells what happened.

Wishes (attributes, or members of POST /_control):
  starting        polls after which a sandbox is RUNNING
  script          list of statuses each new sandbox goes through instead, one a poll; the last stays
  detail          status_detail of sandboxes
  create, poll, delete, mint   lists of faults, one used for each call; a fault is
                  {"status":503,"body":{…}|"text","headers":{…}}, {"drop":true} (carried out, no answer),
                  {"delay":seconds}, or null for none
  create_delay    seconds every creation takes
  max_sandboxes   more are refused with CONCURRENCY_LIMIT_REACHED;   daily: with DAILY_SANDBOX_LIMIT_REACHED
  direct          sandboxes have the agent's own address and key
  revoke          forget all keys of users
  lose            list of ids that are gone from now on; "all"
  pause           list of ids that are paused; "all"
"""

import argparse
import asyncio
import glob
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import threading
import time
import urllib.parse

WORKSPACE = b"/workspace/project"
REASONS = {200: "OK", 201: "Created", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
           404: "Not Found", 422: "Unprocessable Entity", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}


class Drop(Exception):
    """The connection ends without an answer."""


class Cloud:
    def __init__(self, agent_url, agent_key, service_key="service-key", port=0):
        self.agent = urllib.parse.urlsplit(agent_url)
        self.agent_key = agent_key
        self.service_key = service_key
        self.port = port
        self.folder = tempfile.mkdtemp(prefix="aut-cloud-")
        os.chmod(self.folder, 0o755)
        # wishes
        self.starting = 1
        self.script = None
        self.detail = None
        self.create, self.poll, self.delete, self.mint = [], [], [], []
        self.create_delay = 0
        self.max_sandboxes = self.daily = 1 << 30
        self.direct = False
        # what is there, and what happened
        self.keys = {}       # key of a user: (user, org)
        self.boxes = {}      # id: {"key", "status", "polls", "user", "script", "lost"}
        self.made, self.deleted, self.paused = [], [], []
        self.commands = []   # started commands: (sandbox, text)
        self.downloads = 0
        self.calls = []      # (time, method, path)
        self.polled = []     # ids in each poll
        self.minted = 0
        self.connections = self.connections_max = 0
        self.loop = self.server = self.thread = None

    # ---- life

    def start(self):
        ready = threading.Event()

        def run():
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
            self.server = self.loop.run_until_complete(
                asyncio.start_server(self.client, "127.0.0.1", self.port, limit=1 << 20, backlog=1024))
            self.port = self.server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"
            ready.set()
            self.loop.run_forever()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        ready.wait(20)
        return self

    def stop(self):
        def end():
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_later(0.05, self.loop.stop)

        self.loop.call_soon_threadsafe(end)
        self.thread.join(10)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.remove_files()

    def remove_files(self):
        """What a sandbox's end takes with it lies on this machine here."""
        texts = " ".join(text for _, text in list(self.commands))
        for run in set(re.findall(r"/tmp/automation-([0-9a-f-]{36})", texts)):
            for path in glob.glob(f"/tmp/automation-{run}.*"):
                if os.path.isdir(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    os.unlink(path)

    def state(self):
        window = 0
        times = [t for t, _, path in self.calls if path.startswith("/api/")]
        for i, t in enumerate(times):
            j = i
            while j < len(times) and times[j] < t + 1:
                j += 1
            window = max(window, j - i)
        return {"made": list(self.made), "deleted": list(self.deleted), "paused": list(self.paused),
                "alive": [i for i, b in self.boxes.items() if not b["lost"]],
                "minted": self.minted, "calls": len(self.calls), "calls_per_second_max": window,
                "polls": len(self.polled), "polled_max": max([len(p) for p in self.polled], default=0),
                "commands": len(self.commands), "connections_max": self.connections_max,
                "downloads": self.downloads}

    def control(self, wishes):
        for name, value in wishes.items():
            if name == "revoke":
                self.keys.clear()
            elif name in ("lose", "pause"):
                for box_id in list(self.boxes) if value == "all" else value:
                    if name == "lose":
                        self.boxes[box_id]["lost"] = True
                    else:
                        self.boxes[box_id]["status"] = "PAUSED"
            elif hasattr(self, name):
                setattr(self, name, value)
            else:
                raise KeyError(name)

    # ---- HTTP

    async def client(self, reader, writer):
        self.connections += 1
        self.connections_max = max(self.connections_max, self.connections)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                method, target, _ = lines[0].split(" ", 2)
                headers = {}
                for line in lines[1:]:
                    if ":" in line:
                        name, value = line.split(":", 1)
                        headers[name.strip().lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                try:
                    status, answer, more = await self.handle(method, target, headers, body)
                except Drop:
                    break
                writer.write(f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\n".encode()
                             + b"".join(f"{k}: {v}\r\n".encode() for k, v in more.items())
                             + f"Content-Length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError, ValueError,
                asyncio.CancelledError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    @staticmethod
    def json(status, value, headers=None):
        return status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}

    async def fault(self, faults):
        """The next fault of a list, as an answer; None: none.  Drop comes after the deed: see `dropped`."""
        wish = faults.pop(0) if faults else None
        if not wish:
            return None
        if wish.get("delay"):
            await asyncio.sleep(wish["delay"])
        if wish.get("drop"):
            return "drop"
        if "status" not in wish:
            return None
        body = wish.get("body", {"detail": "fault"})
        if isinstance(body, str):
            return wish["status"], body.encode(), {"Content-Type": "text/plain", **wish.get("headers", {})}
        return self.json(wish["status"], body, wish.get("headers"))

    async def handle(self, method, target, headers, body):
        url = urllib.parse.urlsplit(target)
        path = url.path
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        if path.startswith("/box/"):
            return await self.agent_call(method, target, headers, body)
        if path == "/_state":
            return self.json(200, self.state())
        if path == "/_control":
            self.control(json.loads(body))
            return self.json(200, {})
        self.calls.append((time.monotonic(), method, path))
        if path.startswith("/api/service/users/"):
            return await self.mint_key(path, headers)
        user = self.keys.get(headers.get("authorization", "").removeprefix("Bearer "))
        if user is None:
            return self.json(401, {"detail": "Unauthorized"})
        if path == "/api/v1/users/me":
            return self.json(200, {"id": user[0], "org_id": user[1], "email": "user@example.com",
                                   "role": "member",
                                   "permissions": ["view_automations", "manage_automations"],
                                   "llm_profiles": None})
        if path == "/api/v1/sandboxes" and method == "POST":
            return await self.create_box(user)
        if path == "/api/v1/sandboxes":
            return await self.poll_boxes(user, query)
        if path.startswith("/api/v1/sandboxes/"):
            return await self.box_call(method, path.split("/")[4:], query, user)
        return self.json(404, {"detail": "Not Found"})

    # ---- keys

    async def mint_key(self, path, headers):
        parts = path.split("/")
        if headers.get("x-service-api-key") != self.service_key:
            return self.json(401, {"detail": "Unauthorized"})
        fault = await self.fault(self.mint)
        if fault == "drop":
            raise Drop
        if fault:
            return fault
        key = "user-key-" + secrets.token_hex(8)
        self.keys[key] = (parts[4], parts[6])
        self.minted += 1
        return self.json(200, {"key": key, "name": "automation"})

    def key_for(self, user, org):
        """A key somebody else gave a user (the caller's own)."""
        key = "own-key-" + secrets.token_hex(8)
        self.keys[key] = (user, org)
        return key

    # ---- sandboxes

    def describe(self, box_id, user):
        box = self.boxes.get(box_id)
        if box is None or box["lost"] or box["user"] != user:
            return None
        running = box["status"] == "RUNNING"
        base = f"{self.agent.scheme}://{self.agent.netloc}" if self.direct else f"{self.url}/box/{box_id}/"
        answer = {"id": box_id, "created_by_user_id": user[0],
                  "sandbox_spec_id": "registry.example/openhands/agent-server:1.58.0-python",
                  "status": box["status"],
                  "session_api_key": box["key"] if running else None,
                  "exposed_urls": [{"name": "VSCODE", "url": f"{self.url}/vscode/{box_id}", "port": 60001},
                                   {"name": "AGENT_SERVER", "url": base, "port": 60000},
                                   {"name": "WORKER_1", "url": f"{self.url}/w1/{box_id}", "port": 12000}]
                  if running else None,
                  "created_at": "2026-11-23T12:37:02.325408Z"}
        if self.detail is not None:
            answer["status_detail"] = self.detail
        return answer

    async def create_box(self, user):
        fault = await self.fault(self.create)
        if fault and fault != "drop":
            return fault
        alive = [b for b in self.boxes.values() if not b["lost"] and b["user"] == user]
        if len(alive) >= self.max_sandboxes:
            return self.json(429, {"detail": {"error": "CONCURRENCY_LIMIT_REACHED",
                                              "message": "You have reached your limit of sandboxes.",
                                              "limit": self.max_sandboxes, "current": len(alive)}})
        if len(self.made) >= self.daily:
            return self.json(429, {"error": "DAILY_SANDBOX_LIMIT_REACHED"})
        if self.create_delay:
            await asyncio.sleep(self.create_delay)
        box_id = secrets.token_hex(16)
        self.boxes[box_id] = {"key": self.agent_key if self.direct else "session-" + secrets.token_hex(8),
                              "status": "STARTING", "polls": 0, "user": user, "lost": False,
                              "script": list(self.script) if self.script else None}
        self.made.append(box_id)
        if fault == "drop":
            raise Drop
        return self.json(200, self.describe(box_id, user))

    def advance(self, box):
        """A poll looks at it: time passes for it."""
        box["polls"] += 1
        if box["script"]:
            box["status"] = box["script"].pop(0) if len(box["script"]) > 1 else box["script"][0]
        elif box["status"] == "STARTING" and box["polls"] >= self.starting:
            box["status"] = "RUNNING"

    async def poll_boxes(self, user, query):
        ids = query.get("id", [])
        if not ids:
            return self.json(422, {"detail": [{"type": "missing", "loc": ["query", "id"],
                                               "msg": "Field required", "input": None}]})
        if len(ids) > 100:
            return self.json(400, {"detail": f"Cannot request more than 100 sandboxes at once, got {len(ids)}"})
        fault = await self.fault(self.poll)
        if fault == "drop":
            raise Drop
        if fault:
            return fault
        self.polled.append(ids)
        for box_id in ids:
            if box_id in self.boxes and self.boxes[box_id]["user"] == user:
                self.advance(self.boxes[box_id])
        return self.json(200, [self.describe(box_id, user) for box_id in ids])

    async def box_call(self, method, parts, query, user):
        if method == "DELETE":
            if "sandbox_id" not in query:
                return self.json(422, {"detail": [{"type": "missing", "loc": ["query", "sandbox_id"],
                                                   "msg": "Field required", "input": None}]})
            fault = await self.fault(self.delete)
            if fault and fault != "drop":
                return fault
            box = self.boxes.pop(query["sandbox_id"][0], None)
            if box is not None:
                self.deleted.append(query["sandbox_id"][0])
            if fault == "drop":
                raise Drop
            return self.json(200, {"success": True}) if box else self.json(404, {"detail": "Not Found"})
        box = self.boxes.get(parts[0])
        if method == "POST" and len(parts) == 2 and parts[1] in ("pause", "resume") and box \
                and box["user"] == user:
            box["status"] = "PAUSED" if parts[1] == "pause" else "STARTING"
            if parts[1] == "pause":
                self.paused.append(parts[0])
            return self.json(200, {"success": True})
        return self.json(404, {"detail": "Not Found"})

    # ---- the agent in a sandbox

    async def agent_call(self, method, target, headers, body):
        _, _, box_id, rest = target.split("/", 3)
        box = self.boxes.get(box_id)
        if box is None or box["lost"] or box["status"] != "RUNNING":
            return 502, b"Bad Gateway", {"Content-Type": "text/plain"}
        if rest != "health" and headers.get("x-session-api-key") != box["key"]:
            return self.json(401, {"detail": "Unauthorized"})
        if rest.startswith("api/bash/start_bash_command") or rest.startswith("api/bash/execute"):
            body = body.replace(WORKSPACE, f"{self.folder}/{box_id}/project".encode())
            if b"mkfifo" in body:
                self.commands.append((box_id, json.loads(body).get("command")))
        if rest.startswith("api/file/download"):
            self.downloads += 1
        reader, writer = await asyncio.open_connection(self.agent.hostname, self.agent.port)
        try:
            lines = [f"{method} /{rest} HTTP/1.1", f"Host: {self.agent.netloc}", "Connection: close",
                     f"Content-Length: {len(body)}", f"X-Session-API-Key: {self.agent_key}"]
            for name in ("content-type", "range", "accept"):
                if name in headers:
                    lines.append(f"{name}: {headers[name]}")
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            replied = {k.strip().lower(): v.strip() for k, v in
                       (line.split(":", 1) for line in head[1:] if ":" in line)}
            if "content-length" in replied:
                data = await reader.readexactly(int(replied["content-length"]))
            elif replied.get("transfer-encoding") == "chunked":
                data = b""
                while True:
                    size = int((await reader.readline()).split(b";")[0], 16)
                    data += await reader.readexactly(size)
                    await reader.readline()
                    if size == 0:
                        break
            else:
                data = await reader.read()
            kept = {k: v for k, v in replied.items() if k in ("content-type", "content-range", "retry-after")}
            return status, data, kept
        finally:
            writer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--agent-key", default="")
    parser.add_argument("--service-key", default="service-key")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    cloud = Cloud(args.agent, args.agent_key, args.service_key, args.port).start()
    print(cloud.url, flush=True)
    try:
        sys.stdin.read()  # until whoever started it goes away
    finally:
        cloud.stop()


if __name__ == "__main__":
    main()
