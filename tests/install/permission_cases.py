# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of test-boot: who may ask for what on a real system. Callers are real scopes and services, answers go by polkit and
by agents in login sessions, rules change by systemctl reload, and the journal has it all."""
import json, os, re, shlex, subprocess, time

from agent_cases import TERMINAL, Shell
from tap import case, check

BUS = "org.spark.Assistant /org/spark/Assistant org.spark.Assistant"
RULES = "/etc/spark/policy.d/60-test.conf"
USED = "6f0c4a3d5d0b4c1f9f3e6a0d5b7c1e21"
AGENT = "env DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket /srv/answering-agent"


# A process shut in as Flatpak does it: a root of its own with .flatpak-info in it, the user's own uid, a scope.
BOX = """unshare --user --map-current-user --keep-caps --mount sh -ec 'cd $XDG_RUNTIME_DIR; mkdir -p box; mount -t tmpfs box box; cd box
mkdir usr run; mount --rbind /usr usr; mount --rbind /run run; for l in bin lib lib64; do ln -s usr/$l $l; done
printf "[Application]\\nname=org.example.Boxed\\n" >.flatpak-info; chmod 444 .flatpak-info; exec chroot . "$@"' box """


def well(result):
    status, said = result
    check(status == 0, f"exit status {status}: {said}")
    return said


def permissions(method, signature="", *arguments):
    return " ".join(["busctl --system --timeout=120 call", BUS + ".Permissions", method, shlex.quote(signature), *arguments])


def write_rules(m, text):
    well(m(f"mkdir -p {os.path.dirname(RULES)} && printf %s {shlex.quote(text)} >{RULES}"))
    well(m("systemctl reload sparkd.service"))


def scope(unit, command):
    """A command of the user's, in a scope of the user's manager."""
    return f"systemd-run --user --scope --quiet --collect --unit={unit} {command}"


