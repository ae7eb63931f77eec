"""Lines of JSON in, lines of JSON out: see ../../client.ts for the words."""

import hashlib
import importlib.metadata
import json
import sys


def clouds():
    return json.loads(sys.stdin.readline())


def serve(package, answer):
    """Answers until the last line. What `answer` raises is told with its causes: clients wrap what the KMS said."""
    print(json.dumps({"version": importlib.metadata.version(package)}), flush=True)
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except Exception as error:
            said = {"error": reason(error)}
        print(json.dumps(said), flush=True)


def opened(plaintext):
    return {"sizeBytes": len(plaintext), "sha256": hashlib.sha256(plaintext).hexdigest()}


def reason(error):
    words = []
    while error is not None:
        words.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return " <- ".join(words)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def save(path, data):
    with open(path, "wb") as file:
        file.write(data)
