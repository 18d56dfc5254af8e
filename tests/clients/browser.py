# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, driven over a pipe (the DevTools protocol), with nothing installed."""
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--window-size=1100,1300", "--remote-debugging-pipe"]


def available():
    return shutil.which("chromium") is not None


class Browser:
    """One page; `problems` are errors of its script, of loading, and what its policy forbade."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="fby-chromium-")
        theirs_in, self.out = os.pipe()
        self.incoming, theirs_out = os.pipe()

        def place():  # chromium reads fd 3 and writes fd 4
            high_in, high_out = os.dup2(theirs_in, 50), os.dup2(theirs_out, 51)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)
            os.setsid()

        self.process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            pass_fds=(3, 4, theirs_in, theirs_out), preexec_fn=place,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.buffer, self.number, self.problems, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def close(self):
        os.close(self.out)
        os.close(self.incoming)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self, seconds):
        """The next message; None when there is none for so long."""
        end = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            if not select.select([self.incoming], [], [], max(0, end - time.monotonic()))[0]:
                return None
            part = os.read(self.incoming, 1 << 20)
            if not part:
                raise AssertionError("chromium ended")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def note(self, message):
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"]["text"])
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive(60)
            if answer is None:
                raise AssertionError(f"no answer to {method}")
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise AssertionError((method, answer["error"]))
                return answer["result"]
            self.note(answer)

    def go(self, url):
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        """What an expression of JavaScript is worth in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError((expression, result["exceptionDetails"]))
        return result["result"].get("value")

    def wait(self, expression, seconds=60):
        """Until an expression is true; returns it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"never true: {expression}; the page: "
                             f"{self.evaluate('document.body.innerText')}; {self.problems}")

    def dark(self, yes):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if yes else "light"}])

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
