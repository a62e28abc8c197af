#!/bin/bash
# Workers that train together, one a node, with one GPU each. From the
# repository:
#
#   sbatch configs/cluster/slurm.sh --workdir=$SCRATCH/run FLAGS-OF-TFXML.TRAIN
#
# For parameter servers say `slurm --ps=P` below and --strategy=parameter_server:
# rank 0 is then the chief, the last P ranks are the servers.
#
# When one task fails all end (--kill-on-bad-exit). Two minutes before the time
# is up every task gets SIGTERM, with which training saves a checkpoint;
# `scontrol requeue JOB` resumes it.

#SBATCH --job-name=tfxml
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append

set -euo pipefail
cd "${SLURM_SUBMIT_DIR}"

exec srun --distribution=block --kill-on-bad-exit=1 --label --unbuffered \
  python -m strategies.resolvers slurm -- \
  python -m tfxml.train --strategy=multi_worker "$@"
