# SPDX-License-Identifier: Apache-2.0
"""forebay serve: its settings from everywhere, a start and an end, and that deploy/ and the guide
name what is there."""
import json
import pathlib
import re
import signal
import socket
import unittest
import urllib.request

from command import CommandTest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Settings(CommandTest):
    def effective(self, *words):
        return self.succeeds("serve", "--check-config", *words).stdout.decode()

    def test_what_is_effective_is_printed_with_where_it_comes_from(self):
        self.path("forebay.yaml", ["port: 81", "agents: 2", "max_texts: 9", "log_requests: yes"])
        self.environment.update(FBY_AGENTS="3", FBY_MAX_TEXTS="10")
        shown = self.effective("--config", "forebay.yaml", "--max-texts", "11", "--truncate=no")
        for line in ("port: 81  # forebay.yaml:1", "agents: 3  # FBY_AGENTS",
                     "max_texts: 11  # --max-texts", "log_requests: yes  # forebay.yaml:4",
                     "truncate: no  # --truncate", "host: \"127.0.0.1\""):
            self.assertIn(line + "\n", shown)
        self.path("again.yaml", shown.encode())
        del self.environment["FBY_AGENTS"], self.environment["FBY_MAX_TEXTS"]
        again = self.effective("--config", "again.yaml")
        self.assertEqual(re.sub(r" +#.*", "", again), re.sub(r" +#.*", "", shown))

    def test_a_file_may_be_named_by_the_environment(self):
        self.environment["FBY_CONFIG"] = str(self.path("x.yaml", ["port: 82"]))
        self.assertIn("port: 82", self.effective())

    def test_secrets_stay_hidden(self):
        shown = self.effective("--api-key", "0123456789abcdef", "--api-key", "fedcba9876543210")
        self.assertNotIn("0123456789abcdef", shown)
        self.assertEqual(shown.count("(hidden)"), 2)

    def test_every_fault_is_named_and_nothing_starts(self):
        self.path("bad.yaml", ["prot: 1", "agents: many", "models: [{pat: x}]"])
        for words in (["--check-config"], []):
            done = self.run_command("serve", "--config", "bad.yaml", "--port", "x", *words)
            self.assertEqual(done.returncode, 2)
            for part in ("forebay serve: bad.yaml:1: there is no key \"prot\"; did you mean port?",
                         "bad.yaml:2: agents: \"many\": expected a whole number",
                         "bad.yaml:3: model: \"pat\" is none of the keys here",
                         "--port: \"x\": expected a whole number from 0 to 65535"):
                self.assertIn(part, done.stderr)

    def test_mistakes_of_the_command_line(self):
        self.fails(2, "serve", "--prot", "1", says=["did you mean --port?"])
        self.fails(2, "serve", "word", says=["word"])
        self.fails(2, "serve", "--config", "nowhere.yaml", says=["nowhere.yaml"])
        self.fails(2, "serve", "-m", "nowhere", says=["nowhere is no directory"])

    def test_the_help_fits_the_width(self):
        for line in self.succeeds("serve", "--help").stdout.decode().splitlines():
            self.assertLess(len(line), 80, line)


