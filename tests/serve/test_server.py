# SPDX-License-Identifier: Apache-2.0
"""The server as its clients see it: HTTP, limits, clients that misbehave, the end."""
import json
import pathlib
import random
import signal
import socket
import time
import unittest

from served import (Client, Gone, REAL_MODEL, Server, chunks, library_vectors, make_tiny_model,
                    request, scratch, tls_context, tls_files, wait_for)

WORDS = "a mill stands by the river and its wheel turns all day long under the falling water".split()


def texts(count, seed, most=9):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, most))) for _ in range(count)]


class ServerTest(unittest.TestCase):
    words = ()

    @classmethod
    def setUpClass(cls):
        cls.scratch = scratch()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.dir = pathlib.Path(cls.scratch.name)
        cls.tiny = make_tiny_model(cls.dir / "tiny")

    def serve(self, *words, model=None, **more):
        server = Server(model or self.tiny, *words, **more)
        self.addCleanup(server.kill)
        return server

    def connect(self, server, **more):
        client = Client(server, **more)
        self.addCleanup(client.close)
        return client


class Http(ServerTest):
    """One server for all; nothing here changes it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.tiny, "--max-body-bytes", "1M", "--cors-origin",
                            "https://example.org")
        cls.addClassCleanup(cls.server.kill)
        cls.texts = texts(40, 1)
        cls.vectors = library_vectors(cls.texts, cls.tiny)

    def setUp(self):
        self.client = self.connect(self.server)

    def test_a_connection_serves_many_requests(self):
        for text, vector in zip(self.texts, self.vectors):
            answer = self.client.embed(text)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.vectors(), [vector])

    def test_requests_sent_at_once_are_answered_in_their_order(self):
        body = [{"input": text, "encoding_format": "base64"} for text in self.texts]
        self.client.send(b"".join(request("POST", "/v1/embeddings", one) for one in body))
        for vector in self.vectors:
            self.assertEqual(self.client.answer().vectors(), [vector])

    def test_an_error_in_a_row_of_requests_harms_no_other(self):
        good = request("POST", "/v1/embeddings",
                       {"input": self.texts[0], "encoding_format": "base64"})
        bad = request("POST", "/v1/embeddings", b'{"input": ')
        self.client.send(good + bad + good + request("GET", "/nowhere") + good)
        answers = [self.client.answer() for _ in range(5)]
        self.assertEqual([answer.status for answer in answers], [200, 400, 200, 404, 200])
        for answer in answers[::2]:
            self.assertEqual(answer.vectors(), [self.vectors[0]])

    def test_a_body_in_chunks_of_any_size(self):
        body = json.dumps({"input": self.texts, "encoding_format": "base64"}).encode()
        for size in (1, 7, 100, len(body)):
            self.client.send(request("POST", "/v1/embeddings", chunks(body, size),
                                     transfer_encoding="chunked"))
            answer = self.client.answer()
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(answer.vectors(), self.vectors)

    def test_a_body_that_comes_byte_by_byte(self):
        whole = request("POST", "/v1/embeddings",
                        {"input": self.texts[0], "encoding_format": "base64"})
        for i in range(len(whole)):
            self.client.send(whole[i:i + 1])
        self.assertEqual(self.client.answer().vectors(), [self.vectors[0]])

    def test_who_expects_100_is_told_to_continue(self):
        body = json.dumps({"input": self.texts[0], "encoding_format": "base64"}).encode()
        head = request("POST", "/v1/embeddings", body, expect="100-continue")
        self.client.send(head[:-len(body)])
        self.assertEqual(self.client.answer().status, 100)
        self.client.send(body)
        self.assertEqual(self.client.answer().vectors(), [self.vectors[0]])

    def test_who_expects_100_for_too_large_a_body_is_refused_at_once(self):
        self.client.send(request("POST", "/v1/embeddings", None, expect="100-continue",
                                 content_length=2 << 20, content_type="application/json"))
        self.assertEqual(self.client.answer().status, 413)

    def test_head_answers_like_get_without_a_body(self):
        for path in ("/health", "/live", "/v1/models", "/info"):
            answer = self.client.ask("HEAD", path)
            self.assertEqual(answer.status, 200, path)
            self.assertEqual(int(answer.headers["content-length"]),
                             len(self.client.ask("GET", path).body), path)

    def test_health_says_ok(self):
        answer = self.client.ask("GET", "/health")
        self.assertEqual((answer.status, answer.json()), (200, {"status": "ok"}))

    def test_an_unknown_path_is_404_in_the_words_of_its_dialect(self):
        answer = self.client.ask("POST", "/v1/nothing", {})
        self.assertEqual(answer.status, 404)
        self.assertEqual(set(answer.json()["error"]), {"message", "type", "param", "code"})
        self.assertEqual(self.client.ask("GET", "/nowhere").status, 404)

    def test_a_wrong_method_is_405_and_names_the_right_ones(self):
        answer = self.client.ask("GET", "/v1/embeddings")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))
        answer = self.client.ask("DELETE", "/health")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))

    def test_too_large_a_body_is_413(self):
        body = json.dumps({"input": "x" * (2 << 20)}).encode()
        try:
            self.client.send(request("POST", "/v1/embeddings", body))
        except Gone:
            pass # refused by the header alone
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.code()), (413, "body_too_large"))

    def test_too_large_a_body_in_chunks_is_413(self):
        body = chunks(json.dumps({"input": "x" * (2 << 20)}).encode(), 1 << 16)
        try:
            self.client.send(request("POST", "/v1/embeddings", body, transfer_encoding="chunked"))
        except Gone:
            pass
        self.assertEqual(self.client.answer().status, 413)

    def test_where_it_is_unclear_how_long_a_body_is_nothing_more_is_read(self):
        body = b'{"input":"hello"}'
        behind = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n"
        for lines in (b"Host: x\r\nContent-Length: 17\r\nContent-Length: 60",
                      b"Host: x\r\nContent-Length: 17\r\nTransfer-Encoding: chunked",
                      b"Host: x\r\nTransfer-Encoding: identity",
                      b"Host: x\r\nTransfer-Encoding: gzip, chunked",
                      b"Host: x\r\nHost: y\r\nContent-Length: 17",
                      b"Content-Length: 17"):
            with self.subTest(lines=lines):
                client = self.connect(self.server)
                client.send(b"POST /v1/embeddings HTTP/1.1\r\n" + lines + b"\r\n\r\n" + body
                            + behind)
                answer = client.answer()
                self.assertEqual((answer.status, answer.code()), (400, "invalid_value"))
                self.assertTrue(client.is_closed())
                self.assertEqual(client.kept, b"")

    def test_a_target_in_absolute_form_is_its_path(self):
        for target in ("http://localhost/v1/embeddings", "HTTPS://x:1/v1/embeddings"):
            answer = self.client.ask("POST", target, {"input": "x"})
            self.assertEqual(answer.status, 200)
        self.assertEqual(self.client.ask("GET", "http://localhost").status, 200)

    def test_a_body_that_nobody_wants_is_not_read_without_end(self):
        for path in ("/no/such/path", "/v1/embeddings"):  # unknown; not a body that can be read
            client = self.connect(self.server)
            client.send(request("POST", path, b"", transfer_encoding="chunked", content_type="x"))
            chunk = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"

            def ends():
                for _ in range(10000):
                    client.send(chunk)

            self.assertRaises((Gone, OSError), ends)

    def test_a_page_of_an_allowed_origin_may_call(self):
        answer = self.client.ask("OPTIONS", "/v1/embeddings", origin="https://example.org",
                                 access_control_request_method="POST",
                                 access_control_request_headers="content-type,authorization")
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://example.org")
        self.assertIn("POST", answer.headers["access-control-allow-methods"])
        self.assertIn("authorization", answer.headers["access-control-allow-headers"])
        answer = self.client.ask("POST", "/v1/embeddings", {"input": "x"},
                                 origin="https://example.org")
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://example.org")

    def test_a_page_of_another_origin_may_not(self):
        answer = self.client.ask("OPTIONS", "/v1/embeddings", origin="https://example.com",
                                 access_control_request_method="POST")
        self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_ids_of_a_request_come_back(self):
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = self.client.ask("POST", "/v1/embeddings", {"input": "x"}, x_request_id="mine-1",
                                 traceparent=parent)
        self.assertEqual(answer.headers["x-request-id"], "mine-1")
        self.assertEqual(answer.headers["traceparent"], parent)
        answer = self.client.ask("POST", "/v1/embeddings", {"input": "x"},
                                 x_request_id='odd"one')
        self.assertNotIn('"', answer.headers["x-request-id"])

    def test_every_encoding_has_the_library_s_bits(self):
        for encoding in ("float", "base64"):
            answer = self.client.embed(self.texts, encoding_format=encoding)
            self.assertEqual(answer.vectors(), self.vectors)

    def test_what_is_no_http_is_refused(self):
        for garbage in (b"\r\n\r\n\0\1\2\3 \r\n\r\n", b"POST\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 9,
                        b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                        b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 99999999999999999999999"
                        b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20000 + b"\r\n"):
            with self.subTest(garbage=garbage[:40]), Client(self.server, timeout=1) as client:
                try:
                    client.send(garbage)
                    client.socket.shutdown(socket.SHUT_WR)
                    self.assertGreaterEqual(client.answer().status, 400)
                except (Gone, OSError):
                    pass
        with Client(self.server) as client:
            self.assertEqual(client.embed(self.texts[0]).vectors(), [self.vectors[0]])


class Places(ServerTest):
    """Where it listens."""

    def test_tls(self):
        files = tls_files(self.dir)
        if files is None:
            self.skipTest("no openssl command")
        server = self.serve("--tls-cert", files[0], "--tls-key", files[1],
                            tls=tls_context(files[0]))
        client = self.connect(server)
        some = texts(300, 2)
        self.assertEqual(client.embed(some).vectors(), library_vectors(some, self.tiny))
        self.assertEqual(client.embed(some[0]).status, 200)
        server.tls = None
        with Client(server) as plain:
            plain.send(request("GET", "/health"))
            self.assertTrue(plain.is_closed())
        self.assertEqual(client.embed(some[0]).status, 200)

    def test_a_unix_socket_comes_and_goes_with_the_server(self):
        path = self.dir / "socket"
        server = self.serve(uds=path)
        self.assertEqual(self.connect(server).ask("GET", "/health").status, 200)
        again = Server(self.tiny, uds=path, wait=False)
        self.assertNotEqual(again.process.wait(timeout=60), 0)
        again.reader.join()
        self.assertIn("a server is running there", "".join(again.said))
        self.assertEqual(self.connect(server).ask("GET", "/health").status, 200)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(path.exists())

    def test_a_socket_that_nobody_listens_to_is_replaced(self):
        path = self.dir / "stale"
        server = self.serve(uds=path)
        server.kill()
        self.assertTrue(path.exists())
        self.assertEqual(self.connect(self.serve(uds=path)).ask("GET", "/health").status, 200)

    def test_a_port_that_is_taken_is_said(self):
        server = self.serve()
        port = server.address[1]
        second = Server(self.tiny, port=port, wait=False)
        self.assertNotEqual(second.process.wait(timeout=60), 0)
        second.reader.join()
        said = "".join(second.said)
        self.assertIn(f"127.0.0.1:{port}", said)
        self.assertIn("Address already in use", said)


class Keys(ServerTest):
    def test_without_a_key_only_probes_answer(self):
        client = self.connect(self.serve("--api-key", "sesame"))
        answer = client.embed("x")
        self.assertEqual((answer.status, answer.code()), (401, "invalid_api_key"))
        self.assertEqual(client.ask("POST", "/v1/embeddings", {"input": "x"},
                                    authorization="Bearer sesam").status, 401)
        self.assertEqual(client.ask("POST", "/embed", {"inputs": "x"}).status, 401)
        for path in ("/health", "/live", "/metrics"):
            self.assertEqual(client.ask("GET", path).status, 200)
        for headers in ({"authorization": "Bearer sesame"}, {"x_api_key": "sesame"}):
            self.assertEqual(client.ask("POST", "/v1/embeddings", {"input": "x"},
                                        **headers).status, 200)

    def test_a_key_s_rate_ends_with_429_and_others_go_on(self):
        keys = self.dir / "keys"
        keys.write_text("slow requests_per_minute=2\nfast\n")
        client = self.connect(self.serve("--api-key-file", keys))

        def status(key):
            return client.ask("POST", "/v1/embeddings", {"input": "x"},
                              authorization=f"Bearer {key}").status

        self.assertEqual([status("slow") for _ in range(3)], [200, 200, 429])
        self.assertEqual([status("fast") for _ in range(3)], [200, 200, 200])


class Agents(ServerTest):
    """Several of them, and such as never sleep."""

    def check(self, server):
        some = texts(300, 10)
        expected = library_vectors(some, self.tiny)
        clients = [self.connect(server) for _ in range(12)]  # more than one is met by each agent
        for client in clients:
            client.send(request("POST", "/v1/embeddings",
                                {"input": some, "encoding_format": "base64"}))
        for client in clients:
            self.assertEqual(client.answer().vectors(), expected)
        for i, client in enumerate(clients):
            self.assertEqual(client.embed(some[i]).vectors(), [expected[i]])
        self.assertEqual(server.stop(), 0)

    def test_three_agents_share_a_port(self):
        self.check(self.serve("--agents", "3", "--threads", "2"))

    def test_three_agents_share_a_unix_socket(self):
        path = self.dir / "agents.sock"
        self.check(self.serve("--agents", "3", "--threads", "2", uds=path))
        self.assertFalse(path.exists())

    def test_threads_that_never_sleep(self):
        self.check(self.serve("--wait", "spin", "--threads", "1"))


class Lists(ServerTest):
    """Answers that are large, streamed, or both."""

    def test_ten_thousand_texts_are_one_request(self):
        some = texts(10000, 3)
        expected = library_vectors(some, self.tiny)
        client = self.connect(self.serve())
        for encoding in ("base64", "float"):
            answer = client.embed(some, encoding_format=encoding)
            self.assertEqual(answer.status, 200, answer.body[:300])
            self.assertEqual(answer.headers.get("transfer-encoding"), "chunked")
            self.assertEqual(answer.vectors(), expected)
        self.assertEqual(answer.json()["usage"]["prompt_tokens"],
                         client.embed(some).json()["usage"]["prompt_tokens"])

    def test_the_model_s_bits_are_the_library_s_however_they_are_asked_for(self):
        some = texts(40, 4, most=40) + ["é" * 300]
        expected = library_vectors(some, REAL_MODEL)
        client = self.connect(self.serve(model=REAL_MODEL))
        self.assertEqual(client.embed(some).vectors(), expected)          # streamed
        self.assertEqual(client.embed(some[:3]).vectors(), expected[:3])  # whole
        for i in (0, 1, len(some) - 1):
            self.assertEqual(client.embed(some[i]).vectors(), [expected[i]])
        many = some * 7  # above 256 texts: tokenised by workers
        self.assertEqual(client.embed(many).vectors(), expected * 7)
        with_all = [client.embed(text, encoding_format="float").vectors()[0] for text in some[:9]]
        self.assertEqual(with_all, expected[:9])

    def test_a_list_in_large_batches_leaves_room_for_single_texts(self):
        server = self.serve("--max-batch-tokens", "16384", "--threads", "1")
        with self.connect(server) as bulk, self.connect(server) as single:
            many = texts(20000, 6, most=2)
            bulk.send(request("POST", "/v1/embeddings",
                              {"input": many, "encoding_format": "base64"}))
            for i in range(100):
                self.assertEqual(single.embed(f"one {i}").status, 200)
            self.assertEqual(len(bulk.answer().json()["data"]), len(many))

    def test_a_list_longer_than_is_allowed_is_refused_whole(self):
        client = self.connect(self.serve("--max-texts", "10"))
        answer = client.embed(["x"] * 11)
        self.assertEqual((answer.status, answer.code()), (400, "too_many_inputs"))
        self.assertEqual(client.embed(["x"] * 10).status, 200)


class Busy(ServerTest):
    """More than it can do, and clients that do not wait."""

    def setUp(self):
        self.long = texts(50, 5, most=150)  # a second or so of one core
        self.words = ("--threads", "1")

    def in_flight(self, server, count):
        wait_for(lambda: server.metric("forebay_requests_in_flight") == count,
                 f"{count} requests in flight")

    def test_what_finds_no_room_is_429_at_once(self):
        server = self.serve(*self.words, "--max-queued-tokens", "6000", model=REAL_MODEL)
        first, second = self.connect(server), self.connect(server)
        first.send(request("POST", "/v1/embeddings", {"input": self.long}))
        self.in_flight(server, 1)
        answer = second.embed(self.long)
        self.assertEqual((answer.status, answer.code()), (429, "overloaded"))
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.assertEqual(second.embed("a short one").status, 200)  # there is room for it
        self.assertEqual(first.answer().status, 200)
        self.assertEqual(second.embed(self.long).status, 200)

    def test_what_can_never_find_room_is_400(self):
        client = self.connect(self.serve("--max-queued-tokens", "1000"))
        answer = client.embed(texts(300, 6))
        self.assertEqual((answer.status, answer.code()), (400, "too_many_inputs"))

    def test_a_client_that_hangs_up_cancels_what_was_not_begun(self):
        server = self.serve(*self.words, model=REAL_MODEL)
        many = self.long * 40
        for leave in (Client.close, Client.reset):
            before = server.metric("forebay_cancelled_texts_total")
            client = Client(server)
            client.send(request("POST", "/v1/embeddings", {"input": many}))
            self.in_flight(server, 1)
            leave(client)
            self.in_flight(server, 0)
            self.assertGreater(server.metric("forebay_cancelled_texts_total"), before)
        self.assertLess(server.metric("forebay_worker_texts_total"), 2 * len(many))
        wait_for(lambda: server.metric("forebay_hang_ups_total") == 2, "both counted")

    def test_a_short_text_is_answered_while_a_long_list_runs(self):
        server = self.serve(*self.words, model=REAL_MODEL)
        bulk, single = self.connect(server), self.connect(server)
        bulk.send(request("POST", "/v1/embeddings", {"input": self.long}))
        self.in_flight(server, 1)
        self.assertEqual(single.embed("a short one").status, 200)
        self.in_flight(server, 1)  # the list still runs
        self.assertEqual(bulk.answer().status, 200)

    def test_sigterm_answers_what_is_in_flight(self):
        server = self.serve(*self.words, "--grace-ms", "60000", model=REAL_MODEL)
        client, idle = self.connect(server), self.connect(server)
        self.assertEqual(idle.ask("GET", "/health").status, 200)
        client.send(request("POST", "/v1/embeddings",
                            {"input": self.long, "encoding_format": "base64"}))
        self.in_flight(server, 1)
        server.process.send_signal(signal.SIGTERM)
        answer = client.answer()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.vectors(), library_vectors(self.long, REAL_MODEL))
        self.assertTrue(idle.is_closed())
        self.assertEqual(server.process.wait(timeout=60), 0)
        with self.assertRaises(ConnectionRefusedError):
            self.connect(server)

    def test_the_grace_time_ends_and_a_second_signal_ends_it_at_once(self):
        for grace, signals in (("1", 1), ("60000", 2)):
            server = self.serve(*self.words, "--grace-ms", grace, model=REAL_MODEL)
            client = self.connect(server)
            client.send(request("POST", "/v1/embeddings", {"input": self.long * 40}))
            self.in_flight(server, 1)
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: any("stopping" in line for line in server.said), "the first is taken")
            if signals == 2:
                server.process.send_signal(signal.SIGTERM)
            self.assertEqual((lambda a: (a.status, a.code()))(client.answer()),
                             (503, "shutting_down"))
            self.assertEqual(server.process.wait(timeout=60), 0)

    def test_sighup_brings_keys_and_limits_and_keeps_what_is_wrong_away(self):
        config = self.dir / "live.yaml"
        config.write_text("api_key: [first-secret-000]\nmax_body_bytes: 2000\n")
        server = self.serve("--config", config)
        client = self.connect(server)

        def status(key, size=10):
            return client.ask("POST", "/v1/embeddings", {"input": "x" * size},
                              x_api_key=key).status

        self.assertEqual([status("first-secret-000"), status("other-secret-000")], [200, 401])
        for text, expected in (("api_key: [other-secret-000]\nmax_body_bytes: 9000\n", [401, 200]),
                               ("api_key: [third-secret-000]\nmax_body_bytes: much\n", [401, 200])):
            config.write_text(text)
            before = len(server.said)
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: any("configuration" in line for line in server.said[before:]), "a word")
            wait_for(lambda: [status("first-secret-000"), status("other-secret-000")] == expected,
                     "the keys")
        self.assertEqual(status("other-secret-000", 8000), 200)

    def test_sigterm_ends_an_idle_server(self):
        server = self.serve()
        self.connect(server)
        self.assertEqual(server.stop(), 0)


class Slow(ServerTest):
    """Clients that take their time."""

    def dribble(self, client, start, content):
        """After `start` a byte now and then: whether the server comes to take no more."""
        end = time.monotonic() + 30
        client.send(start)
        client.socket.settimeout(0.05)
        for byte in content:
            try:
                client.send(bytes([byte]))
                client.take()
            except TimeoutError:
                pass
            except (Gone, OSError):
                return True
            if time.monotonic() > end:
                return False
        return False

    def test_a_header_that_never_ends_is_cut_off(self):
        server = self.serve("--header-timeout-ms", "300")
        self.assertTrue(self.dribble(self.connect(server), b"GET /health HTTP/1.1\r\n",
                                     b"x: y\r\n" * 999))
        self.assertTrue(self.connect(server).is_closed())
        self.assertEqual(self.connect(server).ask("GET", "/health").status, 200)

    def test_a_body_that_never_ends_is_cut_off(self):
        server = self.serve("--body-timeout-ms", "300")
        self.assertTrue(self.dribble(self.connect(server), request(
            "POST", "/v1/embeddings", content_length=999), b" " * 999))
        self.assertTrue(self.dribble(self.connect(server), request(
            "POST", "/v1/embeddings", transfer_encoding="chunked"), chunks(b" " * 999, 1)))
        wait_for(lambda: server.metric("forebay_open_connections") == 1, "only the one that asks")

    def test_an_idle_connection_is_closed_in_the_end(self):
        server = self.serve("--keepalive-ms", "300")
        client = self.connect(server)
        self.assertEqual(client.ask("GET", "/health").status, 200)
        self.assertTrue(client.is_closed())

    def test_a_slow_reader_leaves_the_pool_and_gets_all_the_same(self):
        server = self.serve("--slow-write-ms", "50")
        some = texts(200, 7)
        clients = [Client(server, receive_buffer=4096) for _ in range(2)]
        for client in clients:
            self.addCleanup(client.close)
            body = {"input": some, "encoding_format": "base64"}
            # More answers than the sockets' buffers hold.
            for _ in range(300):
                client.send(request("POST", "/v1/embeddings", body))
                if server.metric("forebay_slow_writes_total") > 0:
                    break
        wait_for(lambda: server.metric("forebay_slow_writes_total") > 0, "an answer moved")
        wait_for(lambda: server.metric("forebay_pool_in_flight_bytes") == 0, "an empty pool")
        expected = library_vectors(some, self.tiny)
        self.assertEqual(clients[0].answer().vectors(), expected)

    def test_who_never_reads_is_cut_off(self):
        server = self.serve("--slow-write-ms", "50", "--write-timeout-ms", "300")
        client = self.connect(server, receive_buffer=4096, timeout=1)
        body = {"input": texts(5000, 8), "encoding_format": "float"}
        client.send(request("POST", "/v1/embeddings", body) * 20)  # more than sockets hold
        wait_for(lambda: server.metric("forebay_requests_total{operation=\"embed\"}") > 0, "begun")
        wait_for(lambda: server.metric("forebay_open_connections") == 1, "only the one that asks")

    def test_a_request_that_takes_too_long_is_504_while_workers_are_still_at_it(self):
        server = self.serve("--threads", "1", "--request-timeout-ms", "200", model=REAL_MODEL)
        client = self.connect(server)
        answer = client.embed(texts(2000, 9, most=200))
        self.assertEqual((answer.status, answer.code()), (504, "deadline_exceeded"))
        self.assertEqual(answer.headers["connection"], "close")  # its memory is a worker's still
        self.assertTrue(client.is_closed())
        wait_for(lambda: server.metric("forebay_requests_in_flight") == 0, "all dropped")
        wait_for(lambda: self.connect(server).embed("a short one").status == 200, "an answer")


if __name__ == "__main__":
    unittest.main(verbosity=2)
