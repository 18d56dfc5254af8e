#!/usr/bin/env python3
"""What `make run` shows: the main job on real text, for someone who sees it first.

    demo.py build/forebay

How alike some sentences are, how fast the project's own documents are embedded,
two questions answered over them, and what to try next. Standard library only.
"""
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SENTENCES = [
    "A man is eating food.",
    "Someone is having a meal.",
    "The girl is carrying a baby.",
    "A woman holds an infant.",
    "Interest rates rose again in March.",
    "The central bank made borrowing dearer.",
]
QUESTIONS = [
    "what happens to a file when the disk is full?",
    "how are files left out of a search?",
]


def embed(command, lines):
    done = subprocess.run(
        [command, "embed", "--format", "jsonl"],
        input="".join(line + "\n" for line in lines),
        capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return [json.loads(row)["embedding"] for row in done.stdout.splitlines()]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def shade(value, text):
    """`text` on a background that is the greener the nearer `value` is to 1."""
    if not sys.stdout.isatty():
        return text
    level = max(0, min(5, round(value * 6 - 0.5)))
    return f"\x1b[48;5;{[234, 235, 22, 28, 34, 40][level]}m{text}\x1b[0m"


def show_likeness(command):
    vectors = embed(command, SENTENCES)
    print(f"How alike are these sentences? ({len(vectors[0])} numbers each; 1 is the same)\n")
    width = max(map(len, SENTENCES))
    print(" " * (width + 6) + "".join(f"{i + 1:6}" for i in range(len(SENTENCES))))
    for i, sentence in enumerate(SENTENCES):
        row = [cosine(vectors[i], other) for other in vectors]
        cells = "".join(shade(x, f"{x:6.2f}") for x in row)
        print(f"  {i + 1}  {sentence:<{width}} {cells}")


def document_lines():
    files = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if len(line.split()) >= 4:
                yield line.strip()


def show_speed(command):
    lines = list(document_lines())
    texts = ROOT / "build" / "documents.txt"
    texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [command, "bench", "embed", "--file", texts, "--seconds", "2", "--json"],
        capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(done.stderr)
    point = json.loads(done.stdout.splitlines()[-1])
    print(f"\nHow fast? {len(lines)} lines of this project's documents, again and again for 2 s:\n")
    print(f"  {point['texts_per_s']:,.0f} texts/s, {point['tokens_per_s']:,.0f} tokens/s"
          f" on {point['threads']} threads, {100 * point['share_of_peak']:.0f} % of what"
          f" the {point['isa']} units of this processor can do")


def show_search(command):
    index = ROOT / "build" / "documents.index"
    for question in QUESTIONS:
        print(f"\nAsked of this project's documents: {question}\n", flush=True)
        subprocess.run([command, "search", "--top", "1", "--index", index, question,
                        "docs", "README.md", "SECURITY.md"], cwd=ROOT)


def show_next():
    print("""
What to try next:

  build/forebay embed < lines.txt > vectors.jsonl     a vector a line of text
  build/forebay embed -o vectors.npy lines.txt        for numpy.load()
  build/forebay search 'your question' ~/notes        the passages that answer it
  build/forebay tokenize --pieces <<< "Hello world"   what the model sees
  build/forebay info                                  the model and this machine
  build/forebay --help                                everything else""")


def main():
    command = str(pathlib.Path(sys.argv[1]).resolve())
    show_likeness(command)
    show_speed(command)
    show_search(command)
    show_next()


if __name__ == "__main__":
    main()
