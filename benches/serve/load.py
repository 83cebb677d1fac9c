"""Load on `tongkuan serve`: python benches/serve/load.py target/release/tongkuan [SECONDS [STEADY_SECONDS]]

Needs wrk, pillow and requests. Starts a sandbox and the service on loopback, with homes in a temporary folder, and prints the tables of
docs/benchmarks/serve.md. SECONDS is for each line of the tables, STEADY_SECONDS for the one load that looks at memory alone.
"""

import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import requests
from PIL import Image, ImageDraw

BINARY = os.path.abspath(sys.argv[1])
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 10
STEADY_SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 120
HERE = pathlib.Path(__file__).parent


def start(args, env):
    process = subprocess.Popen([BINARY, *args, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True)
    return process, json.loads(process.stdout.readline())


def serve(env, *args):
    process, told = start(["serve", "--listen", "127.0.0.1:0", "--log", "warn", *args], env)
    while requests.get(told["base_url"] + "/readyz", timeout=10).status_code != 200:
        time.sleep(0.1)
    return process, told["base_url"]


def rss_mb(process):
    for line in open(f"/proc/{process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def wrk(url, files, connections, seconds=SECONDS, unique=False):
    """`unique`: no two requests have the same bytes, as bytes that were recognised once are not judged again."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "90s", "-s", HERE / "post.lua", url, "--",
               *([f"unique={uuid.uuid4()}-"] if unique else []), *files]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    row = next(line for line in out.splitlines() if line.startswith("RESULT")).split()[1:]
    done, us, refused, broken, late, p50, p99, worst = map(float, row)
    return {"rate": done / us * 1e6, "done": done, "refused": refused, "broken": broken + late,
            "p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3, "max_ms": worst / 1e3}


def offered(url, files, rate, seconds):
    """So many requests a second, whatever becomes of them: what is answered, what is refused, and how long the answered ones took from
    the moment at which they were due."""
    bodies = [path.read_bytes() for path in files]
    local, answered, refused, broken, lock = threading.local(), [], 0, 0, threading.Lock()

    def ask(number, due):
        nonlocal refused, broken
        if not hasattr(local, "session"):
            local.session = requests.Session()
        try:
            body = bodies[number % len(bodies)] + f"offered-{rate}-{number}".encode()
            status = local.session.post(url, data=body, timeout=90).status_code
        except requests.RequestException:
            status = 0
        took_ms = (time.monotonic() - due) * 1e3
        with lock:
            if status == 200:
                answered.append(took_ms)
            elif status == 429:
                refused += 1
            else:
                broken += 1

    begun = time.monotonic()
    with ThreadPoolExecutor(256) as pool:
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            time.sleep(max(0, due - time.monotonic()))
            pool.submit(ask, number, due)
    took = time.monotonic() - begun
    answered.sort()
    at = lambda share: answered[min(len(answered) - 1, int(share * len(answered)))] if answered else float("nan")
    return {"offered": rate, "goodput": len(answered) / took, "refused": refused, "broken": broken, "p50_ms": at(0.5), "p99_ms": at(0.99)}


def steady(process, url, files, seconds):
    """Memory while requests go on, every tenth of the time."""
    seen, stop = [], threading.Event()

    def look():
        while not stop.wait(seconds / 10):
            seen.append(rss_mb(process))

    looking = threading.Thread(target=look)
    before = rss_mb(process)
    looking.start()
    result = wrk(url, files, 16, seconds)
    stop.set()
    looking.join()
    print(f"\n{result['done']:.0f} hits by bytes over {seconds} s ({result['rate']:.0f}/s, broken {result['broken']:.0f}): "
          f"RSS {before:.0f} MB before, then {', '.join(f'{mb:.0f}' for mb in seen)}, {rss_mb(process):.0f} MB after", flush=True)


def jpeg(image, quality):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def pictures(folder, sandbox_url, count):
    """Main pictures of the sandbox's goods, and copies of them that are no stored bytes: scaled, with a stamp."""
    ids = []
    for line in requests.get(sandbox_url, timeout=60).text.split("/img/")[1:]:
        ids.append(line.split("/")[0])
    mains, copies = [], []
    for offer_id in ids[:count]:
        body = requests.get(f"{sandbox_url}/img/{offer_id}/main.jpg", timeout=60).content
        path = folder / f"{offer_id}.jpg"
        path.write_bytes(body)
        mains.append(path)
        image = Image.open(io.BytesIO(body)).convert("RGB")
        copy = image.resize((image.width * 3 // 4, image.height * 3 // 4))
        ImageDraw.Draw(copy).text((4, 4), "shop", fill=(90, 90, 90))
        path = folder / f"{offer_id}-copy.jpg"
        path.write_bytes(jpeg(copy, 80))
        copies.append(path)
    return mains, copies


def unseen(folder, count):
    """Pictures of shapes that are stored nowhere."""
    dice, paths = random.Random(7), []
    for number in range(count):
        image = Image.new("RGB", (400, 400), tuple(dice.randrange(256) for _ in range(3)))
        draw = ImageDraw.Draw(image)
        for _ in range(14):
            box = sorted(dice.randrange(400) for _ in range(2)) + sorted(dice.randrange(400) for _ in range(2))
            box = (box[0], box[2], box[1] + 1, box[3] + 1)
            draw.rectangle(box, fill=tuple(dice.randrange(256) for _ in range(3)))
        path = folder / f"new-{number}.jpg"
        path.write_bytes(jpeg(image, 85))
        paths.append(path)
    return paths


def row(name, connections, result):
    print(f"| {name} | {connections} | {result['rate']:.0f} | {result['p50_ms']:.1f} | {result['p99_ms']:.1f} | "
          f"{result['refused']:.0f} | {result['broken']:.0f} |", flush=True)


def kill_under_load(env, files):
    """Adds pictures from four threads, kills the process in the middle, and counts what it had acknowledged."""
    acknowledged, lock = [], threading.Lock()
    process, url = serve(env)

    def add(part):
        session = requests.Session()
        for number, path in part:
            try:
                answer = session.post(f"{url}/v1/pictures?id=kill-{number}", data=path.read_bytes(), timeout=60)
            except requests.ConnectionError:
                return
            if answer.ok:
                with lock:
                    acknowledged.append((number, answer.json()["photo_id"]))

    numbered = list(enumerate(files))
    threads = [threading.Thread(target=add, args=(numbered[part::4],)) for part in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < len(files) // 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    for thread in threads:
        thread.join()
    process.wait()
    process, url = serve(env)
    there = 0
    for number, photo_id in acknowledged:
        shown = requests.get(f"{url}/v1/pictures/{photo_id}", timeout=60).json()
        there += any(good["offer_id"] == f"kill-{number}" for good in shown.get("own_goods", []))
    process.terminate()
    assert process.wait() == 0
    print(f"\nkill -9 under load: {len(acknowledged)} additions acknowledged before, {there} of them there after")


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        env = {name: value for name, value in os.environ.items() if not name.startswith("TONGKUAN_") or name == "TONGKUAN_RUNTIME_DIR"}
        sandbox, told = start(["sandbox", "--port", "0", "--min-interval-ms", "0", "--daily-quota", "1000000"], env)
        config = folder / "config.toml"
        config.write_text('upstreams = ["article"]\n[upstream.article]\n'
                          f'base_url = "{told["base_url"]}"\napp_key = "sandbox"\nmin_interval_ms = 0\ndaily_budget = 1000000\n')
        env.update(TONGKUAN_HOME=str(folder / "home"), TONGKUAN_CONFIG=str(config), TONGKUAN_APP_SECRET="sandbox-secret")
        mains, copies = pictures(folder, told["base_url"], 100)
        new = unseen(folder, 3000)
        process, url = serve(env)
        for path in mains:
            requests.post(f"{url}/v1/search", data=path.read_bytes(), timeout=90).raise_for_status()
        print("| what | connections | requests a second | p50 ms | p99 ms | refused | broken |\n|---|---:|---:|---:|---:|---:|---:|")
        for connections in (1, 16, 64):
            row("hit by bytes", connections, wrk(f"{url}/v1/search", mains, connections))
        # From then on they are known by their bytes.
        for path in copies:
            requests.post(f"{url}/v1/search", data=path.read_bytes(), timeout=90).raise_for_status()
        for connections in (1, 16, 64):
            row("hit by picture, seen before", connections, wrk(f"{url}/v1/search", copies, connections))
        capacity = 0
        for connections in (1, 16, 64):
            result = wrk(f"{url}/v1/search", copies, connections, unique=True)
            capacity = max(capacity, result["rate"] - result["refused"] / SECONDS)
            row("hit by picture", connections, result)
        place = 0
        for connections in (1, 16, 64):
            part = new[place:place + 900]
            place += 900
            row("miss, asked at the sandbox", connections, wrk(f"{url}/v1/search", part, connections))
        print(f"\nRSS: {rss_mb(process):.0f} MB; load of the machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
        print("\n| hits by picture, offered a second | answered a second | refused | broken | p50 ms | p99 ms | RSS MB |\n"
              "|---:|---:|---:|---:|---:|---:|---:|")
        for times in (0.5, 2):
            told = offered(f"{url}/v1/search", copies, times * capacity, 2 * SECONDS)
            print(f"| {told['offered']:.0f} ({times} times what it can) | {told['goodput']:.0f} | {told['refused']} | {told['broken']} | "
                  f"{told['p50_ms']:.0f} | {told['p99_ms']:.0f} | {rss_mb(process):.0f} |", flush=True)
        steady(process, f"{url}/v1/search", mains, STEADY_SECONDS)
        process.terminate()
        assert process.wait() == 0
        env["TONGKUAN_HOME"] = str(folder / "killed")
        kill_under_load(env, new[2800:3000])
        sandbox.terminate()


main()
