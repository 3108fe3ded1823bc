# SPDX-License-Identifier: MIT
"""What the soaks of the daemon share: automations of each kind, and somebody who asks for their runs."""

import requests

from conftest import tarball

RUNS_PER_LIFE = 4


class Asking:
    """Needs daemon, ledger, random, promised; kinds: {name: (script, ...)}."""

    kinds = {}
    pause_max_s = 0.05

    def make_automations(self, *where):
        self.daemon.start(*where)
        api = self.daemon.api()
        self.automations = {}
        for kind, (script, *_) in self.kinds.items():
            path = api.upload(tarball({"main.sh": script.replace("@LEDGER@", str(self.ledger))}))
            body = {"name": kind, "trigger": {"type": "event", "source": "manual", "on": []},
                    "entrypoint": "bash main.sh", "tarball_path": path["tarball_path"]}  # fmt: skip
            reply = api.post("/v1", json=body)
            assert reply.status_code == 201, reply.text
            self.automations[kind] = reply.json()["id"]

    def keep_asking(self, api, stop):
        """Runs, one after the other, until the daemon is dead; only what was answered is a promise."""
        for _ in range(RUNS_PER_LIFE):
            kind = self.random.choice(list(self.kinds))
            try:
                reply = api.post(f"/v1/{self.automations[kind]}/dispatch", timeout=10)
            except requests.RequestException:
                return
            if reply.status_code == 201:
                self.promised[reply.json()["id"]] = kind
            if stop.wait(self.random.random() * self.pause_max_s):
                return
