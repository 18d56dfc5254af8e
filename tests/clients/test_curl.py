# SPDX-License-Identifier: Apache-2.0
"""curl, as the documentation shows it: HTTP, HTTPS, a Unix socket, signals, the admin port."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from server import NAME, Server, ServerTest, embedded


def curl(*words, body=None):
    """Status and body of `curl words`."""
    more = ["-H", "content-type: application/json", "-d", json.dumps(body)] if body else []
    done = subprocess.run(["curl", "-s", "-w", "\n%{http_code}", "--max-time", "60", *more, *words],
                          stdout=subprocess.PIPE, check=True)
    text, _, status = done.stdout.decode().rpartition("\n")
    return int(status), text


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


REQUEST = {"model": NAME, "input": "a pool of water"}


class OneTest(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="fby-clients-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def serve(self, *words, **variables):
        server = Server(*words, **variables)
        self.addCleanup(server.stop)
        return server

    def check_answer(self, status, text):
        self.assertEqual(status, 200, text)
        vector = json.loads(text)["data"][0]["embedding"]
        self.assertEqual(len(vector), len(embedded(["a pool of water"])[0]))


class Curl(ServerTest):
    words = ("--cors-origin", "https://app.example")

    def test_embeds(self):
        status, text = curl(self.server.url + "/v1/embeddings", body=REQUEST)
        self.assertEqual(status, 200)
        self.assert_same(json.loads(text)["data"][0]["embedding"], embedded(["a pool of water"])[0])

    def test_probes_need_no_key_and_say_ok(self):
        self.assertEqual(curl(self.server.url + "/health"), (200, '{"status":"ok"}'))
        self.assertEqual(curl(self.server.url + "/live"), (200, '{"status":"ok"}'))

    def test_expect_continue_is_answered(self):
        body = {"model": NAME, "input": ["a text " * 50] * 200}
        status, text = curl(self.server.url + "/v1/embeddings", "-H", "expect: 100-continue",
                            body=body)
        self.assertEqual(status, 200, text)
        self.assertEqual(len(json.loads(text)["data"]), 200)

    def test_a_page_of_an_allowed_origin_may_call(self):
        done = subprocess.run(["curl", "-si", "-X", "OPTIONS", self.server.url + "/v1/embeddings",
                               "-H", "origin: https://app.example", "-H",
                               "access-control-request-method: POST"], stdout=subprocess.PIPE,
                              check=True)
        self.assertIn(b"access-control-allow-origin: https://app.example", done.stdout.lower())


class Places(OneTest):
    def test_a_unix_socket(self):
        path = self.dir / "socket"
        self.serve("--uds", str(path))
        self.check_answer(*curl("--unix-socket", path, "http://x/v1/embeddings", body=REQUEST))

    @unittest.skipIf(shutil.which("openssl") is None, "openssl is not installed")
    def test_https(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", self.dir / "key.pem", "-out", self.dir / "cert.pem"],
                       check=True, stderr=subprocess.DEVNULL)
        server = self.serve("--tls-cert", str(self.dir / "cert.pem"), "--tls-key",
                            str(self.dir / "key.pem"))
        self.assertTrue(server.url.startswith("https://"))
        self.check_answer(*curl("--cacert", self.dir / "cert.pem", server.url + "/v1/embeddings",
                                body=REQUEST))

    def test_the_admin_port(self):
        port = free_port()
        self.serve("--admin-port", port)
        admin = "http://127.0.0.1:" + port
        self.assertEqual(curl(admin + "/live"), (200, '{"status":"ok"}'))
        self.assertEqual(curl(admin + "/health")[0], 200)
        self.assertIn("forebay_requests_total", curl(admin + "/metrics")[1])
        self.assertEqual(curl(admin + "/v1/embeddings", body=REQUEST)[0], 405)

    def test_the_variables_of_text_embeddings_inference(self):
        server = self.serve(API_KEY="0123456789abcdef", MAX_CLIENT_BATCH_SIZE="2")
        self.assertEqual(curl(server.url + "/embed", body={"inputs": "a"})[0], 401)
        bearer = ("-H", "authorization: Bearer 0123456789abcdef")
        self.assertEqual(curl(server.url + "/embed", *bearer, body={"inputs": ["a", "b"]})[0], 200)
        self.assertEqual(curl(server.url + "/embed", *bearer, body={"inputs": ["a"] * 3})[0], 422)


class Signals(OneTest):
    def test_sighup_reads_keys_again(self):
        keys = self.dir / "keys"
        keys.write_text("first-0123456789\n")
        server = self.serve("--api-key-file", str(keys))

        def status(key):
            return curl(server.url + "/v1/embeddings", "-H", "authorization: Bearer " + key,
                        body=REQUEST)[0]

        self.assertEqual((status("first-0123456789"), status("second-0123456789")), (200, 401))
        keys.write_text("second-0123456789\n")
        os.kill(server.process.pid, signal.SIGHUP)
        end = time.monotonic() + 10
        while status("second-0123456789") != 200 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual((status("first-0123456789"), status("second-0123456789")), (401, 200))
        keys.write_text("broken key line\n")
        os.kill(server.process.pid, signal.SIGHUP)
        time.sleep(0.3)
        self.assertEqual(status("second-0123456789"), 200)

    def test_sigterm_answers_what_is_in_flight(self):
        server = Server("--grace-ms", "100s")
        body = self.dir / "body"
        body.write_text(json.dumps({"model": NAME, "input": ["a text " * 60] * 300}))
        client = subprocess.Popen(
            ["curl", "-s", "-w", "\n%{http_code}", "-H", "content-type: application/json",
             "-d", f"@{body}", server.url + "/v1/embeddings"], stdout=subprocess.PIPE)
        end = time.monotonic() + 10
        while "forebay_requests_in_flight 1\n" not in server.get("/metrics")[2]:
            self.assertLess(time.monotonic(), end)
        server.stop()
        text, _, status = client.communicate(timeout=60)[0].decode().rpartition("\n")
        self.assertEqual(status, "200", text[:300])
        self.assertEqual(len(json.loads(text)["data"]), 300)


if __name__ == "__main__":
    unittest.main()