class Server(CommandTest):
    def serve(self, *words):
        process = self.start("serve", "--port", "0", "--log-format", "json", *words)
        for line in process.stderr:
            said = json.loads(line)
            if said["message"] == "listening":
                return process, said["at"]
        self.fail("it did not start")

    def get(self, url, body=None):
        headers = {"content-type": "application/json"} if body else {}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers),
                                    timeout=60) as answer:
            return answer.read().decode()

    def test_it_embeds_as_forebay_embed_does_and_leaves_with_zero(self):
        process, url = self.serve()
        answer = json.loads(self.get(url + "/v1/embeddings", json.dumps(
            {"model": "tiny", "input": ["one two", "three"]}).encode()))
        rows = [json.loads(line)["embedding"] for line in self.succeeds(
            "embed", "--normalize", "--format", "jsonl", input=b"one two\nthree\n").stdout.splitlines()]
        self.assertEqual([row["embedding"] for row in answer["data"]], rows)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 0)

    def test_systemd_is_told(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(self.path("notify")))
            told.settimeout(60)
            self.environment["NOTIFY_SOCKET"] = str(self.path("notify"))
            process, _ = self.serve()
            self.assertEqual(told.recv(64), b"READY=1")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(told.recv(64), b"STOPPING=1")
            self.assertEqual(process.wait(timeout=60), 0)

    def test_a_place_that_is_taken_is_said(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            done = self.run_command("serve", "--port", other.getsockname()[1])
        self.assertEqual(done.returncode, 1)
        self.assertIn("did not start", done.stderr)

    def metrics(self):
        process, url = self.serve("--metrics-compat", "tei")
        text = self.get(url + "/metrics")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        return text

    def test_the_dashboard_and_the_guide_name_metrics_that_are_there(self):
        samples = set(re.findall(r"^(\w+)", self.metrics(), re.M))
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples} | samples
        dashboard = (ROOT / "deploy/grafana.json").read_text()
        json.loads(dashboard)
        named = set(re.findall(r"\bforebay_\w+", dashboard))
        self.assertGreater(len(named), 30)
        self.assertEqual(named - samples, set())
        guide = (ROOT / "docs/server.md").read_text()
        named = set(re.findall(r"\b(?:forebay|te)_\w+", guide))
        self.assertEqual(named - families, set())
        # And the guide leaves none of ours out.
        ours = {name for name in families if name.startswith("forebay_")}
        ours -= {name for name in samples if re.search(r"_(bucket|sum|count)$", name)}
        self.assertEqual(ours - named, set())


class Deploy(CommandTest):
    def settings(self):
        """Keys of every setting, and which take a list."""
        shown = self.succeeds("serve", "--help").stdout.decode()
        names = set(re.findall(r"^  (?:-\w, |    )--([\w-]+)", shown, re.M))
        return {name.replace("-", "_") for name in names - {"help", "config", "check-config"}}

    def test_the_sample_file_is_one(self):
        sample = (ROOT / "deploy/forebay.yaml").read_text()
        model = re.search(r"path: (\S+)", sample)[1]
        self.path("forebay.yaml", sample.replace(model, self.environment["FBY_MODEL"]).encode())
        del self.environment["FBY_MODEL"]
        done = self.succeeds("serve", "--config", "forebay.yaml", "--check-config")
        self.assertEqual(done.stderr, "")
        # What is commented out can be taken in.
        self.path("forebay.yaml", re.sub(r"^# (\w+: )", r"\1", sample, flags=re.M).replace(
            model, str(self.shared / "tiny")).replace(
                "/etc/forebay/keys", str(self.path("keys", ["0123456789abcdef"]))).encode())
        self.succeeds("serve", "--config", "forebay.yaml", "--check-config")

    def test_variables_of_the_image_and_the_unit_are_settings(self):
        known = {"FBY_" + key.upper() for key in self.settings()} | {"FBY_CONFIG"}
        for name in ("Dockerfile", "forebay.service"):
            named = set(re.findall(r"\bFBY_[A-Z_]+", (ROOT / "deploy" / name).read_text()))
            self.assertEqual(named - known, set(), name)
            self.assertTrue(named)

    def test_the_guide_has_a_row_for_every_setting(self):
        guide = (ROOT / "docs/server.md").read_text()
        guide = guide[guide.index("## Settings"):guide.index("## Dialects")]
        rows = dict(re.findall(r"^\| `(\w+)`(?: ↻)? \| ([^|]*?) \|", guide, re.M))
        self.assertEqual(self.settings() - rows.keys(), set())
        shown = self.succeeds("serve", "--check-config").stdout.decode()
        for key, value in re.findall(r"^(\w+): ([^#\n]+?)(?:  #.*)?$", shown, re.M):
            if value not in ("null", "[]"):
                self.assertEqual(rows[key], value.strip('"'), key)


if __name__ == "__main__":
    unittest.main()
