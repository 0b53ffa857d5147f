# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of test-boot: who a caller is, where sparkd alone cannot see it. A user's own agent looks for it: at the path of a
program without a unit, and behind the root of a process that is shaped as Flatpak shapes them: user and mount namespaces
of its own, a root of its own with .flatpak-info in it, a scope with its name."""
import shlex

from tap import case, check

BUS = "org.spark.Assistant /org/spark/Assistant org.spark.Assistant.Permissions"
CHECK = f"busctl --system call {BUS} Check 'sa{{sv}}' generate 0"
RULES = "/etc/spark/policy.d/60-test.conf"
START = "systemctl --user start spark-agent.service; "
STOP = "systemctl --user stop spark-agent.service; "        # what sparkctl has started may be there still

BOX = r"""
r=$(mktemp -d)
mount -t tmpfs none $r
for d in usr etc run proc dev var; do mkdir $r/$d; mount --rbind /$d $r/$d; done
for l in bin sbin lib lib64; do ln -s usr/$l $r/$l; done
printf '[Application]\nname=NAME\n' >$r/.flatpak-info
exec chroot $r COMMAND
"""


def well(result):
    status, said = result
    check(status == 0, f"exit status {status}: {said}")
    return said


def cases(m):
    def rules(text):
        well(m(f"printf %s {shlex.quote(text)} >{RULES} && systemctl reload sparkd.service"))

    def answer(script, agent):
        return well(m.as_user("alice", (START if agent else STOP) + script)).strip()

    def scope(app, command):
        return f"systemd-run --user --scope --quiet --collect --unit=app-flatpak-{app}-$$.scope {command}"

    def box(app, name, command=CHECK):
        inside = BOX.replace("NAME", name).replace("COMMAND", command)
        return scope(app, f"unshare --user --map-current-user --keep-caps --mount sh -ec {shlex.quote(inside)}")

    @case("a program without a unit is known by its path where the user's agent can tell it, and unknown where none can")
    def _():
        rules("[Unknown]\nDeny=generate\n[App *]\nDeny=generate\n[App /usr/bin/busctl]\nAllow=generate\n")
        check(answer(CHECK, agent=False) == 's "deny"', "it is known without an agent")
        check(answer(CHECK, agent=True) == 's "allow"', "the agent's word counts for nothing")
        rules("[Unknown]\nAllow=generate\n[App *]\nDeny=generate\n")
        check(answer(CHECK, agent=True) == 's "deny"', "it is still unknown")

    @case("a scope that is only named as a Flatpak's is nobody's where the agent looks")
    def _():
        rules("[Unknown]\nDeny=generate\n[App org.example.Box]\nAllow=generate\n")
        check(answer(scope("org.example.Box", CHECK), agent=False) == 's "allow"', "its unit counts for nothing")
        check(answer(scope("org.example.Box", CHECK), agent=True) == 's "deny"', "it passes for a Flatpak")

    @case("a process in a Flatpak's shape is certain with the agent's word, and only under its own name")
    def _():
        rules("[Unknown]\nDeny=generate\n[App *]\nDeny=generate\n[App org.example.Box]\nCertainty=sandboxed\nAllow=generate\n")
        check(answer(box("org.example.Box", "org.example.Box"), agent=False) == 's "deny"', "sparkd is sure by itself")
        check(answer(box("org.example.Box", "org.example.Box"), agent=True) == 's "allow"', "the agent does not see it")
        check(answer(box("org.example.Box", "org.example.Other"), agent=True) == 's "deny"', "it passes for another one")

    @case("an app in a sandbox can neither answer for the user, nor change what was answered, nor see what others have open")
    def _():
        for method in ("RegisterAgent 'oa{sv}' /a 0", "WatchCaptures 'a{sv}' 0", "Set 'sssa{sv}' org.example.Box generate always 0"):
            status, said = m.as_user("alice", START + box("org.example.Box", "org.example.Box", f"busctl --system call {BUS} {method}"))
            check(status != 0 and "denied" in said, f"{method}: {status}: {said}")
        well(m.as_user("alice", STOP))
        rules("[Unknown]\nAllow=generate\n")
