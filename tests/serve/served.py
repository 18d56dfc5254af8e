# SPDX-License-Identifier: Apache-2.0
"""What the tests of the server share: a server of one's own, and a client that can misbehave.

Standard library only. Importing it makes the tiny model findable for tests of this directory.
"""
import array
import base64
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import tiny_model  # noqa: E402

FOREBAY = os.environ["FBY_TEST_COMMAND"]
REAL_MODEL = pathlib.Path(os.environ["FBY_TEST_MODEL"])
PATIENCE = 60  # seconds that a machine with other work may need for anything


def wait_for(condition, what, seconds=PATIENCE):
    """Returns what `condition` gives as soon as that is true; fails when it never is."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def make_tiny_model(directory):
    directory = pathlib.Path(directory)
    directory.mkdir()
    tiny_model.make(directory)
    return directory


def library_vectors(texts, model):
    """What `forebay embed` gives for each of `texts`, normalized as the server does: bytes of floats."""
    assert not any("\n" in text for text in texts)
    done = subprocess.run([FOREBAY, "embed", "-m", str(model), "--format", "f32", "--normalize"],
                          input="".join(text + "\n" for text in texts).encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    size = len(done.stdout) // len(texts)
    return [done.stdout[i * size:(i + 1) * size] for i in range(len(texts))]


class Answer:
    """Status, headers (names in small letters), body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def vectors(self):
        """The vectors of an OpenAI answer, each as bytes of little-endian floats."""
        found = []
        for i, row in enumerate(self.json()["data"]):
            assert row["index"] == i
            vector = row["embedding"]
            found.append(base64.b64decode(vector) if isinstance(vector, str)
                         else array.array("f", vector).tobytes())
        return found

    def code(self):
        return self.json()["error"]["code"]


class Gone(Exception):
    """The server closed the connection."""


class Client:
    """One connection; what is sent is what the test says, byte for byte."""

    def __init__(self, server, timeout=PATIENCE, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(server.address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(server.address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.tls is not None:
            self.socket = server.tls.wrap_socket(self.socket)
        self.kept = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Goes away at once, without a goodbye: the server sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, content):
        try:
            self.socket.sendall(content)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def take(self, size=1 << 16):
        try:
            got = self.socket.recv(size)
        except ConnectionResetError as error:
            raise Gone from error
        if not got:
            raise Gone
        return got

    def line(self):
        while b"\n" not in self.kept:
            self.kept += self.take()
        line, self.kept = self.kept.split(b"\n", 1)
        return line.rstrip(b"\r")

    def exactly(self, size):
        parts = [self.kept]
        have = len(self.kept)
        while have < size:
            parts.append(self.take())
            have += len(parts[-1])
        content = b"".join(parts)
        self.kept = content[size:]
        return content[:size]

    def head(self):
        version, status, _ = self.line().split(b" ", 2)
        assert version == b"HTTP/1.1", version
        headers = {}
        while (line := self.line()) != b"":
            name, value = line.decode("latin-1").split(":", 1)
            headers[name.lower()] = value.strip()
        return int(status), headers

    def answer(self, method="POST"):
        status, headers = self.head()
        if method == "HEAD" or status in (100, 204):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = []
            while (size := int(self.line(), 16)) > 0:
                body.append(self.exactly(size))
                assert self.line() == b""
            while self.line() != b"":
                pass
            return Answer(status, headers, b"".join(body))
        return Answer(status, headers, self.exactly(int(headers["content-length"])))

    def ask(self, method, path, body=None, **headers):
        self.send(request(method, path, body, **headers))
        return self.answer(method)

    def embed(self, texts, **more):
        """OpenAI's, base64."""
        return self.ask("POST", "/v1/embeddings",
                        dict({"input": texts, "encoding_format": "base64"}, **more))

    def is_closed(self, seconds=PATIENCE):
        """Whether the server closes the connection within that time, whatever it says before."""
        self.socket.settimeout(seconds)
        try:
            while True:
                self.take()
        except Gone:
            return True
        except TimeoutError:
            return False


def request(method, path, body=None, **headers):
    """Bytes of a request; `body` is bytes, or what becomes JSON. x_y is the header x-y."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body is not None:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            lines.append("Content-Type: application/json")
        if "transfer_encoding" not in headers and "content_length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def chunks(content, size):
    """`content` as a chunked body."""
    parts = [content[i:i + size] for i in range(0, len(content), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Server:
    """`forebay serve` with the given words, on a port of its own unless told otherwise."""

    def __init__(self, model, *words, port=0, uds=None, tls=None, environment=None, wait=True):
        place = ["--uds", str(uds)] if uds is not None else ["--port", str(port)]
        self.process = subprocess.Popen(
            [FOREBAY, "serve", "-m", str(model), *place, *map(str, words)],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=dict(os.environ, **(environment or {})))
        self.tls = tls
        self.said = []
        self.address = None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if wait:
            wait_for(lambda: self.address or self.process.poll() is not None, "listening")
            assert self.address, "".join(self.said)

    def read(self):
        with self.process.stderr as lines:
            for line in lines:
                line = line.decode()
                self.said.append(line)
                where = re.search(r"(?:https?://127\.0\.0\.1:(\d+))|unix:([^\"\s]+)", line)
                if where and self.address is None:
                    self.address = (("127.0.0.1", int(where[1])) if where[1]
                                    else where[2].replace("\\/", "/"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()

    def stop(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=PATIENCE)
        self.reader.join()
        return code

    def metrics(self):
        """{"forebay_hang_ups_total": 3.0, 'name{label="x"}': ...}"""
        with Client(self) as client:
            text = client.ask("GET", "/metrics").body.decode()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.splitlines() if not line.startswith("#")}

    def metric(self, name):
        """Over all its labels."""
        return sum(value for key, value in self.metrics().items()
                   if key == name or key.startswith(name + "{"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        """Bytes of RAM."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tls_files(directory):
    """A certificate of its own for localhost, and its key; None where there is no openssl."""
    cert, key = pathlib.Path(directory) / "cert.pem", pathlib.Path(directory) / "key.pem"
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        return None
    return cert, key


def tls_context(cert):
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    return context


def scratch():
    return tempfile.TemporaryDirectory(prefix="fby-serve-")
