#!/usr/bin/env python3
"""Real programs under libforebay-malloc.so: each must do what it does without it.

    malloc_programs.py build/src/memory/allocator/libforebay-malloc.so [--secure]

python3 runs its own test modules, redis-server answers its benchmark, gcc compiles
this project's sources, git clones and checks this repository. A program that is
not installed is left out, and said so. --secure sets FBY_MALLOC_SECURE=1.
"""
import argparse
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODULES = ["test_json", "test_list", "test_dict", "test_set", "test_re", "test_bytes",
           "test_bigmem", "test_subprocess", "test_fork1", "test_mmap", "test_queue",
           "test_concurrent_futures"]


def run(command, env, **kwargs):
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=900, **kwargs)
    return done.returncode, done.stdout


def failed_modules(python, env):
    """The modules that fail one by one: some do on any given system, whatever the malloc."""
    return {m for m in MODULES if run([python, "-m", "test", "-q", m], env)[0] != 0}


def test_python(env):
    # What the launcher starts, so that a shell script in its place is not measured.
    python = os.path.realpath(sys.executable)
    code, said = run([python, "-m", "test", "-q", *MODULES], env)
    if "No module named test" in said:
        return "left out: this python has no test modules"
    if code != 0:
        plain = {k: v for k, v in env.items() if k != "LD_PRELOAD"}
        worse = failed_modules(python, env) - failed_modules(python, plain)
        assert not worse, f"{sorted(worse)} fail:\n{said[-3000:]}"
    return f"{len(MODULES)} test modules"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def test_redis(env):
    if not (shutil.which("redis-server") and shutil.which("redis-benchmark")):
        return "left out: not installed"
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(["redis-server", "--port", port, "--dir", folder, "--save", "",
                                   "--io-threads", "2"], env=env, stdout=subprocess.DEVNULL)
        try:
            for _ in range(100):
                if subprocess.run(["redis-cli", "-p", port, "ping"],
                                  capture_output=True).stdout == b"PONG\n":
                    break
                time.sleep(0.1)
            load = ["redis-benchmark", "-p", port, "-q", "-n", "20000", "-r", "5000", "-c", "20",
                    "-d", "300", "-t", "set,get,lpush,rpop,sadd,hset,zadd,lrange_100,mset"]
            code, said = run(load, os.environ)
            assert code == 0 and "requests per second" in said, said
            code, said = run(["redis-cli", "-p", port, "bgsave"], os.environ)
            assert "started" in said, said
            assert server.poll() is None, "redis-server ended"
            run(["redis-cli", "-p", port, "shutdown", "nosave"], os.environ)
            assert server.wait(30) == 0, server.returncode
        finally:
            server.kill()
    return "nine commands of redis-benchmark, a background save"


def test_gcc(env):
    if not shutil.which("gcc"):
        return "left out: not installed"
    sources = sorted((ROOT / "src").glob("[bmp]*/**/*.c"))[:40]
    for source in sources:
        command = ["gcc", "-std=c17", "-O2", "-D_GNU_SOURCE", '-DFBY_VERSION="0"', "-S", "-o", "-",
                   "-I", ROOT / "include", "-I", ROOT / "src", source]
        plain = {k: v for k, v in env.items() if k != "LD_PRELOAD"}
        expected = subprocess.run(command, env=plain, capture_output=True)
        got = subprocess.run(command, env=env, capture_output=True)
        assert (got.returncode, got.stdout) == (expected.returncode, expected.stdout), \
            f"{source}: {got.stderr.decode()[-2000:]}"
    return f"{len(sources)} sources, the same assembly"


def test_git(env):
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return "left out: no git, or no repository"
    with tempfile.TemporaryDirectory() as folder:
        for command in (["git", "clone", "-q", "--no-local", ROOT, folder + "/clone"],
                        ["git", "-C", folder + "/clone", "log", "--stat", "-p"],
                        ["git", "-C", folder + "/clone", "fsck", "--full"],
                        ["git", "-C", folder + "/clone", "gc", "--aggressive", "-q"]):
            code, said = run(command, env)
            assert code == 0, f"{command}:\n{said[-2000:]}"
    return "clone, log, fsck, gc"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shim", type=pathlib.Path)
    parser.add_argument("--secure", action="store_true")
    args = parser.parse_args()
    env = {**os.environ, "LD_PRELOAD": str(args.shim.resolve())}
    if args.secure:
        env["FBY_MALLOC_SECURE"] = "1"
    failures = 0
    for name, test in (("python3", test_python), ("redis", test_redis), ("gcc", test_gcc),
                       ("git", test_git)):
        try:
            print(f"{name:<8} {test(env)}", flush=True)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            print(f"{name:<8} FAILED: {error}", flush=True)
            failures += 1
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
