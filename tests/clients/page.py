"""Runs the blocks of a Markdown page in their order: SQL by psql, Python, JavaScript by node, Java.

usage: page.py FILE

The info string of a block says more than its language: `as ROLE` (default: a superuser), `no-test` for a block that is
not run. A block of `text` right after one has to be what that one prints. Blocks of Python share their names. PGHOST,
PGPORT and PGDATABASE name the database, the working directory has the images.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SUPERUSER = "postgres"
NODE = Path(os.environ["CLIENTS"]) / "node"


class Failure(Exception):
    pass


def output(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise Failure(done.stdout)
    return done.stdout


def run_sql(text, names):
    psql = [f"{os.environ['BIN']}/psql", "-Xq", "-v", "ON_ERROR_STOP=1"]
    return output(psql, input=text, env=os.environ | {"PGOPTIONS": "-c client_min_messages=warning"})


def run_python(text, names):
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(text, "block", "exec"), names)
    except Exception:
        raise Failure(printed.getvalue() + traceback.format_exc())
    return printed.getvalue()


def run_js(text, names):
    # Beside node_modules, where `import` looks.
    program = NODE / "page.mjs"
    program.write_text(text)
    return output(["node", program])


def run_java(text, names):
    program = Path("Search.java")
    program.write_text(text)
    url = f"jdbc:postgresql://127.0.0.1:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"
    url += f"?user={os.environ['PGUSER']}&password=change%20me"
    return output(["java", "-cp", os.environ["JDBC"], program], env=os.environ | {"JDBC_URL": url})


def have_java():
    return shutil.which("java") and Path(os.environ["JDBC"]).exists()


RUN = {"sql": run_sql, "python": run_python, "js": run_js, "java": run_java}


def blocks(page):
    """(line, language, words of the info string, text, expected output or None)"""
    found = list(BLOCK.finditer(page))
    for block, after in zip(found, found[1:] + [None]):
        language, *words = block[1].split()
        if language == "text":
            continue
        expected = None
        if after and after[1] == "text" and not page[block.end() : after.start()].strip():
            expected = after[2]
        yield page.count("\n", 0, block.start()) + 1, language, words, block[2], expected


def main(path):
    page = Path(path).read_text(encoding="utf-8")
    names, counts, wrong = {"__name__": "page"}, {}, 0
    for line, language, words, text, expected in blocks(page):
        role = words[words.index("as") + 1] if "as" in words else SUPERUSER
        if "no-test" in words:
            continue
        if language not in RUN:
            raise SystemExit(f"{path}:{line}: a block of {language} is not run; say no-test")
        if language == "java" and not have_java() and "CI" not in os.environ:
            print(f"left out: the Java of line {line}")
            continue
        os.environ["PGUSER"] = role
        counts[language] = counts.get(language, 0) + 1
        try:
            printed = RUN[language](text, names)
        except Failure as failure:
            raise SystemExit(f"{path}:{line}: as {role}:\n{failure}")
        printed = "\n".join(printed_line.rstrip() for printed_line in printed.strip("\n").splitlines())
        if printed != (expected or "").strip("\n"):
            print(f"{path}:{line}: as {role} this prints\n{printed}\nand the page shows\n{expected or ''}")
            wrong += 1
    print(", ".join(f"{count} blocks of {language}" for language, count in counts.items()), f"- {wrong} wrong")
    return wrong or not counts


sys.exit(bool(main(sys.argv[1])))
