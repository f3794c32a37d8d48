#!/usr/bin/env bash
# This machine as a Slurm cluster of two nodes on the loopback interface, each with two GPUs that are none, and no
# accounting: `slurm.sh up` starts it, after ending what an interrupted run has left, `slurm.sh down` ends it. Needs root
# and Debian's packages slurm-wlm and munge. Jobs go to the first node, but those of the partition `both`.
set -euo pipefail

conf=/etc/slurm  # where jobs' own srun looks: Snakemake takes SLURM_CONF out of their environment
folder=${TMPDIR:-/tmp}/fig-slurm
case $(readlink "$conf/slurm.conf") in
  */fig-slurm/slurm.conf) folder=$(dirname "$(readlink "$conf/slurm.conf")") ;;  # another run's, which had its own TMPDIR
esac
export PATH=$PATH:/usr/sbin

# Is NAME the process whose number is in FILE? After a restart another may have its number.
alive() { [ -s "$2" ] && [ "$(ps -o comm= -p "$(cat "$2")")" = "$1" ]; }

up() {
  down
  if [ -e "$conf/slurm.conf" ]; then
    echo "this machine has a Slurm already: $conf/slurm.conf" >&2
    exit 1
  fi
  mkdir -p "$folder/state" "$conf"
  for gpu in 0 1; do mknod "$folder/gpu$gpu" c 1 3; done  # Slurm asks no more of a GPU than a device file
  configuration > "$folder/slurm.conf"
  echo "NodeName=node[1-2] Name=gpu File=$folder/gpu[0-1]" > "$folder/gres.conf"
  ln -s "$folder/slurm.conf" "$folder/gres.conf" "$conf/"
  if ! alive munged /run/munge/munged.pid; then
    install -d -o munge -g munge /run/munge
    runuser -u munge -- munged
    touch "$folder/munge-is-ours"
  fi
  slurmctld
  for node in node1 node2; do slurmd -N $node; done
  for _ in $(seq 300); do
    if [ "$(sinfo --noheader --partition=both --format='%T %D' 2> /dev/null)" = "idle 2" ]; then return; fi
    sleep 0.1
  done
  cat "$folder"/*.log >&2
  exit 1
}

configuration() {
  cat << END
ClusterName=fig
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
MinJobAge=3600
KillWait=5
ReturnToService=2
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=$(nproc --all) RealMemory=64000 Gres=gpu:2
NodeName=node1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=16818
NodeName=node2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=16819
PartitionName=cpu Nodes=node1 Default=YES
PartitionName=gpu Nodes=node1
PartitionName=both Nodes=ALL
END
}

down() {
  if alive slurmctld "$folder/slurmctld.pid"; then
    timeout 9 scancel --user="$(id -un)" 2> /dev/null || true
    for _ in $(seq 150); do
      jobs=$(timeout 9 squeue --noheader 2> /dev/null) || break
      if [ -z "$jobs" ]; then break; fi
      sleep 0.1
    done
  fi
  for daemon in slurmd.node1 slurmd.node2 slurmctld; do
    if alive "${daemon%.*}" "$folder/$daemon.pid"; then ended "$(cat "$folder/$daemon.pid")"; fi
  done
  if [ -e "$folder/munge-is-ours" ] && alive munged /run/munge/munged.pid; then ended "$(cat /run/munge/munged.pid)"; fi
  for file in slurm.conf gres.conf; do
    if [ "$(readlink "$conf/$file")" = "$folder/$file" ]; then rm "$conf/$file"; fi
  done
  rm -rf "$folder"
}

ended() {
  kill "$1"
  for _ in $(seq 150); do
    kill -0 "$1" 2> /dev/null || return 0
    sleep 0.1
  done
  echo "process $1 does not end" >&2
}

case ${1:-} in
  up | down) "$1" ;;
  *) sed -n 2,4p "$0"; exit 2 ;;
esac
