"""A Slurm of one node on this machine, for a test: munged, slurmctld and slurmd as root on loopback.

It has two GPUs that are none (a file stands for each), jobs that are taken back can begin again, and nothing
of it is outside the folder that it is given.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
MinJobAge=300
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
JobRequeue=1
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why no Slurm is started here; empty if one is."""
    if os.environ.get("DFER_SLURM_TEST") != "1":
        return "daemons are begun only when they are asked for (make slurm-test)"
    missing = [each for each in (*DAEMONS, *COMMANDS) if _path(each) is None]
    if missing:
        return f"{', '.join(missing)} is not installed (make slurm-test installs Slurm)"
    return "" if os.geteuid() == 0 else "Slurm's daemons are run as root here"


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands mean this one, until the context ends."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    host = socket.gethostname().split(".")[0]
    ctld, slurmd = _free_ports()
    config = CONFIG.format(folder=folder, host=host, ctld=ctld, slurmd=slurmd, cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(config)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/tty[1-2]\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    munged = [
        "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munge.seed", "--num-threads=1",
    ]  # fmt: skip
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            daemons.append(_begin(command, environment, folder))
            time.sleep(0.5)
        _wait_until_idle(environment, folder)
        yield environment
    finally:
        _end_jobs(environment)
        for each in reversed(daemons):
            each.terminate()
            each.wait(timeout=30)


def _path(command: str) -> str | None:
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _begin(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    path = _path(command[0])
    assert path is not None
    with (folder / f"{command[0]}.out").open("wb") as log:
        return subprocess.Popen([path, *command[1:]], env=environment, stdout=log, stderr=log)


def _end_jobs(environment: dict[str, str]) -> None:
    """Take all jobs away, or their processes would wait for the daemons for ever."""
    subprocess.run(["scancel", "--me"], env=environment, capture_output=True, timeout=30)
    for _ in range(20):
        listed = subprocess.run(["squeue", "-h"], env=environment, capture_output=True, text=True, timeout=30)
        if not listed.stdout.strip():
            return
        time.sleep(0.5)


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    state = ""
    for _ in range(60):
        listed = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
        state = listed.stdout.strip() or listed.stderr.strip()
        if state == "idle":
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
    raise RuntimeError(f"Slurm's node is {state}\n{logs}")


def _free_ports() -> list[int]:
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
