#!/usr/bin/env python3
"""A buyer's sheet of many rows: how long it takes, how large it becomes, and how much memory that needs.

    cargo build --release
    python3 benches/sheet/run.py --binary target/release/tongkuan

Needs only Python. A sandbox is started on a free port, and pictures of its goods are saved (the first picture of each good, then
the others, until there are enough). On an empty home, `tongkuan sheet` is run five times:

    asked       a workbook; every picture is asked about, and the pictures of the offers are fetched and embedded
    again       the same from what is known: no call is made
    csv, ndjson, html
                the other forms, from what is known

    --pictures N     1000
    --top N          5 offers for each, so 5000 rows
    --details        ask for the details of each offer in the sheet, too
    --convert        open the workbook with LibreOffice without a window, and save it as PDF (needs soffice)
    --keep FOLDER    keep all that was made there

Printed for each: seconds by the clock, calls, rows, bytes of the file, and the peak of the process's resident memory. The exit
status is 1 where a run fails, a row is missing, or something is paid for twice.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VIEWS = ["main", "side", "angled", "close-up", "poster"]


def environment(folder, sandbox):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("TONGKUAN_") or name == "TONGKUAN_RUNTIME_DIR"}
    config = folder / "config.toml"
    config.write_text(f'upstreams = ["article"]\n[upstream.article]\nbase_url = "{sandbox["base_url"]}"\n'
                      f'app_key = "{sandbox["app_key"]}"\nmin_interval_ms = 0\ndaily_budget = 1000000\n')
    env.update(TONGKUAN_CONFIG=str(config), TONGKUAN_HOME=str(folder / "home"), TONGKUAN_APP_SECRET=sandbox["app_secret"])
    return env


def start_sandbox(binary):
    command = [binary, "--json", "sandbox", "--port", "0", "--min-interval-ms", "0", "--daily-quota", "1000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())


def save_pictures(base_url, folder, wanted):
    """`wanted` pictures of the sandbox's goods, numbered, with a list of them and their keys."""
    with urllib.request.urlopen(base_url) as page:
        goods = re.findall(r'src="/img/(\d+)/main\.jpg"', page.read().decode())
    addresses = [(good, view) for view in VIEWS for good in goods][:wanted]
    if len(addresses) < wanted:
        sys.exit(f"the sandbox has {len(addresses)} pictures: ask for no more with --pictures")
    folder.mkdir()
    lines = ["path,sku"]
    for number, (good, view) in enumerate(addresses):
        with urllib.request.urlopen(f"{base_url}/img/{good}/{view}.jpg") as answer:
            (folder / f"{number:05}.jpg").write_bytes(answer.read())
        lines.append(f"{number:05}.jpg,SKU-{number:05}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def counted(base_url):
    with urllib.request.urlopen(f"{base_url}/sandbox/counters") as answer:
        counters = json.load(answer)
    return counters["searches_ok"] + counters["details_ok"]


def measured(command, env):
    """What a command prints, how long it takes, and its peak of resident memory in bytes."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, env=env, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        out.seek(0)
        text = out.read()
    # Linux counts in KiB, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return os.waitstatus_to_exitcode(status), text, seconds, peak


def rows_of(path):
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book, book.open("xl/worksheets/sheet1.xml") as sheet:
            return sheet.read().count(b"<row ") - 1
    text = path.read_text()
    if path.suffix == ".ndjson":
        return sum(max(1, len(json.loads(line)["offers"])) for line in text.splitlines())
    if path.suffix == ".html":
        return text.count("<tr>") - 1
    return len(text.splitlines()) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/tongkuan"))
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--details", action="store_true")
    parser.add_argument("--convert", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="tongkuan-sheet-")) if options.keep is None else options.keep.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sandbox_process, sandbox = start_sandbox(options.binary)
    failures = []
    try:
        env = environment(folder, sandbox)
        source = save_pictures(sandbox["base_url"], folder / "pictures", options.pictures)
        print(f"{options.pictures} pictures, {options.top} offers each{', with details' if options.details else ''}")
        print(f"{'run':<8} {'seconds':>8} {'calls':>6} {'rows':>6} {'bytes':>11} {'peak MiB':>9}")
        runs = [("asked", "goods.xlsx"), ("again", "goods.xlsx"), ("csv", "goods.csv"), ("ndjson", "goods.ndjson"), ("html", "goods.html")]
        for name, file in runs:
            out = folder / file
            command = [options.binary, "--json", "sheet", str(source), "--key", "sku", "--top", str(options.top), "--out", str(out)]
            before = counted(sandbox["base_url"])
            status, text, seconds, peak = measured(command + (["--details"] if options.details else []), env)
            calls = counted(sandbox["base_url"]) - before
            told = [json.loads(line) for line in text.splitlines()]
            said = next((line["upstream_calls"] for line in told if "upstream_calls" in line), None)
            rows = rows_of(out) if out.exists() else 0
            print(f"{name:<8} {seconds:>8.1f} {calls:>6} {rows:>6} {out.stat().st_size if out.exists() else 0:>11} {peak / 2**20:>9.0f}", flush=True)
            if status != 0 or rows < options.pictures or said != calls:
                failures.append(f"{name}: exit status {status}, {rows} rows, {said} calls told and {calls} counted")
            if name != "asked" and calls != 0:
                failures.append(f"{name}: {calls} calls for what is known")
        if options.convert:
            started = time.monotonic()
            convert = ["soffice", "--headless", "--convert-to", "pdf", "--outdir", str(folder), str(folder / "goods.xlsx")]
            subprocess.run(convert, check=True, stdout=subprocess.DEVNULL)
            print(f"LibreOffice: {time.monotonic() - started:.1f} s, {(folder / 'goods.pdf').stat().st_size} bytes of PDF")
    finally:
        sandbox_process.terminate()
        sandbox_process.wait()
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