def cases(m, tools):
    check_generate = permissions("Check", "sa{sv}", "generate", "0")
    subprocess.run(["cp", os.path.join(tools, "answering-agent"), os.path.join(tools, "test-bus-abuse"), os.path.join(m.root, "srv")], check=True)

    @case("a shell in a login session is no known application: it is asked for, and nobody is there to ask")
    def _():
        write_rules(m, "")
        # "ask" where a service of the user's has registered: it finds no display.
        check(well(m.as_user("alice", check_generate)).strip() in ('s "ask"', 's "deny"'))
        status, said = m.as_user("alice", "busctl --system --timeout=120 call " + BUS + " Ask 'sa{sv}' Hello 0")
        check(status != 0 and "sparkctl agent" in said and "50-default.conf" in said, said)

    @case("applications are told by their scope or service, as the desktop starts them")
    def _():
        for command in (scope("app-gnome-org.example.Notes-77.scope", check_generate), scope("app-org.example.Plain-78.scope", check_generate),
                        "systemd-run --user --pipe --wait --quiet --collect --unit=app-org.example.Daemon@1.service " + check_generate):
            said = well(m.as_user("alice", command))
            check(said.strip() == 's "allow"', f"{command}: {said}")
        said = well(m("systemd-run --pipe --wait --quiet --collect --uid=bob --unit=nightly.service " + check_generate))
        check(said.strip() == 's "allow"', said)
        well(m.as_user("alice", scope("app-gnome-org.example.Notes-79.scope", "busctl --system --timeout=120 call " + BUS +
                                      " Ask 'sa{sv}' Hello 1 max-tokens u 4")))
        listed = well(m.as_user("alice", permissions("List", "a{sv}", "0")))
        check('"app" s "org.example.Notes"' in listed and '"certainty" s "unit"' in listed, listed)

    @case("an application that only calls itself a Flatpak gains nothing, and may not answer for the user")
    def _():
        status, said = m.as_user("alice", scope("app-flatpak-org.mozilla.firefox-5.scope", permissions("RegisterAgent", "oa{sv}", "/a", "0")))
        check(status != 0 and "denied" in said, said)

    @case("one that is shut in is known for sure by its user's own sparkd, and one that is not is nobody")
    def _():
        write_rules(m, "[App org.example.Boxed]\nCertainty=sandboxed\nDeny=camera\n")
        asked = permissions("Check", "sa{sv}", "camera", "0").replace("--system", "--user")
        agent = permissions("RegisterAgent", "oa{sv}", "/a", "0").replace("--system", "--user")
        unit = "app-flatpak-org.example.Boxed-{}.scope"
        said = well(m.as_user("alice", "systemctl --user start sparkd.service; " +
                              scope(unit.format(1), BOX + asked) + "; " + scope(unit.format(2), asked) + "; " +
                              scope(unit.format(3), BOX + agent) + " 2>&1; systemctl --user stop sparkd.service"))
        lines = said.splitlines()
        check(lines[0] == 's "deny"' and lines[1] == 's "ask"', said)
        check("denied" in lines[2], said)
        write_rules(m, "")

    @case("a rule file and systemctl reload change it at once; a mistake denies and is named")
    def _():
        write_rules(m, "[App org.example.*]\nDeny=generate\n[Unknown]\nAllow=generate\n")
        check(well(m.as_user("alice", scope("app-org.example.Plain-80.scope", check_generate))).strip() == 's "deny"')
        check(well(m.as_user("alice", check_generate)).strip() == 's "allow"')
        check(well(m.as_user("alice", permissions("Problems"))).strip() == "as 0")
        write_rules(m, "[App *]\nAllow=generaet\n")
        said = well(m.as_user("alice", permissions("Problems")))
        check(f"{RULES}:2: " in said and "generaet" in said, said)
        write_rules(m, "[Unknown]\nAllow=generate\n")
        check(m("systemctl show -P ActiveState sparkd.service")[1].strip() == "active")

    @case("polkit decides who changes answers; others' are an administrator's alone; root needs nobody's word")
    def _():
        change = permissions("Set", "sssa{sv}", "org.example.Notes", "generate", "never", "0")
        status, said = m.as_user("alice", change)
        check(status != 0 and "wants somebody to authenticate" in said, said)
        # On a terminal without a desktop polkit asks there.
        well(m("echo alice:opensesame | chpasswd"))
        asked = TERMINAL.format("'sparkctl permission set org.example.Notes generate never'")
        s = Shell(m, "alice", asked).until("Password: ")
        check(s.type("opensesame\n").end() == 0, s.said)
        check('"never"' in well(m.as_user("alice", permissions("List", "a{sv}", "0"))), "it is not kept")
        s = Shell(m, "alice", asked.replace("never", "always")).until("Password: ")
        check(s.type("guess\n").end() == 4 and "Not allowed" in s.said, s.said)
        check("pkttyagent" not in m("ps -e -o comm")[1])
        well(m("mkdir -p /etc/polkit-1/rules.d && echo 'polkit.addRule(function(action, subject) { if (action.id == "
               "\"org.spark.assistant.manage-own-permissions\" && subject.user == \"alice\") return polkit.Result.YES; });' "
               ">/etc/polkit-1/rules.d/10-test.rules && systemctl try-restart polkit.service"))
        well(m.as_user("alice", change))
        check(well(m.as_user("alice", scope("app-org.example.Notes-81.scope", check_generate))).strip() == 's "deny"')
        check(m.as_user("bob", change)[0] != 0, "bob may, too")
        alice = m("id -u alice")[1].strip()
        status, said = m.as_user("bob", permissions("Ledger", "a{sv}", "1", "uid", "u", alice))
        check(status != 0 and "wants somebody to authenticate" in said, said)
        check('"org.example.Notes"' in well(m(permissions("Ledger", "a{sv}", "1", "uid", "u", alice))))
        check('"org.example.Notes"' not in well(m.as_user("bob", permissions("Ledger", "a{sv}", "0"))))
        well(m.as_user("alice", permissions("Reset", "ssa{sv}", "org.example.Notes", "generate", "0")))

    @case("an agent answers for its own session alone, and never for another user")
    def _():
        write_rules(m, "")
        ask = "busctl --system --timeout=120 call " + BUS + " Ask 'sa{sv}' Hello 1 max-tokens u 4"
        with_agent = f"{AGENT} once & sleep 1; {ask}; r=$?; kill $!; exit $r"
        well(m.as_user("alice", with_agent))
        other = subprocess.Popen(m.as_user_argv("bob", f"{AGENT} always"), stdout=subprocess.PIPE, text=True)
        check("registered" in other.stdout.readline(), "bob's agent does not register")
        same_user = subprocess.Popen(m.as_user_argv("alice", f"{AGENT} always"), stdout=subprocess.PIPE, text=True)
        check("registered" in same_user.stdout.readline(), "alice's agent does not register")
        try:
            status, said = m.as_user("alice", ask)
            check(status != 0 and "no agent" in said, said)
        finally:
            for agent in (other, same_user):
                agent.terminate()
            m("pkill -x answering-agent")
            said = [agent.communicate()[0] for agent in (other, same_user)]
        check(said == ["", ""], said)

    @case("an answer for the session survives a restart of sparkd, and not the session")
    def _():
        ask = "busctl --system --timeout=120 call " + BUS + " Ask 'sa{sv}' Hello 1 max-tokens u 4"
        s = Shell(m, "alice", f"{AGENT} session & sleep 1; {ask}; kill $!; {check_generate}; echo given; read x; {check_generate}").until("given")
        well(m("systemctl restart sparkd.service"))
        check(s.type("\n").end() == 0 and s.said.count('s "allow"') == 2, s.said)
        check('s "allow"' not in well(m.as_user("alice", check_generate)), "it holds in another session")

    @case("the journal says who used what, with its explanation; the ledger is nobody else's to read")
    def _():
        lines = well(m("journalctl -q --no-pager -o json SPARK_APP=org.example.Notes SPARK_OUTCOME=length + SPARK_APP=org.example.Notes SPARK_OUTCOME=stop"))
        entry = json.loads(lines.splitlines()[0])
        check(entry["SPARK_CAPABILITY"] == "generate" and entry["SPARK_CERTAINTY"] == "unit" and entry["MESSAGE_ID"] == USED, entry)
        check("used the assistant" in well(m(f"journalctl --list-catalog {USED}")))
        answered = json.loads(well(m("journalctl -q --no-pager -o json SPARK_OUTCOME=once")).splitlines()[0])
        check(answered["SPARK_APP"] == "?" and answered["SPARK_REASON"] == "user-allowed", answered)
        check("was asked about" in well(m("journalctl --list-catalog " + answered["MESSAGE_ID"])))
        check(well(m("stat -c '%a %U' /var/lib/spark/state/ledger")).strip() == "700 spark", "the ledgers are open")
        check(m.as_user("alice", "ls /var/lib/spark/state/ledger")[0] != 0, "alice looks into it")

    @case("whatever an unprivileged user throws at it, memory and descriptors come back")
    def _():
        write_rules(m, "[Unknown]\nAllow=generate\nAsk=camera tool:*\nRequestsPerMinute=infinity\nTokensPerDay=infinity\nSessions=infinity\n"
                       "QueueLength=infinity\n[User *]\nRequestsPerMinute=infinity\nTokensPerDay=infinity\nSessions=infinity\nQueueLength=infinity\n")
        pid = m("systemctl show -P MainPID sparkd.service")[1].strip()
        run = "env DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket SPARK_TEST_DAEMON_PID=" + pid + " /srv/test-bus-abuse"

        def held():
            kb = int(re.search(r"VmRSS:\s+(\d+)", m(f"cat /proc/{pid}/status")[1]).group(1))
            return kb, len(m(f"ls /proc/{pid}/fd")[1].split())

        for line in well(m.as_user("bob", run)).splitlines():    # warm: what is allocated once and kept
            if line.startswith(("not ok", "#", "Bail")):
                print(f"# {line}")
        before = held()
        well(m.as_user("bob", run))
        time.sleep(1)
        after = held()
        print(f"# sparkd: {before[0]} kB, {before[1]} descriptors; then {after[0]} kB, {after[1]}")
        check(after[1] <= before[1] and after[0] <= before[0] + 1024, f"{before} became {after}")
        check(m("systemctl show -P MainPID sparkd.service")[1].strip() == pid, "it is another process")
        write_rules(m, "[Unknown]\nAllow=generate\n")
        well(m("rm /srv/answering-agent /srv/test-bus-abuse /etc/polkit-1/rules.d/10-test.rules"))
