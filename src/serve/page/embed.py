#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page as a C array: embed.py index.html page_data.c

Its one <style> and one <script> are allowed by their hashes, so that the policy
sent with it allows nothing else.
"""
import base64
import hashlib
import pathlib
import re
import sys


def source_of(html, tag):
    bodies = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.S)
    assert len(bodies) == 1, f"one <{tag}> is expected"
    return base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()


def policy_of(html):
    return "; ".join([
        "default-src 'none'", f"script-src 'sha256-{source_of(html, 'script')}'",
        f"style-src 'sha256-{source_of(html, 'style')}'", "connect-src 'self'", "img-src data:",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])


def main(source, target):
    html = pathlib.Path(source).read_text()
    data = html.encode()
    rows = [", ".join(map(str, data[i:i + 24])) for i in range(0, len(data), 24)]
    pathlib.Path(target).write_text(
        "/* Made of index.html by embed.py. */\n"
        '#include "serve/page.h"\n\n'
        "static const unsigned char bytes[] = {\n" + ",\n".join(rows) + "};\n\n"
        "const fby_page fby_page_index = {\n"
        '    "text/html; charset=utf-8",\n'
        f'    "{policy_of(html)}",\n'
        "    bytes, sizeof bytes};\n")


main(*sys.argv[1:])
